"""The command, as a process of its own, with a connection of Airflow and without any Airflow."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_robofy.probe.__main__ import _parser, main
from tests.child import python
from tests.probe.conftest import PLANTED, plant

if TYPE_CHECKING:
    import subprocess

    from airflow_provider_robofy.emulator import Emulator

ROOT = Path(__file__).resolve().parents[2]
#: Runs the command where importing Airflow is an error.
WITHOUT_AIRFLOW = """
import runpy, sys
sys.modules["airflow"] = None
sys.argv[0] = "probe"
runpy.run_module("airflow_provider_robofy.probe", run_name="__main__")
"""
#: Makes a database for Airflow, with a connection in it; `airflow db migrate` would take a minute.
STORE = """
import os
from airflow import settings
from airflow.models import Connection
if getattr(settings, "engine", None) is None:
    settings.configure_orm()
table = Connection.__table__
needed = [table, *(key.column.table for key in table.foreign_keys)]
Connection.metadata.create_all(settings.engine, tables=needed)
with settings.Session() as session:
    session.add(Connection.from_json(os.environ["CONNECTION"], conn_id="robofy_stored"))
    session.commit()
"""


def run(*arguments: str, code: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    how = ["-c", code] if code else ["-m", "airflow_provider_robofy.probe"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_CONN", "ROBOFY"))}
    return python(*how, *arguments, cwd="/", env=clean | {"PYTHONPATH": str(ROOT)} | environment)


def ids(emulator: Emulator) -> list[str]:
    return ["--host", emulator.url, "--project-id", emulator.project_id, "--chatbot-id", emulator.chatbot_ids[0]]


def test_with_a_key_from_the_environment_no_airflow_is_needed(robofy_emulator):
    plant(robofy_emulator)
    done = run(*ids(robofy_emulator), "--json", code=WITHOUT_AIRFLOW, ROBOFY_API_KEY=robofy_emulator.api_key)
    assert done.stderr == ""
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["complete"] is True
    assert report["settings"] == {"leads_order": "newest_first"}
    assert report["chatbot_id"] == robofy_emulator.chatbot_ids[0]
    assert report["requests"] == len(robofy_emulator.requests)
    assert {"topic", "name", "answered", "found", "value", "rests_on", "assumed", "advice", "settings"} == set(
        report["findings"][0]
    )
    assert [value for value in PLANTED.values() if value in done.stdout] == []


@pytest.mark.parametrize("json_wanted", [True, False])
def test_with_a_connection_of_airflow_stdout_holds_the_report_and_nothing_else(robofy_emulator, json_wanted):
    plant(robofy_emulator)
    connection = robofy_emulator.connection_json(leads_order="newest_first")
    flags = ["--json"] if json_wanted else []
    done = run("--conn-id", "robofy_there", *flags, AIRFLOW_CONN_ROBOFY_THERE=connection)
    assert done.returncode == 0, done.stderr
    if json_wanted:
        report = json.loads(done.stdout)
        assert report["conn_id"] == "robofy_there"
        assert report["settings"] == {}
    else:
        assert done.stdout.startswith(f"Probed {robofy_emulator.url}, project {robofy_emulator.project_id}, chatbot ")
        assert "\nLEADS (each rests on 3 answers, 251 rows, unless it says otherwise)\n" in done.stdout
        assert done.stdout.endswith("SETTINGS TO COPY: none. The connection fits this account, as far as was seen.\n")
        assert max(map(len, done.stdout.splitlines()[1:])) <= 130
    for output in (done.stdout, done.stderr):
        assert [value for value in (*PLANTED.values(), robofy_emulator.api_key) if value in output] == []


def test_a_connection_in_airflows_database_is_found(robofy_emulator, tmp_path):
    home = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "CONNECTION": robofy_emulator.connection_json(),
    }
    stored = run(code=STORE, **home)
    assert stored.returncode == 0, stored.stderr
    done = run("--conn-id", "robofy_stored", "--json", **home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["conn_id"] == "robofy_stored"


def test_the_settings_to_copy_are_accepted_by_the_connection(robofy_emulator_factory, capsys, monkeypatch):
    emulator = robofy_emulator_factory(paths={"list_sessions": "/v1/ai-agent/inbox/sessions/24017/{chatbotId}"})
    monkeypatch.setenv("ROBOFY_API_KEY", emulator.api_key)
    assert main(ids(emulator)) == 0
    said = capsys.readouterr().out
    assert "Order of leads: newest_first" in said
    [extra] = re.findall(r"--conn-extra '(.*)'$", said, re.MULTILINE)
    connection = json.loads(emulator.connection_json())
    connection["extra"] = json.loads(extra)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_NEW", json.dumps(connection))
    assert main(["--conn-id", "robofy_new"]) == 0
    assert "SETTINGS TO COPY: none" in capsys.readouterr().out


LIMITED = [None, ["rate_limit:retry_after=60,times=0"], ["--max-seconds", "3"], "HTTP 429"]


@pytest.mark.parametrize(
    ("key", "faults", "arguments", "said"),
    [
        (
            "wrong-key",
            [],
            [],
            "the key is refused, HTTP 401.*-> Copy the API key from.*COPY: none found. The probe ended",
        ),
        pytest.param(*LIMITED, marks=pytest.mark.serial),
        (
            None,
            ["drop:times=0"],
            ["--max-requests", "2", "--json"],
            '"ended_early": "the connection was dropped before an',
        ),
    ],
    ids=["refused", "limited", "out of reach"],
)
def test_what_could_not_be_probed_is_status_1_within_the_bounds(  # noqa: PLR0917
    robofy_emulator_factory, capsys, monkeypatch, key, faults, arguments, said
):
    emulator = robofy_emulator_factory(faults=faults)
    monkeypatch.setenv("ROBOFY_API_KEY", key or emulator.api_key)
    began = time.monotonic()
    assert main([*ids(emulator), *arguments]) == 1
    assert time.monotonic() - began < 30
    out, err = capsys.readouterr()
    assert re.search(said, out, re.DOTALL)
    assert "wrong-key" not in out + err


@pytest.mark.parametrize(
    ("arguments", "key", "said"),
    [
        ([], None, "which account? Give --conn-id with an Airflow connection, or set the variable ROBOFY_API_KEY"),
        ([], " ", "A key is never given as an argument"),
        (["--conn-id", "x", "--host", "https://y"], None, "--host: the key of a connection goes to the connection's"),
        (["--host", "http://example.com"], "k", "would send the API key unencrypted"),
        (["--api-key", "k"], None, "unrecognized arguments"),
        (["--max-requests", "0"], None, "must be a whole number from 1 to 10000"),
        (["--wait", "soon"], None, "invalid number value: 'soon'"),
        (["--wait", "-1"], None, "must be a number from 0 to 1440"),
        (["--conn-id", "robofy_nowhere"], None, "Connection 'robofy_nowhere' does not exist. Add it"),
        (["--conn-id", "robofy_odd"], None, "Connection field password is empty"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_to_change(capsys, monkeypatch, arguments, key, said):
    monkeypatch.delenv("ROBOFY_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("ROBOFY_API_KEY", key)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_ODD", json.dumps({"conn_type": "robofy", "extra": {"timezone": "UTC"}}))
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(str(ended.code))
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert said in err


def test_help_names_the_exit_statuses(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "0 probed, 1 something could not be probed, 2 wrong usage" in capsys.readouterr().out


def test_the_page_about_it_names_every_option_with_its_default():
    text = (ROOT / "docs" / "probe.md").read_text(encoding="utf-8")
    _, _, table = text.partition("\n| option |")
    rows = [row.split("|")[1:4] for row in table.split("\n\n")[0].splitlines()[2:]]
    said = {name: default.strip() for names, _, default in rows for name in re.findall(r"`(--[a-z-]+)`", names)}
    actions = {action.option_strings[-1]: action for action in _parser()._actions if action.dest != "help"}
    assert set(said) == set(actions)
    for name in ("--lead-pages", "--session-pages", "--sessions", "--max-requests", "--max-seconds", "--wait"):
        assert f"{actions[name].default:g}" in said[name].split(", ")
