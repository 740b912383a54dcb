"""One call with its retries, without a socket and without real time."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.answers import MAX_RETRY_AFTER, http_date, retry_after
from airflow_provider_robofy.api.client import MAX_BACKOFF, Clock, RobofyClient
from airflow_provider_robofy.api.errors import (
    RobofyCallError,
    RobofyConnectionError,
    RobofyRateLimitError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.api.settings import RateLimiter, Settings
from airflow_provider_robofy.api.transport import Lost, Received, Request

LEADS = endpoints.list_leads(24017, "agent")
CHAT = endpoints.send_message({"query": "hello"})
DELETE = endpoints.delete_agent(24017, "agent")
GOOD = Received(200, {}, b'{"rows": [1]}')
START = datetime(2026, 2, 20, 14, 45, tzinfo=UTC)


class ScriptedTransport:
    """Give one outcome after the other, the last for ever, each after some seconds of the run's clock."""

    def __init__(self, run, outcomes):
        self._run = run
        self._outcomes = itertools.chain(outcomes, itertools.repeat(outcomes[-1]))

    def send(self, request, settings, deadline):
        run = self._run
        run.sent.append(request)
        run.deadlines.append(round(deadline - time.monotonic() + run.time, 3))
        run.time += run.takes
        outcome = next(self._outcomes)
        return outcome(run) if callable(outcome) else outcome


class Run:
    """Make one call with a client without a socket: each request takes `takes` seconds of a clock of its own."""

    def __init__(self, *outcomes, call=LEADS, limiter=None, takes=0.0, chance=1.0, **settings):
        self.time = 1000.0
        self.sent: list[Request] = []
        self.slept: list[float] = []
        self.deadlines: list[float] = []
        self.during_sleep = lambda: None
        clock = Clock(
            monotonic=lambda: self.time,
            now=lambda: START + timedelta(seconds=self.time - 1000),
            chance=lambda: chance,
        )
        self.client = RobofyClient(Settings(api_key="k", **settings), clock=clock)
        self.client._limiter = limiter or RateLimiter(settings.get("requests_per_minute"))
        self.client._sleep = self.sleep  # type: ignore[method-assign]
        self.client._idle = [ScriptedTransport(self, outcomes)]  # type: ignore[list-item]
        self.call = call
        self.takes = takes

    def sleep(self, seconds):
        assert seconds >= 0
        self.slept.append(seconds)
        self.during_sleep()
        self.time += seconds

    def __call__(self):
        return self.client.exchange(self.call)


def status(number, **headers):
    return Received(number, {name.replace("_", "-"): value for name, value in headers.items()}, b"{}")


# ------------------------------------------------------------------------------------------------------ the call
def test_what_is_asked_for_is_all_there():
    run = Run(GOOD, total_timeout=7)
    answered = run()
    (sent,) = run.sent
    assert (sent.method, sent.body) == ("GET", None)
    assert sent.target == "/v1/ai-agent/leads/24017/agent"
    assert sent.headers["Authorization"] == "Bearer k"
    assert "Content-Type" not in sent.headers
    assert run.deadlines == [1007.0]
    assert (answered.value.items, answered.date, answered.requested_at) == ([1], None, START)
    assert run.slept == []


def test_a_body_goes_out_as_json_and_does_not_show_in_the_request():
    run = Run(Received(200, {}, b"{}"), call=CHAT)
    run()
    assert run.sent[0].body == b'{"query":"hello"}\n'
    assert run.sent[0].headers["Content-Type"] == "application/json"
    assert "hello" not in repr(run.sent[0])


def test_neither_key_nor_session_id_shows_in_a_request():
    run = Run(GOOD, call=endpoints.list_session_messages("agent", "491701234567"))
    run()
    assert "491701234567" in run.sent[0].target
    assert "491701234567" not in repr(run.sent[0])
    assert "Bearer" not in repr(run.sent[0])


def test_the_answers_date_and_the_last_attempts_time_are_handed_on():
    run = Run(Lost("dropped"), Received(200, {"date": "Fri, 20 Feb 2026 15:45:00 +0100"}, GOOD.body), takes=10)
    answered = run()
    assert answered.date == START
    assert answered.requested_at == START + timedelta(seconds=11)


# ------------------------------------------------------------------------------------------------------- retries
def test_the_pause_doubles_up_to_a_bound():
    run = Run(Lost("dropped"), max_attempts=10, total_timeout=1e6)
    with pytest.raises(RobofyConnectionError) as caught:
        run()
    assert run.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert caught.value.attempts == len(run.sent) == 10


@given(chance=st.floats(0, 1), attempts=st.integers(1, 12), backoff=st.floats(0, 100))
def test_the_pause_is_never_longer_than_its_bound(chance, attempts, backoff):
    run = Run(Lost("dropped"), chance=chance, max_attempts=attempts, backoff=backoff, total_timeout=1e9)
    with pytest.raises(RobofyConnectionError):
        run()
    assert len(run.slept) == attempts - 1
    for number, pause in enumerate(run.slept):
        assert 0 <= pause <= min(MAX_BACKOFF, backoff * 2**number)


@pytest.mark.parametrize(
    "outcome",
    [
        *(Lost("connect"), Lost("dropped"), Lost("truncated"), Lost("stalled")),
        Lost("dropped", 200, "application/json"),
        *map(status, (408, 429, 500, 502, 503, 504)),
        Received(200, {}, b""),
        Received(200, {}, b"<html>Maintenance</html>"),
    ],
)
def test_what_may_yet_be_answered_is_asked_for_again(outcome):
    run = Run(outcome, outcome, GOOD)
    assert run().value.items == [1]
    assert run.slept == [1, 2]


@pytest.mark.parametrize(
    "outcome",
    [
        *(Lost("tls"), Lost("deadline"), Lost("oversize")),
        *map(status, (400, 401, 403, 404, 405, 409, 410, 413, 418, 422, 501, 505, 511)),
    ],
)
def test_what_would_fail_again_is_not(outcome):
    run = Run(outcome)
    with pytest.raises(RobofyCallError):
        run()
    assert len(run.sent) == 1


@pytest.mark.parametrize("call", [CHAT, DELETE], ids=["POST", "DELETE"])
@pytest.mark.parametrize(
    ("outcome", "times"),
    [
        (Lost("connect"), 5),
        (status(429), 5),
        (Received(200, {}, b'{"error": {"code": "RATE_LIMIT_EXCEEDED"}}'), 5),
        (Lost("tls"), 1),
        (Lost("dropped"), 1),
        (Lost("truncated", 200), 1),
        (Lost("stalled"), 1),
        (Lost("deadline"), 1),
        (status(500), 1),
        (status(503, retry_after="1"), 1),
        (Received(200, {}, b'{"error": {"code": "CONTENT_MODERATED"}}'), 1),
        (Received(200, {}, b'{"error": {"code": "CANNOT_GENERATE"}}'), 1),
        (Received(200, {}, b'{"answer'), 1),
    ],
)
def test_a_change_is_repeated_only_when_it_was_never_made(call, outcome, times):
    run = Run(outcome, call=call)
    with pytest.raises(RobofyCallError):
        run()
    assert len(run.sent) == times


# ---------------------------------------------------------------------------------------------------- Retry-After
@pytest.mark.parametrize("number", [429, 503])
@pytest.mark.parametrize(
    ("value", "pause"),
    [("7", 7), (" 7 ", 7), ("0", 0), ("0.5", 0.5), ("120", 120), ("121", 120), ("999999999", 120)],
)
def test_retry_after_in_seconds_is_obeyed_up_to_two_minutes(number, value, pause):
    run = Run(status(number, retry_after=value), GOOD)
    run()
    assert run.slept == [pause]


@pytest.mark.parametrize("value", ["soon", "-5", "1e3", "", "7 seconds", "0x10", "inf", "nan", "Fri, 99 Foo 2026"])
def test_a_retry_after_that_says_nothing_is_as_good_as_none(value):
    run = Run(status(429, retry_after=value), GOOD)
    run()
    assert run.slept == [1]


@pytest.mark.parametrize(("ahead", "pause"), [(30, 30), (-30, 0), (0, 0), (3600, 120)])
@pytest.mark.parametrize("clock_error", [timedelta(0), timedelta(days=3), timedelta(days=-3)])
def test_a_retry_after_date_is_read_beside_the_servers_own_date(ahead, pause, clock_error):
    server = START + clock_error
    headers = {
        "date": format_datetime(server, usegmt=True),
        "retry_after": format_datetime(server + timedelta(seconds=ahead), usegmt=True),
    }
    run = Run(status(503, **headers), GOOD)
    run()
    assert run.slept == [pause]


def test_a_retry_after_date_without_a_date_beside_it_is_read_by_our_clock():
    run = Run(status(503, retry_after=format_datetime(START + timedelta(seconds=40), usegmt=True)), GOOD, takes=10)
    run()
    assert run.slept == [30]


DATES = st.datetimes(timezones=st.just(UTC)).map(lambda date: format_datetime(date, usegmt=True))


@given(text=st.text() | DATES | st.integers().map(str) | st.floats().map(str), date=st.none() | st.text() | DATES)
def test_retry_after_is_never_negative_nor_above_the_clamp(text, date):
    headers = {"retry-after": text} | ({} if date is None else {"date": date})
    seconds = retry_after(headers, START)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(
    text=st.text() | st.from_regex(r"\w{3}, \d{1,2} (Jan|Dec) \d{1,5} \d\d:\d\d(:\d\d)? [+-]?\w{1,5}", fullmatch=True)
)
def test_an_http_date_is_read_or_is_none(text):
    date = http_date(text)
    assert date is None or date.tzinfo is UTC


# ------------------------------------------------------------------------------------------------- total_timeout
def test_the_deadline_is_set_by_the_first_attempt_and_stays():
    run = Run(Lost("dropped"), takes=10, total_timeout=1000)
    with pytest.raises(RobofyConnectionError):
        run()
    assert set(run.deadlines) == {2000.0}
    assert len(run.sent) == 5


@pytest.mark.parametrize(
    ("total", "sends"), [(10.9, 1), (11.1, 2), (22.9, 2), (23.1, 3), (36.9, 3), (37.1, 4), (500, 5)]
)
def test_no_pause_is_begun_that_ends_behind_the_deadline(total, sends):
    """Attempts end at 10, 21, 33 and 47 seconds; the pauses between are 1, 2, 4 and 8."""
    run = Run(Lost("dropped"), takes=10, total_timeout=total)
    with pytest.raises(RobofyConnectionError) as caught:
        run()
    assert len(run.sent) == caught.value.attempts == sends


def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once():
    run = Run(status(429, retry_after="60"), total_timeout=60)
    with pytest.raises(RobofyRateLimitError) as caught:
        run()
    assert run.slept == []
    assert caught.value.retry_after == 60


def test_waiting_for_the_budget_moves_the_deadline():
    limiter = RateLimiter(1)
    limiter.reserve(1000.0)
    run = Run(Lost("dropped"), Lost("dropped"), GOOD, limiter=limiter, total_timeout=10)
    assert run().value.items == [1]
    assert run.slept == [60, 1, 59, 2, 58]
    assert run.deadlines == [1070, 1129, 1187]


# ---------------------------------------------------------------------------------------------------------- hold
def test_a_429_holds_all_requests_of_the_account_for_as_long_as_it_says():
    limiter = RateLimiter()
    run = Run(status(429, retry_after="50"), GOOD, limiter=limiter)
    held: list[object] = []
    run.during_sleep = lambda: held.extend([limiter.held(1049.9), limiter.held(1050.0), limiter.reserve(1010.0)])
    run()
    assert run.slept == [50]
    assert held == [True, False, 40]


@pytest.mark.parametrize("outcome", [status(503, retry_after="50"), status(429), status(429, retry_after="0")])
def test_other_pauses_hold_nobody_else(outcome):
    limiter = RateLimiter()
    run = Run(outcome, GOOD, limiter=limiter)
    held: list[bool] = []
    run.during_sleep = lambda: held.append(limiter.held(1000.0))
    run()
    assert held == [False]


def test_a_call_that_waits_for_its_turn_waits_on_when_all_are_held():
    limiter = RateLimiter(60)
    limiter.reserve(1000.0)
    run = Run(GOOD, limiter=limiter)
    run.during_sleep = lambda: limiter.hold(1100.0)
    run()
    assert run.slept == [1.0, 99.0]
    assert run.deadlines == [1400.0]


# ----------------------------------------------------------------------------------------------------- redirects
def moved(to, number=302):
    return Received(number, {"location": to}, b"")


def test_three_redirects_are_followed_and_the_fourth_is_not():
    run = Run(moved("/1"), moved("/2"), moved("/3"), GOOD)
    assert run().value.items == [1]
    assert [send.target.rpartition("/")[2] for send in run.sent] == ["agent", "1", "2", "3"]
    run = Run(moved("/1"), moved("/2"), moved("/3"), moved("/4"))
    with pytest.raises(RobofyResponseError, match="HTTP 302, a redirect after 3 others") as caught:
        run()
    assert len(run.sent) == 4
    assert caught.value.status == 302


def test_a_failure_behind_a_redirect_is_asked_again_where_it_failed_and_redirects_use_no_attempts_up():
    run = Run(moved("/1"), Lost("dropped"), moved("/2"), GOOD, max_attempts=2)
    assert run().value.items == [1]
    assert [send.target.rpartition("/")[2] for send in run.sent] == ["agent", "1", "1", "2"]
    assert run.slept == [1]


@pytest.mark.parametrize(
    "to", ["https://agents.robofy.ai/x", "https://agents.robofy.ai:443/x", "HTTPS://Agents.Robofy.AI/x"]
)
def test_the_same_origin_may_be_written_in_several_ways(to):
    run = Run(moved(to), GOOD)
    assert run().value.items == [1]
    assert run.sent[1].headers["Authorization"] == "Bearer k"


ELSEWHERE = r"a redirect to \w+://.*The key is not sent elsewhere"
NOWHERE = "a redirect that cannot be followed"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("http://agents.robofy.ai/x", ELSEWHERE),
        ("https://agents.robofy.ai:8443/x", ELSEWHERE),
        ("https://api.robofy.ai/x", ELSEWHERE),
        ("https://agents.robofy.ai.evil.example/x", ELSEWHERE),
        ("//evil.example/agents.robofy.ai", ELSEWHERE),
        ("https://agents.robofy.ai:443@evil.example/x", ELSEWHERE),
        ("https://agents.robofy.ai\\@evil.example/x", ELSEWHERE),
        ("ftp://agents.robofy.ai/x", ELSEWHERE),
        ("javascript:alert(1)", "a redirect "),
        (None, NOWHERE),
        ("", NOWHERE),
        ("/v1/ai-agent/leads/24017/agent", NOWHERE),
        ("https://user:secret@agents.robofy.ai/v1/leads", NOWHERE),
        ("https://[broken/", NOWHERE),
        ("https://agents.robofy.ai:99999/", NOWHERE),
        ("/with space", NOWHERE),
        ("/\xfc", NOWHERE),
    ],
)
def test_a_redirect_elsewhere_or_nowhere_is_not_followed(to, said):
    run = Run(Received(302, {} if to is None else {"location": to}, b""))
    with pytest.raises(RobofyResponseError, match=f"HTTP 302, {said}") as caught:
        run()
    assert len(run.sent) == 1
    assert "secret" not in str(caught.value)


def test_a_change_is_not_redirected():
    run = Run(moved("/v2/chat", 307), call=CHAT)
    with pytest.raises(RobofyResponseError, match=f"HTTP 307, {NOWHERE}"):
        run()
    assert len(run.sent) == 1


@pytest.mark.parametrize("number", [300, 304, 305, 306])
def test_other_statuses_of_the_three_hundreds_are_a_servers_failure(number):
    run = Run(status(number), max_attempts=2)
    with pytest.raises(RobofyServerError, match=f"HTTP {number}"):
        run()
