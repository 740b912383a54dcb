"""docs/recipes.md: its test is run, and its Dockerfile and Helm values say what the project says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_robofy import __version__
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.hooks.robofy import RobofyHook

ROOT = Path(__file__).resolve().parents[2]
SAVED = re.compile(r"^<!-- save as (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES: dict[str, str] = dict(SAVED.findall((ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")))
PINS = (ROOT / "constraints" / "airflow-3.3.txt").read_text(encoding="utf-8")


def test_the_unit_test_of_ones_own_dag_passes_as_it_stands(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={**environment, "AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "3 passed" in done.stdout


# ---------------------------------------------------------------------------------------------------------- image
def test_the_image_is_of_the_airflow_that_is_pinned():
    version = re.search(r"^FROM apache/airflow:(\S+)$", FILES["Dockerfile"], re.MULTILINE)
    assert version
    assert f"apache-airflow=={version[1]}\n" in PINS


def test_the_image_installs_the_wheel_that_is_built_with_extras_that_exist(tmp_path):
    [pattern] = re.findall(r"^COPY (\S+) /tmp/$", FILES["Dockerfile"], re.MULTILINE)
    [command] = re.findall(r"^RUN (.+)\Z", FILES["Dockerfile"], re.MULTILINE | re.DOTALL)
    (tmp_path / "dist").mkdir()
    wheel = tmp_path / "dist" / f"airflow_provider_robofy-{__version__}-py3-none-any.whl"
    wheel.touch()
    assert list(tmp_path.glob(pattern)) == [wheel], "COPY takes nothing, or more than the wheel"
    script = f'pip() {{ printf "%s\\n" "$@"; }}\n{command.replace("/tmp/", f"{tmp_path}/dist/")}'
    environment = {"AIRFLOW_VERSION": "3.3.2", "PATH": os.defpath}
    done = subprocess.run(["sh", "-eu", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[:3] == ["install", "--no-cache-dir", "apache-airflow==3.3.2"]
    requirement = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"(.+)\[([a-z,]+)\]", requirement)
    assert found
    assert found[1] == str(wheel)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(found[2].split(",")) <= project["optional-dependencies"].keys()


# ----------------------------------------------------------------------------------------------------------- Helm
VALUES: dict[str, Any] = {name: yaml.safe_load(FILES[f"{name}.yaml"]) for name in ("celery", "kubernetes")}


@pytest.mark.parametrize("name", VALUES)
def test_the_workers_have_room_for_files_and_time_to_end(name):
    values = VALUES[name]
    assert values["executor"].lower() == f"{name}executor"
    workers = values["workers"][name]
    assert workers["terminationGracePeriodSeconds"] >= 30
    [volume], [mount] = workers["extraVolumes"], workers["extraVolumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["emptyDir"]["sizeLimit"].endswith("Gi")
    assert mount["mountPath"] == "/tmp"


def test_the_values_name_the_image_and_settings_that_exist(monkeypatch):
    values = VALUES["celery"]
    assert FILES["Dockerfile"].startswith(f"FROM apache/airflow:{values['airflowVersion']}\n")
    assert values["images"]["airflow"]["tag"] == values["airflowVersion"]
    options = get_provider_info()["config"]["robofy"]["options"]
    assert {one["name"] for one in values["env"]} == {f"AIRFLOW__ROBOFY__{option.upper()}" for option in options}
    [secret] = values["secret"]
    monkeypatch.setenv(secret["envName"], FILES["connection.json"])
    assert json.loads(FILES["connection.json"])["conn_type"] == RobofyHook.conn_type
    assert RobofyHook().get_connection("robofy_default").password == "<your API key>"
    assert "--from-file=connection=connection.json" in (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert secret["secretKey"] == "connection"
