"""The example DAGs, run by a real Airflow against the emulator."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from scripts import airflow_ui
from scripts.local import RunningEmulator

if TYPE_CHECKING:
    from tests.dags.conftest import AirflowHome

pytestmark = pytest.mark.timeout(600)

#: Examples that this Airflow cannot run; they say so themselves.
NEEDS_NEWER = [] if AIRFLOW_V_3_3_PLUS else ["robofy_lead_events"]
EXAMPLES = Path(__file__).parents[2] / "example_dags"
KEY = "rk_planted_key_8c1f27d0"
EMAIL = "planted.person@example.com"
PHONE = "+4915100099887"
ADDRESS = "203.0.113.77"
PSEUDONYM_KEY = "planted-pseudonym-key-51d2"


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(api_key=KEY, leads=230, agents=3)


def connection(robofy, **extra) -> str:
    value = json.loads(robofy.connection_json())
    value["extra"].update(extra, pseudonym_secret=PSEUDONYM_KEY)
    return json.dumps(value)


def landed(home: AirflowHome) -> list[tuple[dict, list[dict]]]:
    """Return every manifest with the rows beside it."""
    manifests = [json.loads(path.read_text()) for path in sorted(home.landing.rglob("*.manifest.json"))]
    return [(one, [json.loads(line) for line in Path(one["uri"]).read_text().splitlines()]) for one in manifests]


def test_the_lead_sync_lands_what_the_api_shows_then_only_what_is_new_and_leaks_nothing(airflow_home, robofy):
    chatbot_id = robofy.chatbot_ids[0]
    robofy.add_leads(
        1,
        chatbot_id=chatbot_id,
        ip_address=ADDRESS,
        lead_data=[
            {"field_name": "email", "field_type": "email", "field_value": EMAIL},
            {"field_name": "phone", "field_type": "phone", "field_value": PHONE},
        ],
    )

    environment = {"AIRFLOW_CONN_ROBOFY_DEFAULT": connection(robofy)}
    done = airflow_home.airflow("dags", "test", "robofy_lead_sync", "2025-02-01", **environment)

    [(manifest, rows)] = landed(airflow_home)
    expected = robofy.leads(chatbot_id)
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    for row, source in zip(rows, expected, strict=True):
        assert {name: value for name, value in row.items() if not name.startswith("_")} == source
    assert manifest["rows"] == manifest["received"] == 231
    assert manifest["mode"] == "full"
    assert any(row["ip_address"] == ADDRESS for row in rows)

    robofy.add_leads(4, chatbot_id=chatbot_id)
    again = airflow_home.airflow("dags", "test", "robofy_lead_sync", "2025-02-02", **environment)
    _, (second, rows) = sorted(landed(airflow_home), key=lambda one: one[0]["started_at"])
    assert (second["mode"], second["rows"]) == ("cursor", 4)
    assert [row["id"] for row in rows] == [row["id"] for row in robofy.leads(chatbot_id)[:4]]

    written = airflow_home.everything_written() + done.stdout + done.stderr + again.stdout + again.stderr
    assert '"received": 231' in written or '"received":231' in written or "received 231" in written
    for secret in (KEY, EMAIL, PHONE, ADDRESS, PSEUDONYM_KEY):
        assert secret not in written, f"{secret} was written outside the landed file"


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")
def test_the_event_example_keeps_its_cursor_in_the_assets_state(airflow_home, robofy):
    environment = {
        "AIRFLOW_CONN_ROBOFY_DEFAULT": connection(robofy),
        "ROBOFY_PROJECT_ID": "24017",
        "ROBOFY_CHATBOT_ID": robofy.chatbot_ids[1],
    }
    for day in ("2025-04-01", "2025-04-02"):
        airflow_home.airflow("dags", "test", "robofy_lead_events", day, **environment)
        robofy.add_leads(2, chatbot_id=robofy.chatbot_ids[1])

    manifests = sorted((one for one, _ in landed(airflow_home)), key=lambda one: one["started_at"])
    assert [(one["mode"], one["rows"]) for one in manifests] == [("full", 230), ("cursor", 2)]
    assert "robofy:lead_events:leads:24017:" in airflow_home.stored()


def test_the_waiting_example_finds_the_recent_leads_that_make_airflow_adds(airflow_home, robofy):
    agents = tuple(robofy.chatbot_ids)
    airflow_ui.add_recent_leads(RunningEmulator(robofy.url, robofy.api_key, "24017", agents))
    assert [len(robofy.leads(agent)) for agent in agents] == [230 + airflow_ui.RECENT_LEADS] * 3
    environment = {"AIRFLOW_CONN_ROBOFY_DEFAULT": connection(robofy)}
    airflow_home.airflow("dags", "test", "robofy_wait_for_leads", "2025-05-02", **environment)
    [(manifest, _)] = landed(airflow_home)
    assert (manifest["mode"], manifest["rows"]) == ("window", airflow_ui.RECENT_LEADS)


def test_the_waiting_example_reads_from_the_moment_in_its_params():
    example = runpy.run_path(str(EXAMPLES / "robofy_wait_for_leads.py"))
    context: Any = {"params": {"since": "2100-01-01T00:00:00+00:00"}, "run_id": "x"}
    for task in example["robofy_wait_for_leads"]().tasks:
        task.render_template_fields(context)
        assert task.since == "2100-01-01T00:00:00+00:00"


def test_the_mapped_example_lands_one_file_an_agent(airflow_home, robofy):
    airflow_home.airflow(
        "dags", "test", "robofy_all_agents", "2025-02-02", AIRFLOW_CONN_ROBOFY_DEFAULT=connection(robofy)
    )

    results = landed(airflow_home)
    assert {manifest["chatbot_id"] for manifest, _ in results} == set(robofy.chatbot_ids)
    assert len({manifest["uri"] for manifest, _ in results}) == 3
    for manifest, rows in results:
        assert [row["id"] for row in rows] == [row["id"] for row in robofy.leads(manifest["chatbot_id"])]


def test_a_wrong_key_fails_the_task_at_once_and_says_what_to_fix(airflow_home, robofy):
    wrong = json.loads(connection(robofy))
    wrong["password"] = "rk_wrong_planted_4410"

    done = airflow_home.airflow(
        "dags",
        "test",
        "robofy_lead_sync",
        "2025-02-03",
        check=False,
        AIRFLOW_CONN_ROBOFY_DEFAULT=json.dumps(wrong),
    )

    written = airflow_home.everything_written() + done.stdout + done.stderr
    assert "password field" in written
    assert "rk_wrong_planted_4410" not in written
    assert robofy.count("list_leads") == 1, "the task was tried again, though a wrong key stays wrong"
    assert landed(airflow_home) == []


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
    done = subprocess.run(
        [sys.executable, "-c", script, *NEEDS_NEWER],
        env=airflow_home.environment,
        cwd=airflow_home.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    examples = {path.stem for path in (airflow_home.folder / "dags").glob("*.py")}
    assert set(done.stdout.splitlines()) >= examples - set(NEEDS_NEWER)
    assert len(examples) >= 5
