"""Envelopes, seen without a look at values."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.endpoints import get_crawl_status, list_agents, list_leads, list_sessions
from airflow_provider_robofy.probe.answer import error_shape, read_answer
from airflow_provider_robofy.probe.others import about_endpoint, zones_of
from airflow_provider_robofy.probe.words import Names

NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
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
    answer = read_answer(payload, READ, NOW)
    assert answer.trouble == ""
    assert answer.rows_at == rows_at
    assert answer.token_at == token_at
    assert answer.rows == READ(payload)


def test_fields_beside_the_rows_are_seen_outermost_first():
    payload = {"data": {"report": {"columns": ["id", 7], "rows": [], "total": 12}, "total_count": 40, "count": "no"}}
    answer = read_answer(payload, list_leads(1, "a").read, NOW)
    assert [at[-1] for at in answer.fields] == ["data", "report", "total_count", "count", "columns", "rows", "total"]
    assert answer.fields["data", "total_count"] == 40


def test_of_an_answer_that_is_no_listing_names_types_known_words_and_zones_are_written_only():
    payload = {"message": "for Anna", "data": {"llm_api_key": "sk-1", "status": "RUNNING", "tz": "Asia/Tokyo"}}
    answer = read_answer(payload, get_crawl_status(1, "a").read, NOW)
    found = about_endpoint("get_crawl_status", answer, Names())
    assert found.value["envelope"] == ["message", "data"]
    assert found.value["content"] == "object"
    assert found.value["fields"] == ["llm_api_key", "status", "tz"]
    assert found.value["status"] == "running"
    assert zones_of(answer) == {"Asia/Tokyo"}
    for shown in (repr(answer), repr(found)):
        assert "sk-1" not in shown
        assert "Anna" not in shown


@pytest.mark.parametrize(
    ("payload", "content", "rows", "names"),
    [
        ([{"id": 1}, {}], "array", 2, ["id"]),
        ({"data": []}, "array", 0, []),
        ({"data": None}, "null", None, []),
        ("text", "text", None, []),
        ({"status": "Anna is here", "timezone": "not a zone"}, "object", None, ["status", "timezone"]),
    ],
)
def test_anything_has_a_shape(payload, content, rows, names):
    answer = read_answer(payload, list_agents(1).read, NOW)
    found = about_endpoint("list_agents", answer, Names())
    assert found.value["content"] == content
    assert (None if answer.rows is None else len(answer.rows.items)) == rows
    assert found.value["fields"] == names
    assert found.value["status"] is None
    assert zones_of(answer) == set()


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
    assert error_shape(dump_line(payload)) == said


def test_an_error_that_is_no_json_is_named():
    assert error_shape(b"<html>") == "no JSON"
