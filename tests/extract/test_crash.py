"""Killed at any moment: no half file under a final name, and the next run puts everything right."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_robofy.extract.formats import Format, format_of
from tests.extract import crashing_run
from tests.extract.runs import without_stamp

pytestmark = pytest.mark.serial

ROOT = Path(__file__).parents[2]


@pytest.fixture
def robofy(robofy_emulator_factory: Any) -> Any:
    emulator = robofy_emulator_factory(leads=60, page_size=10, agents=1)
    emulator.fault("malformed_rows", endpoint="list_leads", page=2, count=2, how="no_id")
    return emulator


def options_for(emulator: Any, uri: str, **more: Any) -> dict[str, Any]:
    url, key, project, agent = emulator.url, emulator.api_key, emulator.project_id, emulator.chatbot_ids[0]
    return {"url": url, "api_key": key, "project_id": project, "chatbot_id": agent, "uri": uri, **more}


def kill(options: dict[str, Any], spool_folder: Path) -> None:
    """Run in a process of its own, which kills itself."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.extract.crashing_run", json.dumps(options)],
        env={**os.environ, "TMPDIR": str(spool_folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def unpack(name: str, content: bytes) -> list[dict[str, Any]]:
    found = Format(format_of(name), "leads", defuse_formulas=True).rows(io.BytesIO(content))
    return [without_stamp(row) for row in found]


def rejected_in(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


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
    assert unpack(name, files[name]) == leads
    rejected = rejected_in(files[f"{name}.rejected.jsonl"])
    assert [(row["page"], row["reason"]) for row in rejected] == [(2, "the row has no id")] * 2
    written = json.loads(files[f"{name}.manifest.json"])
    assert written == manifest.as_dict()
    assert (written["bytes"], written["sha256"]) == (len(files[name]), hashlib.sha256(files[name]).hexdigest())
    assert (written["rows"], written["rejected"], written["received"]) == (len(leads), 2, len(leads) + 2)


def check_no_half_file(target: Any, name: str, old: dict[str, bytes], leads: list[dict[str, Any]]) -> None:
    """Say whether each file that has a name is the whole old or the whole new one."""
    files = named(target.files())
    for found, content in files.items():
        if content == old.get(found):
            continue
        if found == name:
            assert unpack(name, content) == leads
        elif found == f"{name}.rejected.jsonl":
            without_id = [{field: value for field, value in row.items() if field != "id"} for row in leads[10:12]]
            assert [row["row"] for row in rejected_in(content)] == without_id
        else:
            assert found == f"{name}.manifest.json"
            # A new manifest only where the new data is.
            assert json.loads(content)["sha256"] == hashlib.sha256(files[name]).hexdigest()
    assert not old or files.keys() == old.keys()


#: What lies there after a kill where nothing did before; nothing at any other step.
THERE = {
    "before_data": {".rejected.jsonl"},
    "data_half_sent": {".rejected.jsonl"},
    "before_manifest": {".rejected.jsonl", ""},
    "after_manifest": {".rejected.jsonl", "", ".manifest.json"},
}
OF_COLUMNS = ["leads.csv", "leads.csv.gz", "leads.parquet"]
IN_A_BUCKET = [("data_half_sent", False, "leads.jsonl"), ("before_manifest", True, "leads.jsonl")]
IN_A_BUCKET += [(step, False, name) for step in ("data_half_sent", "before_manifest") for name in OF_COLUMNS[1:]]
ON_A_DISK = [(step, False, "leads.jsonl") for step in crashing_run.STEPS]
ON_A_DISK += [(step, True, "leads.jsonl.gz") for step in crashing_run.STEPS]
ON_A_DISK += [(step, False, name) for step in ("after_page_2", "rows_spooled", *THERE) for name in OF_COLUMNS]


@pytest.mark.parametrize(
    ("target", "step", "earlier", "name"),
    [
        *(("local", *case) for case in ON_A_DISK),
        *(pytest.param("s3", *case, marks=pytest.mark.s3) for case in IN_A_BUCKET),
    ],
    indirect=["target"],
)
def test_killed_at_any_step_on_a_disk_and_in_a_bucket(*, robofy, target, spool_folder, step, earlier, name):
    options = options_for(robofy, target.store(name).uri)
    if earlier:
        crashing_run.run(options)
        robofy.add_leads(7)
    old, leads = target.files(), robofy.leads()

    kill(options | {"step": step}, spool_folder)

    check_no_half_file(target, name, old, leads)
    if not earlier:
        assert named(target.files()).keys() == {f"{name}{suffix}" for suffix in THERE.get(step, ())}
    assert bool(parts(target, spool_folder)) == (step != "after_manifest"), "the kill came at another moment"

    manifest = crashing_run.run(options)

    check_whole(target, name, leads, manifest)
    assert parts(target, spool_folder) == []


def test_killed_time_and_again_leaves_no_more_than_one_attempt_behind(robofy, local_target, spool_folder):
    options = options_for(robofy, local_target.store().uri)

    for step in ("after_page_2", "rows_spooled", "before_data", "before_manifest"):
        kill(options | {"step": step}, spool_folder)
        assert len(parts(local_target, spool_folder)) <= 2

    check_whole(local_target, "leads.jsonl", robofy.leads(), crashing_run.run(options))
    assert parts(local_target, spool_folder) == []


@pytest.mark.parametrize("name", ["leads.jsonl", *OF_COLUMNS])
def test_what_another_agents_killed_attempt_left_is_not_taken_for_ours(
    robofy_emulator_factory, local_target, spool_folder, name
):
    robofy = robofy_emulator_factory(leads=20, page_size=10, agents=2)
    options = options_for(robofy, local_target.store(name).uri)
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
        cursor = str(tmp_path / "cursor.json")
        uri = str(tmp_path / f"{run}.jsonl")
        return options_for(emulator, uri, cursor=cursor, run_key=run, advance=advance, **more)

    crashing_run.run(options("first"))
    emulator.add_leads(7, chatbot_id=agent)
    kill(options("second", step=step), spool_folder)
    emulator.add_leads(3, chatbot_id=agent)
    retried = crashing_run.run(options("second"))
    emulator.add_leads(2, chatbot_id=agent)
    third = crashing_run.run(options("third"))

    landed = {run: unpack("x.jsonl", (tmp_path / f"{run}.jsonl").read_bytes()) for run in ("first", "second", "third")}
    shown = emulator.leads(agent)
    suffixes = ["", ".manifest.json", *([".cursor-next.json"] if advance else [])]
    assert landed == {"first": shown[12:], "second": shown[2:12], "third": shown[:2]}
    assert third.watermark_before == retried.watermark_after
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        ["cursor.json", *(f"{run}.jsonl{suffix}" for run in landed for suffix in suffixes)]
    )
    assert list(spool_folder.rglob("*.part")) == []
