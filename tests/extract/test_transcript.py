"""What lands of a session."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.extract import transcript as transcript_module
from airflow_provider_robofy.extract.transcript import Transcript, blocks

STAMP = {"_project_id": None, "_chatbot_id": "a/b+c="}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(st.text(max_size=8).filter(lambda name: not name.startswith("_")), JSON, max_size=5))


def lines(pages, tmp_path, session_id="s"):
    transcript = Transcript(session_id, stamp=STAMP, folder=tmp_path)
    for page in pages:
        transcript.add(page)
    landed = [json.loads(line) for some in blocks(transcript.landing) for line in some.splitlines()]
    rejected = [json.loads(line) for some in blocks(transcript.rejected) for line in some.splitlines()]
    assert transcript.counts["received"] == len(landed) + len(rejected)
    transcript.close()
    return landed, rejected


def keys(rows, tmp_path, session_id="s") -> list[str]:
    return [row["_message_key"] for row in lines([rows], tmp_path, session_id)[0]]


@given(rows=ROWS, session_id=st.text(min_size=1))
def test_a_row_lands_as_it_came_with_its_fields_added(tmp_path_factory, rows, session_id):
    landed, rejected = lines([rows], tmp_path_factory.getbasetemp(), session_id)
    assert rejected == []
    for position, (row, came) in enumerate(zip(landed, rows, strict=True)):
        assert len(row.pop("_message_key")) == 32
        assert row == {**came, **STAMP, "_session_id": session_id, "_position": position}


@given(rows=ROWS, seed=st.integers(), cut=st.integers(min_value=0, max_value=10))
def test_keys_are_the_same_in_any_order_and_any_split_and_all_different(tmp_path_factory, rows, seed, cut):
    folder = tmp_path_factory.getbasetemp()
    rows = rows + rows[: len(rows) // 2]
    first = keys(rows, folder)
    assert len(set(first)) == len(rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert sorted(keys(shuffled, folder)) == sorted(first)
    landed, _ = lines([rows[:cut], [], rows[cut:]], folder)
    assert [row["_message_key"] for row in landed] == first
    assert [row["_position"] for row in landed] == list(range(len(rows)))


def test_equal_messages_of_a_session_have_keys_of_their_own_and_of_two_sessions_too(tmp_path):
    hello = {"message": "Hello?", "created_at": "2025-02-01 09:00:00"}
    three = keys([hello, hello, hello], tmp_path)
    assert keys([hello], tmp_path) == three[:1]
    assert len({*three, *keys([hello], tmp_path, "another")}) == 4


def test_a_key_says_the_same_in_every_version(tmp_path):
    # Written down: a key that changes makes every message new to whoever loads by it.
    row = {"b": 1, "a": "ü"}
    assert keys([row, {"a": "ü", "b": 1}], tmp_path, "+4915112345678") == [
        "112d514b964f68be5b5de27bbe56c800",
        "cc7f9801b342e318f9c3852a2c7c869d",
    ]


OURS = ["_session_id", "_position", "_message_key", "_project_id", "_chatbot_id"]


@pytest.mark.parametrize(
    "row", ["Hello", None, 5, ["Hello"], True, *({name: "theirs", "message": "a"} for name in OURS)]
)
def test_what_is_no_object_or_has_a_name_that_is_added_is_rejected_whole_and_keeps_its_position(tmp_path, row):
    landed, [rejected] = lines([[{"message": "a"}, row], [{"message": "b"}]], tmp_path)
    assert [one["_position"] for one in landed] == [0, 2]
    assert (rejected["session_id"], rejected["position"], rejected["row"]) == ("s", 1, row)
    assert (rejected["reason"] == "the row is not an object") != isinstance(row, dict)


def test_half_a_character_and_a_giant_number_land(tmp_path):
    row = {"message": "cut \ud83d", "id": 2**80}
    [landed], _ = lines([[row]], tmp_path)
    assert (landed["message"], landed["id"]) == (row["message"], row["id"])


@given(pages=st.lists(ROWS, max_size=4), in_memory=st.integers(min_value=1, max_value=200))
def test_lines_come_back_in_order_however_little_fits_into_memory(tmp_path_factory, pages, in_memory):
    folder = tmp_path_factory.getbasetemp()
    whole = lines(pages, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcript_module, "_IN_MEMORY", in_memory)
        assert lines(pages, folder) == whole


def test_what_does_not_fit_into_memory_goes_to_a_file_without_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(transcript_module, "_IN_MEMORY", 1000)
    transcript = Transcript("s", stamp=STAMP, folder=tmp_path)
    for number in range(500):
        transcript.add([{"number": number}])
    assert transcript.landing._rolled  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []
    content = b"".join(blocks(transcript.landing))
    assert [json.loads(line)["number"] for line in content.splitlines()] == list(range(500))
    transcript.close()
    assert transcript.landing.closed
