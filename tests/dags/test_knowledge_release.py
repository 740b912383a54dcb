"""The release DAG, run by a real Airflow: its gate fails before the right documents are uploaded, and then passes."""

from __future__ import annotations

import json
import re
import sqlite3
import textwrap
from pathlib import Path

import pytest

from scripts import airflow_ui

pytestmark = pytest.mark.timeout(600)

KEY = "rk_planted_key_77d2"
PAGE = Path(__file__).parents[2] / "docs" / "golden-questions.md"


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(api_key=KEY, leads=0, sessions=3)


@pytest.fixture
def run(airflow_home, robofy):
    def run(dag: str, date: str, *, check: bool = True, **environment: str) -> tuple[dict[str, str], str]:
        """Return the state of each task of the run, and what was printed."""
        connection = robofy.connection_json(pseudonym_secret="planted-pseudonym-secret")
        done = airflow_home.airflow(
            "dags", "test", dag, date, check=check, AIRFLOW_CONN_ROBOFY_DEFAULT=connection, **environment
        )
        with sqlite3.connect(airflow_home.folder / "airflow.db") as database:
            states = database.execute(
                "SELECT task_id, state FROM task_instance WHERE dag_id = ? AND run_id = "
                "(SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1)",
                (dag, dag),
            ).fetchall()
        return dict(states), done.stdout + done.stderr

    return run


def landed(home) -> list[tuple[dict, list[dict]]]:
    found = [json.loads(path.read_text()) for path in (home.landing / "answers").rglob("*.manifest.json")]
    found.sort(key=lambda one: one["started_at"])
    return [(one, [json.loads(line) for line in Path(one["uri"]).read_text().splitlines()]) for one in found]


def test_the_gate_fails_before_the_right_documents_are_uploaded_and_passes_after(airflow_home, robofy, run):
    documents = airflow_home.landing / "documents"
    documents.mkdir(parents=True)
    (documents / "prices.md").write_text("Parcels cost five euro within the planted country.")
    before, first = run("robofy_knowledge_release", "2025-06-01", check=False)
    assert before == {"upload_documents": "success", "ask_agent": "failed", "release": "upstream_failed"}
    assert robofy.count("send_message") == 2, "a wrong answer stays wrong, so the task was not tried again"

    for name, text in airflow_ui.DOCUMENTS.items():
        (documents / name).write_text(text)
    robofy.fault("rate_limit", endpoint="send_message", retry_after=1)
    robofy.fault("delay", seconds=2, endpoint="send_message", times=0)
    after, second = run("robofy_knowledge_release", "2025-06-02")
    assert after == dict.fromkeys(before, "success")

    (wrong, _), (right, rows) = landed(airflow_home)
    assert [(one["passed"], one["failed"]) for one in (wrong, right)] == [(0, 2), (2, 0)]
    assert [row["answer"] for row in rows] == list(airflow_ui.DOCUMENTS.values())
    written = airflow_home.everything_written() + first + second
    assert "2 of 2 answers are right." in written
    assert "0 of 2 questions passed, and min_score is 1" in written
    sessions = [row["session_id"] for _, found in landed(airflow_home) for row in found]
    assert len(set(sessions)) == 4
    for secret in (KEY, "I do not know.", "Monday to Friday", "within 30 days", *sessions):
        assert secret not in written, f"{secret} was written outside the landed file"


SYNC = """
from datetime import UTC, datetime
from airflow.providers.common.compat.sdk import dag
from airflow_provider_robofy.operators.ask import RobofyAskAgentOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator
{remember}

@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC))
def asked_and_synced():
    ask = RobofyAskAgentOperator(task_id="ask", questions=[{{"ask": "When?", "expect": "never"}}, {{"ask": "How?"}}])
    remembered = {call}
    sessions = RobofyFetchSessionsOperator(task_id="sessions", trigger_rule="all_done")
    messages = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions.output)
    remembered >> sessions
    for name, fetched in {{"sessions": sessions, "messages": messages}}.items():
        RobofyManifestToSqlOperator(
            task_id=f"load_{{name}}", manifest=fetched.output, table=f"robofy_{{name}}", sql_conn_id="warehouse"
        )

asked_and_synced()
"""


def test_the_sessions_of_questions_are_left_out_in_sql_as_the_documents_say(airflow_home, robofy, run):
    page = PAGE.read_text()
    [remember] = re.findall(r"^```python\n(.*?def remember_sessions.*?)^```$", page, re.MULTILINE | re.DOTALL)[-1:]
    remember = remember[remember.rindex("from airflow.providers") :]
    [call] = re.findall(r"`(remember_sessions\.override\(.*?)`", page)
    [sql] = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    create, *selects = [one for one in sql.split(";") if one.strip()]
    path = airflow_home.folder / "dags" / "asked_and_synced.py"
    path.write_text(SYNC.format(remember=textwrap.dedent(remember), call=call))
    warehouse = airflow_home.folder / "asked.db"
    with sqlite3.connect(warehouse) as database:
        database.execute(create)
    try:
        there = json.dumps({"conn_type": "sqlite", "host": str(warehouse)})
        states, _ = run("asked_and_synced", "2025-06-03", check=False, AIRFLOW_CONN_WAREHOUSE=there)
    finally:
        path.unlink()
    assert states.pop("ask") == "failed"
    assert set(states.values()) == {"success"}, states

    [(_, rows)] = landed(airflow_home)
    asked = {row["session_id"] for row in rows}
    assert len(asked) == 2
    with sqlite3.connect(warehouse) as database:
        for table, column, select in zip(("sessions", "messages"), ("session_id", "_session_id"), selects, strict=True):
            everything = {one for (one,) in database.execute(f"SELECT {column} FROM robofy_{table}")}
            cursor = database.execute(select)
            position = [name for name, *_ in cursor.description].index(column)
            assert {row[position] for row in cursor} == everything - asked
            assert asked < everything
