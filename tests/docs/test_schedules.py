"""The table of schedules in docs/modes.md: what each gives a run, asked of the Airflow that is installed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jinja2
import pytest
from airflow.configuration import conf
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from airflow.serialization import serialized_objects
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable

from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "modes.md").read_text(encoding="utf-8")
WORDS = {"of length zero": timedelta(0), "the day before the run": timedelta(days=1)}
#: What the scheduler knows of a DAG; its name has changed.
STORED: Any = vars(serialized_objects).get("DagSerialization") or vars(serialized_objects)["SerializedDAG"]
SINCE = "{{ data_interval_start - macros.timedelta(minutes=10) }}"
MACROS = {"timedelta": timedelta}


def rows() -> list[tuple[str, str]]:
    """Return each schedule that is written as code, with what the page says of it for this Airflow."""
    _, _, table = PAGE.partition("\n| schedule |")
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.split("\n\n")[0].splitlines()[2:]]
    said = [(schedule, new if AIRFLOW_V_3_0_PLUS or old == "the same" else old) for schedule, new, old in cells]
    return [(re.findall(r"`([^`]+)`", schedule)[0], words) for schedule, words in said if "`" in schedule]


@pytest.fixture(autouse=True)
def _as_airflow_comes(monkeypatch):
    """Undo what Airflow sets for unit tests."""
    for name in ("create_cron_data_intervals", "create_delta_data_intervals"):
        usual = conf.get_default_value("scheduler", name)
        # Airflow 3.1 does not say what the default is: it is that of every Airflow 3.
        monkeypatch.setenv(f"AIRFLOW__SCHEDULER__{name.upper()}", str(False if usual is None else usual))


def length_of_an_interval(schedule: object) -> timedelta:
    dag = DAG("any", schedule=schedule, start_date=datetime(2025, 1, 1, tzinfo=UTC), catchup=True)
    RobofyFetchLeadsOperator(task_id="fetch_leads", dag=dag)
    known = STORED.from_dict(STORED.to_dict(dag))
    run = known.timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(earliest=known.start_date, latest=None, catchup=True),
    )
    return run.data_interval.end - run.data_interval.start


@pytest.mark.parametrize(("code", "words"), rows())
def test_a_run_has_the_interval_that_the_page_says(code, words):
    names = {
        "CronDataIntervalTimetable": CronDataIntervalTimetable,
        "CronTriggerTimetable": CronTriggerTimetable,
        "timedelta": timedelta,
    }
    assert length_of_an_interval(eval(code, names)) == WORDS[words]


def test_the_page_says_something_of_every_kind():
    assert {words for _, words in rows()} == (set(WORDS) if AIRFLOW_V_3_0_PLUS else {"the day before the run"})


def test_a_run_without_an_interval_fails_in_the_template():
    operator = RobofyFetchLeadsOperator(
        task_id="fetch_leads", since=SINCE, dag=DAG("none", schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC))
    )
    with pytest.raises(jinja2.UndefinedError, match="data_interval_start"):
        operator.render_template_fields({"run_id": "asset_triggered__x", "macros": MACROS})
