"""SIGKILL at every step of a prune: no link is delinked twice, none that stays is touched, and none is forgotten."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from tests.knowledge.pruning import BODY, prune

pytestmark = pytest.mark.serial

CHILD = """
import json, os, signal, sys
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge.ledger import Ledger
from tests.knowledge.pruning import pruner

task = json.loads(sys.argv[1])

class Mortal(Ledger):
    calls = 0

    def record(self, name, entry):
        Mortal.calls += 1
        if (Mortal.calls, "before") == (task["write"], task["when"]):
            os.kill(os.getpid(), signal.SIGKILL)
        super().record(name, entry)
        if (Mortal.calls, "after") == (task["write"], task["when"]):
            os.kill(os.getpid(), signal.SIGKILL)

ledger = Mortal(Store(LocalFileSystem(), task["ledger"], task["ledger"]), task["identity"])
ledger.load()
pruner(ledger, url=task["url"], key=task["key"], chatbot_id=task["identity"]["chatbot_id"]).run(set(task["present"]))
ledger.close()
"""
#: Four links are due: the old versions of a.md and c.md, and the last ones of b.md and c.md, which left the source.
DUE = ("a.md", "b.md", "c.md", "c.md")
STAY = ("a.md", "d.md", "e.md")


@pytest.fixture
def left_behind(desk):
    """A desk with four links to delink and three that stay."""
    desk.emulator.configure(delink_body=BODY, delink_otherwise="all")
    for name in ("a.md", "b.md", "c.md", "d.md", "e.md"):
        desk.write(name, name)
    desk.run()
    desk.write("a.md", "new")
    desk.write("c.md", "new")
    desk.run(run_key="dag/second/task")
    (desk.folder / "b.md").unlink()
    (desk.folder / "c.md").unlink()
    return desk


def start(desk, *, write: int, when: str) -> subprocess.Popen:
    task = {
        "write": write,
        "when": when,
        "ledger": str(desk.ledger_path),
        "url": desk.emulator.url,
        "key": desk.emulator.api_key,
        "present": [document.name for document in desk.documents().documents],
        "identity": {
            "project_id": "24017", "chatbot_id": desk.emulator.chatbot_ids[0], "source": str(desk.folder),
        },
    }  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", CHILD, json.dumps(task)], stderr=subprocess.PIPE, text=True)


def names(items) -> list[str]:
    return sorted(item["name"] for item in items)


def check(desk, *, uncertain: int) -> None:
    """Run once more after a kill, and check what became of every link."""
    pruned = prune(desk)
    links = [delink["body"]["link"] for delink in desk.emulator.delinks()]
    assert max(Counter(links).values(), default=0) <= 1, "no link was asked for twice"
    assert len(pruned.uncertain) == uncertain
    assert sorted(names(pruned.delinked) + names(pruned.not_delinked)) == sorted(DUE), "none is forgotten"
    linked = names(desk.emulator.linked())
    assert linked == sorted([*STAY, *names(pruned.not_delinked)]), "the ledger says what is"
    assert {entry["asset_id"] for name, entry in desk.ledger().entries.items() if name in STAY} <= {
        asset["asset_id"] for asset in desk.emulator.linked()
    }
    # What is uncertain and was never sent is delinked as soon as somebody says so.
    prune(desk, resend=True)
    assert names(desk.emulator.linked()) == sorted(STAY)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", range(1, 9))
def test_killed_at_any_write_nothing_is_delinked_twice_or_forgotten(left_behind, write, when):
    process = start(left_behind, write=write, when=when)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors[-2000:]
    intended = write % 2 == 1
    assert len(left_behind.emulator.delinks()) == (write - 1) // 2 + (0 if intended else 1)
    # Killed after the intent was written and before it was sent: nobody can know that, so it stays uncertain.
    check(left_behind, uncertain=1 if intended and when == "after" else 0)


def test_killed_while_the_answer_is_on_its_way_the_listing_settles_what_was_carried_out(left_behind):
    left_behind.emulator.fault("trickle", endpoint="delink_asset", delay=60)
    process = start(left_behind, write=0, when="never")
    while not left_behind.emulator.delinks():
        time.sleep(0.05)
    process.kill()
    process.communicate()
    check(left_behind, uncertain=0)


def test_killed_before_the_server_carries_it_out_it_stays_uncertain(left_behind):
    left_behind.emulator.fault("delay", endpoint="delink_asset", seconds=600)
    process = start(left_behind, write=0, when="never")
    while not left_behind.emulator.count("delink_asset"):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    check(left_behind, uncertain=1)
