"""Finding the sessions to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.landed import LandedSessions, Shard, open_uri, shards
from tests.extract.conftest import land_sessions

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
