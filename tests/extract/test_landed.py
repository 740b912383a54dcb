"""Landed files: held while they are read, and the sessions that one names, which of them belong to which task."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import LandedSessions, Shard, hold, open_uri, shards
from tests.extract.conftest import land_sessions

ROWS = [{"id": number} for number in range(5)]
CONTENT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path) -> Store:
    if request.param == "disk":
        (tmp_path / "leads.jsonl").write_bytes(CONTENT)
        return open_uri(str(tmp_path / "leads.jsonl"))
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/held/leads.jsonl", CONTENT)
    return Store(fs, "/held/leads.jsonl", "memory://held/leads.jsonl")


def manifest(store: Store, **changes) -> dict:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return {"resource": "leads", "uri": store.uri, "format": "jsonl", "rows": 5, "sha256": sha256, **changes}


def test_it_is_read_as_often_as_one_likes_and_to_any_point(store):
    with hold(manifest(store), store) as held:
        assert list(held.rows()) == ROWS
        assert next(held.rows()) == ROWS[0]
        assert list(held.rows()) == ROWS


def test_what_was_checked_is_what_is_read_whoever_replaces_it_meanwhile(store):
    with hold(manifest(store), store) as held:
        if store.is_local:
            other = Path(store.path).with_suffix(".other")
            other.write_bytes(b'{"id": "other"}\n' * 5)
            other.replace(store.path)
        else:
            store.fs.pipe_file(store.path, b'{"id": "other"}\n' * 5)
        assert list(held.rows()) == ROWS


def test_another_content_is_refused(store):
    with (
        pytest.raises(RobofyLandingError, match=r"leads.jsonl is not the file .* \(sha256\)"),
        hold(manifest(store, sha256="0" * 64), store),
    ):
        pass


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    store = open_uri(str(tmp_path))
    with pytest.raises(RobofyLandingError, match="could not be read"), hold(manifest(store), store):
        pass


def test_an_error_of_the_reader_is_the_readers_own(store):
    def read() -> None:
        with hold(manifest(store), store) as held:
            for _ in held.rows():
                raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        read()


# ----------------------------------------------------------------------------------------------- the sessions of a file
AWKWARD = "guest/7 a+b=c%41?ü太&#"


def land(folder: Path, found: list, name: str = "sessions.jsonl", **changes) -> dict:
    manifest = land_sessions(folder / name, found, **changes)
    Path(f"{folder / name}.manifest.json").write_text(json.dumps(manifest))
    return manifest


def ids(given, shard=(0, 1)) -> list[str]:
    return list(LandedSessions.of(given, open_uri).ids(Shard.of(shard)))


@pytest.mark.parametrize("name", ["sessions.jsonl", "sessions.jsonl.gz"])
def test_the_ids_come_in_order_and_once_by_manifest_or_by_path(tmp_path, name):
    wanted = ["b", "+4915112345678", AWKWARD, "5"]
    rows = [{"session_id": one} for one in ["b", "+4915112345678", AWKWARD, "b"]] + [{"session_id": 5}]
    manifest = land(tmp_path, rows, name)
    assert ids(manifest) == wanted
    assert ids(json.loads(json.dumps(manifest))) == wanted
    assert ids(str(tmp_path / name)) == wanted


def test_a_file_that_was_moved_with_its_manifest_is_read_where_it_is(tmp_path):
    land(tmp_path, [{"session_id": "a"}])
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for path in tmp_path.glob("sessions*"):
        path.rename(moved / path.name)
    assert ids(str(moved / "sessions.jsonl")) == ["a"]


def test_shards_split_them_without_loss(tmp_path):
    manifest = land(tmp_path, [{"session_id": f"s{n}"} for n in range(100)])
    parts = [ids(manifest, one) for one in shards(7)]
    assert sorted(one for part in parts for one in part) == sorted(ids(manifest))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *((None, "None"), (["+4915112345678"], "a list"), ("", "an empty text"), (5, "a int")),
        *(("{'resource': 'sessions'}", "task.output"), ('["+4915112345678"]', "task.output")),
    ],
)
def test_what_is_neither_manifest_nor_path_is_refused_without_being_repeated(given, words):
    with pytest.raises(RobofyConfigError, match=f"sessions must be the manifest.*{words}") as caught:
        LandedSessions.of(given, open_uri)
    assert "4915112345678" not in str(caught.value)


@pytest.mark.parametrize("by_path", [True, False])
def test_a_manifest_of_another_resource_is_refused_by_name(tmp_path, by_path):
    manifest = land(tmp_path, [{"id": "a"}], resource="leads")
    with pytest.raises(RobofyConfigError, match="manifest of 'leads' and not of 'sessions'"):
        LandedSessions.of(manifest["uri"] if by_path else manifest, open_uri)


def test_a_manifest_that_lacks_what_is_needed_is_refused(tmp_path):
    manifest = land(tmp_path, [])
    del manifest["rows"], manifest["chatbot_id"]
    with pytest.raises(RobofyConfigError, match="lacks chatbot_id, rows"):
        LandedSessions.of(manifest, open_uri)


def test_a_file_that_is_gone_is_named_before_anything_is_asked(tmp_path):
    manifest = land(tmp_path, [{"session_id": "a"}])
    Path(manifest["uri"]).unlink()
    with pytest.raises(RobofyConfigError, match=r"sessions\.jsonl is gone. Run the sessions task again"):
        LandedSessions.of(manifest, open_uri)


@pytest.mark.parametrize("content", [None, "[]", "no json"])
def test_a_path_without_a_manifest_beside_it_is_refused(tmp_path, content):
    path = tmp_path / "sessions.jsonl"
    path.write_text("")
    if content is not None:
        Path(f"{path}.manifest.json").write_text(content)
    with pytest.raises(RobofyConfigError, match=r"sessions\.jsonl\.manifest\.json is (not there|no manifest)"):
        LandedSessions.of(str(path), open_uri)


def test_a_file_that_was_replaced_is_refused(tmp_path):
    manifest = land(tmp_path, [{"session_id": "a"}])
    Path(manifest["uri"]).write_text('{"session_id": "another"}\n')
    with pytest.raises(RobofyLandingError, match="replaced"):
        LandedSessions.of(manifest, open_uri)


@pytest.mark.parametrize("session_id", [None, "", 1.5, True, ["a"], {"value": "+4915112345678"}])
def test_an_id_of_an_unknown_type_is_an_error_that_does_not_repeat_it(tmp_path, session_id):
    manifest = land(tmp_path, [{"session_id": "a"}, {"session_id": session_id}])
    with pytest.raises(
        RobofyConfigError, match=r"row 2 of .* has no session_id that is text or a whole number"
    ) as caught:
        ids(manifest)
    assert "4915112345678" not in str(caught.value)


# --------------------------------------------------------------------------------------------------------------- shards
def test_shards_are_what_expand_takes():
    assert shards(3) == [(0, 3), (1, 3), (2, 3)]


@given(st.lists(st.text(min_size=1), unique=True, max_size=50), st.integers(min_value=1, max_value=12))
def test_each_session_belongs_to_exactly_one_part(session_ids, count):
    parts = [Shard.of(one) for one in shards(count)]
    assert all(sum(part.holds(session_id) for part in parts) == 1 for session_id in session_ids)


def test_a_session_belongs_to_the_same_part_for_ever():
    # Written down, so that a change of the hash cannot pass unseen: files of two runs would overlap.
    found = [
        next(i for i, n in shards(8) if Shard(i, n).holds(one)) for one in ("a", "+4915112345678", "guest/ü\ud83d")
    ]
    assert found == [7, 6, 1]


def test_parts_are_about_equally_large():
    sizes = [sum(Shard(i, n).holds(f"session {k}") for k in range(8000)) for i, n in shards(8)]
    assert sum(sizes) == 8000
    assert min(sizes) > 850


def test_a_list_out_of_json_is_as_good_as_a_tuple():
    assert Shard.of(json.loads(json.dumps((2, 5)))) == Shard.of((2, 5)) == Shard(2, 5)
    assert Shard.of(None).is_whole
    assert Shard.of((0, 1)).is_whole


@pytest.mark.parametrize("given_shard", [(8, 8), (-1, 8), (0, 0), (0, -3)])
def test_a_part_that_does_not_exist_is_refused_with_the_range(given_shard):
    with pytest.raises(RobofyConfigError, match=r"shard=.* is out of range.*index runs from 0 to"):
        Shard.of(given_shard)


@pytest.mark.parametrize("given_shard", [3, "0/8", (1,), (1, 2, 3), (0, "8"), (0.0, 8), (True, 8), {"index": 0}, []])
def test_what_is_no_part_is_refused(given_shard):
    with pytest.raises(RobofyConfigError, match=r"shard=.* must be \(index, count\)"):
        Shard.of(given_shard)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "8", None])
def test_a_count_below_one_is_refused(count):
    with pytest.raises(RobofyConfigError, match="at least 1"):
        shards(count)
