"""Values on their way into columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import types

from airflow_provider_robofy.warehouse.values import (
    MAX_DEPTH,
    MisfitError,
    binder,
    instant,
    json_of,
    text_of,
    time_text,
)

ANY_TEXT = st.text(st.characters())
# JSON as it can come from the API: halves of surrogate pairs, NUL and long integers included.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(ANY_TEXT, children, max_size=4),
    max_leaves=12,
)


def mended(value):
    if isinstance(value, str):
        return "".join("\ufffd" if one == "\0" or "\ud800" <= one <= "\udfff" else one for one in value)
    if isinstance(value, dict):
        return {mended(name): mended(of) for name, of in value.items()}
    if isinstance(value, list):
        return [mended(one) for one in value]
    return value


@given(JSON)
def test_json_says_the_same_and_every_database_can_decode_it(value):
    text = json_of(value)
    assert json.loads(text) == mended(value)
    assert "\0" not in text
    text.encode()
    json.loads(text).__repr__().encode(errors="strict")


@given(JSON)
def test_text_holds_no_character_that_a_database_refuses(value):
    text = text_of(value)
    if isinstance(value, str):
        assert text == mended(value)
    elif value is None:
        assert text is None
    else:
        assert text == json_of(value)


@given(ANY_TEXT)
def test_text_that_fits_is_kept_and_longer_text_refused(value):
    text = mended(value)
    assert binder(types.String(len(text)))(value) == text
    if text:
        with pytest.raises(MisfitError):
            binder(types.String(len(text) - 1))(value)


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 900])
def test_json_that_is_too_deep_is_kept_in_a_string(depth):
    text = "[" * depth + '"[[{{"' + "]" * depth
    value = json.loads(text)
    found = json.loads(json_of(value))
    assert found == (value if depth <= MAX_DEPTH else text)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
def test_where_long_integers_would_be_rounded_they_become_text(number):
    assert json.loads(json_of({"a": [number, 7]}, wide_integers=False)) == {"a": [str(number), 7]}
    assert json.loads(json_of({"a": [number, 7]})) == {"a": [number, 7]}


def test_integers_of_64_bits_stay_integers_everywhere():
    value = {"a": [2**63 - 1, -(2**63), 1234567890123456789.0]}
    assert json.loads(json_of(value, wide_integers=False)) == value


@given(st.datetimes(timezones=st.timezones()))
def test_times_are_bound_in_utc_and_read_back_the_same(time):
    try:
        expected = time.astimezone(UTC)
    except OverflowError:
        return
    bound = binder(types.DateTime())(time.isoformat())
    assert isinstance(bound, str)
    assert instant(bound) == expected
    assert len(bound) == len("2025-01-15 10:30:00.000000")
    assert bound == time_text(expected)


@pytest.mark.parametrize(
    ("kind", "given", "bound"),
    [
        (types.DateTime(), "2025-01-15T10:30:00+00:00", "2025-01-15 10:30:00.000000"),
        (types.DateTime(), "2025-01-15T10:30:00+02:00", "2025-01-15 08:30:00.000000"),
        (types.DateTime(), "2025-W03-3T10:30:00+00:00", "2025-01-15 10:30:00.000000"),
        (types.DateTime(), "20250115T103000.500+00:00", "2025-01-15 10:30:00.500000"),
        (types.DateTime(), "2025-01-15T103000.5+00:00", "2025-01-15 10:30:00.500000"),
        (types.DateTime(), datetime(2025, 1, 15, tzinfo=UTC), "2025-01-15 00:00:00.000000"),
        (types.Integer(), "7", 7),
        (types.Integer(), True, 1),
        (types.Numeric(), 1.5, "1.5"),
        (types.Float(), 1.5, "1.5"),
        (types.Numeric(), "1e3", "1E+3"),
        (types.Boolean(), "true", True),
        (types.JSON(), "text", '"text"'),
        (types.Text(), True, "true"),
        (types.Text(), 1.0, "1.0"),
        (types.Text(), {"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
    ],
)
def test_what_fits_is_bound(kind, given, bound):
    assert binder(kind)(given) == bound
    assert binder(kind)(None) is None


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (types.DateTime(), "2025-13-45T99:99:99+00:00"),
        (types.DateTime(), 7),
        (types.DateTime(), "0001-01-01T00:00:00+14:00"),
        (types.Integer(), 1.5),
        (types.Integer(), "x"),
        (types.Integer(), 2**63),
        (types.Numeric(), "NaN"),
        (types.Numeric(), True),
        (types.Numeric(), [1]),
        (types.Boolean(), 1),
        (types.Boolean(), ["true"]),
    ],
)
def test_what_does_not_fit_is_refused_without_being_repeated(kind, given):
    with pytest.raises(MisfitError) as caught:
        binder(kind)(given)
    assert str(given) not in str(caught.value)
