"""One writer for a ledger: taken, renewed, expired, taken over and released, between real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_robofy.api.errors import RobofyLedgerError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge import lock as module
from airflow_provider_robofy.knowledge.ledger import Ledger, LedgerStorageError
from airflow_provider_robofy.knowledge.lock import LedgerLock, LedgerLockedError

CHILD = """
import json, os, sys
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge import lock
from airflow_provider_robofy.knowledge.ledger import Ledger

task = json.loads(sys.argv[1])
lock.RENEW_EVERY, lock.EXPIRES_AFTER = task["renew"], task["expires"]
store = Store(LocalFileSystem(), task["ledger"], task["ledger"])
if "go" in task:
    print("ready", flush=True)
    while not os.path.exists(task["go"]):
        pass
try:
    with lock.LedgerLock(store, task["run_key"]) as held:
        ledger = Ledger(store, {"project_id": "1", "chatbot_id": "c", "source": "s"}, held.owned)
        ledger.load()
        print("held", flush=True)
        for line in sys.stdin:
            ledger.record(line.strip(), {"state": "uploaded", "sha256": "ab", "size": 1})
            print("recorded", flush=True)
except lock.LedgerLockedError as error:
    print(f"refused: {error}", flush=True)
"""


class Owner:
    """A process that holds the lock of a ledger and records what it is given."""

    def __init__(self, ledger, run_key: str, **task) -> None:
        task = {"ledger": str(ledger), "run_key": run_key, "renew": 0.1, "expires": 600.0, **task}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps(task)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def record(self, name: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return self.line()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors[-2000:]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledgers" / "docs.json"


@pytest.fixture
def store(desk, path):
    desk.ledger_path = path
    return desk.store()


def lock_file(path):
    return path.with_name(f"{path.name}.lock.json")


def owner_of(path) -> str:
    return json.loads(lock_file(path).read_bytes())["run_key"]


def test_a_second_run_is_refused_with_the_key_of_the_first_and_may_come_back_later(store, path):
    with LedgerLock(store, "dag/one/docs"):
        with pytest.raises(LedgerLockedError, match=r"in use by run dag/one/docs .*max_active_runs=1") as caught:
            LedgerLock(store, "dag/two/docs").__enter__()
        assert isinstance(caught.value, RobofyLedgerError)
        assert not caught.value.permanent
        assert str(lock_file(path)) in str(caught.value), "what to delete"
        assert owner_of(path) == "dag/one/docs"
    with LedgerLock(store, "dag/two/docs"):
        pass
    assert not any(path.parent.iterdir()), "neither lock nor spool is left"


@pytest.mark.serial
@pytest.mark.parametrize("before", ["nothing", "an expired lock"])
def test_of_many_processes_that_start_in_the_same_instant_one_gets_the_lock(path, tmp_path, before):
    if before == "an expired lock":
        with_lock(path, "dag/dead/docs", age=timedelta(minutes=11))
    go = tmp_path / "go"
    owners = [Owner(path, f"dag/{number}/docs", go=str(go)) for number in range(8)]
    assert {one.line() for one in owners} == {"ready"}
    go.touch()
    answers = [one.line() for one in owners]
    held = answers.index("held")
    others = [answer for number, answer in enumerate(answers) if number != held]
    assert all(f"refused: The ledger {path} is in use by run dag/{held}/docs" in one for one in others), answers
    for one in owners:
        one.end()


def with_lock(path, run_key: str, *, age: timedelta) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    renewed_at = (datetime.now(UTC) - age).isoformat()
    lock_file(path).write_text(json.dumps({"run_key": run_key, "try_id": "0", "renewed_at": renewed_at}))


@pytest.mark.parametrize(("minutes", "refused"), [(9, True), (11, False), (-30, True)])
def test_the_lock_of_a_dead_run_expires_after_ten_minutes_for_others(store, path, minutes, refused):
    with_lock(path, "dag/dead/docs", age=timedelta(minutes=minutes))
    if refused:
        with pytest.raises(LedgerLockedError, match="dag/dead/docs"):
            LedgerLock(store, "dag/two/docs").__enter__()
    else:
        with LedgerLock(store, "dag/two/docs"):
            assert owner_of(path) == "dag/two/docs"


def test_a_retry_of_a_killed_run_does_not_wait_for_its_own_lock(store, path):
    dead = Owner(path, "dag/one/docs")
    assert dead.line() == "held"
    dead.kill()
    with pytest.raises(LedgerLockedError, match="dag/one/docs"):
        LedgerLock(store, "dag/two/docs").__enter__()
    with LedgerLock(store, "dag/one/docs"):
        pass


@pytest.mark.serial
def test_a_lock_is_renewed_while_its_run_lives_and_not_after_it_was_frozen(store, path, monkeypatch):
    monkeypatch.setattr(module, "EXPIRES_AFTER", 4.0)
    slow = Owner(path, "dag/slow/docs", expires=4.0)
    assert slow.line() == "held"
    time.sleep(5)
    with pytest.raises(LedgerLockedError, match="dag/slow/docs"):
        LedgerLock(store, "dag/two/docs").__enter__()
    assert slow.record("a.md") == "recorded"

    slow.process.send_signal(signal.SIGSTOP)
    time.sleep(4.5)
    with LedgerLock(store, "dag/two/docs") as lock:
        ledger = Ledger(store, {"project_id": "1", "chatbot_id": "c", "source": "s"}, lock.owned)
        ledger.load()
        slow.process.send_signal(signal.SIGCONT)
        assert "was taken over by run dag/two/docs" in slow.record("b.md"), "it writes nothing any more"
        time.sleep(0.5)
        assert owner_of(path) == "dag/two/docs", "neither its renewal nor its end takes the lock away"
        ledger.record("c.md", {"state": "uploaded", "sha256": "ab", "size": 1})
        assert set(ledger.entries) == {"a.md", "c.md"}
    slow.end()


def test_an_earlier_attempt_that_still_runs_is_stopped_when_a_retry_takes_the_lock(store):
    with LedgerLock(store, "dag/one/docs") as first:
        ledger = Ledger(store, {"project_id": "1", "chatbot_id": "c", "source": "s"}, first.owned)
        with LedgerLock(store, "dag/one/docs"):
            with pytest.raises(LedgerLockedError, match="by a later attempt of this run"):
                ledger.record("a.md", {"state": "uploaded", "sha256": "ab", "size": 1})
            assert not store.beside(".journal.json").exists()


@pytest.mark.serial
def test_nobody_takes_the_lock_over_in_the_middle_of_a_write(store, path, monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.3)
    with LedgerLock(store, "dag/one/docs") as first:
        with first.owned(), pytest.raises(LedgerStorageError, match="has locked it for more than"):
            LedgerLock(store, "dag/one/docs").__enter__()
        with LedgerLock(store, "dag/one/docs"):
            pass


def test_a_lock_that_is_deleted_stops_its_owner(store, path):
    with LedgerLock(store, "dag/one/docs") as lock:
        lock_file(path).unlink()
        with pytest.raises(LedgerLockedError, match="was deleted"), lock.owned():
            pass
    assert not lock_file(path).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"run_key": "a", "renewed_at": 5}', b"\xff"])
def test_a_file_that_is_no_lock_is_refused_and_names_what_to_delete(store, path, content):
    path.parent.mkdir(parents=True)
    lock_file(path).write_bytes(content)
    with pytest.raises(LedgerLockedError, match=r"docs\.json\.lock\.json is not a lock file .* Delete it"):
        LedgerLock(store, "dag/one/docs").__enter__()
    assert lock_file(path).read_bytes() == content


def test_a_folder_that_cannot_be_written_is_the_error_of_the_ledger(store, path):
    path.parent.write_text("a file, where the folder should be")
    with pytest.raises(LedgerStorageError, match="cannot be read"):
        LedgerLock(store, "dag/one/docs").__enter__()


def test_a_filesystem_without_hard_links_creates_exclusively_in_another_way(store, path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with LedgerLock(store, "dag/one/docs"):
        with pytest.raises(LedgerLockedError, match="dag/one/docs"):
            LedgerLock(store, "dag/two/docs").__enter__()
        assert module._replace(store.beside(".lock.json"), None, b"x") is False


class Stubborn(MemoryFileSystem):  # type: ignore[misc]
    """A store that knows no exclusive creation: a write is a write."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        super().pipe_file(path, value, **kwargs)


@pytest.mark.parametrize("fs", [MemoryFileSystem, Stubborn])
def test_a_store_of_another_kind_is_locked_renewed_and_released(fs, monkeypatch):
    monkeypatch.setattr(module, "RENEW_EVERY", 0.05)
    store = Store(fs(), "/ledgers/docs.json", "memory://ledgers/docs.json")
    with LedgerLock(store, "dag/one/docs") as lock:
        before = store.beside(".lock.json").read()
        time.sleep(0.3)
        assert store.beside(".lock.json").read() != before
        with lock.owned():
            pass
        with pytest.raises(LedgerLockedError, match="dag/one/docs"):
            LedgerLock(store, "dag/two/docs").__enter__()
    assert not store.beside(".lock.json").exists()


@pytest.mark.s3
def test_of_many_threads_one_gets_the_lock_in_a_bucket(bucket):
    fs, name = bucket
    store = Store(fs, f"{name}/ledgers/docs.json", f"s3://{name}/ledgers/docs.json")

    def take(number: int) -> LedgerLock | None:
        try:
            return LedgerLock(store, f"dag/{number}/docs").__enter__()
        except LedgerLockedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        [lock] = [one for one in pool.map(take, range(8)) if one is not None]
    with lock.owned():
        pass
    lock.__exit__(None, None, None)
    assert fs.ls(f"{name}") == []
