"""Whatever an API answers: the report is made, and no text and no number of an answer is in it."""

from __future__ import annotations

import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.emulator.words import FIRST_NAMES
from airflow_provider_robofy.hooks.connection import read_connection
from airflow_provider_robofy.probe.ask import Bounds
from airflow_provider_robofy.probe.report import as_json, as_text
from airflow_provider_robofy.probe.survey import probe

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
_printable = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)
_headers = st.dictionaries(
    st.one_of(
        st.sampled_from(["x-ratelimit-limit", "retry-after", "ratelimit", "date"]),
        st.text("abcxyz-", max_size=12).map(lambda text: f"x-ratelimit-{MARK}{text}"),
    ),
    _printable.map(lambda text: f"{MARK}{text}"),
    max_size=3,
)
_statuses = st.sampled_from([200, 200, 200, 400, 401, 403, 404, 429, 500])

_LEAD = {
    "id": f"{MARK}1",
    "created_at": "2025-01-15 10:30:00",
    "ip_address": MARK,
    "lead_data": [{"field_name": MARK, "field_type": kind, "field_value": MARK} for kind in ("email", MARK)],
}
#: Answers as they are documented or reported, for mutating.
_DOCUMENTED = [
    {"message": MARK, "data": {"report": {"columns": list(_LEAD), "rows": [_LEAD], "next_page_token": MARK}}},
    {"sessions": [{"session_id": f"+{NUMBER}", "last_message_time": 1736937000, "last_message": MARK}]},
    [{"id": NUMBER, "role": "user", "sender": MARK, "message": MARK, "created_at": "2025-01-15T10:30:00Z"}],
    {"message": MARK, "error": {"code": "PROJECT_NOT_FOUND", "detail": MARK}},
    {"error": {"code": "unauthorized", "message": MARK, "details": {"field": MARK}}},
    {"data": {"status": MARK, "timezone": "Asia/Tokyo", "llm_api_key": MARK}},
]
_BODIES = [codec.dump_line(one) for one in _DOCUMENTED]
_SPLICES = [b"", b"null", b"[]", b"{}", b'"', b",", b"NaN", b"1e999", b"9" * 30, b'"\\ud800"', b"\xff", b"[" * 1200]
_SPLICES += [b'{"data":' * 200, b'"next_page_token":0,', b'"cursor":"x",', b"2025-13-45", b"-1", b"\x00"]


class Server:
    """Answers every GET with the next of a list of answers, over and over."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, dict[str, str]]] = []
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, headers = server.answers[server.requests % len(server.answers)]
                server.requests += 1
                lines = {"content-type": "application/json", **headers, "content-length": str(len(body))}
                head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
                self.wfile.write(f"HTTP/1.1 {status} {MARK}\r\n{head}\r\n".encode() + body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def report(
        self,
        answers: list[tuple[int, bytes, dict[str, str]]],
        bounds: Bounds | None = None,
        *,
        ids: bool = True,
        reveal: bool = False,
    ) -> str:
        """Run a whole probe over these answers and return both forms of its report."""
        self.answers, self.requests = answers, 0
        extra = {"project_id": "1", "chatbot_id": "a"} if ids else {}
        connection = read_connection(host=self.url, password="key-of-tests", extra=extra, user_agent="tests")
        connection = replace(connection, settings=replace(connection.settings, backoff=0.0))
        bounds = bounds or Bounds()
        found = probe(connection, bounds, reveal=reveal)
        assert self.requests == found.requests <= bounds.max_requests
        said = as_text(found) + codec.dump_pretty(as_json(found)).decode()
        return said.replace(self.url, "")


@pytest.fixture(scope="module")
def server():
    made = Server()
    yield made
    made.stop()


def check(said: str) -> None:
    assert MARK.lower() not in said.lower()
    assert str(NUMBER) not in said


@given(st.lists(st.tuples(_statuses, _answers, _headers), min_size=1), st.booleans())
def test_no_text_or_number_of_an_answer_is_in_the_report(server, answers, short):
    encoded = [(status, codec.dump_line(payload), headers) for status, payload, headers in answers]
    check(server.report(encoded, Bounds(max_requests=6 if short else 40)))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Return a documented answer with pieces cut out, put in or doubled."""
    body = draw(st.sampled_from(_BODIES))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        until = min(at + draw(st.integers(0, 12)), len(body))
        piece = draw(st.one_of(st.sampled_from(_SPLICES), st.binary(max_size=3), st.just(body[at:until] * 2)))
        body = body[:at] + piece + body[until:]
    return body


@settings(max_examples=150)
@given(st.lists(st.tuples(_statuses, mutated(), _headers), min_size=1, max_size=12), st.booleans(), st.booleans())
def test_a_mutated_answer_gives_a_report_and_never_an_exception(server, answers, ids, reveal):
    said = server.report(answers, ids=ids, reveal=reveal)
    if not reveal:  # on demand, names are written, and a mutation may make a name of a value
        check(said)


@pytest.mark.parametrize("depth", [100, 500, 900, 1020, 5000])
def test_a_row_that_is_nested_too_deeply_is_no_exception(server, depth):
    row = b'{"id":"1","x":' + b"[" * depth + b"]" * depth + b"}"
    said = server.report([(200, b'{"rows":[' + row + b"]}", {})], Bounds(max_requests=6))
    assert "leads" in said


def test_the_report_is_made_all_the_same(server):
    rows = [{"id": f"{MARK}{n}", "created_at": f"2025-01-15 10:30:{n:02d}", f"{MARK}x": NUMBER} for n in range(30)]
    said = server.report([(200, codec.dump_line({"data": {"report": {"rows": rows[::-1]}}}), {})])
    assert "newest first (30 different times)" in said
    assert "1 whose name is not shown" in said
    assert MARK not in said
    assert not [name for name, _ in FIRST_NAMES if f" {name} " in said]
