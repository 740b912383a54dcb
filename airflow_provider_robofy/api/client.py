"""Call Robofy: one call with its retries, and listings page by page."""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.answers import http_date, lost, read_answer, retry_after
from airflow_provider_robofy.api.errors import (
    RobofyCallError,
    RobofyCancelledError,
    RobofyRateLimitError,
    RobofyResponseError,
)
from airflow_provider_robofy.api.pages import Listing
from airflow_provider_robofy.api.settings import rate_limiter
from airflow_provider_robofy.api.transport import Lost, Received, Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from airflow_provider_robofy.api.body import Body
    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.pages import Page
    from airflow_provider_robofy.api.settings import Settings

T = TypeVar("T")

MAX_BACKOFF = 60.0
MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_URL_SAFE = re.compile(r"[\x21-\x7e]+")
_SLICE = 0.1  # seconds between two checks whether the task was killed


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """What a call came to.

    :param value: What :attr:`Call.read` made of the answer.
    :param date: The answer's ``Date`` header, or None.
    :param requested_at: When the successful attempt was sent.
    """

    value: T
    date: datetime | None
    requested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Clocks and dice of a client; tests pass their own.

    :param monotonic: Seconds that never go back. Default ``time.monotonic``.
    :param now: The time of day, UTC.
    :param chance: A number from 0 to 1. Default ``random.random``.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    chance: Callable[[], float] = random.random


class RobofyClient:
    """Call Robofy, from any number of threads: each call under way has a connection of its own.

    Usage::

        with RobofyClient(Settings(api_key=key)) as client:
            agent = client.call(retrieve_agent(24017, "UOmf..."))
            for page in client.pages(list_leads(24017, "UOmf...")):
                ...

    All clients of a process that use the same account share its request budget.

    :param settings: How to reach Robofy and how long to try. Timeouts, attempts and paths may change between two calls.
    :param clock: Clocks and dice, for tests.
    :param watch: Called with the outcome of each request, those included that are sent again: the one way to see an
        answer's headers, or the body of an error. What it raises ends the call. Default: nothing is called.
    :raises RobofyConfigError: The environment names a proxy or a CA bundle that cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        watch: Callable[[Received | Lost], object] | None = None,
    ) -> None:
        self.settings = settings
        self._requests = 0
        #: Requests for pages that were asked for ahead and not used.
        self.requests_unused = 0
        self._helpers: list[RobofyClient] = []
        #: How many of them repeated another one.
        self.retries = 0
        #: Seconds spent waiting for the request budget, and after answers that say that it is used up.
        self.rate_limited_seconds = 0.0
        #: Has :meth:`cancel` been called?
        self.cancelled = False
        self._clock = clock or Clock()
        self._watch = watch
        self._limiter = rate_limiter(settings.base_url, settings.api_key, settings.requests_per_minute)
        #: One for each call that was under way at the same time, and those of them that no call uses now.
        self._transports = [Transport(settings.base_url)]
        self._idle = list(self._transports)
        #: Taken to count, and never by :meth:`cancel`, which a signal handler calls.
        self._counting = threading.Lock()

    @property
    def requests(self) -> int:
        """Return the requests sent so far, repeated and unused ones included."""
        return self._requests + sum(helper.requests for helper in self._helpers)

    def call(self, call: Call[T]) -> T:
        """Call Robofy and return the value of the answer.

        :param call: What to ask for.
        :raises RobofyError: It failed, after the attempts that the settings allow.
        """
        return self.exchange(call).value

    def exchange(self, call: Call[T]) -> Answered[T]:
        """Call Robofy and return the value with the answer's date.

        Sent again, up to ``max_attempts``: 429, 500, 502, 503, 504, dropped, truncated and stalled answers. A call
        that changes something is sent again only if it never arrived (no connection) or was refused (429).
        ``Retry-After`` is obeyed up to two minutes; without it the pause is random up to a bound that doubles.

        :param call: What to ask for.
        :raises RobofyCallError: The last failure, with the number of attempts.
        """
        request = self._prepare(call)
        deadline = 0.0
        attempt = redirects = 0
        while True:
            waited = self._wait_for_turn()
            if deadline:
                deadline += waited  # waiting for the budget is our own wish and costs the call nothing
            asked_at = self._clock.now()
            deadline = deadline or self._clock.monotonic() + self.settings.total_timeout
            outcome = self._send(request, deadline)
            attempt += 1
            try:
                if isinstance(outcome, Lost):
                    raise lost(call, outcome, asked_at, self.settings)
                if outcome.status in _REDIRECTS:
                    request = self._redirected(request, outcome, call, asked_at, redirects)
                    redirects, attempt = redirects + 1, attempt - 1
                    continue
                value = read_answer(call, outcome, asked_at, self.settings)
                return Answered(value, http_date(outcome.headers.get("date")), asked_at)
            except RobofyCallError as error:
                error.attempts = attempt
                if isinstance(outcome, Received):
                    error.retry_after = retry_after(outcome.headers, self._clock.now())
                again = error.transient and (call.repeatable or error.refused)
                if not again or attempt >= self.settings.max_attempts:
                    raise
                pause = error.retry_after
                if pause is None:
                    pause = self._clock.chance() * min(MAX_BACKOFF, self.settings.backoff * 2 ** (attempt - 1))
                resume_at = self._clock.monotonic() + pause
                if resume_at >= deadline:
                    raise
                with self._counting:
                    self.retries += 1
                    self.rate_limited_seconds += pause if isinstance(error, RobofyRateLimitError) else 0
                if isinstance(error, RobofyRateLimitError) and error.retry_after:
                    self._limiter.hold(resume_at)  # the whole process was told to wait, not only this call
            self._sleep(pause)

    def pages(self, first: Call[Rows], *, row_id: str | None = None) -> Iterator[Page]:
        """Yield a listing page by page.

        :param first: Call for the first page.
        :param row_id: The rows' field that identifies them: then up to ``max_parallel_pages`` pages are asked for at a
            time, see :class:`~airflow_provider_robofy.api.ahead.PagesAhead`. For a read that goes to the end. Default
            none: a page is asked for when the one before has been dealt with.
        :raises RobofyError: The listing could not be read to its end.
        """
        if row_id is not None and self.settings.max_parallel_pages > 1:
            from airflow_provider_robofy.api.ahead import PagesAhead

            yield from PagesAhead(self, first, row_id).pages()
            return
        listing = Listing(first)
        while listing.call is not None:
            try:
                answered = self.exchange(listing.call)
            except RobofyCallError as error:
                if listing.pages:
                    error.page = listing.pages + 1
                raise
            yield listing.accept(answered)

    def cancel(self) -> None:
        """End the call under way and refuse further ones. Safe in a signal handler and from another thread."""
        self.cancelled = True
        for transport in tuple(self._transports):
            transport.stop()
        for helper in self._helpers:
            helper.cancel()

    def close(self) -> None:
        """Close the connections. The client can be used again."""
        for transport in tuple(self._transports):
            transport.close()

    def helper(self) -> RobofyClient:
        """Return a client for other threads that makes one attempt a call, and ends with this one.

        The answers of ``max_parallel_pages`` calls together may take as much memory as one of this client.
        """
        settings = self.settings
        share = settings.max_response_mb / settings.max_parallel_pages
        helper = RobofyClient(replace(settings, max_attempts=1, max_response_mb=share), clock=self._clock)
        self._helpers.append(helper)
        if self.cancelled:
            helper.cancel()
        return helper

    def release_helpers(self, *, used: int) -> None:
        """Close the clients for other threads, and count what they did.

        :param used: How many of their answers were used.
        """
        helpers, self._helpers = self._helpers, []
        sent = sum(helper.requests for helper in helpers)
        self._requests += sent
        self.requests_unused += sent - used
        self.rate_limited_seconds += sum(helper.rate_limited_seconds for helper in helpers)
        for helper in helpers:
            helper.close()

    def hold(self, seconds: float) -> None:
        """Let this process send nothing for a while: the server said so.

        :param seconds: For how long.
        """
        self._limiter.hold(self._clock.monotonic() + seconds)

    def check_cancelled(self) -> None:
        """Raise if :meth:`cancel` was called.

        :raises RobofyCancelledError: It was.
        """
        if self.cancelled:
            raise RobofyCancelledError("The task was killed while it was talking to Robofy.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, call: Call[T]) -> Request:
        settings = self.settings
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
        elif call.json is not None:
            headers["Content-Type"] = "application/json"
            body = codec.dump_line(call.json)
        return Request(call.method, call.target(settings.path_of(call.endpoint)), headers, body)

    def _redirected(
        self, request: Request, answer: Received, call: Call[T], asked_at: datetime, redirects: int
    ) -> Request:
        """Follow a redirect that stays with the same server; the key goes nowhere else."""
        location = answer.headers.get("location", "")
        try:
            target = urlsplit(urljoin(self.settings.base_url + request.target, location))
            same = _origin(target) == _origin(urlsplit(self.settings.base_url))
        except ValueError:
            target, same = urlsplit(""), False
        # An address with user info, or with characters that no URL has, is none to follow.
        plain = _URL_SAFE.fullmatch(location) and "@" not in target.netloc
        path = target._replace(scheme="", netloc="", path=target.path or "/", fragment="").geturl()
        if same and plain and call.method == "GET" and path != request.target and redirects < MAX_REDIRECTS:
            return replace(request, target=path)
        if redirects >= MAX_REDIRECTS:
            where = f"after {redirects} others"
        else:
            where = (
                f"to {target.scheme}://{target.hostname}" if target.hostname and not same else "that cannot be followed"
            )
        raise RobofyResponseError(
            f"HTTP {answer.status}, a redirect {where}",
            endpoint=call.title,
            requested_at=asked_at,
            status=answer.status,
            advice="The key is not sent elsewhere. If the API has moved, set the connection's host, "
            f"or the path in the extra 'endpoints' under {call.endpoint!r}.",
        )

    def _wait_for_turn(self) -> float:
        """Wait until the request budget allows a request, and return the seconds waited."""
        self.check_cancelled()
        waited = 0.0
        while (pause := self._limiter.reserve(self._clock.monotonic())) > 0:
            waited += pause
            self._sleep(pause)
            if not self._limiter.held(self._clock.monotonic()):
                break  # else another call was told to wait while this one waited for its turn
        with self._counting:
            self.rate_limited_seconds += waited
        return waited

    def _send(self, request: Request, deadline: float) -> Received | Lost:
        with self._counting:
            self._requests += 1
            if not self._idle:
                self._transports.append(Transport(self.settings.base_url))
                self._idle.append(self._transports[-1])
            transport = self._idle.pop()
        try:
            self.check_cancelled()  # a cancellation before this line could not reach a new transport
            end = time.monotonic() + deadline - self._clock.monotonic()
            outcome = transport.send(request, self.settings, end)
        finally:
            self._idle.append(transport)
        self.check_cancelled()
        if self._watch is not None:
            self._watch(outcome)
        return outcome

    def _sleep(self, seconds: float) -> None:
        # In slices, because Python resumes an interrupted sleep; and without an Event, whose lock a signal handler
        # could find taken by the very thread that it interrupts.
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.cancelled:
            time.sleep(min(_SLICE, left))
        self.check_cancelled()


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
