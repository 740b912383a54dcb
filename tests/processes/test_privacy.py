"""Personal data and keys, planted and then searched for in all that a running Airflow writes, and in the warehouse."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("airflow.providers.openlineage")
pytest.importorskip("airflow.providers.sqlite")

KEY = "rk_planted_key_5be1"
PSEUDONYM_KEY = "planted-pseudonym-key-31c9"
EMAIL, PHONE, NAME = "ann.planted@example.com", "+4915155598765", "Ann Planted-Person"
ADDRESS, SAID = "203.0.113.99", "planted words of mine"
PERSONAL = (EMAIL, EMAIL.upper(), PHONE, PHONE.removeprefix("+"), NAME, ADDRESS, SAID)

DAG = """
from datetime import UTC, datetime

from airflow.sdk import dag
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.sensors.leads import RobofyNewLeadsSensor
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator


def load(task_id, of, **arguments):
    return RobofyManifestToSqlOperator(
        task_id=task_id, manifest=of.output, table=of.task_id, sql_conn_id="warehouse", **arguments
    )


@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC), default_args={"retries": 0})
def planted():
    arrived = RobofyNewLeadsSensor(
        task_id="arrived", since="2000-01-01", min_count=7, deferrable=True, poke_interval=10, timeout=90
    )
    leads = RobofyFetchLeadsOperator(task_id="leads", max_rejected=99, since="2000-01-01")
    sessions = RobofyFetchSessionsOperator(task_id="sessions")
    messages = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions.output, max_failed_sessions=9)
    arrived >> [leads, sessions]
    load("load_leads", leads, lead_fields=["email", "phone"])
    load("load_sessions", sessions)
    load("load_messages", messages)


planted()
"""


@pytest.fixture
def robofy(robofy_emulator_factory):
    robofy = robofy_emulator_factory(api_key=KEY, leads=6, page_size=4, sessions=4, sessions_page_size=3)
    robofy.add_session(PHONE, user_profile_name=NAME, last_message=SAID)
    robofy.add_message(PHONE, SAID)
    robofy.add_session("gone-wrong-" + PHONE, user_profile_name=NAME)
    robofy.fault("status", status=400, endpoint="list_session_messages", session="gone-wrong-" + PHONE, times=0)
    return robofy


@pytest.fixture
def statsd():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0)
        yield listener


def received(listener: socket.socket) -> list[str]:
    lines = []
    with suppress(BlockingIOError):
        while True:
            lines.append(listener.recv(4096).decode())
    return lines


@pytest.mark.timeout(900)
def test_nothing_personal_and_no_key_is_written_anywhere(running_airflow, robofy, tmp_path, statsd):
    airflow = running_airflow
    events = tmp_path / "lineage.jsonl"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    airflow.environment.update(
        AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps(transport),
        AIRFLOW__OPENLINEAGE__NAMESPACE="planted",
        AIRFLOW__METRICS__STATSD_ON="True",
        AIRFLOW__METRICS__STATSD_PORT=str(statsd.getsockname()[1]),
        AIRFLOW__METRICS__METRICS_ALLOW_LIST="^robofy",
    )
    for name in ("scheduler", "triggerer"):
        airflow.restart(name)
    airflow.until(airflow.healthy, "Airflow is up", timeout=150)

    connection = json.loads(robofy.connection_json())
    connection["extra"].update(
        pseudonym_secret=PSEUDONYM_KEY,
        max_attempts=2,
        privacy={
            "ip_address": "drop",
            "lead_data.email": "hash",
            "lead_data.*": "drop",
            "user_profile_name": "hash",
            "last_message": "drop",
            "message": "drop",
        },
    )
    airflow.connect("robofy_default", connection)
    warehouse = tmp_path / "warehouse.db"
    airflow.connect("warehouse", {"conn_type": "sqlite", "host": str(warehouse)})
    airflow.write_dag("planted", DAG)

    run_id = airflow.trigger("planted")
    airflow.wait_for_task("planted", run_id, "arrived", "deferred", timeout=240)
    robofy.add_leads(
        1,
        ip_address=ADDRESS,
        page_url="https://example.com/contact",
        lead_data=[
            {"field_name": "email", "field_type": "email", "field_value": EMAIL},
            {"field_name": "phone", "field_type": "tel", "field_value": PHONE},
            {"field_name": "a new field", "field_type": "text", "field_value": NAME},
        ],
    )
    assert airflow.wait_for_run("planted", run_id, timeout=500) == "success"

    # What was to arrive has arrived, so that the search below does not search nothing.
    assert airflow.xcom("planted", run_id, "load_leads")["inserted"] == 7
    assert airflow.xcom("planted", run_id, "messages")["sessions_failed"] == 1
    with sqlite3.connect(warehouse) as database:
        stored = "\n".join(database.iterdump())
        joined = database.execute(
            "SELECT count(DISTINCT session_id) FROM sessions JOIN messages ON session_id = _session_id"
        ).fetchone()
    assert joined == (5,), "every session but the failed one joins with its messages"
    metrics = received(statsd)
    for name in ("leads.rows:7", "leads.load.inserted:7", "sessions.rows:6", "messages.requests:6", "leads.duration:"):
        assert any(line.startswith(f"airflow.robofy.{name}") for line in metrics), f"{name} is not in {metrics}"
    lineage = events.read_text()
    assert '"eventType":"COMPLETE"' in lineage.replace(" ", "")
    assert '"rowCount":7' in lineage.replace(" ", "")

    written = airflow.everything_written() + lineage + "\n".join(metrics)
    assert run_id in written
    for secret in (*PERSONAL, KEY, PSEUDONYM_KEY):
        assert secret not in written, f"{secret} was written by Airflow"
    for secret in (*PERSONAL, KEY, PSEUDONYM_KEY):
        assert secret not in stored, f"{secret} is in the warehouse"
    landed = {path: path.read_text() for path in Path(airflow.landing).rglob("*.json*") if path.is_file()}
    for path, text in landed.items():
        needed = {PHONE, PHONE.removeprefix("+")} if path.name == "sessions.jsonl" else set()
        for secret in {*PERSONAL, KEY, PSEUDONYM_KEY} - needed:
            assert secret not in text, f"{secret} is in {path.name}"
