"""Whatever an API answers, no text and no number of it is in the report."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.transport import Received
from airflow_provider_robofy.emulator.words import FIRST_NAMES
from airflow_provider_robofy.hooks.connection import read_connection
from airflow_provider_robofy.probe import survey
from airflow_provider_robofy.probe.account import Account
from airflow_provider_robofy.probe.asking import Bounds
from airflow_provider_robofy.probe.report import as_json, as_text

MARK = "Qx7"
NUMBER = 4915155500011

_texts = st.text(max_size=12).map(lambda text: f"{MARK}{text}")
_KEYS = """
id session_id created_at last_message_time lead_data field_name field_type field_value role sender status data report
rows sessions messages message error code detail next_page_token cursor has_more total columns text timezone type
direction name email phone
"""
_names = st.one_of(_texts, st.sampled_from(_KEYS.split()))
_leaves = st.one_of(st.none(), st.booleans(), _texts, st.just(NUMBER), st.just(f"2025-01-15 10:30:00{MARK}"))
_json = st.recursive(
    _leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_names, inner, max_size=5)),
    max_leaves=20,
)
_rows = st.lists(st.one_of(_json, st.dictionaries(_names, _json, max_size=6)), max_size=4)
_answers = st.one_of(
    _json,
    _rows,
    _texts.map(lambda text: {"message": text, "error": {"code": text, "detail": text}}),
    _rows.map(lambda rows: {"data": {"report": {"columns": [f"{MARK}c"], "rows": rows, "total": NUMBER}}}),
    st.tuples(_rows, _names, _texts).map(lambda made: {"sessions": made[0], made[1]: made[2]}),
)
_headers = st.dictionaries(
    st.one_of(st.sampled_from(["x-ratelimit-limit", "retry-after", "ratelimit", "date"]), _texts.map(str.lower)),
    _texts,
    max_size=3,
)


_statuses = st.sampled_from([200, 200, 200, 400, 401, 403, 404, 429, 500])


@given(st.lists(st.tuples(_statuses, _answers, _headers), min_size=1), st.booleans())
def test_no_text_or_number_of_an_answer_is_in_the_report(answers, short):
    said = report_on(answers, short=short)
    assert MARK not in said
    assert MARK.lower() not in said.lower()
    assert str(NUMBER) not in said


def test_the_report_is_made_all_the_same():
    rows = [{"id": f"{MARK}{n}", "created_at": f"2025-01-15 10:30:{n:02d}", f"{MARK}x": NUMBER} for n in range(30)]
    said = report_on([(200, {"data": {"report": {"rows": rows[::-1]}}}, {})], short=False)
    assert "newest first (30 different times)" in said
    assert "1 whose name is not shown" in said
    assert MARK not in said
    assert not [name for name, _ in FIRST_NAMES if f" {name} " in said]


def report_on(answers: list[tuple[int, Any, dict[str, str]]], *, short: bool) -> str:
    """Run a whole probe over a client that gives these answers in turn."""
    extra = {"project_id": "1", "chatbot_id": "a"}
    connection = read_connection(host=None, password="key-of-tests", extra=extra, user_agent="tests")
    bounds = Bounds(max_requests=6 if short else 40)
    prober = survey.Prober(connection, bounds)
    count = 0

    def send(request, settings, deadline):
        nonlocal count
        status, payload, headers = answers[count % len(answers)]
        count += 1
        return Received(status, headers | {"content-type": "application/json"}, codec.dump_line(payload))

    client = prober._asker.client
    client._transport.send = send  # type: ignore[method-assign]
    client._sleep = lambda seconds: None  # type: ignore[method-assign]
    found = prober.run()
    account = Account(connection=connection)
    assert count == found.requests <= bounds.max_requests
    return as_text(found, account) + json.dumps(as_json(found, account), ensure_ascii=False)
