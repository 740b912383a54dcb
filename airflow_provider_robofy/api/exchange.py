"""One call with its retries, as a generator that does no I/O.

A driver runs it: it carries out each :class:`Send` and :class:`Sleep` that the generator yields and sends back what
happened. So retries, deadlines and the reading of errors are written once for ``requests`` and ``aiohttp``, and are
tested without a socket.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.answers import http_date, lost, read_answer, retry_after
from airflow_provider_robofy.api.errors import RobofyCallError, RobofyRateLimitError, RobofyResponseError
from airflow_provider_robofy.api.steps import Answered, Received, Request, Send, Sleep

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from airflow_provider_robofy.api.body import Body
    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.pace import Pace
    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.api.steps import Clock, Outcome, Step

T = TypeVar("T")

MAX_BACKOFF = 60.0
MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_URL_SAFE = re.compile(r"[\x21-\x7e]+")


def exchange(call: Call[T], settings: Settings, pace: Pace, clock: Clock) -> Generator[Step, Outcome, Answered[T]]:
    """Carry out one call.

    Sent again, up to ``max_attempts``: 429, 500, 502, 503, 504, dropped, truncated and stalled answers. A call that
    changes something is sent again only if it never arrived (no connection) or was refused (429). ``Retry-After`` is
    obeyed up to two minutes; without it the pause is random up to a bound that doubles.

    :return: The call's value.
    :raises RobofyCallError: The last failure, with the number of attempts.
    """
    request = _prepare(call, settings)
    deadline = 0.0
    attempt = redirects = 0
    while True:
        waited = yield from _turn(pace, clock)
        if deadline:
            deadline += waited  # waiting for the budget is our own wish and costs the call nothing
        asked, asked_at = clock.monotonic(), clock.now()
        deadline = deadline or asked + settings.total_timeout
        outcome = yield Send(request, deadline, settings.max_bytes)
        attempt += 1
        try:
            if isinstance(outcome, Received):
                if outcome.status in _REDIRECTS:
                    request = _redirected(request, outcome, call, asked_at, redirects)
                    redirects, attempt = redirects + 1, attempt - 1
                    continue
                value = read_answer(call, outcome, asked_at, settings)
                return Answered(value, http_date(outcome.headers.get("date")), asked_at)
            raise lost(call, outcome, asked_at, settings)
        except RobofyCallError as error:
            error.attempts = attempt
            if isinstance(outcome, Received):
                error.retry_after = retry_after(outcome.headers, clock.now())
            again = error.transient and (call.repeatable or error.refused)
            if not again or attempt >= settings.max_attempts:
                raise
            asked_for = error.retry_after
            if asked_for is not None:
                pause = asked_for
            else:
                pause = clock.chance() * min(MAX_BACKOFF, settings.backoff * 2 ** (attempt - 1))
            now = clock.monotonic()
            if now + pause >= deadline:
                raise
            if isinstance(error, RobofyRateLimitError) and asked_for:
                pace.hold(now + pause)  # the whole process was told to wait, not only this call
        yield Sleep(pause)


def _turn(pace: Pace, clock: Clock) -> Generator[Step, Outcome, float]:
    """Wait for a place in the budget and return for how long."""
    waited = 0.0
    while (pause := pace.reserve(clock.monotonic())) > 0:
        waited += pause
        yield Sleep(pause)
        if not pace.held(clock.monotonic()):
            break  # else another call was told to wait while this one waited for its place
    return waited


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _prepare(call: Call[T], settings: Settings) -> Request:
    headers = {
        "Authorization": f"Bearer {settings.api_key}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "User-Agent": settings.user_agent,
    }
    body: bytes | Body | None = None
    if call.body is not None:
        body = call.body
        headers["Content-Type"] = body.content_type
        headers["Content-Length"] = str(len(body))
    elif call.json is not None:
        headers["Content-Type"] = "application/json"
        body = codec.dump_line(call.json)
    url = settings.base_url + call.target(settings.endpoints.get(call.endpoint))
    return Request(call.method, url, headers, body)


def _redirected(request: Request, answer: Received, call: Call[T], asked_at: datetime, redirects: int) -> Request:
    """Follow a redirect that stays with the same server; the key goes nowhere else."""
    location = answer.headers.get("location", "")
    try:
        target = urlsplit(urljoin(request.url, location))
        same = _origin(target) == _origin(urlsplit(request.url))
    except ValueError:
        target, same = urlsplit(""), False
    # User info, and characters that only one of the two HTTP libraries would send, make no address to follow.
    plain = _URL_SAFE.fullmatch(location) and "@" not in target.netloc
    if same and plain and call.method == "GET" and target.geturl() != request.url and redirects < MAX_REDIRECTS:
        return Request(request.method, target._replace(fragment="").geturl(), request.headers, request.body)
    if redirects >= MAX_REDIRECTS:
        where = f"after {redirects} others"
    else:
        where = f"to {target.scheme}://{target.hostname}" if target.hostname and not same else "that cannot be followed"
    raise RobofyResponseError(
        f"HTTP {answer.status}, a redirect {where}",
        endpoint=call.title,
        requested_at=asked_at,
        status=answer.status,
        advice="The key is not sent elsewhere. If the API has moved, set the connection's host, "
        f"or the path in the extra 'endpoints' under {call.endpoint!r}.",
    )
