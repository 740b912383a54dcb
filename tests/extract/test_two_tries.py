"""Two tries at one target or one cursor: one that was frozen goes on while its successor lands."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.cursor import Cursor
from airflow_provider_robofy.extract.cursor_store import FileCursorStore, cursor_body
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import open_uri
from airflow_provider_robofy.extract.spool import Spool, sweep
from tests.extract.runs import IDENTITY, NOW, lead, make_cursor_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.api.pages import Page

DAY = 24 * 3600


def before(monkeypatch: pytest.MonkeyPatch, method: str, ending: str, meanwhile: Callable[[], object], at: int = 1):
    """Do something once when a method of a store is called for such a file, for the first or a later time."""
    original = getattr(Store, method)
    calls: list[str] = []

    def held(self: Store, *arguments: Any) -> Any:
        if self.path.endswith(ending):
            calls.append(self.path)
            if len(calls) == at:
                meanwhile()
        return original(self, *arguments)

    monkeypatch.setattr(Store, method, held)


def check_pair(target: Any) -> dict[str, Any]:
    """Check that data and manifest are of one try, and return the manifest."""
    manifest: dict[str, Any] = target.manifest()
    assert manifest["sha256"] == hashlib.sha256(target.files()["leads.jsonl"]).hexdigest()
    return manifest


# ------------------------------------------------------------------------------------------------------- the data
def test_each_try_has_an_id_of_its_own_in_the_manifest(run, pages, local_target):
    first = run()(pages([lead("a")])).try_id
    second = run()(pages([lead("a")])).try_id

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00-[0-9a-f]{8}", first)
    assert first != second
    assert local_target.manifest()["try_id"] == second


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "with rejected rows"])
def test_a_try_that_was_frozen_while_it_read_publishes_nothing_and_moves_no_cursor(run, pages, target, earlier, dirty):
    if earlier:
        run(target.store(), cursor=make_cursor_run(target.store("cursor.json")))(pages([lead("old")]))
    frozen_cursor = make_cursor_run(target.store("cursor.json"))
    landed = []

    def frozen() -> Iterator[Page]:
        yield from pages([lead("a"), *(["bad"] if dirty else [])])
        listing = pages([lead("a"), lead("b", "2025-05-16 10:30:00"), "worse"])
        landed.append(run(target.store(), cursor=make_cursor_run(target.store("cursor.json")))(listing))
        landed.append({name: content for name, content in target.files().items() if not name.endswith(".part")})

    with pytest.raises(RobofyLandingError, match="another try has landed there") as raised:
        run(target.store(), cursor=frozen_cursor)(frozen())

    newer, files = landed
    assert newer.try_id in str(raised.value)
    assert re.search(r"this one is try \S+-[0-9a-f]{8}\.", str(raised.value))
    assert not raised.value.permanent
    assert target.files() == files
    assert check_pair(target)["try_id"] == newer.try_id


@pytest.mark.parametrize(
    ("method", "ending", "at", "said"),
    [
        ("publish", "leads.jsonl", 1, ""),
        ("publish", "leads.jsonl.rejected.jsonl", 1, ""),
        # The version is asked for directly before the manifest goes out, and behind it.
        ("version", "", 1, "has replaced the data of this one"),
        ("version", "", 2, "has replaced the data of this one"),
    ],
    ids=["data", "rejected rows", "between data and manifest", "behind the manifest"],
)
def test_a_try_that_is_held_leaves_a_pair_that_agrees_and_fails(
    *, run, pages, target, monkeypatch, method, ending, at, said
):
    landed = []

    def newer() -> None:
        landed.append(run(target.store())(pages([lead("a"), lead("b"), "bad"])))

    before(monkeypatch, method, ending, newer, at)
    cursor = make_cursor_run(target.store("cursor.json"))

    with pytest.raises(RobofyLandingError) as raised:
        run(target.store(), cursor=cursor)(pages([lead("a"), *(["bad"] if "rejected" in ending else [])]))

    assert (said or landed[0].try_id) in str(raised.value)
    assert "cursor.json" not in target.files()
    assert check_pair(target)["try_id"] == landed[0].try_id or not said


def test_a_try_whose_manifest_is_held_does_not_leave_it_beside_newer_data(run, pages, target, monkeypatch):
    newer = lambda: run(target.store())(pages([lead("a"), lead("b")]))  # noqa: E731
    before(monkeypatch, "publish", ".manifest.json", newer)

    with pytest.raises(RobofyLandingError, match="has replaced the data of this one"):
        run(target.store())(pages([lead("a")]))

    # Without a manifest nobody takes the data for whole, and the retry lands.
    assert target.files().keys() == {"leads.jsonl"}
    monkeypatch.undo()
    run(target.store())(pages([lead("a"), lead("b"), lead("c")]))
    assert check_pair(target)["rows"] == 3


def run_all(threads: list[Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


@pytest.mark.parametrize("target", ["local", pytest.param("s3", marks=pytest.mark.s3)], indirect=True)
def test_a_try_does_not_take_a_file_that_was_put_in_the_same_moment_for_its_own(run, pages, target, monkeypatch):
    landed: list[Any] = []
    owner, name = (target.fs, "put_file") if target.kind == "s3" else (Path, "replace")
    put = getattr(owner, name)

    def overtaken(*args: Any) -> Any:
        done = put(*args)
        if str(args[-1]).endswith("leads.jsonl") and not landed:
            landed.append(None)
            landed.append(run(target.store())(pages([lead("b")])))
        return done

    monkeypatch.setattr(owner, name, overtaken)

    with pytest.raises(RobofyLandingError, match="another try has landed there"):
        run(target.store())(pages([lead("a")]))

    assert check_pair(target)["try_id"] == landed[1].try_id


@pytest.mark.s3
@pytest.mark.parametrize("target", ["s3"], indirect=True)
def test_an_etag_that_is_no_md5_of_the_file_is_followed_by_a_look_at_the_content(run, pages, target, monkeypatch):
    info = Store._info
    other = f'"{"0" * 32}"'
    monkeypatch.setattr(Store, "_info", lambda self: (found := info(self)) and found | {"ETag": other})

    assert run(target.store())(pages([lead("a")])).rows == 1

    check_pair(target)


def test_two_threads_land_at_once_and_whoever_succeeds_lies_there(run, pages, target):
    both_read = Barrier(2)
    outcomes: list[Any] = []

    def land(*names: str) -> None:
        def listing() -> Iterator[Page]:
            yield from pages([lead(name) for name in names])
            both_read.wait(10)

        try:
            outcomes.append(run(target.store())(listing()))
        except RobofyLandingError as error:
            outcomes.append(error)

    run_all([Thread(target=land, args=names) for names in (("a",), ("a", "b"))])

    assert len(outcomes) == 2
    good = [one for one in outcomes if not isinstance(one, RobofyLandingError)]
    if good and "leads.jsonl.manifest.json" in target.files():
        check_pair(target)
    assert not any(name.endswith(".part") for name in target.files())


# ------------------------------------------------------------------------------------------------------ the cursor
def stored_run(target: Any) -> str | None:
    store = target.store("cursor.json")
    return Cursor.decode(FileCursorStore(store).load(), IDENTITY, store.uri).run_key


def test_two_runs_that_save_one_cursor_at_once_leave_a_whole_one(local_target, monkeypatch):
    first, second = (make_cursor_run(local_target.store("cursor.json"), key) for key in ("dag/r1/t", "dag/run-2/t"))
    before(monkeypatch, "publish", "cursor.json", lambda: second.move(NOW))

    assert first.move(NOW)

    assert stored_run(local_target) == "dag/r1/t"
    assert local_target.files().keys() == {"cursor.json"}


def test_a_save_that_another_one_replaced_before_it_was_checked_names_both_runs(local_target, monkeypatch, caplog):
    first, second = (make_cursor_run(local_target.store("cursor.json"), key) for key in ("dag/r1/t", "dag/run-2/t"))
    replace = Path.replace
    done: list[int] = []

    def overtaken(self: Path, target: str) -> Path:
        path = replace(self, target)
        if not done:
            done.append(1)
            # It had looked at the cursor before the first one wrote it.
            FileCursorStore(local_target.store("cursor.json")).save(second.after(NOW).encode(IDENTITY))
        return path

    monkeypatch.setattr(Path, "replace", overtaken)

    assert not first.move(NOW)

    assert "dag/run-2/t" in caplog.text
    assert "dag/r1/t" in caplog.text
    assert stored_run(local_target) == "dag/run-2/t"


def test_many_threads_that_save_one_cursor_lose_no_file_of_each_other(local_target):
    start, errors = Barrier(8), []

    def save(number: int) -> None:
        cursor = make_cursor_run(local_target.store("cursor.json"), f"dag/run-{'x' * number}/t")
        start.wait(10)
        try:
            cursor.move(NOW)
        except Exception as error:  # noqa: BLE001 (reported below)
            errors.append(error)

    run_all([Thread(target=save, args=(number,)) for number in range(8)])

    assert errors == []
    assert local_target.files().keys() == {"cursor.json"}


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_cursor_in_a_folder_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    cursor = make_cursor_run(open_uri(str(tmp_path / "locked" / "cursor.json")))

    with pytest.raises(RobofyLandingError, match=r"locked/cursor\.json could not be written \(PermissionError"):
        cursor.move(NOW)


@pytest.mark.parametrize(
    ("below", "words"), [("file/cursor.json", "could not be"), ("folder", r"could not be read \(IsADirectoryError")]
)
def test_a_cursor_below_a_file_or_at_a_folder_is_an_error_that_names_it(tmp_path, below, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RobofyLandingError, match=rf"{below} {words}"):
        make_cursor_run(open_uri(str(tmp_path / below))).move(NOW)


def test_a_cursor_on_a_full_disk_stays_what_it_was_and_the_error_names_it(small_disk):
    store = open_uri(str(small_disk / "cursor.json"))
    make_cursor_run(store).move(NOW)
    before = (small_disk / "cursor.json").read_bytes()
    cursor = make_cursor_run(store, "dag/run-2/t")
    for number in range(2000):
        cursor.overlap.add(f"lead-{number}", None, {"id": number})

    with pytest.raises(RobofyLandingError, match=r"cursor\.json could not be written \(OSError: .*No space left"):
        cursor.move(NOW)

    assert (small_disk / "cursor.json").read_bytes() == before
    assert [path.name for path in small_disk.iterdir()] == ["cursor.json"]


def test_a_cursor_that_can_neither_be_saved_nor_read_again_is_the_error_of_saving(local_target, monkeypatch):
    store = local_target.store("cursor.json")
    before(monkeypatch, "publish", "cursor.json", Path(store.path).mkdir)
    with pytest.raises(RobofyLandingError, match=r"cursor\.json could not be written"):
        make_cursor_run(store).move(NOW)


@pytest.mark.parametrize("at", ["/nowhere/gone.cursor.json", None, 5, "", ["x"]])
def test_a_state_whose_file_is_gone_is_damaged_and_no_new_cursor(at):
    with pytest.raises(RobofyConfigError, match=r'damaged.*\{"robofy_cursor": "reset"\}') as raised:
        cursor_body({"at": at}, open_uri)
    assert not isinstance(at, str) or at in str(raised.value)


# --------------------------------------------------------------------------------------------------------- spools
@pytest.mark.parametrize("finished", [False, True])
def test_a_spool_that_is_being_written_is_nobodys_to_remove(target, finished):
    store = target.store()
    with Spool(store.spool_path()) as spool:
        spool.append(b"1\n")
        if finished:
            spool.finish()
        os.utime(spool.path, (1, 1))
        store.spool_path()
        target.store("other.jsonl").spool_path()
        sweep(spool.path.parent)

        assert spool.path.exists()


def test_a_spool_of_another_process_is_not_removed_before_that_is_dead(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from airflow_provider_robofy.extract.files import Spool\n"
        "spool = Spool(Path(sys.argv[1])); spool.append(b'1\\n'); spool.finish(); print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    store = Store(LocalFileSystem(), str(tmp_path / "leads.jsonl"), "leads")
    path = store.spool_path()
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        store.spool_path()
        assert path.exists()
        child.kill()
        child.wait()
        store.spool_path()
        assert not path.exists()


@pytest.mark.parametrize("hours", [1, 23, 25, 24 * 365])
def test_what_a_killed_run_left_goes_after_a_day_whichever_run_comes_next(target, hours):
    left = target.store("killed.jsonl").spool_path()
    left.write_text("leads")
    theirs = left.with_name("notes.part")
    theirs.write_text("theirs")
    for path in (left, theirs):
        os.utime(path, (time.time() - hours * 3600,) * 2)

    target.store("next.jsonl").spool_path()

    assert left.exists() == (hours < 24)
    assert theirs.exists()


def test_without_locks_only_the_age_decides(local_target, monkeypatch):
    def refuse(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    store = local_target.store()
    with Spool(store.spool_path()) as spool:
        store.spool_path()
        assert spool.path.exists()
        os.utime(spool.path, (1, 1))
        store.spool_path()
        assert not spool.path.exists()


def test_folders_of_killed_runs_beside_are_swept_and_what_is_in_use_stays(tmp_path):
    part, data = ".leads.jsonl.gz.rejected.jsonl.0123456789ab.part", "leads.jsonl"
    for name, files in {"killed": [part], "mixed": [part, data], "landed": [data], "recent": [part]}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("leads")
    for path in [*tmp_path.rglob("*.part"), *tmp_path.iterdir()]:
        if "recent" not in str(path):
            os.utime(path, (time.time() - 2 * DAY,) * 2)

    sweep(tmp_path / "next")

    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["landed/leads.jsonl", "mixed/leads.jsonl", f"recent/{part}"]
    assert not (tmp_path / "killed").exists()


# ----------------------------------------------------------------------------------------------------- long names
@pytest.mark.parametrize(
    ("name", "fits"),
    [("x" * 200 + ".jsonl", True), ("x" * 216 + ".jsonl", False), ("я" * 105 + ".jsonl", True), ("件" * 85, False)],
)
def test_a_path_too_long_for_what_goes_beside_it_is_an_error_with_its_argument(local_target, run, pages, name, fits):
    store = local_target.store(name)
    if fits:
        store.check_length("output_path", ".manifest.json", ".rejected.jsonl")
        run(store)(pages([lead("a"), "bad"]))
        return
    with pytest.raises(RobofyConfigError, match=r"^output_path: a name in .* is too long"):
        store.check_length("output_path", ".manifest.json", ".rejected.jsonl")


def test_a_long_folder_and_a_long_key_are_errors_too(local_target):
    with pytest.raises(RobofyConfigError, match="cursor: a name in"):
        local_target.store(f"{'x' * 256}/cursor.json").check_length("cursor")
    s3 = type("S3", (), {"protocol": ("s3", "s3a")})()
    Store(s3, f"bucket/{'x' * 1005}", "s3://x").check_length("output_path", ".manifest.json")
    with pytest.raises(RobofyConfigError, match="output_path: the key in"):
        Store(s3, f"bucket/{'x' * 1011}", "s3://x").check_length("output_path", ".manifest.json")
