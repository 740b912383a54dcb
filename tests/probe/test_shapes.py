"""Envelopes, seen without a look at values."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.endpoints import list_leads, list_sessions
from airflow_provider_robofy.probe.shapes import NO_ROWS, UNKNOWN_TOKEN, error_shape, glance, see

READ = list_sessions("a").read
ROW = {"session_id": "s"}


@pytest.mark.parametrize(
    ("payload", "rows_at", "token_at"),
    [
        ([ROW], (), None),
        ({"sessions": [ROW]}, ("sessions",), None),
        ({"message": "m", "data": [ROW], "nextPageToken": "t"}, ("data",), ("nextPageToken",)),
        (
            {"data": {"result": {"rows": [ROW]}, "next_page_token": 2}},
            ("data", "result", "rows"),
            ("data", "next_page_token"),
        ),
        ({"data": {"threads": [ROW]}}, ("data", "threads"), None),
        ({"sessions": [], "next_page_token": None}, ("sessions",), None),
    ],
)
def test_rows_and_token_are_located(payload, rows_at, token_at):
    sight = see(payload, READ)
    assert sight.trouble == ""
    assert sight.envelope.rows_at == rows_at
    assert sight.envelope.token_at == token_at
    assert sight.items == READ(payload).items
    assert (sight.token, sight.end_marker) == (READ(payload).token, READ(payload).end_marker)


def test_totals_and_columns_are_seen_beside_the_rows():
    payload = {"data": {"report": {"columns": ["id", 7], "rows": [], "total": 12}, "total_count": 40, "count": "no"}}
    envelope = see(payload, list_leads(1, "a").read).envelope
    assert envelope.columns == ("id", "7")
    assert envelope.totals_at == (("data", "total_count"), ("data", "report", "total"))
    assert envelope.beside == ("columns", "rows", "total")


def test_a_token_of_another_name_is_trouble_but_the_rows_are_there():
    sight = see({"sessions": [ROW], "paging": {"cursor": "abc"}}, READ)
    assert sight.trouble == UNKNOWN_TOKEN
    assert sight.items == [ROW]
    assert sight.token is None
    assert sight.envelope.pointers_at == (("paging", "cursor"),)


@pytest.mark.parametrize("payload", [None, "text", 7, {}, {"a": [1], "b": [2]}, {"sessions": {"x": 1}}])
def test_no_rows_is_trouble_and_no_error(payload):
    sight = see(payload, READ)
    assert sight.trouble == NO_ROWS
    assert sight.items == []


def test_an_answer_nested_without_end_is_no_error():
    deep: object = [ROW]
    for _ in range(900):
        deep = {"data": deep, "cursor": "x"}
    assert see(deep, READ).trouble == NO_ROWS


def test_a_glance_keeps_names_types_known_words_and_zones_only():
    seen = glance({"message": "for Anna", "data": {"llm_api_key": "sk-1", "status": "RUNNING", "tz": "Asia/Tokyo"}})
    assert seen.wraps == ("message", "data")
    assert seen.names == ("llm_api_key", "status", "tz")
    assert seen.status == "running"
    assert seen.zones == ("Asia/Tokyo",)
    assert "sk-1" not in repr(seen)
    assert "Anna" not in repr(seen)


@pytest.mark.parametrize(
    ("payload", "content", "rows", "names"),
    [
        ([{"id": 1}, {}], "array", 2, ("id",)),
        ({"data": []}, "array", 0, ()),
        ({"data": None}, "null", None, ()),
        ("text", "text", None, ()),
        ({"status": "Anna is here", "timezone": "not a zone"}, "object", None, ("status", "timezone")),
    ],
)
def test_a_glance_at_anything(payload, content, rows, names):
    seen = glance(payload)
    assert (seen.content, seen.rows, seen.names, seen.status, seen.zones) == (content, rows, names, None, ())


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"message": "m", "error": {"code": "X", "detail": "d"}}, "documented shape 1"),
        ({"error": {"code": "x", "message": "m"}}, "documented shape 2"),
        ({"error": {"anna": 1}}, "an object with the object error, of neither documented shape"),
        ({"error": "anna"}, "an object without the object error"),
        (["anna"], "no object but array"),
        (None, "no object but null"),
    ],
)
def test_error_shapes(payload, said):
    assert error_shape(payload) == said
