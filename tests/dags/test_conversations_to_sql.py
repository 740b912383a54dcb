"""The example that loads conversations into a database, run by a real Airflow against the emulator and SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_robofy.hooks.robofy import RobofyHook

pytestmark = [pytest.mark.timeout(400), pytest.mark.dag_test]

AWKWARD = "100%/+= 😀"
SECRET = "planted-pseudonym-key-90fe"
JOIN = (
    "SELECT s.session_id, l.id, count(*) FROM robofy_leads l JOIN robofy_sessions s ON s.session_id = l._session_id "
    "JOIN robofy_messages m ON m._session_id = l._session_id GROUP BY 1, 2"
)


@pytest.mark.parametrize("privacy", [{}, {"ip_address": "drop"}], ids=["all is kept", "under a policy"])
def test_leads_sessions_and_messages_join_as_the_api_has_them(
    airflow_home, robofy_emulator_factory, monkeypatch, privacy
):
    pytest.importorskip("airflow.providers.sqlite")
    robofy = robofy_emulator_factory(leads=40, sessions=20, sessions_page_size=8, agents=1)
    robofy.add_session(AWKWARD, messages=3, at=datetime.now(UTC) - timedelta(hours=1))
    robofy.add_session("in which somebody still writes", messages=1)
    robofy.add_leads(session_id=AWKWARD, id="awkward")
    connection = json.loads(robofy.connection_json())
    connection["extra"].update(pseudonym_secret=SECRET, privacy=privacy)
    warehouse = airflow_home.folder / f"conversations{len(privacy)}.db"
    done = airflow_home.airflow(
        "dags",
        "test",
        "robofy_conversations_to_sql",
        "2025-06-01",
        AIRFLOW_CONN_ROBOFY_DEFAULT=json.dumps(connection),
        AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
    )
    with closing(sqlite3.connect(warehouse)) as database:
        found = database.execute(JOIN).fetchall()
        assert database.execute("SELECT count(*) FROM robofy_sessions").fetchone() == (21,)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", robofy.connection_json())
    hook = RobofyHook()
    expected = [
        (lead.id, len(list(hook.iter_messages(session.session_id))))
        for session in hook.iter_sessions()
        if not session.session_id.startswith("in which")
        for lead in hook.iter_leads(session_id=session.session_id)
    ]
    assert sorted((lead, count) for _, lead, count in found) == sorted(expected)
    assert len(expected) > 20
    assert (AWKWARD in {session for session, _, _ in found}) == (not privacy)
    assert AWKWARD not in done.stdout + done.stderr + airflow_home.everything_written()
