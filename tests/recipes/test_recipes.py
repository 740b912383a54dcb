"""The recipes, run with a real database, a real Airflow, and a server that answers as Slack's webhooks do."""

from __future__ import annotations

import json
import re
import runpy
import sqlite3
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowSkipException

from tests.processes.airflow import RunningAirflow
from tests.recipes.conftest import EXAMPLES, Run, tasks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SLACK = "recipes/robofy_slack_new_leads.py"
CHECKED = "recipes/robofy_checked_leads.py"
LATE = "recipes/robofy_late_sync.py"


@pytest.fixture
def slack() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Answer as Slack's webhooks do; give a connection to it, and what was posted."""
    posted: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/services/T0/B0/x"
    yield {"conn_type": "slackwebhook", "password": url}, posted
    server.shutdown()
    server.server_close()


@pytest.fixture
def landing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))


@pytest.fixture
def run(robofy_context) -> Any:
    """Return a function that begins a run of an example."""
    return lambda example, run_id: Run(tasks_of(example), robofy_context(dag_id="recipe", run_id=run_id))


# ---------------------------------------------------------------------------------------------------------- Slack
def test_slack_gets_one_message_for_new_leads_without_personal_data(landing, run, slack, robofy_emulator, monkeypatch):
    connection, posted = slack
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_DEFAULT", json.dumps(connection))
    [agent, *_] = robofy_emulator.chatbot_ids
    robofy_emulator.add_leads(1, chatbot_id=agent, ip_address="203.0.113.77", source="somebody@example.com")

    first = run(SLACK, "manual__1")
    manifest = first("fetch_leads")
    first("send_message")
    first("advance_cursor")
    [message] = posted
    assert message == {"text": ANY}
    assert message["text"] == f"251 new leads for agent {agent}, the last at {manifest['last_at']}."

    with pytest.raises(AirflowSkipException):
        run(SLACK, "manual__2")("fetch_leads")
    robofy_emulator.add_leads(2, chatbot_id=agent)
    third = run(SLACK, "manual__3")
    third("fetch_leads")
    third("send_message")
    assert posted[1]["text"].startswith("2 new leads")
    # The message arrived, the cursor did not move: the next run sends it again.
    assert run(SLACK, "manual__4")("fetch_leads")["rows"] == 2


# ---------------------------------------------------------------------------------------------------- SQL checks
def test_checks_that_pass_let_the_cursor_move(landing, run, robofy_emulator, tmp_path, monkeypatch):
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    [agent, *_] = robofy_emulator.chatbot_ids

    first = run(CHECKED, "manual__1")
    for task in ("fetch_leads", "load_leads", "check_columns", "check_table", "advance_cursor"):
        first(task)

    nameless = [{"field_name": "phone", "field_type": "phone", "field_value": "1"}]
    robofy_emulator.add_leads(400, chatbot_id=agent, lead_data=nameless)
    second = run(CHECKED, "manual__2")
    assert second("fetch_leads")["rows"] == 400
    second("load_leads")
    second("check_columns")
    with pytest.raises(AirflowException, match="most_leads_have_an_email"):
        second("check_table")

    assert run(CHECKED, "manual__3")("fetch_leads")["rows"] == 400
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM robofy_leads").fetchone() == (650,)


def test_a_check_that_fails_stops_the_cursor():
    tasks = tasks_of(CHECKED)
    assert {"check_columns", "check_table"} <= tasks["advance_cursor"].upstream_task_ids
    assert tasks["advance_cursor"].trigger_rule == "all_success"


# ------------------------------------------------------------------------------------------------ deadline alert
@pytest.mark.timeout(600)
def test_a_running_airflow_sends_a_message_when_a_sync_is_late(tmp_path, slack, robofy_emulator_factory):
    connection, posted = slack
    robofy = robofy_emulator_factory(leads=30, agents=1, page_size=1, latency=2)
    source = (EXAMPLES / LATE).read_text()
    source, changed = re.subn(r"interval=timedelta\(minutes=30\)", "interval=timedelta(seconds=5)", source)
    assert changed == 1
    source, changed = re.subn(r'schedule="@hourly"', "schedule=None", source)
    assert changed == 1
    airflow = RunningAirflow(tmp_path / "airflow")
    airflow.folder.mkdir()
    try:
        airflow.up()
        airflow.connect("robofy_default", json.loads(robofy.connection_json(max_parallel_pages=1)))
        airflow.connect("slack_default", connection)
        airflow.write_dag("robofy_late_sync", source, timeout=120)
        run_id = airflow.trigger("robofy_late_sync")
        airflow.until(lambda: bool(posted), "Slack has the message", timeout=240)
        assert posted[0]["text"] == "The sync of Robofy's leads is late."
        assert airflow.wait_for_run("robofy_late_sync", run_id, timeout=200) == "success"
    finally:
        airflow.down()


@pytest.mark.parametrize(
    ("example", "module", "words"),
    [
        (SLACK, "airflow.providers.slack.operators.slack_webhook", "pip install apache-airflow-providers-slack"),
        (LATE, "airflow.providers.slack.notifications.slack_webhook", "pip install apache-airflow-providers-slack"),
        (LATE, "airflow.sdk.definitions.deadline", "needs Airflow 3.1 or newer"),
    ],
)
def test_what_is_missing_is_named(example, module, words, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=words):
        runpy.run_path(str(EXAMPLES / example))
