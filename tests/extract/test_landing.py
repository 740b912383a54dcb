"""Publishing a result whole or not at all, on a disk, in memory and in a bucket. And reading it back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import stat
import sys
import tempfile
import uuid
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import parquet

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.formats import Format, format_of
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.extract.spool import Spool
from tests.extract.runs import STAMP, lead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_robofy.api.pages import Page

NAMES = ["leads.jsonl", "leads.jsonl.gz", "leads.csv", "leads.csv.gz", "leads.parquet"]


def strays(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def without_checksum(content: bytes) -> bytes:
    return zipped(content)[:-8] + b"\0" * 8


def unpacked(name: str, content: bytes) -> list[Any]:
    """Return the ids in a file, as somebody else's program finds them."""
    if name.endswith(".parquet"):
        ids: list[Any] = parquet.read_table(io.BytesIO(content))["id"].to_pylist()
        return ids
    text = gzip.decompress(content) if name.endswith(".gz") else content
    if ".csv" in name:
        return [row["id"] for row in csv.DictReader(io.StringIO(text.decode(), newline=""), strict=True)]
    return [json.loads(line)["id"] for line in text.splitlines()]


def encoded(name: str, *landed: bytes) -> bytes:
    """Return a file of rows as a killed attempt may have left it."""
    format_ = Format(format_of(name), "leads", defuse_formulas=True)
    # A folder of its own: workers of pytest-xdist call this at the same time, while they collect.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        with Spool(path, compress=format_.compressed, writer=format_.writer) as spool:
            spool.append(b"".join(landed))
            spool.finish()
            return path.read_bytes()


# ------------------------------------------------------------------------------------------------------------ format
@pytest.mark.parametrize(
    ("uri", "format_"),
    [
        ("/data/leads.jsonl", "jsonl"),
        ("s3://lake/leads.jsonl.gz", "jsonl.gz"),
        ("/data/leads.jsonl.gz/more.csv.jsonl", "jsonl"),
        ("/data/leads.csv", "csv"),
        ("gs://lake/leads.jsonl/leads.csv.gz", "csv.gz"),
        ("/data/leads.jsonl.parquet", "parquet"),
    ],
)
def test_the_ending_names_the_format(uri, format_):
    assert format_of(uri) == format_


@pytest.mark.parametrize(
    "uri",
    [
        *("", "leads", "jsonl", "leads.json", "leads.JSONL", "leads.jsonl/"),
        *("leads.jsonl.zip", "leads.gz", "leads.parquet.gz"),
    ],
)
def test_another_ending_is_a_configuration_error_that_names_all(uri):
    with pytest.raises(RobofyConfigError, match=r"\.jsonl, \.jsonl\.gz, \.csv, \.csv\.gz or \.parquet") as raised:
        format_of(uri)
    assert repr(uri) in str(raised.value)


# -------------------------------------------------------------------------------------------------------- publishing
@pytest.mark.parametrize("name", NAMES)
def test_data_manifest_and_rejected_rows_lie_side_by_side(run, pages, target, spool_folder, name):
    manifest = run(target.store(name))(pages([lead("a"), "bad", lead("b")]))

    files = target.files()
    assert files.keys() == {name, f"{name}.manifest.json", f"{name}.rejected.jsonl"}
    assert unpacked(name, files[name]) == ["a", "b"]
    assert target.manifest(name) == manifest.as_dict()
    assert json.loads(files[f"{name}.rejected.jsonl"])["row"] == "bad"
    assert (manifest.bytes, manifest.format) == (len(files[name]), name.removeprefix("leads."))
    assert manifest.rejected_uri == f"{manifest.uri}.rejected.jsonl"
    assert strays(spool_folder) == []


def test_rejected_rows_go_first_then_data_then_the_manifest(run, pages, target, monkeypatch):
    order: list[tuple[str, int]] = []
    publish = Store.publish

    def watched(self: Store, spooled: Path, size: int) -> Any:
        version = publish(self, spooled, size)
        order.append((self.path.rpartition("/")[2], len([name for name in target.files() if not name.startswith(".")])))
        return version

    monkeypatch.setattr(Store, "publish", watched)
    run(target.store())(pages([lead("a"), "bad"]))

    assert order == [("leads.jsonl.rejected.jsonl", 1), ("leads.jsonl", 2), ("leads.jsonl.manifest.json", 3)]


def test_nothing_but_a_hidden_file_of_ours_can_be_seen_while_rows_are_read(run, pages, target, spool_folder):
    seen: list[str] = []
    modes: list[int] = []

    def listing() -> Iterator[Page]:
        for page in pages([lead("a", note="x" * 100_000), "bad"], [lead("b")]):
            yield page
            seen.extend(target.files())
            parts = strays(spool_folder) + ([*Path(target.root).iterdir()] if target.kind == "local" else [])
            modes.extend(stat.S_IMODE(path.stat().st_mode) for path in parts)

    run(target.store())(listing())

    assert all(name.startswith(".leads.jsonl.") and name.endswith(".part") for name in seen)
    assert len(modes) == 4
    assert set(modes) == {0o600}
    if target.kind != "local":
        (private,) = spool_folder.iterdir()
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_clean_run_removes_the_rejected_file_of_the_dirty_one_before(run, pages, target):
    run(target.store())(pages([lead("a"), "bad"]))
    assert "leads.jsonl.rejected.jsonl" in target.files()

    run(target.store())(pages(["bad2"]))
    assert [row["row"] for row in target.rows("leads.jsonl.rejected.jsonl")] == ["bad2"]

    manifest = run(target.store())(pages([lead("a")]))

    assert target.files().keys() == {"leads.jsonl", "leads.jsonl.manifest.json"}
    assert manifest.rejected_uri is None


@pytest.mark.parametrize(
    "folder",
    [
        *("a b", "100%", "a%20b", "Größe/日本/c", "x=1/y+2", "(ä)[1]{2}", "#1?"),
        "manual__2025-01-01T00:00:00+00:00",
    ],
)
def test_any_folder_name_can_be_landed_in_and_read_from(run, pages, target, folder):
    path = f"{folder}/leads.jsonl.gz"

    manifest = run(target.store(path))(pages([lead("a"), "bad"]))

    assert target.files().keys() == {path, f"{path}.manifest.json", f"{path}.rejected.jsonl"}
    assert [row["id"] for row in rows(manifest.as_dict())] == ["a"]


@pytest.mark.s3
def test_a_bucket_that_does_not_exist_is_named_and_not_made(run, pages, s3_fs, spool_folder):
    bucket = f"nobody-made-{uuid.uuid4().hex}"
    store = Store(s3_fs, f"{bucket}/a/leads.jsonl", f"s3://{bucket}/a/leads.jsonl")

    with pytest.raises(RobofyLandingError, match="bucket") as raised:
        run(store)(pages([lead("a"), "bad"]))

    assert f"s3://{bucket}/a/leads.jsonl" in str(raised.value)
    assert bucket not in [found["Name"] for found in s3_fs.call_s3("list_buckets")["Buckets"]]
    assert strays(spool_folder) == []


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002, 0])
def test_landed_files_get_the_permissions_that_the_umask_grants(run, pages, local_target, umask):
    before = os.umask(umask)
    try:
        run()(pages([lead("a"), "bad"]))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)

    paths = [path for path in Path(local_target.root).iterdir() if path.is_file()]
    assert len(paths) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o666 & ~umask}


def test_two_formats_side_by_side_leave_each_others_unfinished_file_alone(run, pages, local_target):
    def meanwhile() -> Iterator[Page]:
        yield from pages([lead("a")])
        run(local_target.store("leads.jsonl"))(pages([lead("b")]))
        run(local_target.store("leads.jsonl.manifest.jsonl"))(pages([lead("c")]))

    run(local_target.store("leads.jsonl.gz"))(meanwhile())

    files = local_target.files()
    assert unpacked("leads.jsonl.gz", files["leads.jsonl.gz"]) == ["a"]
    assert unpacked("leads.jsonl", files["leads.jsonl"]) == ["b"]
    assert len(files) == 6


def test_what_a_killed_attempt_left_is_removed_and_what_is_not_ours_stays(run, pages, target, spool_folder):
    folder = Path(target.root) if target.kind == "local" else None
    store = target.store()
    for beside in (store, store.beside(".rejected.jsonl"), store.beside(".manifest.json")):
        beside.spool_path().write_text("half")
    if folder:
        (folder / ".leads.jsonl.notes.part").write_text("theirs")
        (folder / ".other.jsonl.0123456789ab.part").write_text("theirs")

    run(store)(pages([lead("a"), "bad"]))

    left = {"leads.jsonl", "leads.jsonl.manifest.json", "leads.jsonl.rejected.jsonl"}
    ours = {".leads.jsonl.notes.part", ".other.jsonl.0123456789ab.part"} if folder else set()
    assert target.files().keys() == left | ours
    assert strays(spool_folder) == []


def test_a_spool_folder_that_somebody_else_planted_is_refused(run, pages, memory_target, spool_folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (spool_folder / f"airflow-robofy-{os.getuid()}").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RobofyLandingError, match="TMPDIR"):
        run(memory_target.store())(pages([lead("a")]))

    assert memory_target.files() == {}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_at_the_final_name_is_replaced_and_not_followed(run, pages, local_target, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    Path(local_target.root).mkdir()
    (Path(local_target.root) / "leads.jsonl").symlink_to(tmp_path / "elsewhere")

    run()(pages([lead("a")]))

    assert (tmp_path / "elsewhere").read_bytes() == b""
    assert not (Path(local_target.root) / "leads.jsonl").is_symlink()


# ---------------------------------------------------------------------------------------------------------- identity
SINCE = {"since": "2025-01-15", "until": "2025-01-16"}


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({}, {"resource": "sessions"}, ["resource is 'leads' there and 'sessions' here"]),
        ({}, {"project_id": "1"}, ["project_id is '24017' there and '1' here"]),
        ({}, {"run_key": "x", "chatbot_id": "b"}, ["run_key is 'dag/run/task' there and 'x' here", "chatbot_id is"]),
        ({}, SINCE, ["mode is 'full' there and 'window' here"]),
        (SINCE, SINCE | {"chatbot_id": "agent-b"}, ["chatbot_id is 'agent-a' there and 'agent-b' here"]),
        (SINCE, {"since": "2025-01-15"}, ["until is '2025-01-16T00:00:00+00:00' there and None here"]),
        ({"until": "2025-01-16"}, SINCE, ["since is None there and '2025-01-15T00:00:00+00:00' here"]),
    ],
)
def test_the_file_of_another_result_is_refused_and_the_difference_named(*, run, pages, target, first, second, said):
    run(target.store(), **first)(pages([lead("a"), "bad"]))
    before = target.files()

    with pytest.raises(RobofyLandingError, match="belongs to another result") as raised:
        run(target.store(), **second)(pages([lead("b")]))

    assert all(part in str(raised.value) for part in [*said, target.store().uri, "run_id"])
    assert target.files() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        (SINCE, SINCE | {"run_key": "another/run/task"}),
        (SINCE, {"since": "2025-01-15T01:00:00+01:00", "until": "2025-01-16 00:00"}),
    ],
)
def test_the_file_of_the_same_result_is_overwritten(*, run, pages, target, first, second, name):
    run(target.store(name), **first)(pages([lead("a", note="long" * 100), lead("b"), "bad"]))
    manifest = run(target.store(name), **second)(pages([lead("c")]))

    assert target.files().keys() == {name, f"{name}.manifest.json"}
    assert unpacked(name, target.files()[name]) == ["c"]
    assert target.manifest(name) == manifest.as_dict()


THEIRS = b'{"id":"a","_project_id":"24017","_chatbot_id":"agent-b"}\n'
OURS = b'{"id":"a","_project_id":"24017","_chatbot_id":"agent-a"}\n'
NOTES = b"somebody's notes\n"
NONSENSE = zipped(b"")[:10] + b"\xff" * 100
ODD_LINES = [b'{"id": "a"}\n', b'["_project_id", "_chatbot_id"]\n', b"null\n", b"\n" + OURS, b"\xff\xfe\x00"]
#: By name, contents of a file that another agent or somebody else may have left.
FOREIGN = {
    "leads.jsonl": [NOTES, THEIRS, *ODD_LINES, zipped(OURS)],
    "leads.jsonl.gz": [zipped(NOTES), zipped(THEIRS), OURS, zipped(OURS)[:14], NONSENSE, without_checksum(THEIRS)],
    "leads.csv": [NOTES, encoded("leads.csv", THEIRS), encoded("leads.csv", OURS)[:-1]],
    "leads.csv.gz": [encoded("leads.csv", OURS), encoded("leads.csv.gz", THEIRS)],
    "leads.parquet": [NOTES, encoded("leads.parquet", THEIRS), encoded("leads.parquet", OURS)[:-1]],
}
#: And that an attempt of our own may have left.
OWN = {
    "leads.jsonl": [b"", OURS, OURS * 1000],
    "leads.jsonl.gz": [b"", zipped(b""), zipped(OURS * 1000)],
    **{name: [b"", encoded(name), encoded(name, OURS, OURS)] for name in NAMES[2:]},
}


def cases(table: dict[str, list[bytes]]) -> list[tuple[str, bytes]]:
    return [(name, content) for name, contents in table.items() for content in contents]


@pytest.mark.parametrize(("name", "content"), cases(FOREIGN))
def test_a_file_without_a_manifest_that_is_not_ours_is_refused(run, pages, target, name, content):
    target.write(name, content)

    with pytest.raises(RobofyLandingError, match="it has no manifest") as raised:
        run(target.store(name))(pages([lead("a")]))

    assert target.store(name).uri in str(raised.value)
    assert target.files() == {name: content}


@pytest.mark.parametrize(("name", "content"), cases(OWN))
def test_what_an_attempt_for_this_agent_left_without_a_manifest_is_overwritten(run, pages, target, name, content):
    target.write(name, content)

    run(target.store(name))(pages([lead("b")]))

    assert target.files().keys() == {name, f"{name}.manifest.json"}
    assert unpacked(name, target.files()[name]) == ["b"]


@pytest.mark.parametrize("target", ["local", "memory"], indirect=True)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b"null", b'"x"', b"{}", b"\xff", b'{"rows": 3}', b"[[1]]"])
@pytest.mark.parametrize("with_data", [True, False])
def test_a_manifest_that_cannot_be_understood_protects_the_file(run, pages, target, content, with_data):
    target.write("leads.jsonl.manifest.json", content)
    if with_data:
        target.write("leads.jsonl", OURS)
    before = target.files()

    with pytest.raises(RobofyLandingError, match="is not overwritten"):
        run(target.store())(pages([lead("a")]))

    assert target.files() == before


def test_a_folder_at_the_final_name_is_refused(run, pages, local_target):
    (Path(local_target.root) / "leads.jsonl").mkdir(parents=True)
    with pytest.raises(RobofyLandingError, match=r"leads\.jsonl"):
        run()(pages([lead("a")]))


# ------------------------------------------------------------------------------------------------ stores that misbehave
class Odd(MemoryFileSystem):  # type: ignore[misc] # fsspec is untyped
    """A store that can be told to misbehave. It has a content of its own."""

    protocol = "odd"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store.clear()
        self.lie = 0
        self.refuse: dict[str, Exception] = {}

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self._maybe("info", path)
        found: dict[str, Any] = super().info(path, **kwargs)
        return found | {"size": found["size"] + self.lie}

    def put_file(self, lpath: Any, rpath: Any, *args: Any, **kwargs: Any) -> None:
        self._maybe("put", rpath)
        super().put_file(lpath, rpath, *args, **kwargs)

    def cat_file(self, path: Any, *args: Any, **kwargs: Any) -> bytes:
        self._maybe("cat", path)
        content: bytes = super().cat_file(path, *args, **kwargs)
        return content

    def rm_file(self, path: Any) -> None:
        self._maybe("rm", path)
        super().rm_file(path)

    def _maybe(self, what: str, path: str) -> None:
        for ending, error in self.refuse.items():
            action, _, name = ending.partition(" ")
            if action == what and path.endswith(name):
                raise error


@pytest.fixture
def odd() -> Odd:
    return Odd()


@pytest.fixture
def odd_store(odd: Odd) -> Store:
    return Store(odd, "/lake/leads.jsonl", "odd://lake/leads.jsonl")


def contents(odd: Odd) -> dict[str, bytes]:
    return {path.removeprefix("/lake/"): file.getvalue() for path, file in odd.store.items()}


@pytest.mark.parametrize("by", [-1, 1, None])
def test_a_store_that_shows_another_size_or_none_fails_the_run(*, run, pages, odd, odd_store, spool_folder, by):
    if by is None:
        odd.put_file = lambda *args, **kwargs: None
    else:
        odd.lie = by

    with pytest.raises(RobofyLandingError, match=f"but the store shows {'None' if by is None else ''}") as raised:
        run(odd_store)(pages([lead("a")]))

    assert "odd://lake/leads.jsonl was written with" in str(raised.value)
    assert strays(spool_folder) == []
    assert "leads.jsonl.manifest.json" not in contents(odd)


@pytest.mark.parametrize("step", ["put leads.jsonl.rejected.jsonl", "put leads.jsonl", "put leads.jsonl.manifest.json"])
@pytest.mark.parametrize(
    "error", [PermissionError(13, "Access Denied"), OSError(28, "No space left on device"), ConnectionResetError(104)]
)
def test_a_store_that_refuses_is_an_error_with_the_uri_and_the_earlier_file_is_whole(
    *, run, pages, odd, odd_store, spool_folder, step, error
):
    run(odd_store)(pages([lead("old"), "old"]))
    before = contents(odd)
    odd.refuse[step] = error

    with pytest.raises(RobofyLandingError, match=r"odd://lake/leads\.jsonl") as raised:
        run(odd_store)(pages([lead("new"), "new"]))

    assert type(error).__name__ in str(raised.value)
    assert not raised.value.permanent
    assert strays(spool_folder) == []
    after = contents(odd)
    assert after.keys() == before.keys()
    for name, content in after.items():
        (line,) = content.splitlines() if name.endswith("l") else [content]
        assert content == before[name] or b'"new"' in line

    odd.refuse.clear()
    run(odd_store)(pages([lead("new"), "new"]))
    assert json.loads(contents(odd)["leads.jsonl"])["id"] == "new"


@pytest.mark.parametrize("ending", ["leads.jsonl.manifest.json", "leads.jsonl"])
@pytest.mark.parametrize("error", [OSError(5, "hiccup"), PermissionError(13, "Access Denied"), TimeoutError("slow")])
def test_a_store_that_cannot_be_looked_into_is_not_written_to(*, run, pages, odd, odd_store, ending, error):
    # fsspec's own exists() takes any error for absence, so that somebody's file would be overwritten.
    odd.pipe_file("/lake/leads.jsonl", THEIRS)
    odd.refuse[f"info {ending}"] = error

    with pytest.raises(RobofyLandingError):
        run(odd_store)(pages([lead("a")]))

    assert contents(odd) == {"leads.jsonl": THEIRS}


def test_a_manifest_that_cannot_be_fetched_protects_the_file(run, pages, odd, odd_store):
    run(odd_store, chatbot_id="agent-b")(pages([lead("theirs")]))
    odd.refuse["cat .manifest.json"] = PermissionError(13, "Access Denied")

    with pytest.raises(RobofyLandingError, match=r"odd://lake/leads\.jsonl"):
        run(odd_store)(pages([lead("a")]))

    assert json.loads(contents(odd)["leads.jsonl"])["id"] == "theirs"


def test_a_store_that_grants_no_deletion_can_be_landed_in(run, pages, odd, odd_store):
    odd.refuse["rm "] = PermissionError(13, "Access Denied")
    run(odd_store)(pages([lead("a")]))
    assert run(odd_store)(pages([lead("a")])).rows == 1


class Fussy(Odd):
    """A store that makes no folders by itself, as SFTP and SMB do not."""

    protocol = "fussy"

    def put_file(self, lpath: Any, rpath: Any, *args: Any, **kwargs: Any) -> None:
        if not self.isdir(self._parent(rpath)):
            raise FileNotFoundError(rpath)
        self.pipe_file(rpath, Path(lpath).read_bytes())


def test_a_store_that_makes_no_folders_by_itself_gets_them_made(run, pages):
    fs = Fussy()
    run(Store(fs, "/a/b/leads.jsonl", "fussy:///a/b/leads.jsonl"))(pages([lead("a")]))
    assert fs.store.keys() == {"/a/b/leads.jsonl", "/a/b/leads.jsonl.manifest.json"}


@pytest.mark.parametrize("protocol", ["s3", ("gs", "gcs"), ("abfs", "az", "abfss")])
def test_no_bucket_is_made_in_a_store_of_buckets(run, pages, protocol):
    fs = Fussy()
    fs.protocol = protocol

    with pytest.raises(RobofyLandingError, match="FileNotFoundError"):
        run(Store(fs, "/bucket/leads.jsonl", "s3://bucket/leads.jsonl"))(pages([lead("a")]))

    assert not fs.isdir("/bucket")


@pytest.mark.parametrize("name", ["leads.csv", "leads.parquet"])
def test_a_full_disk_leaves_no_half_file_and_the_earlier_one_whole(run, pages, small_disk, name):
    store = Store(LocalFileSystem(), str(small_disk / name), str(small_disk / name))
    run(store)(pages([lead("old")]))
    before = {path.name: path.read_bytes() for path in small_disk.iterdir()}
    big = [[lead(f"{page}-{number}", note=os.urandom(500).hex()) for number in range(20)] for page in range(10)]

    with pytest.raises(RobofyLandingError, match="No space left on device") as raised:
        run(store)(pages(*big))

    assert "free space" in str(raised.value)
    assert {path.name: path.read_bytes() for path in small_disk.iterdir()} == before
    landed = rows({"uri": store.uri, "format": name[6:], "resource": "leads", "rows": 1})
    assert [row["id"] for row in landed] == ["old"]


def test_a_full_temporary_directory_is_named_where_rows_are_spooled_there(
    run, pages, memory_target, small_disk, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))

    with pytest.raises(RobofyLandingError, match="TMPDIR"):
        run(memory_target.store())(pages([lead("a", note="x" * 200_000)]))

    assert memory_target.files() == {}
    assert strays(small_disk) == []


def test_a_folder_that_cannot_be_made_is_named(run, pages, tmp_path):
    (tmp_path / "file").write_text("x")
    path = str(tmp_path / "file" / "leads.jsonl")
    with pytest.raises(RobofyLandingError, match=r"file/leads\.jsonl could not be written"):
        run(Store(LocalFileSystem(), path, path))(pages([lead("a")]))
    assert (tmp_path / "file").read_text() == "x"


# ------------------------------------------------------------------------------------------------------ reading back
@pytest.mark.parametrize("name", NAMES)
def test_rows_come_back_as_they_landed(run, pages, target, name):
    sent = [
        lead(f"l{number}", note="ü\n\u2028" * number, half="\ud83d", source=["", "=1", None, 5][number % 4])
        for number in range(300)
    ]

    manifest = run(target.store(name))(pages(sent[:100], sent[100:])).as_dict()

    back = list(rows(json.loads(json.dumps(manifest))))
    assert back == [row | STAMP | {"_created_at": "2025-01-15T10:30:00+00:00"} for row in sent]


def test_rows_can_be_read_from_a_path_that_knows_its_filesystem(run, pages, memory_target):
    manifest = run(memory_target.store())(pages([lead("a")])).as_dict()

    # Like Airflow's ObjectStoragePath.
    path = SimpleNamespace(fs=memory_target.fs, path=memory_target.store().path)
    manifest["uri"] = "s3://my_conn@bucket/leads.jsonl"
    assert [row["id"] for row in rows(manifest, path)] == ["a"]


@pytest.mark.parametrize("uri", ["s3://my_conn@bucket/a/leads.jsonl", "gs://aws_default@lake/x.jsonl.gz"])
def test_a_uri_that_names_a_connection_is_refused_with_the_way_out(uri):
    with pytest.raises(RobofyLandingError) as raised:
        next(rows({"uri": uri, "format": "jsonl", "rows": 1}))
    assert uri in str(raised.value)
    assert "rows(manifest, ObjectStoragePath(manifest['uri']))" in str(raised.value)


@pytest.mark.parametrize("folder", ["a@b", "x/y@z", "a::b", "~user", "a:b"])
def test_a_local_path_may_hold_what_means_something_in_a_uri(run, pages, local_target, folder):
    manifest = run(local_target.store(f"{folder}/leads.jsonl"))(pages([lead("a")])).as_dict()

    assert [row["id"] for row in rows(manifest)] == ["a"]
    assert [row["id"] for row in rows(manifest | {"uri": "file://" + manifest["uri"]})] == ["a"]


@pytest.mark.parametrize("by", [-1, 1])
def test_a_wrong_number_of_rows_is_an_error_with_both_numbers(run, pages, by):
    manifest = run()(pages([lead("a"), lead("b"), lead("c")])).as_dict()

    with pytest.raises(RobofyLandingError, match=f"holds 3 rows, but its manifest says {3 + by}"):
        list(rows(manifest | {"rows": 3 + by}))


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_is_a_landing_error_that_shows_no_row(run, pages, local_target, name, keep):
    manifest = run(local_target.store(name))(pages([lead(f"secret{number}") for number in range(50)])).as_dict()
    content = local_target.files()[name]
    local_target.write(name, content[: int(len(content) * keep)])

    with pytest.raises(RobofyLandingError, match="cut") as raised:
        list(rows(manifest))

    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


SPOILT = {
    "leads.jsonl": [NOTES],
    "leads.jsonl.gz": [NOTES, NONSENSE, without_checksum(OURS)],
    "leads.csv": [NOTES, OURS],
    "leads.csv.gz": [encoded("leads.csv")],
    "leads.parquet": [NOTES, OURS],
}


@pytest.mark.parametrize(("name", "content"), cases(SPOILT))
def test_a_file_that_was_spoilt_is_a_landing_error(run, pages, local_target, name, content):
    manifest = run(local_target.store(name))(pages([lead("a")])).as_dict()
    local_target.write(name, content)

    with pytest.raises(RobofyLandingError, match="replaced"):
        list(rows(manifest))


def test_what_the_reader_of_the_rows_raises_is_left_alone(run, pages, local_target):
    manifest = run()(pages([lead("a")])).as_dict()

    reading: Any = rows(manifest)
    next(reading)
    with pytest.raises(zlib.error, match="mine"):
        reading.throw(zlib.error("mine"))


# --------------------------------------------------------------------------------------------------- files with columns
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("defuse", [True, False])
def test_the_manifest_says_whether_formulas_were_defused(run, pages, local_target, name, defuse):
    manifest = run(local_target.store(name), defuse_formulas=defuse)(pages([lead("=1+1"), lead("'")])).as_dict()

    assert [row["id"] for row in rows(manifest)] == ["=1+1", "'"]
    assert manifest["formulas_defused"] == (defuse if ".csv" in name else None)
    shown = ["'=1+1", "''"] if defuse and ".csv" in name else ["=1+1", "'"]
    assert unpacked(name, local_target.files()[name]) == shown


def test_without_pyarrow_nothing_is_asked_for_and_nothing_written(run, pages, target, monkeypatch, spool_folder):
    def listing() -> Iterator[Page]:
        yield from pages([lead("a")])
        pytest.fail("a page was asked for")

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RobofyConfigError, match=r"pip install 'airflow-provider-robofy\[parquet\]'") as raised:
        run(target.store("leads.parquet"))(listing())

    assert raised.value.permanent
    assert target.files() == {}
    assert strays(spool_folder) == []


@pytest.mark.parametrize("format_", ["json", "orc", "jsonl.zst", ""])
def test_a_manifest_of_a_format_that_nobody_knows_is_refused(format_):
    with pytest.raises(RobofyConfigError, match=r"is none of jsonl, jsonl\.gz, csv, csv\.gz, parquet"):
        next(rows({"uri": "/nowhere", "format": format_, "resource": "leads", "rows": 1}))
