"""Killed at any moment: no half file under a final name, and the next run puts everything right."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.serial

CHILD = Path(__file__).with_name("crashing_run.py")


def _child_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robofy_tests_crashing_run", CHILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


crashing_run = _child_module()
STAMP = {"_project_id", "_chatbot_id", "_created_at"}


@pytest.fixture
def robofy(robofy_emulator_factory: Any) -> Any:
    emulator = robofy_emulator_factory(leads=60, page_size=10, agents=1)
    emulator.fault("malformed_rows", endpoint="list_leads", page=2, count=2, how="no_id")
    return emulator


def options_for(emulator: Any, target: Any, name: str, **more: Any) -> dict[str, Any]:
    return {
        "url": emulator.url,
        "api_key": emulator.api_key,
        "project_id": emulator.project_id,
        "chatbot_id": emulator.chatbot_ids[0],
        "uri": target.store(name).uri,
        **more,
    }


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


def unpack(name: str, content: bytes) -> list[dict[str, Any]]:
    text = gzip.decompress(content) if name.endswith(".gz") else content
    return [json.loads(line) for line in text.splitlines()]


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in STAMP} for row in rows]


def named(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return what lies under a final name, which is where anybody would look."""
    return {name: content for name, content in files.items() if not name.startswith(".")}


def parts(target: Any, spool_folder: Path) -> list[str]:
    found = [str(path) for path in spool_folder.rglob("*") if path.is_file()]
    return found + [name for name in target.files() if name.endswith(".part")]


def check_whole(target: Any, name: str, leads: list[dict[str, Any]], manifest: Any) -> None:
    """Say whether exactly what is expected lies there, with exactly the content expected."""
    files = target.files()
    assert files.keys() == {name, f"{name}.manifest.json", f"{name}.rejected.jsonl"}
    assert plain(unpack(name, files[name])) == leads
    rejected = unpack("", files[f"{name}.rejected.jsonl"])
    assert [(row["page"], row["reason"]) for row in rejected] == [(2, "the row has no id")] * 2
    written = json.loads(files[f"{name}.manifest.json"])
    assert written == manifest.as_dict()
    assert (written["bytes"], written["sha256"]) == (len(files[name]), hashlib.sha256(files[name]).hexdigest())
    assert (written["rows"], written["rejected"], written["received"]) == (len(leads), 2, len(leads) + 2)


def check_no_half_file(
    target: Any, name: str, old: dict[str, bytes], leads: list[dict[str, Any]], rejected: list[dict[str, Any]]
) -> None:
    """Say whether each file that has a name is the whole old or the whole new one."""
    files = named(target.files())
    for found, content in files.items():
        if content == old.get(found):
            continue
        if found == name:
            assert plain(unpack(name, content)) == leads
        elif found == f"{name}.rejected.jsonl":
            assert [row["row"] for row in unpack("", content)] == rejected
        else:
            assert found == f"{name}.manifest.json"
            # A new manifest only where the new data is.
            assert json.loads(content)["sha256"] == hashlib.sha256(files[name]).hexdigest()
    assert not old or files.keys() == old.keys()


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("step", crashing_run.STEPS)
def test_killed_at_any_step_on_a_disk(
    robofy: Any, local_target: Any, spool_folder: Path, step: str, earlier: bool
) -> None:
    # Half of the cases compress.
    name = "leads.jsonl.gz" if earlier else "leads.jsonl"
    _kill_and_run_again(robofy, local_target, spool_folder, step, name, earlier=earlier)


@pytest.mark.s3
@pytest.mark.parametrize(("step", "earlier"), [("data_half_sent", False), ("before_manifest", True)])
def test_killed_while_or_after_sending_to_a_bucket(
    robofy: Any, s3_target: Any, spool_folder: Path, step: str, earlier: bool
) -> None:
    _kill_and_run_again(robofy, s3_target, spool_folder, step, "leads.jsonl", earlier=earlier)


def _kill_and_run_again(robofy: Any, target: Any, spool_folder: Path, step: str, name: str, *, earlier: bool) -> None:
    options = options_for(robofy, target, name)
    if earlier:
        crashing_run.run(options)
        robofy.add_leads(7)
    old = target.files()
    leads = robofy.leads()

    kill(options | {"step": step}, spool_folder)

    after = named(target.files())
    rejected = [{name_: value for name_, value in row.items() if name_ != "id"} for row in leads[10:12]]
    check_no_half_file(target, name, old, leads, rejected)
    if not earlier:
        there = {
            "before_data": {f"{name}.rejected.jsonl"},
            "data_half_sent": {f"{name}.rejected.jsonl"},
            "before_manifest": {f"{name}.rejected.jsonl", name},
            "after_manifest": {f"{name}.rejected.jsonl", name, f"{name}.manifest.json"},
        }
        assert after.keys() == there.get(step, set())
    assert bool(parts(target, spool_folder)) == (step != "after_manifest"), "the kill came at another moment"

    manifest = crashing_run.run(options)

    check_whole(target, name, leads, manifest)
    assert parts(target, spool_folder) == []


def test_killed_time_and_again_leaves_no_more_than_one_attempt_behind(
    robofy: Any, local_target: Any, spool_folder: Path
) -> None:
    options = options_for(robofy, local_target, "leads.jsonl")

    for step in ("after_page_2", "rows_spooled", "before_data", "before_manifest"):
        kill(options | {"step": step}, spool_folder)
        assert len(parts(local_target, spool_folder)) <= 2

    check_whole(local_target, "leads.jsonl", robofy.leads(), crashing_run.run(options))
    assert parts(local_target, spool_folder) == []


def test_what_another_agents_killed_attempt_left_is_not_taken_for_ours(
    robofy_emulator_factory: Any, local_target: Any, spool_folder: Path
) -> None:
    robofy = robofy_emulator_factory(leads=20, page_size=10, agents=2)
    options = options_for(robofy, local_target, "leads.jsonl")
    kill(options | {"step": "before_manifest"}, spool_folder)
    before = named(local_target.files())

    with pytest.raises(Exception, match="it has no manifest, so this task did not write it"):
        crashing_run.run(options | {"chatbot_id": robofy.chatbot_ids[1]})

    assert named(local_target.files()) == before


@pytest.mark.parametrize(
    ("step", "advance"),
    [*((step, False) for step in crashing_run.CURSOR_STEPS), *((step, True) for step in crashing_run.ADVANCE_STEPS)],
)
def test_a_sync_with_a_cursor_killed_anywhere_lands_every_lead_once(robofy_emulator_factory, tmp_path, step, advance):
    emulator = robofy_emulator_factory(leads=25, page_size=10, agents=1)
    agent = emulator.chatbot_ids[0]
    spool_folder = tmp_path / "spool"
    spool_folder.mkdir()

    def options(run: str, **more: Any) -> dict[str, Any]:
        return {
            "url": emulator.url,
            "api_key": emulator.api_key,
            "project_id": emulator.project_id,
            "chatbot_id": agent,
            "uri": str(tmp_path / f"{run}.jsonl"),
            "cursor": str(tmp_path / "cursor.json"),
            "run_key": run,
            "advance": advance,
            **more,
        }

    crashing_run.run(options("first"))
    emulator.add_leads(7, chatbot_id=agent)
    kill(options("second", step=step), spool_folder)
    emulator.add_leads(3, chatbot_id=agent)
    retried = crashing_run.run(options("second"))
    emulator.add_leads(2, chatbot_id=agent)
    third = crashing_run.run(options("third"))

    landed = {run: plain(unpack("", (tmp_path / f"{run}.jsonl").read_bytes())) for run in ("first", "second", "third")}
    shown = emulator.leads(agent)
    suffixes = ["", ".manifest.json", *([".cursor-next.json"] if advance else [])]
    assert landed == {"first": shown[12:], "second": shown[2:12], "third": shown[:2]}
    assert third.watermark_before == retried.watermark_after
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        ["cursor.json", *(f"{run}.jsonl{suffix}" for run in landed for suffix in suffixes)]
    )
    assert list(spool_folder.rglob("*.part")) == []
