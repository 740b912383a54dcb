"""Asking within bounds: so many requests and so much time, whatever comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow_provider_robofy.api import codec, errors
from airflow_provider_robofy.api.answers import http_date
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.transport import Received
from airflow_provider_robofy.probe.shapes import Failure, Shape, error_shape, shape_of
from airflow_provider_robofy.probe.words import CODES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.api.transport import Lost
    from airflow_provider_robofy.hooks.connection import RobofyConnection

#: Where else an endpoint may answer. <project> becomes the project's own id: the built-in path has no such placeholder.
_INBOX: Final = "/v1/ai-agent/inbox"
_ELSEWHERE: Final = {
    "list_leads": (),
    "list_sessions": (_INBOX + "/sessions/<project>/{chatbot_id}", "/v1/ai-agent/sessions/{chatbot_id}"),
    "list_session_messages": (
        _INBOX + "/chats/<project>/{chatbot_id}/{session_id}",
        _INBOX + "/messages/{chatbot_id}/{session_id}",
    ),
    "list_agents": ("/v1/ai-agent/chatbots/{project_id}",),
    "get_crawl_status": ("/v1/ai-agent/crawl_status/{chatbot_id}",),
    "account_limit": ("/v1/account/limits",),
}
_MOST_PATHS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bound a probe.

    :param max_requests: Requests in all, repeated ones included. Default 32.
    :param max_seconds: Seconds in all, without ``wait``; a request under way is ended then. Default 300.
    :param lead_pages: Pages of leads to read. Default 4.
    :param session_pages: Pages of sessions to read. Default 2.
    :param sessions: Sessions whose messages are read. Default 3.
    :param wait: Seconds between the two reads of the newest leads. Default 0.
    """

    max_requests: int = 32
    max_seconds: float = 300.0
    lead_pages: int = 4
    session_pages: int = 2
    sessions: int = 3
    wait: float = 0.0


_MORE: Final = "Probe again with larger --max-requests or --max-seconds."
_NO_REQUESTS: Final = Failure("the requests that the probe may send were used up", _MORE, final=True)
_NO_TIME: Final = Failure("the time that the probe may take was over", _MORE, final=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """Describe one answer beside its content, those included that were asked for again.

    :param status: HTTP status.
    :param headers: Its headers; names are lower case.
    :param error: Shape of an error, or None where the answer was none.
    :param ahead: Seconds that the server's clock is ahead of ours, or None where the answer has no date.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    error: str | None
    ahead: float | None


class _RequestsUsedUpError(Exception):
    """Raised when following a redirect would need one request too many."""


class Asker:
    """Send calls that read, and no others, until a bound is reached or asking on is of no use.

    :param connection: How to reach Robofy. Attempts and times are cut to what the bounds leave.
    :param bounds: How much may be asked.
    """

    def __init__(self, connection: RobofyConnection, bounds: Bounds) -> None:
        self._settings = connection.settings
        self._bounds = bounds
        self.client = RobofyClient(connection.settings, watch=self._watch)
        #: Project, for paths to try. None tries only paths without one.
        self.project_id = connection.project_id
        self.answers: list[Answer] = []
        self.requests = 0
        #: The server's clock at the latest answer, or ours where it has no date.
        self.at: datetime = datetime.now(UTC)
        #: Why calls were left out or came to nothing for good, and how many were left out.
        self.ended: Failure | None = None
        self.left_out = 0
        #: Requests that later calls are to find unused.
        self.reserved = 0
        self._over: Failure | None = None
        self._understood = False
        self._began = time.monotonic()
        self._end = self._began + bounds.max_seconds

    @property
    def seconds(self) -> float:
        """Return how many seconds it has taken so far."""
        return time.monotonic() - self._began

    def ask(self, call: Call[Any]) -> Shape | Failure:
        """Send one call and return what its answer looks like, or why there is none.

        :param call: A call whose method is GET.
        :raises ValueError: The call has another method.
        """
        return next(self.pages(call))

    def pages(self, call: Call[Any]) -> Iterator[Shape | Failure]:
        """Yield what the pages of a listing look like, one by one; of another endpoint, the one answer.

        Where the path does not exist, others are tried; the first that answers is used from then on. Nothing follows
        on a failure.

        :param call: A call whose method is GET.
        :raises ValueError: The call has another method.
        """
        if call.method != "GET":
            msg = f"the probe only reads, and {call.endpoint} would not"
            raise ValueError(msg)
        pages = self._pages(call, None)
        first = next(pages)
        if isinstance(first, Failure) and first.missing and not first.wrong_id:
            for template in self._templates(call.endpoint):
                others = self._pages(call, template)
                other = next(others)
                if isinstance(other, Failure) and (other.final or not other.asked):
                    break
                if isinstance(other, Shape) and not other.trouble:
                    first, pages = replace(other, template=template), others
                    self._settings = self._with(call, template)
                    break
        yield first
        yield from pages

    def pause(self, seconds: float) -> None:
        """Wait, and move the bound of time along; where asking on is of no use, do neither.

        :param seconds: How long.
        """
        if self._over is None:
            time.sleep(seconds)
            self._end += seconds

    def _pages(self, call: Call[Any], template: str | None) -> Iterator[Shape | Failure]:
        shapes: list[Shape] = []

        def read(payload: Any) -> Rows:
            shapes.append(shape_of(payload, call.read))
            return shapes[-1].rows or Rows([], None, None)

        pages = self.client.pages(replace(call, read=read))
        token: str | None = ""
        while token is not None:
            if failure := self._over or self._spent():
                self.left_out += 1
                self.ended = failure
                yield replace(failure, asked=False)
                return
            try:
                self.client.settings = self._cut(call, template)
                next(pages)
            except _RequestsUsedUpError:
                failure = _NO_REQUESTS
            except errors.RobofyError as error:
                if shapes:  # The answer can be read, but the client refuses to go on from it.
                    yield replace(shapes.pop(), leads_back=True)
                    return
                failure = failure_of(error, call.endpoint, answered=self._understood)
                if time.monotonic() >= self._end and not isinstance(error, errors.RobofyConfigError):
                    failure = _NO_TIME
            if failure is not None:
                if failure.final:
                    self.ended = self._over = failure
                yield failure
                return
            self._understood = True
            shape = shapes.pop()
            token = shape.rows.token if shape.rows else None
            yield shape

    def _templates(self, endpoint: str) -> list[str]:
        """Return path templates to try in place of the one in use, three at most and the likeliest first."""
        if endpoint not in _ELSEWHERE:
            return []
        usual = ENDPOINTS[endpoint][1]
        project = quote(self.project_id, safe="") if self.project_id else None
        others = [one.replace("<project>", project or "") for one in _ELSEWHERE[endpoint] if project or "<" not in one]
        # One sample of the documentation leaves /v1 out.
        every = dict.fromkeys((usual, *others, usual.removeprefix("/v1")))
        in_use = self._settings.endpoints.get(endpoint, usual)
        return [template for template in every if template != in_use][:_MOST_PATHS]

    def _spent(self) -> Failure | None:
        per_minute = self._settings.requests_per_minute
        gap = 60.0 / per_minute if per_minute and self.requests else 0.0
        if self._left() < 1:
            return _NO_REQUESTS
        return _NO_TIME if time.monotonic() + gap >= self._end else None

    def _left(self) -> int:
        return self._bounds.max_requests - self.requests - self.reserved

    def _with(self, call: Call[Any], template: str | None) -> Settings:
        endpoints = self._settings.endpoints
        return replace(self._settings, endpoints={**endpoints, call.endpoint: template} if template else endpoints)

    def _cut(self, call: Call[Any], template: str | None) -> Settings:
        """Return settings that keep one call within the bounds."""
        return replace(
            self._with(call, template),
            max_attempts=min(self._settings.max_attempts, self._left()),
            total_timeout=min(self._settings.total_timeout, max(self._end - time.monotonic(), 0.1)),
        )

    def _watch(self, outcome: Received | Lost) -> None:
        """Note what came of one request: of errors their shape, of other bodies nothing."""
        self.requests += 1
        if not isinstance(outcome, Received):
            return
        date, now = http_date(outcome.headers.get("date")), datetime.now(UTC)
        self.at = date or now
        shape = None
        if outcome.status >= 400:
            try:
                shape = error_shape(codec.loads(outcome.body))
            except ValueError:
                shape = "no JSON"
        ahead = (date - now).total_seconds() if date else None
        self.answers.append(Answer(outcome.status, outcome.headers, shape, ahead))
        if 300 <= outcome.status < 400 and self.requests >= self._bounds.max_requests:
            raise _RequestsUsedUpError


def failure_of(error: errors.RobofyError, endpoint: str, *, answered: bool) -> Failure:
    """Return why a call failed; the error's own text may quote Robofy and is not used.

    :param error: What the client raised.
    :param endpoint: Endpoint name.
    :param answered: Has an earlier call of this probe been answered?
    """
    if isinstance(error, errors.RobofyConfigError):
        return Failure("an id cannot be put into a path", "Check the ids that were given.")
    if isinstance(error, errors.RobofyResponseError):
        html = " (it is HTML)" if error.content_type == "text/html" else ""
        redirect = 300 <= (error.status or 0) < 400
        what = "a redirect that the client does not follow" if redirect else "but no JSON that the provider understands"
        return Failure(f"HTTP {error.status or 0}, {what}{html}")
    if isinstance(error, errors.RobofyApiError):
        return _failure_of_answer(error, endpoint, answered=answered)
    if answered:
        return Failure("no complete answer came")
    advice = "Check the host, the network and the proxy settings (HTTPS_PROXY, NO_PROXY)."
    return Failure("no connection, or no complete answer", advice, final=True)


def _failure_of_answer(error: errors.RobofyApiError, endpoint: str, *, answered: bool) -> Failure:
    said = f"HTTP {error.status}" + (f" {error.code}" if error.code in CODES else "")
    if isinstance(error, errors.RobofyAuthError):
        # Once the key has opened anything, a 403 is about the one thing that was asked for.
        if error.status == 403 and answered:
            return Failure(said, "The key may not read this. Check its rights in Robofy's dashboard.")
        advice = "Copy the API key from Robofy's dashboard again, and check that it belongs to this account."
        return Failure(f"the key is refused, {said}", advice, final=True)
    if isinstance(error, errors.RobofyRateLimitError):
        advice = "Set requests_per_minute (here --requests-per-minute) and probe again later."
        return Failure(f"{said}: the account limits the rate of requests", advice, final=True)
    if isinstance(error, errors.RobofyNotFoundError) and any(
        word in error.code for word in ("PROJECT", "CHATBOT", "AGENT")
    ):
        advice = "Check project_id and chatbot_id: Robofy says that one of them does not exist for this key."
        return Failure(said, advice, missing=True, wrong_id=True)
    if isinstance(error, errors.RobofyNotFoundError) or error.status == 405:
        advice = f"If it has another path, set that in the extra endpoints as {endpoint!r}; Robofy's support knows it."
        return Failure(said, advice, missing=True)
    return Failure(said)
