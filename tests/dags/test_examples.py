"""The example DAGs, run by a real Airflow against the emulator."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from scripts import airflow_ui
from scripts.local import RunningEmulator
from tests.child import python
from tests.lineage.conftest import PLANTED, plant

pytestmark = pytest.mark.timeout(600)

#: Examples that this Airflow cannot run; they say so themselves.
NEEDS_NEWER = [] if AIRFLOW_V_3_3_PLUS else ["robofy_lead_events"]
EXAMPLES = Path(__file__).parents[2] / "example_dags"


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(api_key=PLANTED["key"], leads=230, agents=3)


def test_the_lead_sync_lands_what_the_api_shows_then_only_what_is_new_and_leaks_nothing(airflow_home, robofy):
    environment = {"AIRFLOW_CONN_ROBOFY_DEFAULT": plant(robofy)}
    written = airflow_home.run_dag("robofy_lead_sync", "2025-02-01", **environment)

    [(manifest, rows)] = airflow_home.landed()
    shown = [{name: value for name, value in row.items() if not name.startswith("_")} for row in rows]
    assert shown == robofy.leads()
    assert (manifest["mode"], manifest["rows"], manifest["received"]) == ("full", 231, 231)
    assert any(row["ip_address"] == PLANTED["address"] for row in rows)

    robofy.add_leads(4)
    written += airflow_home.run_dag("robofy_lead_sync", "2025-02-02", **environment)
    _, (second, rows) = airflow_home.landed()
    assert (second["mode"], second["rows"]) == ("cursor", 4)
    assert [row["id"] for row in rows] == [row["id"] for row in robofy.leads()[:4]]

    written += airflow_home.everything_written()
    assert "received 231" in written
    for secret in PLANTED.values():
        assert secret not in written, f"{secret} was written outside the landed file"


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")
def test_the_event_example_keeps_its_cursor_in_the_assets_state(airflow_home, robofy):
    agent = robofy.chatbot_ids[1]
    environment = {"ROBOFY_PROJECT_ID": "24017", "ROBOFY_CHATBOT_ID": agent}
    for day in ("2025-04-01", "2025-04-02"):
        connection = robofy.connection_json()
        airflow_home.run_dag("robofy_lead_events", day, AIRFLOW_CONN_ROBOFY_DEFAULT=connection, **environment)
        robofy.add_leads(2, chatbot_id=agent)
    assert [(one["mode"], one["rows"]) for one, _ in airflow_home.landed()] == [("full", 230), ("cursor", 2)]
    assert "robofy:lead_events:leads:24017:" in airflow_home.stored()


def test_the_waiting_example_finds_the_recent_leads_that_make_airflow_adds(airflow_home, robofy):
    agents = tuple(robofy.chatbot_ids)
    airflow_ui.add_recent_leads(RunningEmulator(robofy.url, robofy.api_key, "24017", agents))
    assert [len(robofy.leads(agent)) for agent in agents] == [230 + airflow_ui.RECENT_LEADS] * 3
    connection = robofy.connection_json()
    airflow_home.run_dag("robofy_wait_for_leads", "2025-05-02", AIRFLOW_CONN_ROBOFY_DEFAULT=connection)
    [(manifest, _)] = airflow_home.landed()
    assert (manifest["mode"], manifest["rows"]) == ("window", airflow_ui.RECENT_LEADS)


def test_the_waiting_example_reads_from_the_moment_in_its_params():
    example = runpy.run_path(str(EXAMPLES / "robofy_wait_for_leads.py"))
    context: Any = {"params": {"since": "2100-01-01T00:00:00+00:00"}, "run_id": "x"}
    for task in example["robofy_wait_for_leads"]().tasks:
        task.render_template_fields(context)
        assert task.since == "2100-01-01T00:00:00+00:00"


def test_the_mapped_example_lands_one_file_an_agent(airflow_home, robofy):
    connection = robofy.connection_json()
    airflow_home.run_dag("robofy_all_agents", "2025-02-02", AIRFLOW_CONN_ROBOFY_DEFAULT=connection)
    results = airflow_home.landed()
    assert {manifest["chatbot_id"] for manifest, _ in results} == set(robofy.chatbot_ids)
    assert len({manifest["uri"] for manifest, _ in results}) == 3
    for manifest, rows in results:
        assert [row["id"] for row in rows] == [row["id"] for row in robofy.leads(manifest["chatbot_id"])]


def test_a_wrong_key_fails_the_task_at_once_and_says_what_to_fix(airflow_home, robofy):
    wrong = json.dumps({**json.loads(robofy.connection_json()), "password": "rk_wrong_planted_4410"})
    written = airflow_home.run_dag("robofy_lead_sync", "2025-02-03", check=False, AIRFLOW_CONN_ROBOFY_DEFAULT=wrong)
    written += airflow_home.everything_written()
    assert "password field" in written
    assert "rk_wrong_planted_4410" not in written
    assert robofy.count("list_leads") == 1, "the task was tried again, though a wrong key stays wrong"
    assert airflow_home.landed() == []


def test_parsing_the_examples_opens_no_connection(airflow_home):
    script = """
import pathlib, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("a DAG file talks to the network while it is parsed")

socket.socket.connect = refuse
socket.getaddrinfo = refuse
for path in sorted(pathlib.Path("dags").glob("*.py")):
    if path.stem in sys.argv[1:]:
        continue
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": path.stem, "__doc__": "x"})
    print(path.stem)
"""
    home = airflow_home
    done = python("-c", script, *NEEDS_NEWER, env=home.environment, cwd=home.folder)
    assert done.returncode == 0, done.stderr[-2000:]
    examples = {path.stem for path in (home.folder / "dags").glob("*.py")}
    assert set(done.stdout.splitlines()) >= examples - set(NEEDS_NEWER)
    assert len(examples) >= 5
