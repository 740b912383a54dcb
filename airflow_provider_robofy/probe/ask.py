"""Ask within bounds: a number of requests, a time and a size, whatever the API answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from airflow_provider_robofy.api import errors
from airflow_provider_robofy.api.answers import http_date
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.transport import Received
from airflow_provider_robofy.probe.answer import Answer, Failure, error_shape, failure_of, read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.api.transport import Lost
    from airflow_provider_robofy.hooks.connection import RobofyConnection

#: Where else an endpoint may answer, the likeliest first. <project> becomes the id of the project: the built-in path
#: has no such placeholder. One sample of the documentation leaves /v1 out.
_ELSEWHERE: Final = {
    "list_leads": ("/ai-agent/leads/{project_id}/{chatbot_id}",),
    "list_sessions": (
        "/v1/ai-agent/inbox/sessions/<project>/{chatbot_id}",
        "/v1/ai-agent/sessions/{chatbot_id}",
        "/ai-agent/inbox/sessions/{chatbot_id}",
    ),
    "list_session_messages": (
        "/v1/ai-agent/inbox/chats/<project>/{chatbot_id}/{session_id}",
        "/v1/ai-agent/inbox/messages/{chatbot_id}/{session_id}",
        "/ai-agent/inbox/chats/{chatbot_id}/{session_id}",
    ),
    "list_agents": ("/v1/ai-agent/chatbots/{project_id}", "/ai-agent/chatbot/{project_id}"),
    "get_crawl_status": ("/v1/ai-agent/crawl_status/{chatbot_id}", "/ai-agent/crawl_status/{project_id}/{chatbot_id}"),
    "account_limit": ("/v1/account/limits", "/account/limit"),
}
_MOST_PATHS: Final = 3
_MORE: Final = "Probe again with larger --max-requests or --max-seconds."


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


_NO_REQUESTS: Final = Failure("the requests that the probe may send were used up", _MORE, final=True)
_NO_TIME: Final = Failure("the time that the probe may take was over", _MORE, final=True)
_TOO_LARGE: Final = Failure(
    "the answers were larger than max_response_mb in all", "Read fewer pages, or raise max_response_mb.", final=True
)


class Head(NamedTuple):
    """What stands beside the content of one answer, those included that were asked for again.

    :param status: HTTP status.
    :param headers: Its headers; names are lower case.
    :param error: Shape of an error, or None where the answer was none.
    :param ahead: Seconds that the server's clock is ahead of ours, or None where the answer has no date.
    """

    status: int
    headers: Mapping[str, str]
    error: str | None = None
    ahead: float | None = None


class _RequestsUsedUpError(Exception):
    """Raised when following a redirect would need one request too many."""


class Asker:
    """Send calls that read, and no others, until a bound is reached or asking on is of no use.

    :param connection: How to reach Robofy. Attempts and times are cut to what the bounds leave.
    :param bounds: How much may be asked.
    """

    def __init__(self, connection: RobofyConnection, bounds: Bounds) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._bounds = bounds
        self.client = RobofyClient(connection.settings, watch=self._watch)
        self.heads: list[Head] = []
        self.requests = 0
        #: Requests that later calls are to find unused.
        self.reserved = 0
        #: Why calls were left out or came to nothing for good, and how many were left out.
        self.ended: Failure | None = None
        self.left_out = 0
        self._at = datetime.now(UTC)
        self._bytes = 0
        self._over: Failure | None = None
        self._understood = False
        self._began = time.monotonic()
        self._end = self._began + bounds.max_seconds

    @property
    def seconds(self) -> float:
        """Return how many seconds it has taken so far."""
        return time.monotonic() - self._began

    def ask(self, call: Call[Any]) -> Answer | Failure:
        """Send one call and return its answer, or why there is none.

        :param call: A call whose method is GET.
        :raises ValueError: The call has another method.
        """
        return self.read(call, 1)[0]

    def read(self, call: Call[Any], pages: int) -> list[Answer | Failure]:
        """Return the first pages of a listing; of another endpoint, the one answer. A failure is the last item.

        Where the path does not exist, others are tried; the first that answers is used from then on.

        :param call: A call whose method is GET.
        :param pages: How many pages to read at most.
        :raises ValueError: The call has another method.
        """
        if call.method != "GET":
            msg = f"the probe only reads, and {call.endpoint} would not"
            raise ValueError(msg)
        found = list(islice(self._pages(call, self._settings), pages))
        if isinstance(found[0], Failure) and found[0].missing and not found[0].wrong_id:
            for template in self._templates(call.endpoint):
                settings = replace(self._settings, endpoints={**self._settings.endpoints, call.endpoint: template})
                others = list(islice(self._pages(call, settings), pages))
                if isinstance(others[0], Answer) and not others[0].trouble:
                    self._settings = settings
                    return [replace(others[0], template=template), *others[1:]]
                if self.ended:
                    break
        return found

    def pause(self, seconds: float) -> None:
        """Wait, and move the bound of time along; where asking on is of no use, do neither.

        :param seconds: How long.
        """
        if self._over is None:
            time.sleep(seconds)
            self._end += seconds

    def _pages(self, call: Call[Any], settings: Settings) -> Iterator[Answer | Failure]:
        answers: list[Answer] = []

        def read(payload: Any) -> Rows:
            answers.append(read_answer(payload, call.read, self._at))
            return answers[-1].rows or Rows([], None, None)

        pages = self.client.pages(replace(call, read=read))
        token: str | None = ""
        while token is not None:
            if failure := self._over or self._spent():
                self.left_out += 1
                self.ended = failure
                yield replace(failure, asked=False)
                return
            try:
                self.client.settings = self._cut(settings)
                next(pages)
            except _RequestsUsedUpError:
                failure = _NO_REQUESTS
            except errors.RobofyError as error:
                if answers:  # The answer can be read, but the client refuses to go on from it.
                    yield replace(answers.pop(), leads_back=True)
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
            answer = answers.pop()
            token = answer.rows.token if answer.rows else None
            yield answer

    def _templates(self, endpoint: str) -> list[str]:
        """Return path templates to try in place of the one in use, three at most and the likeliest first."""
        project, usual = self._connection.project_id, ENDPOINTS[endpoint][1]
        others = [one for one in _ELSEWHERE.get(endpoint, ()) if project or "<project>" not in one]
        every = [usual, *(one.replace("<project>", quote(project or "", safe="")) for one in others)] if others else []
        return [one for one in every if one != self._settings.endpoints.get(endpoint, usual)][:_MOST_PATHS]

    def _spent(self) -> Failure | None:
        per_minute = self._settings.requests_per_minute
        gap = 60.0 / per_minute if per_minute and self.requests else 0.0
        if self._left() < 1:
            return _NO_REQUESTS
        if self._bytes > self._settings.max_bytes:
            return _TOO_LARGE
        return _NO_TIME if time.monotonic() + gap >= self._end else None

    def _left(self) -> int:
        return self._bounds.max_requests - self.requests - self.reserved

    def _cut(self, settings: Settings) -> Settings:
        """Return settings that keep one call within the bounds."""
        return replace(
            settings,
            max_attempts=min(settings.max_attempts, self._left()),
            total_timeout=min(settings.total_timeout, max(self._end - time.monotonic(), 0.1)),
        )

    def _watch(self, outcome: Received | Lost) -> None:
        """Note what came of one request."""
        self.requests += 1
        if not isinstance(outcome, Received):
            return
        date, now = http_date(outcome.headers.get("date")), datetime.now(UTC)
        self._at = date or now
        self._bytes += len(outcome.body)
        error = error_shape(outcome.body) if outcome.status >= 400 else None
        self.heads.append(Head(outcome.status, outcome.headers, error, (date - now).total_seconds() if date else None))
        if 300 <= outcome.status < 400 and self.requests >= self._bounds.max_requests:
            raise _RequestsUsedUpError
