"""Whether an answer says that it failed: one function, for every endpoint, whatever the status."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.answers import find_failure, read_answer
from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyNotFoundError,
    RobofyRateLimitError,
    RobofyServerError,
)
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.api.transport import Received

ROW = {"id": "lead_1", "created_at": "2025-01-15 10:30:00", "status": "failed", "error": "none of ours", "code": 500}
#: Answers that are documented, or that other clients of the API were seen to accept.
ACCEPTED: list[Any] = [
    {"message": "Leads retrieved successfully.", "data": {"report": {"columns": ["id"], "rows": [ROW]}}},
    {"sessions": [ROW]},
    [ROW],
    {"message": "ok", "data": {"sessions": []}},
    {"message": "Success", "data": {"answer": "An error occurred? No.", "session_id": "s"}},
    {"message": "Chatbot asset linkage initiated.", "data": {"linkage_id": 6548, "status": "Processing"}},
    {"message": "File uploaded successfully", "data": {"status": "Uploaded", "asset_url": "https://x"}},
    {"linkage_id": 101, "llm_source": "document/x.txt", "chatbot_id": "c", "asset_id": 98765, "status": "active"},
    {"run_id": "crawl_run_12345", "status": "crawling", "started_at": "2026-02-20 14:45:00"},
    {"data": []},
    None,
    7,
    "text",
]
#: Fields that report nothing, beside rows.
HARMLESS: list[dict[str, Any]] = [
    *({"error": None}, {"error": ""}, {"error": False}, {"error": 0}, {"error": {}}, {"error": "none"}),
    *({"errors": []}, {"errors": 0}, {"errors": 3}),
    *({"success": word} for word in (True, None, "true")),
    *({"code": code} for code in (200, 0, "OK", "200", None)),
    *({"status": word} for word in ("success", "ok", 200, "200", True, "completed")),
    {"result": {"rows": []}},
    {"message": "Failed rows were left out: 0"},
]
#: Fields that report a failure, by the class of the error.
FAILED: dict[type[RobofyApiError], list[dict[str, Any]]] = {
    RobofyApiError: [
        *({"error": error} for error in ({"message": "x"}, "Something broke", True, 1, ["x"])),
        *({"errors": errors} for errors in (["x"], "x", {"field": ["x"]})),
        *({"success": False}, {"success": "false"}, {"ok": False}, {"isSuccess": False}, {"is_error": True}),
        {"success": False, "message": "Storage quota exceeded"},
        *({"status": word} for word in ("error", "Failure", "FAILED", False)),
        *({"status": "error", "error": "x"}, {"result": "error"}),
    ],
    RobofyServerError: [{"error": {"code": "INTERNAL_ERROR"}}, {"code": 500}, {"statusCode": 503}, {"status": 500}],
    RobofyAuthError: [
        *({"error": {"code": code, "detail": "x"}} for code in ("UNAUTHORIZED", "unauthorized", "FORBIDDEN", 403)),
        {"error": "UNAUTHORIZED"},
        *({"success": False, "code": 401}, {"code": 403, "message": "x"}, {"code": "403"}, {"code": "UNAUTHORIZED"}),
        {"status": "unauthorized"},
    ],
    RobofyNotFoundError: [{"error": {"code": "PROJECT_NOT_FOUND"}}, {"error": {"status": 404}}],
    RobofyRateLimitError: [{"error": {"code": "RATE_LIMIT_EXCEEDED"}}],
    RobofyBadRequestError: [{"errors": [{"code": "BAD_REQUEST", "message": "x"}]}, {"code": 400}],
}


def ids(value):
    return json.dumps(value) if isinstance(value, dict | list) else ""


def wrap(fields: dict[str, Any], how: str) -> dict[str, Any]:
    """Put fields beside good rows or an empty list, at one of the two levels that are looked at."""
    return {
        "beside": {**fields, "rows": [ROW]},
        "beside nothing": {**fields, "data": {"report": {"rows": []}}},
        "inside data": {"message": "done", "data": {**fields, "report": {"rows": []}}},
    }[how]


@pytest.mark.parametrize("payload", ACCEPTED, ids=ids)
@pytest.mark.parametrize("own_status", [False, True])
def test_an_accepted_answer_reports_no_failure(payload, own_status):
    assert find_failure(payload, own_status=own_status) is None


@pytest.mark.parametrize("how", ["beside", "beside nothing", "inside data"])
@pytest.mark.parametrize("fields", HARMLESS, ids=ids)
def test_what_reports_nothing_stays_accepted(fields, how):
    assert find_failure(wrap(fields, how)) is None


@pytest.mark.parametrize("how", ["beside", "beside nothing", "inside data"])
@pytest.mark.parametrize(
    ("fields", "kind"), [(fields, kind) for kind, rows in FAILED.items() for fields in rows], ids=ids
)
def test_an_answer_that_says_that_it_failed_is_a_failure_whatever_stands_beside_it(fields, kind, how):
    answer = Received(200, {}, json.dumps(wrap(fields, how)).encode())
    with pytest.raises(kind) as caught:
        read_answer(endpoints.list_leads(1, "agent"), answer, datetime.now(UTC), Settings(api_key="k"))
    assert (type(caught.value), caught.value.status) == (kind, 200)
    assert caught.value.transient != caught.value.permanent, "what a retry may change is asked again"


@pytest.mark.parametrize(
    "call",
    [endpoints.list_sessions("a"), endpoints.list_agents(1), endpoints.list_projects(), endpoints.account_limit()],
)
def test_every_endpoint_is_looked_at(connect, raw_server, answer, call):
    server = raw_server(answer({"success": False, "message": "No.", "details": []}))
    with pytest.raises(RobofyApiError, match=r"Robofy answered that the call failed, HTTP 200: No\."):
        connect(server.url, max_attempts=1).call(call)


@pytest.mark.parametrize(
    "payload",
    [
        {"status": "failed", "error": "The site could not be reached."},
        {"run_id": "r", "status": "error"},
        {"data": {"status": "Failed", "asset_id": 5}},
        {"chatbot_id": "c", "status": "failed", "errors": [], "error": None},
    ],
    ids=ids,
)
def test_a_status_that_belongs_to_a_crawl_or_document_is_its_own(payload):
    assert find_failure(payload, own_status=True) is None
    assert find_failure(payload) is not None


@pytest.mark.parametrize(
    "fields",
    [
        *({"error": {"code": "INTERNAL_ERROR"}}, {"error": "x"}, {"errors": ["x"]}, {"code": 403}, {"status": 403}),
        {"success": False, "message": "Storage quota exceeded"},
    ],
    ids=ids,
)
def test_where_there_is_a_status_of_its_own_a_refusal_is_one_all_the_same(fields):
    assert find_failure(fields, own_status=True) is not None
    assert find_failure({"data": fields}, own_status=True) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["error", "errors", "success", "code", "status", "data", "message", "result", "rows"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON | st.dictionaries(st.sampled_from(NAMES), JSON)), st.booleans())
def test_any_answer_is_judged_without_an_error_of_our_own(payload, own_status):
    failure = find_failure(payload, own_status=own_status)
    assert failure is None or isinstance(failure.code + failure.detail, str)
