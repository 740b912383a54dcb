"""Pages side by side hand on what one page after another does, whatever the tokens and the server do."""

from __future__ import annotations

import base64
import random
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import ahead
from airflow_provider_robofy.api.client import Answered, RobofyClient
from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.errors import (
    RobofyCallError,
    RobofyCancelledError,
    RobofyError,
    RobofyNotFoundError,
    RobofyRateLimitError,
)
from airflow_provider_robofy.api.pages import TOKEN_PARAMETER
from airflow_provider_robofy.api.settings import Settings

NOW = datetime(2025, 1, 15, tzinfo=UTC)
CALL = list_leads("1", "a")


def page_token(number: int) -> str:
    return base64.b64encode(b'{"page":%d}' % number).decode()


@pytest.fixture(autouse=True)
def _always_worth_it(monkeypatch):
    monkeypatch.setattr(ahead, "SLOW", 0.0)


# ----------------------------------------------------------------------------------------------- any tokens, no network
@dataclass
class Listed:
    """A listing behind a client: which page each token gives, and what the others give.

    :param tokens: The token that each page names.
    :param unknown: What a token gives that no page names: ``missing``, ``busy``, ``empty`` or ``first`` (page).
    """

    tokens: list[str]
    unknown: str
    settings: Settings = field(default_factory=lambda: Settings(api_key="k"))
    held: float = 0.0
    unused: int = 0
    sent: int = 0

    def exchange(self, call: Any) -> Answered[Rows]:
        self.sent += 1
        token = call.query.get(TOKEN_PARAMETER)
        if token is None:
            return self._page(0)
        if token in self.tokens:
            return self._page(self.tokens.index(token) + 1)
        error: dict[str, Any] = {"endpoint": "leads", "requested_at": NOW}
        if self.unknown == "missing":
            raise RobofyNotFoundError("no such page", **error)
        if self.unknown == "busy":
            refused = RobofyRateLimitError("too many", **error)
            refused.retry_after = 0.01
            raise refused
        return self._page(0) if self.unknown == "first" else Answered(Rows([], None, "absent"), None, NOW)

    def _page(self, number: int) -> Answered[Rows]:
        token = self.tokens[number] if number < len(self.tokens) else None
        rows = [{"id": f"{number}-{one}"} for one in range(2)]
        return Answered(Rows(rows, token, None if token else "absent"), None, NOW)

    def helper(self) -> Listed:
        return self

    def cancel(self) -> None: ...

    def check_cancelled(self) -> None: ...

    def hold(self, seconds: float) -> None:
        self.held = seconds

    def release_helpers(self, *, used: int) -> None:
        self.used = used


def outcome(pages: Any) -> tuple[list[Any], str]:
    seen: list[Any] = []
    try:
        seen.extend((page.number, page.rows, page.end_marker) for page in pages)
    except RobofyError as error:
        return seen, str(error)
    return seen, "ended"


tokens = st.one_of(
    st.integers(1, 30).flatmap(lambda first: st.just([page_token(first + one) for one in range(12)])),
    st.lists(st.integers(0, 40).map(str), max_size=12),
    st.lists(st.sampled_from(["1", "2", "3", "4", "x", page_token(2), page_token(3), page_token(9)]), max_size=12),
    st.tuples(st.integers(0, 8), st.sampled_from(["x", "0", page_token(1), ""])).map(
        lambda change: [page_token(one + 2) if one != change[0] else change[1] for one in range(12)]
    ),
).map(lambda found: [one for one in found if one])


@settings(max_examples=300, deadline=None)
@given(tokens, st.sampled_from(["missing", "busy", "empty", "first"]))
def test_for_any_tokens_the_pages_are_those_of_the_serial_read(tokens, unknown):
    serial = RobofyClient.pages(Listed(tokens, unknown), CALL)  # type: ignore[arg-type]
    side_by_side = ahead.PagesAhead(Listed(tokens, unknown), CALL, "id").pages()  # type: ignore[arg-type]
    assert outcome(side_by_side) == outcome(serial)


# ------------------------------------------------------------------------------- rows that arrive while pages are read
@dataclass
class Moving(Listed):
    """A listing, newest first, that moves while it is read and answers out of order."""

    tokens: list[str] = field(default_factory=list)
    unknown: str = ""
    rows: list[int] = field(default_factory=lambda: list(range(60)))
    arrivals: float = 0.0
    appends: float = 0.0
    deletions: float = 0.0
    seed: int = 0
    deleted: set[int] = field(default_factory=set)
    #: By page, the rows that there were when it was served last.
    there: dict[int, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self._next = 1000

    def exchange(self, call: Any) -> Answered[Rows]:
        token = call.query.get(TOKEN_PARAMETER)
        number = 1 if token is None else int(base64.b64decode(token)[8:-1])
        with self._lock:
            pauses = [self._random.choice([0.0, 0.0005, 0.002]) for _ in range(2)]
        time.sleep(pauses[0])
        with self._lock:
            self.sent += 1
            if self._random.random() < self.arrivals:
                self._next += 1
                self.rows.insert(0, self._next)
            if self._random.random() < self.appends:
                self._next += 1
                self.rows.append(self._next)
            if self.rows and self._random.random() < self.deletions:
                gone = self._random.choice(self.rows)
                self.rows.remove(gone)
                self.deleted.add(gone)
            rows = [{"id": str(one)} for one in self.rows[(number - 1) * 3 : number * 3]]
            more = number * 3 < len(self.rows)
            self.there[number] = set(self.rows)
        time.sleep(pauses[1])
        return Answered(Rows(rows, page_token(number + 1) if more else None, None if more else "null"), None, NOW)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.15, 0.4]))
def test_no_row_is_missing_though_others_arrive_and_answers_come_out_of_order(seed, arrivals):
    server = Moving(arrivals=arrivals, seed=seed)
    seen = {int(row["id"]) for page in ahead.PagesAhead(server, CALL, "id").pages() for row in page.rows}  # type: ignore[arg-type]
    assert set(range(60)) <= seen


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3]))
def test_rows_that_were_added_at_the_end_before_the_last_page_was_named_are_seen(seed, appends):
    server = Moving(appends=appends, seed=seed)
    pages = list(ahead.PagesAhead(server, CALL, "id").pages())  # type: ignore[arg-type]
    assert server.there[pages[-1].number - 1] <= {int(row["id"]) for page in pages for row in page.rows}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_of_deletions_no_more_is_missing_than_rows_that_moved_up(seed):
    server = Moving(arrivals=0.1, deletions=0.1, seed=seed)
    seen = {int(row["id"]) for page in ahead.PagesAhead(server, CALL, "id").pages() for row in page.rows}  # type: ignore[arg-type]
    assert len(set(range(60)) - seen - server.deleted) <= len(server.deleted)


# ------------------------------------------------------------------------------------------------- over the emulator
@pytest.fixture
def client(robofy_emulator_factory):
    made = []

    def client(leads=95, **options):
        own: dict[str, Any] = {
            name: options.pop(name) for name in ("max_attempts", "max_response_mb") if name in options
        }
        emulator = robofy_emulator_factory(leads=leads, page_size=5, agents=1, **options)
        own |= {"api_key": emulator.api_key, "base_url": emulator.url, "backoff": 0.01, "max_parallel_pages": 8}
        made.append(RobofyClient(Settings(**own)))
        return emulator, made[-1]

    yield client
    for one in made:
        one.close()


def read(emulator, client) -> list[str]:
    call = list_leads(emulator.project_id, emulator.chatbot_ids[0])
    return [row["id"] for page in client.pages(call, row_id="id") for row in page.rows]


@pytest.mark.parametrize("form", ["base64", "number", "offset", "opaque", "signed"])
def test_every_form_of_token_gives_the_same_rows(client, form):
    emulator, one = client(token_form=form, latency=0.01)
    assert read(emulator, one) == [row["id"] for row in emulator.leads()]
    foreseen = form in {"base64", "number", "offset"}
    assert (one.requests_unused > 0) == foreseen
    assert one.requests == emulator.count("list_leads") == 19 + one.requests_unused
    assert one.requests_unused <= 8, "seven behind the end, and the last page, which is asked for again"


def test_pages_are_asked_for_at_the_same_time(client):
    emulator, one = client(latency=0.05, max_in_flight=0)
    began = time.monotonic()
    read(emulator, one)
    assert time.monotonic() - began < 19 * 0.05, "one after another takes as long as all answers together"


@pytest.mark.parametrize(
    ("options", "fault"),
    [({"max_in_flight": 2}, None), ({"max_response_mb": 0.01}, None), ({}, "drop"), ({}, "truncate"), ({}, "not_json")],
)
def test_faults_and_limits_change_nothing_in_what_is_read(client, options, fault):
    emulator, one = client(latency=0.005, **options)
    if fault:
        emulator.fault(fault, endpoint="list_leads", after=4, times=5)
    assert read(emulator, one) == [row["id"] for row in emulator.leads()]
    assert one.requests_unused >= 1, "pages were asked for ahead"


def test_a_page_that_keeps_failing_fails_with_its_number(client):
    emulator, one = client(max_attempts=2)
    emulator.fault("status", status=500, endpoint="list_leads", page=9, times=0)
    with pytest.raises(RobofyCallError, match="page 9"):
        read(emulator, one)


def test_rows_without_an_id_are_read_one_page_after_another(client):
    emulator, one = client(latency=0.005)
    emulator.fault("malformed_rows", endpoint="list_leads", page=2, count=1, how="no_id", times=0)
    pages = one.pages(list_leads(emulator.project_id, emulator.chatbot_ids[0]), row_id="id")
    assert len(list(pages)) == 19
    assert one.requests_unused == 0


def test_where_the_network_is_fast_nothing_is_asked_for_ahead(client, monkeypatch):
    monkeypatch.setattr(ahead, "SLOW", float("inf"))
    emulator, one = client()
    read(emulator, one)
    assert (one.requests, one.requests_unused) == (19, 0)


def test_a_read_that_is_left_early_or_cancelled_ends_what_is_under_way(client):
    emulator, one = client(latency=0.02)
    call = list_leads(emulator.project_id, emulator.chatbot_ids[0])
    pages = one.pages(call, row_id="id")
    for _ in range(6):
        next(pages)
    pages.close()
    assert one.requests_unused > 0
    assert not any(thread.name.startswith("robofy-pages") and not thread.daemon for thread in threading.enumerate())

    pages = one.pages(call, row_id="id")
    for _ in range(6):
        next(pages)
    one.cancel()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        next(pages)
    assert time.monotonic() - began < 1.5


def test_leads_that_arrive_between_answers_out_of_order_push_none_out_of_sight(client):
    emulator, one = client(leads=300)
    agent = emulator.chatbot_ids[0]
    for page in range(3, 60, 4):
        emulator.fault("delay", seconds=0.03, endpoint="list_leads", page=page, times=1)
    there = {row["id"] for row in emulator.leads()}
    over = threading.Event()

    def arrive() -> None:
        while not over.wait(0.004):
            emulator.add_leads(1, chatbot_id=agent)

    arriving = threading.Thread(target=arrive)
    arriving.start()
    try:
        seen = set(read(emulator, one))
    finally:
        over.set()
        arriving.join()
    assert there <= seen
    assert len(emulator.leads()) > len(there), "leads arrived"
    assert one.requests_unused > 7, "pages were asked for again"
