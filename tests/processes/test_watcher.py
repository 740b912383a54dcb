"""The asset watcher in a running Airflow: it starts the DAG, and no crash and no busy scheduler strands a lead."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

pytestmark = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset watcher with a cursor needs Airflow 3.3")

POLL = 2

DAG = """
from datetime import UTC, datetime, timedelta
from airflow.sdk import AssetWatcher, dag
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsEventTrigger

trigger = RobofyNewLeadsEventTrigger(
    project_id={project!r}, chatbot_id={agent!r}, cursor_name="leads", robofy_conn_id={conn!r},
    poll_interval={poll}, repeat_after=8,
)
leads = leads_asset({project!r}, {agent!r}, watchers=[AssetWatcher(name="new_leads", trigger=trigger)])

@dag(dag_id={dag_id!r}, schedule=[leads], start_date=datetime(2025, 1, 1, tzinfo=UTC), catchup=False, max_active_runs=1)
def sync():
    RobofyFetchLeadsOperator(
        task_id="leads", project_id={project!r}, chatbot_id={agent!r}, robofy_conn_id={conn!r},
        cursor=leads, cursor_name="leads", retries=2, retry_delay=timedelta(seconds=1),
    )

sync()
"""

SENSOR = """
from datetime import UTC, datetime
from airflow.sdk import dag
from airflow_provider_robofy.sensors.leads import RobofyNewLeadsSensor

@dag(dag_id={dag_id!r}, schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC))
def wait():
    RobofyNewLeadsSensor(
        task_id="wait", since="{{{{ params.since }}}}", min_count=2, deferrable=True, poke_interval=10, timeout=120,
        robofy_conn_id={conn!r}, params={{"since": None}},
    )

wait()
"""


class Watched:
    """One agent whose leads a DAG lands by itself."""

    def __init__(self, airflow, emulator, dag_id: str) -> None:
        self.airflow = airflow
        self.emulator = emulator
        self.agent = emulator.chatbot_ids[0]
        self.dag_id = dag_id
        self.conn = f"{dag_id}_conn"
        connection = json.loads(emulator.connection_json(chatbot_id=self.agent))
        connection["extra"]["leads_order"] = "newest_first"
        airflow.connect(self.conn, connection)

    def write(self, source: str) -> None:
        self.airflow.write_dag(
            self.dag_id,
            source.format(project="24017", agent=self.agent, conn=self.conn, poll=POLL, dag_id=self.dag_id),
        )

    def arrive(self) -> float:
        """Let a lead arrive; return the monotonic second."""
        self.emulator.add_leads(1, chatbot_id=self.agent)
        return time.monotonic()

    @property
    def landed(self) -> dict[str, int]:
        """Return id to how many files hold it."""
        found: dict[str, int] = {}
        for path in self.airflow.landing.rglob("*.manifest.json"):
            manifest = json.loads(path.read_text())
            if manifest["chatbot_id"] == self.agent:
                for line in Path(manifest["uri"]).read_text().splitlines():
                    row_id = json.loads(line)["id"]
                    found[row_id] = found.get(row_id, 0) + 1
        return found

    def wait_until_all_landed(self, timeout: float = 90) -> None:
        wanted = {row["id"] for row in self.emulator.leads(self.agent)}
        self.airflow.until(lambda: set(self.landed) == wanted, f"all {len(wanted)} leads have landed", timeout=timeout)


@pytest.fixture
def watched(running_airflow, robofy_emulator_factory, request):
    name = request.node.name.replace("[", "_").replace("]", "")[:60]
    watched = Watched(running_airflow, robofy_emulator_factory(leads=3, agents=1, seed=abs(hash(name)) % 10_000), name)
    yield watched
    running_airflow.pause(watched.dag_id)


def test_a_lead_starts_the_dag_and_lands_once(watched, record_property):
    watched.write(DAG)
    watched.wait_until_all_landed()

    before = len(watched.airflow.runs(watched.dag_id))
    arrived = watched.arrive()
    watched.airflow.until(lambda: len(watched.airflow.runs(watched.dag_id)) > before, "a run has started", timeout=60)
    record_property("seconds from lead to run", round(time.monotonic() - arrived, 1))
    watched.wait_until_all_landed()
    assert set(watched.landed.values()) == {1}


def test_a_triggerer_killed_between_leads_loses_none(watched):
    watched.write(DAG)
    watched.wait_until_all_landed()

    watched.arrive()
    time.sleep(POLL / 2)
    watched.airflow.kill("triggerer")
    watched.arrive()
    watched.airflow.start("triggerer")
    watched.arrive()
    watched.wait_until_all_landed()
    assert set(watched.landed.values()) == {1}


def test_a_scheduler_that_sleeps_through_two_events_does_not_strand_the_second(watched):
    watched.write(DAG)
    watched.wait_until_all_landed()

    group = watched.airflow._processes["scheduler"].pid
    os.killpg(group, signal.SIGSTOP)
    try:
        watched.arrive()
        time.sleep(POLL + 3)
        watched.arrive()
        time.sleep(POLL + 3)
    finally:
        os.killpg(group, signal.SIGCONT)
    watched.wait_until_all_landed()
    assert set(watched.landed.values()) == {1}


def test_a_deferred_sensor_resumes_when_the_leads_are_there(watched):
    watched.write(SENSOR)
    newest = watched.emulator.leads(watched.agent)[0]["created_at"]
    since = f"{newest[:-2]}59+00:00" if not newest.endswith("59") else f"{newest}+00:00"
    run_id = watched.airflow.trigger(watched.dag_id, {"since": since})
    watched.airflow.wait_for_task(watched.dag_id, run_id, "wait", "deferred", timeout=60)
    watched.arrive()
    watched.arrive()
    assert watched.airflow.wait_for_run(watched.dag_id, run_id, timeout=90) == "success"
    value = watched.airflow.xcom(watched.dag_id, run_id, "wait")
    assert value["count"] == 2
    assert len(value["lead_ids"]) == 2
