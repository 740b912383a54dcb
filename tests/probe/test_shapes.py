"""Envelopes, seen without a look at values."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.endpoints import get_crawl_status, list_agents, list_leads, list_sessions
from airflow_provider_robofy.probe.shapes import error_shape, shape_of

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
    shape = shape_of(payload, READ)
    assert shape.trouble == ""
    assert shape.rows_at == rows_at
    assert shape.token_at == token_at
    assert shape.rows == READ(payload)


def test_totals_and_columns_are_seen_beside_the_rows():
    payload = {"data": {"report": {"columns": ["id", 7], "rows": [], "total": 12}, "total_count": 40, "count": "no"}}
    shape = shape_of(payload, list_leads(1, "a").read)
    assert shape.columns == ("id", "7")
    assert shape.fields["data", "total_count"] == shape.fields["data", "report", "total"] == "number"
    assert shape.fields["data", "count"] == "text"
    assert [at[-1] for at in shape.fields if at[:-1] == ("data", "report")] == ["columns", "rows", "total"]


def test_of_an_answer_that_is_no_listing_names_types_known_words_and_zones_are_kept_only():
    payload = {"message": "for Anna", "data": {"llm_api_key": "sk-1", "status": "RUNNING", "tz": "Asia/Tokyo"}}
    shape = shape_of(payload, get_crawl_status(1, "a").read)
    assert [at for at in shape.fields if len(at) == 1] == [("message",), ("data",)]
    assert shape.fields["data",] == "object"
    assert shape.names == ("llm_api_key", "status", "tz")
    assert shape.status == "running"
    assert shape.zones == ("Asia/Tokyo",)
    assert "sk-1" not in repr(shape)
    assert "Anna" not in repr(shape)


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
def test_anything_has_a_shape(payload, content, rows, names):
    shape = shape_of(payload, list_agents(1).read)
    assert shape.fields.get(("data",), shape.kind) == content
    assert (None if shape.rows is None else len(shape.rows.items)) == rows
    assert shape.names == names
    assert not shape.status
    assert shape.zones == ()


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
