"""RobofyNewSessionsSensor: what it does not share with the sensor of leads, in its three modes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, AirflowSkipException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.assets.robofy import sessions_asset
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.inbox import RobofyFetchSessionsOperator
from airflow_provider_robofy.sensors.inbox import RobofyNewSessionsSensor
from tests.operators.sync_world import State
from tests.sensors.legs import Rescheduled, finish

HOUR = timedelta(hours=1)
PHONE = "+4915100099887"
SYNCED: dict[str, Any] = {"since": None, "cursor": "cursors", "cursor_name": "sessions", "timeout": 0.5}


def ago(minutes: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes)


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    emulator = robofy_emulator_factory(leads=0, sessions=6, sessions_page_size=3, agents=1)
    return connect(emulator, sessions_order="newest_first", max_parallel_pages=1)


@pytest.fixture
def sync(robofy, monkeypatch, tmp_path):
    """Land what is silent for an hour, and keep the cursor in a file."""
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))

    def sync(states=None, **arguments):
        given = {"cursor": "cursors", "cursor_name": "sessions", "idle_for": HOUR, **arguments}
        context: Any = {"ti": Rescheduled(), "dag_run": SimpleNamespace(run_type="manual", conf={})}
        context["asset_state_store"] = states or {}
        return RobofyFetchSessionsOperator(task_id="sessions", **given).execute(context)

    return sync


def sensor(mode: str, **arguments) -> RobofyNewSessionsSensor:
    return RobofyNewSessionsSensor(
        task_id="wait",
        deferrable=mode == "deferred",
        mode="reschedule" if mode == "reschedule" else "poke",
        **{"since": ago(600), "poke_interval": 0.1, "timeout": 5, **arguments},
    )


@pytest.mark.parametrize("order", ["newest_first", "none"])
def test_only_silent_sessions_count_and_none_is_named(robofy, connect, mode, order, caplog):
    robofy.configure(sessions_order=order)
    connect(robofy, sessions_order="newest_first" if order == "newest_first" else "unknown")
    robofy.add_session(PHONE, at=ago(90), messages=2)
    robofy.add_session("busy", at=ago(5), messages=2)
    result = finish(sensor(mode, idle_for=HOUR))
    assert (result["count"], set(result)) == (1, {"count", "newest"})
    assert datetime.now(UTC) - datetime.fromisoformat(result["newest"]) > HOUR
    assert finish(sensor(mode, min_count=2))["count"] == 2, "without idle_for both count"
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, idle_for=2 * HOUR, timeout=0.3))
    assert PHONE not in caplog.text


def test_it_waits_until_a_session_has_been_silent_for_long_enough(robofy, mode):
    robofy.add_session("one", at=ago(0))
    assert finish(sensor(mode, idle_for=2))["count"] == 1
    assert robofy.count("list_sessions") > 2


def test_pages_of_sessions_that_are_not_silent_do_not_end_the_search(robofy):
    for number in range(7):
        robofy.add_session(f"busy {number}", at=ago(1))
    robofy.add_session("silent", at=ago(100))
    assert finish(sensor("poke", idle_for=HOUR))["count"] == 1
    robofy.delete_session("silent")
    before = robofy.count("list_sessions")
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor("poke", idle_for=HOUR, timeout=0))
    assert robofy.count("list_sessions") - before == 4, "two pages and a row are busy; the fourth page is all too old"


# ------------------------------------------------------------------------------------------------- a sync's cursor
@pytest.mark.parametrize("privacy", [{}, {"session_id": "hash", "last_message": "drop"}], ids=["open", "private"])
@pytest.mark.parametrize("project", ["24017", ""], ids=["project", "no project"])
def test_with_a_cursor_it_waits_for_what_the_fetch_would_land(robofy, connect, sync, mode, privacy, project):  # noqa: PLR0917
    secret = "sixteen characters"
    connect(robofy, sessions_order="newest_first", privacy=privacy, pseudonym_secret=secret, project_id=project)
    robofy.add_session("changes", at=ago(50))
    waiting = {**SYNCED, "idle_for": HOUR}
    assert finish(sensor(mode, **waiting, min_count=6))["count"] == 6, "before the first landing, but not the busy one"
    assert sync()["rows"] == 6
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, **waiting))
    robofy.add_message("changes", "still here", at=ago(61))
    assert finish(sensor(mode, **waiting))["count"] == 1
    assert sync(cursor="cursors")["rows"] == 7, "a cleared run lands again from its own beginning"
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, **waiting))


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")
def test_the_state_of_an_asset_is_read_before_it_defers(robofy, sync, mode):
    asset = sessions_asset("24017", robofy.chatbot_ids[0])
    states: dict = {asset: State({})}
    sync(states, cursor=asset)
    waiting = {**SYNCED, "cursor": asset, "idle_for": HOUR}
    assert asset in sensor(mode, **waiting).inlets
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, **waiting), states)
    robofy.add_session("new", at=ago(70))
    assert finish(sensor(mode, **waiting), states)["count"] == 1


@pytest.mark.parametrize("soft_fail", [False, True])
def test_another_idle_for_than_the_fetchs_fails_at_once_and_names_both(robofy, sync, mode, soft_fail):
    sync()
    with pytest.raises(AirflowFailException, match=r"idle_for is 60 seconds here, and was 3600 in the fetch.*sessions"):
        finish(sensor(mode, **SYNCED, idle_for=60, soft_fail=soft_fail))
    sync(idle_for=60)
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        finish(sensor(mode, **SYNCED, idle_for=60, soft_fail=soft_fail))


def test_a_session_without_a_readable_time_counts_until_the_fetch_has_landed_it(robofy, sync, mode):
    sync()
    robofy.add_session("undated", last_message_time="some day")
    assert finish(sensor(mode, **SYNCED, idle_for=HOUR))["count"] == 1
    assert "undated" in {row["session_id"] for row in rows(sync())}
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, **SYNCED, idle_for=HOUR))


def test_arguments_are_checked_when_the_dag_is_parsed(mode):
    with pytest.raises(RobofyConfigError, match="idle_for must not be negative"):
        sensor(mode, idle_for=-1)
    with pytest.raises(RobofyConfigError, match="idle_for must be a timedelta or a number"):
        sensor(mode, idle_for=json.loads('"1h"'))
