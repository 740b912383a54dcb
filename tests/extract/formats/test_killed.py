"""Killed while a file with columns is written or published: no half file, and the next run puts everything right."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.extract.landed import rows

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.serial

CHILD = Path(__file__).parents[1] / "crashing_run.py"


def _child_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robofy_tests_crashing_run_of_formats", CHILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


crashing_run = _child_module()


def kill(options: dict[str, Any], spool_folder: Path) -> None:
    """Run in a process of its own, which kills itself."""
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(options)],
        env={**os.environ, "TMPDIR": str(spool_folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def named(target: Any) -> dict[str, bytes]:
    return {name: content for name, content in target.files().items() if not name.startswith(".")}


def left_over(target: Any, spool_folder: Path) -> list[str]:
    return [str(path) for path in spool_folder.rglob("*") if path.is_file()] + [
        name for name in target.files() if name.endswith(".part")
    ]


CASES = [
    ("after_page_2", set()),
    ("rows_spooled", set()),
    ("data_half_sent", set()),
    ("before_manifest", {""}),
    ("after_manifest", {"", ".manifest.json"}),
]


@pytest.mark.parametrize("name", ["leads.csv", "leads.csv.gz", "leads.parquet"])
@pytest.mark.parametrize(("step", "there"), CASES)
def test_on_a_disk(
    *, robofy_emulator_factory: Any, local_target: Any, spool_folder: Path, name: str, step: str, there: set[str]
) -> None:
    robofy = robofy_emulator_factory(leads=60, page_size=10, agents=1)
    _kill_and_run_again(robofy, local_target, spool_folder, name=name, step=step, there=there)


@pytest.mark.s3
@pytest.mark.parametrize("name", ["leads.csv.gz", "leads.parquet"])
@pytest.mark.parametrize(("step", "there"), CASES[2:4])
def test_in_a_bucket(
    *, robofy_emulator_factory: Any, s3_target: Any, spool_folder: Path, name: str, step: str, there: set[str]
) -> None:
    robofy = robofy_emulator_factory(leads=60, page_size=10, agents=1)
    _kill_and_run_again(robofy, s3_target, spool_folder, name=name, step=step, there=there)


def _kill_and_run_again(robofy: Any, target: Any, spool_folder: Path, *, name: str, step: str, there: set[str]) -> None:
    agent = robofy.chatbot_ids[0]
    options = {
        "url": robofy.url, "api_key": robofy.api_key, "project_id": robofy.project_id, "chatbot_id": agent,
        "uri": target.store(name).uri,
    }  # fmt: skip

    kill(options | {"step": step}, spool_folder)

    assert named(target).keys() == {f"{name}{suffix}" for suffix in there}
    assert left_over(target, spool_folder), "the kill came at another moment"

    manifest = crashing_run.run(options).as_dict()

    assert named(target).keys() == {name, f"{name}.manifest.json"}
    assert left_over(target, spool_folder) == []
    stamp = {"_project_id", "_chatbot_id", "_created_at"}
    back = [{field: value for field, value in row.items() if field not in stamp} for row in rows(manifest)]
    assert back == robofy.leads(agent)


@pytest.mark.parametrize("name", ["leads.csv", "leads.csv.gz", "leads.parquet"])
def test_what_another_agents_attempt_left_is_not_taken_for_ours(
    robofy_emulator_factory: Any, local_target: Any, spool_folder: Path, name: str
) -> None:
    robofy = robofy_emulator_factory(leads=20, page_size=10, agents=2)
    options = {
        "url": robofy.url, "api_key": robofy.api_key, "project_id": robofy.project_id,
        "chatbot_id": robofy.chatbot_ids[0], "uri": local_target.store(name).uri,
    }  # fmt: skip
    kill(options | {"step": "before_manifest"}, spool_folder)
    before = named(local_target)

    with pytest.raises(Exception, match="it has no manifest, so this task did not write it"):
        crashing_run.run(options | {"chatbot_id": robofy.chatbot_ids[1]})

    assert named(local_target) == before
