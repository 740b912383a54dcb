"""Asking in real time: Robofy's limits are kept, and a process that is killed leaves nothing half."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from itertools import pairwise

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge import asked
from airflow_provider_robofy.knowledge.asked import Asking
from airflow_provider_robofy.knowledge.questions import read_questions

pytestmark = pytest.mark.serial


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(leads=0, sessions=0)


def asking(robofy, path, count: int, **settings) -> Asking:
    return Asking(
        settings=Settings(api_key=robofy.api_key, base_url=robofy.url, **settings),
        project_id=robofy.project_id,
        chatbot_id=robofy.chatbot_ids[0],
        questions=read_questions([{"ask": f"Question {number}?"} for number in range(count)]),
        questions_uri=None,
        min_score=0,
        run_key="dag/run/task",
        store=Store(LocalFileSystem(), str(path), str(path)),
    )


def gaps(robofy) -> list[float]:
    """Return the seconds between one question and the next, as they came in."""
    times = [request.time for request in robofy.recent_requests("send_message")]
    return [after - before for before, after in pairwise(times)]


def test_all_tasks_of_a_process_together_ask_thirty_questions_a_minute(robofy, tmp_path):
    for name in ("a", "b"):
        asking(robofy, tmp_path / f"{name}.jsonl", 2, requests_per_minute=600).land()
    assert len(gaps(robofy)) == 3
    assert all(1.9 < gap < 2.6 for gap in gaps(robofy))


def test_a_lower_budget_of_the_connection_is_kept(robofy, tmp_path, monkeypatch):
    monkeypatch.setattr(asked, "PER_MINUTE", 600)
    asking(robofy, tmp_path / "a.jsonl", 3, requests_per_minute=60).land()
    assert all(0.9 < gap < 1.4 for gap in gaps(robofy))


def test_after_the_questions_of_a_day_the_next_are_asked_a_day_later(robofy, tmp_path, monkeypatch, caplog):
    for name, value in {"PER_MINUTE": 1200, "PER_DAY": 5, "DAY": 1.5}.items():
        monkeypatch.setattr(asked, name, value)
    with caplog.at_level("INFO"):
        manifest = asking(robofy, tmp_path / "a.jsonl", 11).land()
    assert manifest.passed == 11
    times = [request.time for request in robofy.recent_requests("send_message")]
    assert [round((time - times[0]) / 1.5) for time in times] == [0] * 5 + [1] * 5 + [2]
    assert "Asking 11 questions takes at least 0:00:03: 1200 a minute, and 5 a day." in caplog.text
    assert "10 questions have been asked. The next one is asked in 1 s." in caplog.text


# ----------------------------------------------------------------------------------------------------------- kills
CHILD = """
import json, os, signal, sys
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge import asked, questions

task = json.loads(sys.argv[1])
asked.PER_MINUTE = 6000
steps = 0

def mortal(kind, name):
    whole = getattr(kind, name)
    def step(*args, **kwargs):
        global steps
        result = whole(*args, **kwargs)
        steps += 1
        if steps == task["steps"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(kind, name, step)

mortal(asked.RobofyClient, "exchange") if task["where"] == "asking" else mortal(Store, "publish")
asked.Asking(
    settings=Settings(api_key=task["key"], base_url=task["url"]), project_id="24017", chatbot_id=task["agent"],
    questions=questions.read_questions(task["questions"]), questions_uri=None, min_score=0, run_key="dag/run/task",
    store=Store(LocalFileSystem(), task["path"], task["path"]),
).land()
"""


@pytest.mark.parametrize(
    ("where", "steps", "left"),
    [("asking", 1, 0), ("asking", 6, 0), ("asking", 10, 0), ("publishing", 1, 1), ("publishing", 2, 2)],
)
def test_killed_at_any_step_it_leaves_whole_files_or_none_and_the_next_attempt_lands_all(  # noqa: PLR0917
    robofy, tmp_path, monkeypatch, where, steps, left
):
    path = tmp_path / "asked.jsonl"
    task = {
        "where": where,
        "steps": steps,
        "key": robofy.api_key,
        "url": robofy.url,
        "agent": robofy.chatbot_ids[0],
        "path": str(path),
        "questions": [{"ask": f"Question {number}?"} for number in range(10)],
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(task)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    published = [one for one in tmp_path.iterdir() if not one.name.endswith(".part")]
    assert len(published) == left
    assert not left or len(path.read_bytes().splitlines()) == 10

    monkeypatch.setattr(asked, "PER_MINUTE", 6000)
    manifest = asking(robofy, path, 10).land()
    assert sorted(one.name for one in tmp_path.iterdir()) == [path.name, f"{path.name}.manifest.json"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest.sha256
    assert manifest.rows == manifest.passed == 10
