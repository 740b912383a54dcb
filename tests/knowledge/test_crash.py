"""SIGKILL in the middle of uploads: nothing is uploaded twice, nothing is forgotten."""

from __future__ import annotations

import json
import signal
from collections import Counter

import pytest

from tests.child import python

pytestmark = pytest.mark.serial

CHILD = """
import json, os, signal, sys
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge import uploads
from airflow_provider_robofy.knowledge.ledger import Ledger
from airflow_provider_robofy.knowledge.documents import Source, find

task = json.loads(sys.argv[1])
fs = LocalFileSystem()

class Mortal(Ledger):
    written = 0

    def record(self, name, entry):
        done = entry is not None and entry["state"] == "uploaded"
        if task["when"] == "after the POST" and done and name == task["name"]:
            os.kill(os.getpid(), signal.SIGKILL)
        super().record(name, entry)
        Mortal.written += 1
        if task["when"] == "between files" and done and name == task["name"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if task["when"] == "after writes" and Mortal.written == task["writes"]:
            os.kill(os.getpid(), signal.SIGKILL)

ledger = Mortal(Store(fs, task["ledger"], task["ledger"]), task["identity"])
ledger.load()
settings = Settings(api_key=task["key"], base_url=task["url"])
uploads.AT_A_TIME = task["at_a_time"]
uploads.Uploader(
    project_id="24017", chatbot_id=task["identity"]["chatbot_id"], metadata=None, ledger=ledger,
    client=RobofyClient(settings), run_key="dag/run/task", resend=False,
).run(find([Source(fs, task["folder"], task["folder"])]).documents)
ledger.close()
"""


@pytest.fixture
def die(desk):
    """Upload in a process that kills itself at the moment given."""

    def die(when: str, *, at_a_time: int = 1, **more) -> None:
        task = {
            "when": when,
            "at_a_time": at_a_time,
            "folder": str(desk.folder),
            "ledger": str(desk.ledger_path),
            "key": desk.emulator.api_key,
            "url": desk.emulator.url,
            "identity": {
                "project_id": "24017",
                "chatbot_id": desk.emulator.chatbot_ids[0],
                "source": str(desk.folder),
            },
            **more,
        }
        done = python("-c", CHILD, json.dumps(task))
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]

    return die


def names(items) -> list[str]:
    return sorted(item["name"] for item in items)


def test_killed_between_the_post_and_the_ledger_the_upload_is_uncertain_and_not_repeated(desk, die):
    for name in ("a.md", "b.pdf", "c.md"):
        desk.write(name, name)
    die("after the POST", name="b.pdf")
    assert desk.arrived() == ["a.md", "b.pdf"], "the kill came after Robofy had it"

    report = desk.run()

    assert names(report.unchanged) == ["a.md"]
    assert names(report.uncertain) == ["b.pdf"]
    assert names(report.uploaded) == ["c.md"]
    assert "killed" in report.uncertain[0]["reason"]
    assert desk.arrived() == ["a.md", "b.pdf", "c.md"]

    assert names(desk.run(resend=True).uploaded) == ["b.pdf"]
    assert desk.arrived() == ["a.md", "b.pdf", "b.pdf", "c.md"]


def test_killed_between_files_the_next_attempt_goes_on_where_this_one_stopped(desk, die):
    for name in ("a.md", "b.pdf", "c.md", "d.xlsx"):
        desk.write(name, name)
    die("between files", name="b.pdf")
    assert desk.arrived() == ["a.md", "b.pdf"]

    report = desk.run()

    assert names(report.unchanged) == ["a.md", "b.pdf"]
    assert names(report.uploaded) == ["c.md", "d.xlsx"]
    assert report.uncertain == []
    assert desk.arrived() == ["a.md", "b.pdf", "c.md", "d.xlsx"]


@pytest.mark.parametrize("writes", [1, 2, 4, 7, 11, 16])
def test_killed_anywhere_with_four_at_a_time_no_document_is_sent_twice_or_forgotten(desk, die, writes):
    everything = [f"{number}.{'md' if number % 2 else 'pdf'}" for number in range(9)]
    for name in everything:
        desk.write(name, name)
    die("after writes", at_a_time=4, writes=writes)

    report = desk.run()

    assert max(Counter(desk.arrived()).values()) == 1
    known = [*report.uploaded, *report.unchanged, *report.uncertain]
    assert names(known) == everything
    assert len(report.uncertain) <= 4
    assert set(desk.arrived()) >= {item["name"] for item in (*report.uploaded, *report.unchanged)}
