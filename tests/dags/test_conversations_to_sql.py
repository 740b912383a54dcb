"""The example that loads conversations into a database, run by a real Airflow against the emulator and SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = [pytest.mark.timeout(400), pytest.mark.dag_test]

AWKWARD = "100%/+= 😀"
JOIN = (
    "SELECT s.session_id, l.id, count(*) FROM robofy_leads l JOIN robofy_sessions s ON s.session_id = l._session_id "
    "JOIN robofy_messages m ON m._session_id = l._session_id GROUP BY 1, 2"
)


def test_leads_sessions_and_messages_can_be_joined_and_no_log_names_a_session(airflow_home, robofy_emulator_factory):
    """That the joined rows are those of the API is held by tests/transfers/test_of_sessions.py, on every database."""
    pytest.importorskip("airflow.providers.sqlite")
    robofy = robofy_emulator_factory(leads=40, sessions=20, sessions_page_size=8, agents=1)
    robofy.add_session(AWKWARD, messages=3, at=datetime.now(UTC) - timedelta(hours=1))
    robofy.add_session("in which somebody still writes", messages=1)
    robofy.add_leads(session_id=AWKWARD, id="awkward")
    warehouse = airflow_home.folder / "conversations.db"
    written = airflow_home.run_dag(
        "robofy_conversations_to_sql",
        "2025-06-01",
        AIRFLOW_CONN_ROBOFY_DEFAULT=robofy.connection_json(),
        AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
    )
    with closing(sqlite3.connect(warehouse)) as database:
        found = database.execute(JOIN).fetchall()
        assert database.execute("SELECT count(*) FROM robofy_sessions").fetchone() == (21,)
    assert len(found) > 20
    assert (AWKWARD, "awkward", 3) in found
    assert AWKWARD not in written + airflow_home.everything_written()
