"""The ledger: every change on disk before the next step, at a cost that does not grow with the ledger."""

from __future__ import annotations

import errno
import json
import threading
import time

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyLedgerError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.knowledge import ledger as module
from airflow_provider_robofy.knowledge.ledger import Ledger, LedgerStorageError

IDENTITY = {"project_id": "24017", "chatbot_id": "UOmf", "source": "/docs"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledgers" / "docs.json"


def open_ledger(path, **identity) -> Ledger:
    ledger = Ledger(Store(LocalFileSystem(), str(path), str(path)), {**IDENTITY, **identity})
    ledger.load()
    return ledger


def entry(state="uploaded", **more):
    return {"state": state, "sha256": "ab", "size": 3, **more}


def journal_of(path):
    return path.with_name(f"{path.name}.journal.json")


def test_nothing_is_written_where_nothing_changes(path):
    open_ledger(path).close()
    assert not path.parent.exists() or not any(path.parent.iterdir())


def test_what_was_recorded_is_there_after_a_crash_and_after_a_close(path):
    first = open_ledger(path)
    first.record("a.md", entry(asset_id=1))
    first.record("b.md", entry("intended"))
    first.record("c.md", entry())
    first.record("c.md", None)
    expected = {"a.md": entry(asset_id=1), "b.md": entry("intended")}
    assert open_ledger(path).entries == expected, "not closed, as after a crash"

    first.close()
    assert open_ledger(path).entries == expected
    assert sorted(file.name for file in path.parent.iterdir()) == ["docs.json"]
    assert json.loads(path.read_text()) == {
        "schema_version": 1, **IDENTITY, "generation": 1, "entries": expected,
    }  # fmt: skip


def test_a_crash_at_any_write_leaves_what_was_recorded_until_then(path, monkeypatch):
    """Also at the write that folds the journal into the ledger, and before the old journal is gone."""
    monkeypatch.setattr(module, "FOLD_AT", 3)
    expected: dict = {}
    ledger = open_ledger(path)
    for number in range(20):
        name = f"{number % 7}.md"
        expected[name] = entry(asset_id=number)
        ledger.record(name, expected[name])
        assert open_ledger(path).entries == expected
    again = open_ledger(path)
    again.record("0.md", None)
    del expected["0.md"]
    assert open_ledger(path).entries == expected
    again.close()
    assert open_ledger(path).entries == expected


def test_a_journal_that_the_ledger_has_overtaken_takes_nothing_back(path):
    ledger = open_ledger(path)
    ledger.record("a.md", entry(asset_id=1))
    stale = journal_of(path).read_bytes()
    ledger.record("a.md", entry(asset_id=2))
    ledger.close()
    journal_of(path).write_bytes(stale)  # as if the kill had come before it was removed
    assert open_ledger(path).entries == {"a.md": entry(asset_id=2)}


def test_a_change_costs_the_same_however_long_the_ledger_is(path):
    ledger = open_ledger(path)
    for number in range(5000):
        ledger.amend(f"{number}.md", entry())
    ledger.close()
    for number in range(module.FOLD_AT - 1):
        ledger.record(f"{number}.md", entry(asset_id=number))
    assert journal_of(path).stat().st_size < 20_000 < path.stat().st_size
    assert json.loads(path.read_text())["generation"] == 1


def test_threads_that_wait_for_the_disk_share_a_write(path, monkeypatch):
    writes = []
    publish = Store.publish

    def slow(self, spooled, size):
        writes.append(size)
        time.sleep(0.05)
        publish(self, spooled, size)

    monkeypatch.setattr(Store, "publish", slow)
    ledger = open_ledger(path)
    threads = [threading.Thread(target=ledger.record, args=(f"{number}.md", entry())) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(writes) <= 4
    assert len(open_ledger(path).entries) == 20


@pytest.mark.parametrize("which", ["ledger", "journal"])
@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"schema_version": 1}', b'{"schema_version": "1"}',
        b'{"schema_version": true, "generation": 0, "entries": {}}',
        b'{"schema_version": 1, "generation": 0, "entries": []}',
        b'{"schema_version": 1, "generation": 0, "entries": {"a.md": {"state": "uploaded"}}}',
        b'{"schema_version": 1, "generation": 0, "entries": {"a.md": {"state": "?", "sha256": "", "size": 1}}}',
    ],
)  # fmt: skip
def test_a_damaged_ledger_is_refused_by_its_name(path, which, content):
    path.parent.mkdir()
    damaged = path if which == "ledger" else journal_of(path)
    damaged.write_bytes(content)
    with pytest.raises(RobofyLedgerError, match="damaged") as caught:
        open_ledger(path)
    assert str(damaged) in str(caught.value)
    assert "Nothing was uploaded" in str(caught.value)
    assert damaged.read_bytes() == content, "left as evidence"


def test_a_newer_ledger_asks_for_an_update(path):
    path.parent.mkdir()
    path.write_text(json.dumps({"schema_version": 2, "whatever": 1}))
    with pytest.raises(RobofyLedgerError, match="newer version") as caught:
        open_ledger(path)
    assert str(path) in str(caught.value)


def test_a_journal_without_its_ledger_is_damage_and_not_an_empty_ledger(path):
    ledger = open_ledger(path)
    ledger.record("a.md", entry())
    ledger.close()
    ledger.record("b.md", entry())
    path.unlink()
    with pytest.raises(RobofyLedgerError, match=r"journal\.json, or missing"):
        open_ledger(path)


@pytest.mark.parametrize("field", ["project_id", "chatbot_id", "source"])
def test_the_ledger_of_somebody_else_is_refused_and_says_whose_it_is(path, field):
    ledger = open_ledger(path)
    ledger.record("a.md", entry())
    ledger.close()
    with pytest.raises(RobofyLedgerError, match=f"another {field}") as caught:
        open_ledger(path, **{field: "other"})
    assert IDENTITY[field] in str(caught.value)


# ------------------------------------------------------------------------------------- a disk that is full or read-only


@pytest.fixture
def disk(monkeypatch):
    """A function that makes the disk refuse every write from then on, or take them again."""
    finish = Spool.finish
    state: dict[str, OSError | None] = {"error": None}

    def refuse(self):
        if state["error"] is not None:
            raise state["error"]
        finish(self)

    monkeypatch.setattr(Spool, "finish", refuse)
    return lambda error: state.update(error=error)


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [FULL, OSError(errno.EROFS, "Read-only file system"), PermissionError(13, "no")])
def test_a_disk_that_takes_nothing_is_a_clear_error_that_a_retry_may_help(path, disk, error):
    ledger = open_ledger(path)
    ledger.record("a.md", entry())
    disk(error)
    for act in (lambda: ledger.record("b.md", entry()), ledger.close):
        with pytest.raises(RobofyLedgerError, match="cannot be written") as caught:
            act()
        assert isinstance(caught.value, LedgerStorageError)
        assert not caught.value.permanent
        assert str(path) in str(caught.value)
        assert "free space" in str(caught.value)
    assert open_ledger(path).entries == {"a.md": entry()}
    assert sorted(file.name for file in path.parent.iterdir()) == ["docs.json.journal.json"], "no spool is left"


def test_a_folder_that_cannot_be_made_is_the_same_error(path):
    path.parent.write_text("a file, where the folder should be")
    with pytest.raises(LedgerStorageError, match="cannot be read"):
        open_ledger(path)
    path.parent.unlink()
    ledger = open_ledger(path)
    path.parent.write_text("a file, where the folder should be")
    with pytest.raises(LedgerStorageError, match="cannot be written"):
        ledger.record("a.md", entry())


def test_a_ledger_that_may_not_be_read_is_not_taken_for_an_empty_one(path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", self.path)

    monkeypatch.setattr(Store, "read", refuse)
    with pytest.raises(LedgerStorageError, match=r"docs\.json cannot be read \(PermissionError"):
        open_ledger(path)


def test_a_snapshot_that_could_not_be_written_takes_no_entry_out_of_the_journal(path, disk, monkeypatch):
    monkeypatch.setattr(module, "FOLD_AT", 3)
    ledger = open_ledger(path)
    ledger.record("a.md", entry())
    ledger.record("b.md", entry())
    disk(FULL)
    with pytest.raises(LedgerStorageError):
        ledger.record("c.md", entry())
    disk(None)
    monkeypatch.setattr(module, "FOLD_AT", 100)
    ledger.record("d.md", entry())  # another thread, whose small journal still finds a place
    assert set(open_ledger(path).entries) == {"a.md", "b.md", "c.md", "d.md"}
    ledger.close()
    assert set(open_ledger(path).entries) == {"a.md", "b.md", "c.md", "d.md"}
