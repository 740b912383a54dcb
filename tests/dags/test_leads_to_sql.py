"""The example that loads leads into a database, run by a real Airflow against the emulator and SQLite."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

pytestmark = pytest.mark.timeout(600)

EMAIL = "planted.person@example.com"


def test_a_load_that_fails_for_good_is_made_good_by_the_next_run_and_nothing_leaks(
    airflow_home, robofy_emulator_factory
):
    pytest.importorskip("airflow.providers.sqlite")
    robofy = robofy_emulator_factory(leads=40, agents=1)
    [agent] = robofy.chatbot_ids
    answers = [{"field_name": "Email", "field_type": "email", "field_value": EMAIL}]
    robofy.add_leads(1, chatbot_id=agent, lead_data=answers)
    warehouse = airflow_home.folder / "warehouse.db"
    written = ""
    for day, folder in enumerate(("nowhere", airflow_home.folder, airflow_home.folder), 1):
        written += airflow_home.run_dag(
            "robofy_leads_to_sql",
            f"2025-05-0{day}",
            check=folder != "nowhere",
            AIRFLOW_CONN_ROBOFY_DEFAULT=robofy.connection_json(),
            AIRFLOW_CONN_WAREHOUSE=json.dumps({"conn_type": "sqlite", "host": f"{folder}/warehouse.db"}),
        )
        if day < 3:
            assert warehouse.exists() == (folder != "nowhere")
            robofy.add_leads(3, chatbot_id=agent)
    with closing(sqlite3.connect(warehouse)) as database:
        found = database.execute("SELECT id, email FROM robofy_leads").fetchall()
    assert sorted(one for one, _ in found) == sorted(row["id"] for row in robofy.leads(agent))
    assert EMAIL in {email for _, email in found}
    assert "Loaded 44 rows" in written, "what the first run fetched and could not load, and what came since"
    assert "Loaded 3 rows" in written
    assert EMAIL not in airflow_home.everything_written() + written
