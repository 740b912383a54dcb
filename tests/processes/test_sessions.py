"""Finished conversations in a running Airflow: a watcher starts their fetch, and its event starts a consumer."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

pytestmark = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset watcher with a cursor needs Airflow 3.3")

IDLE_FOR = 6
PHONE = "+4915100099887"
DAGS = """
from datetime import UTC, datetime
from airflow.sdk import Asset, AssetWatcher, dag, task
from airflow_provider_robofy.assets.events import manifests_of
from airflow_provider_robofy.assets.robofy import sessions_asset
from airflow_provider_robofy.operators.inbox import RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.snapshot import RobofySnapshotOperator
from airflow_provider_robofy.triggers.inbox import RobofyNewSessionsEventTrigger

ALL = {{"start_date": datetime(2025, 1, 1, tzinfo=UTC), "catchup": False, "max_active_runs": 1}}
ARGUMENTS = {{"chatbot_id": {agent!r}, "cursor_name": "sessions", "robofy_conn_id": "finished", "idle_for": {idle_for}}}

trigger = RobofyNewSessionsEventTrigger(**ARGUMENTS, poll_interval=2, repeat_after=20)
sessions = sessions_asset("24017", {agent!r}, watchers=[AssetWatcher(name="finished", trigger=trigger)])
landed = Asset("finished_sessions")

@dag(dag_id="finished", schedule=[sessions], **ALL)
def finished():
    RobofyFetchSessionsOperator(task_id="sessions", cursor=sessions, outlets=[landed], **ARGUMENTS)

@dag(dag_id="finished_consumer", schedule=[landed], **ALL)
def consumer():
    @task
    def read(**context):
        return [[one["uri"], one["rows"]] for one in manifests_of(context)]

    read() >> RobofySnapshotOperator(task_id="agents", resource="agents", robofy_conn_id="finished")

finished()
consumer()
"""


@pytest.fixture
def finished(running_airflow, robofy_emulator_factory):
    robofy = robofy_emulator_factory(leads=0, sessions=5, agents=1)
    connection = json.loads(robofy.connection_json(chatbot_id=robofy.chatbot_ids[0]))
    connection["extra"]["sessions_order"] = "newest_first"
    running_airflow.connect("finished", connection)
    running_airflow.write_dag("finished", DAGS.format(agent=robofy.chatbot_ids[0], idle_for=IDLE_FOR))
    yield robofy
    for dag_id in ("finished", "finished_consumer"):
        running_airflow.pause(dag_id)


def test_a_conversation_lands_once_it_is_finished_and_the_consumer_reads_which_file(running_airflow, finished):
    airflow = running_airflow

    def landed(resource: str) -> list[dict]:
        paths = sorted(airflow.landing.rglob("finished*/**/*.manifest.json"))
        return [one for one in map(json.loads, map(Path.read_text, paths)) if one["resource"] == resource]

    def sessions() -> list[str]:
        files = [Path(one["uri"]).read_text().splitlines() for one in landed("sessions")]
        return sorted(json.loads(line)["session_id"] for lines in files for line in lines)

    airflow.until(lambda: len(sessions()) == 5, "the first five sessions have landed", timeout=90)
    row = finished.add_session(PHONE, messages=2)
    airflow.until(lambda: len(sessions()) == 6, "the sixth has landed", timeout=90)
    assert sessions().count(PHONE) == 1
    newest = max(landed("sessions"), key=lambda one: one["last_at"])
    written = datetime.fromisoformat(newest["last_at"])
    assert written.strftime("%Y-%m-%d %H:%M:%S") == str(row["last_message_time"])[:19].replace("T", " ")
    assert datetime.fromisoformat(newest["started_at"]) - written > timedelta(seconds=IDLE_FOR)

    wanted = sorted([one["uri"], one["rows"]] for one in landed("sessions"))

    def read() -> list:
        runs = [one["dag_run_id"] for one in airflow.runs("finished_consumer") if one["state"] == "success"]
        return sorted(file for run in runs for file in airflow.xcom("finished_consumer", run, "read"))

    airflow.until(lambda: read() == wanted, f"the consumer has read {wanted}", timeout=90)
    assert {one["rows"] for one in landed("snapshots")} == {1}, "the account's one agent"
    assert PHONE not in airflow.everything_written()
