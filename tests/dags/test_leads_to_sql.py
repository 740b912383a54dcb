"""The example that loads leads into a database, run by a real Airflow against the emulator and SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

pytestmark = pytest.mark.timeout(600)

EMAIL = "planted.person@example.com"


def test_the_example_loads_each_lead_once_and_leaks_nothing(airflow_home, robofy_emulator_factory):
    pytest.importorskip("airflow.providers.sqlite")
    robofy = robofy_emulator_factory(leads=40, agents=1)
    [agent] = robofy.chatbot_ids
    answers = [{"field_name": "Email", "field_type": "email", "field_value": EMAIL}]
    robofy.add_leads(1, chatbot_id=agent, lead_data=answers)
    warehouse = airflow_home.folder / "warehouse.db"
    environment = {
        "AIRFLOW_CONN_ROBOFY_DEFAULT": robofy.connection_json(),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
    }
    written = ""
    for day in ("2025-05-01", "2025-05-02"):
        done = airflow_home.airflow("dags", "test", "robofy_leads_to_sql", day, **environment)
        written += done.stdout + done.stderr
        if day == "2025-05-01":
            robofy.add_leads(3, chatbot_id=agent)
    with closing(sqlite3.connect(warehouse)) as database:
        found = database.execute("SELECT id, email FROM robofy_leads").fetchall()
    assert sorted(one for one, _ in found) == sorted(row["id"] for row in robofy.leads(agent))
    assert EMAIL in {email for _, email in found}
    assert "Loaded 41 rows" in written
    assert EMAIL not in airflow_home.everything_written() + written
