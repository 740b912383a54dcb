"""Rows and token in any wrapping, and drift that is never taken for emptiness."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.envelopes import Rows, read_object, read_rows

NAMES = ("rows", "leads")

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
ROWS = st.lists(st.dictionaries(st.text(max_size=5), SCALARS, max_size=3) | SCALARS, max_size=4)
TOKENS = st.text(st.characters(codec="utf-8"), min_size=1) | st.integers()
ASIDE = st.dictionaries(st.sampled_from(["message", "status", "columns_total", "total", "note"]), SCALARS, max_size=3)


@st.composite
def wrapped(draw):
    """Rows under a known name in up to three known layers, with a token in any of them or none."""
    rows, token = draw(ROWS), draw(st.none() | TOKENS)
    layers = draw(st.permutations(["data", "report", "result"]))[: draw(st.integers(0, 3))]
    bare = layers and draw(st.booleans())
    payload = rows if bare else {**draw(ASIDE), draw(st.sampled_from(NAMES)): rows}
    put = draw(st.integers(0, max(len(layers) - bool(bare), 0))) if token is not None else -1
    key = draw(st.sampled_from(["next_page_token", "nextPageToken"]))
    depth = len(layers)
    if not bare and put == depth:
        payload[key] = token
    for at, layer in reversed(list(enumerate(layers))):
        payload = {**draw(ASIDE), layer: payload}
        if put == at:
            payload[key] = token
    return payload, rows, token


@given(wrapped())
def test_any_known_wrapping_gives_the_rows_and_the_token_back(case):
    payload, rows, token = case
    read = read_rows(payload, NAMES)
    assert read.items == rows
    assert read.token == (None if token is None else str(token))
    assert read.end_marker == ("absent" if token is None else None)


@given(ROWS)
def test_a_bare_array_is_the_rows(rows):
    assert read_rows(rows, NAMES) == Rows(rows, None, "absent")


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=20,
    ),
    st.booleans(),
)
def test_any_json_is_read_or_refused_with_a_sentence(payload, guess):
    try:
        read = read_rows(payload, NAMES, guess=guess)
    except ValueError as refused:
        assert str(refused)  # noqa: PT017
    else:
        assert isinstance(read.items, list)
    try:
        assert isinstance(read_object(payload), dict)
    except ValueError as refused:
        assert str(refused) == "the answer is not an object"  # noqa: PT017


@pytest.mark.parametrize(
    "payload",
    [
        *(None, {}, "rows", 7, {"rows": None}, {"rows": {}}, {"data": None}, {"data": {"sessions": []}}),
        *({"data": {"report": {}}}, {"data": {"report": {"columns": ["id"]}}}, {"other": {"rows": []}}),
        {"message": "No leads", "data": {"report": None}},
    ],
)
def test_a_missing_list_is_not_an_empty_one(payload):
    with pytest.raises(ValueError, match=r"no list of rows was found in the answer \(looked for leads, rows\)"):
        read_rows(payload, NAMES)


# -------------------------------------------------------------------------------------------------------- guess
def test_the_only_array_is_taken_where_the_name_is_not_known():
    assert read_rows({"data": {"bots": [1], "total": 1}}, NAMES, guess=True).items == [1]
    assert read_rows({"bots": []}, NAMES, guess=True).items == []


def test_a_known_name_goes_before_a_guess():
    assert read_rows({"tags": [1, 2], "data": {"rows": [3]}}, NAMES, guess=True).items == [3]


@pytest.mark.parametrize(
    ("payload", "guess"), [({"bots": [1], "tags": []}, True), ({"data": {"bots": [1]}}, False)], ids=["two", "known"]
)
def test_nothing_is_guessed_between_two_arrays_or_for_a_documented_listing(payload, guess):
    with pytest.raises(ValueError, match="no list of rows"):
        read_rows(payload, NAMES, guess=guess)


# -------------------------------------------------------------------------------------------------------- token
@pytest.mark.parametrize(
    ("fields", "marker"),
    [
        ({}, "absent"),
        ({"next_page_token": None}, "null"),
        ({"nextPageToken": ""}, "empty"),
        ({"next_page_token": False}, "empty"),
        ({"has_more": False, "nextCursor": None, "next": ""}, "absent"),
    ],
)
def test_the_last_page_says_so_in_one_of_these_ways(fields, marker):
    assert read_rows({"rows": [1], **fields}, NAMES) == Rows([1], None, marker)


@pytest.mark.parametrize(("token", "text"), [("abc", "abc"), (2, "2"), (0, "0"), ("0", "0"), (" ", " ")])
def test_a_token_is_text_on_its_way_back(token, text):
    assert read_rows({"rows": [], "next_page_token": token}, NAMES) == Rows([], text, None)


UNKNOWN = [
    *("next", "next_page", "nextCursor", "next_page_url", "cursor", "end_cursor", "pageToken", "page_token"),
    *("continuation", "ContinuationToken", "hasMore", "has_more", "has_next", "hasNextPage", "more", "NEXT_PAGE_TOKEN"),
]


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("where", ["top", "data", "report", "meta", "links deep"])
def test_a_token_under_a_name_that_nobody_knows_is_an_error(name, where):
    fields = {name: "abc"}
    payload = {
        "top": {"data": {"rows": [1]}, **fields},
        "data": {"data": {"rows": [1], **fields}},
        "report": {"data": {"report": {"rows": [1], **fields}}},
        "meta": {"rows": [1], "meta": fields},
        "links deep": {"data": {"rows": [1], "paging": {"links": fields}}},
    }[where]
    with pytest.raises(ValueError, match=f"the answer's field '{name}' seems to point to a next page"):
        read_rows(payload, NAMES)


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 1.5, True])
def test_a_token_of_another_kind_is_an_error(value):
    with pytest.raises(ValueError, match="'next_page_token' seems to point to a next page"):
        read_rows({"rows": [], "next_page_token": value}, NAMES)


@pytest.mark.parametrize(
    "payload",
    [
        {"data": [1], "pagination": {"next_page_token": "abc"}},
        {"data": {"rows": [1], "meta": {"nextPageToken": "abc"}}},
        {"data": [1], "paging": {"next_page_token": "abc"}},
        {"rows": [], "has_more": True, "data": {"next_page_token": "abc"}},
        {"next_page_token": None, "data": {"rows": [], "nextPageToken": "abc"}},
    ],
    ids=["beside", "beside within", "paging", "with others", "null in another layer"],
)
def test_a_known_token_is_found_in_any_layer_beside_others(payload):
    assert read_rows(payload, NAMES).token == "abc"


def test_fields_within_rows_are_no_token():
    rows = [{"next_page_token": "abc", "cursor": "x", "next": {"more": True}}]
    assert read_rows({"data": rows}, NAMES) == Rows(rows, None, "absent")


def test_a_token_that_cannot_be_sent_back_is_an_error():
    with pytest.raises(ValueError, match="half a character") as caught:
        read_rows({"rows": [], "next_page_token": "secret\ud83d"}, NAMES)
    assert "secret" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------- object
@pytest.mark.parametrize(
    ("payload", "inner"),
    [
        ({"a": 1}, {"a": 1}),
        ({"message": "m", "data": {"a": 1}}, {"a": 1}),
        ({"data": {}}, {}),
        ({}, {}),
        ({"data": {"data": {"a": 1}}}, {"data": {"a": 1}}),
    ],
)
def test_an_object_is_read_bare_or_wrapped(payload, inner):
    assert read_object(payload) == inner


@pytest.mark.parametrize("payload", [None, [], [{}], "x", 7, {"data": None}, {"data": []}, {"data": "x"}])
def test_anything_else_is_no_object(payload):
    with pytest.raises(ValueError, match="the answer is not an object"):
        read_object(payload)
