"""Ask within bounds: a number of requests, a time and a size, whatever the API answers."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from airflow_provider_robofy.api import codec, errors
from airflow_provider_robofy.api.answers import http_date
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.envelopes import TOKEN_LIKE, TOKEN_NAMES, Rows
from airflow_provider_robofy.api.transport import Received
from airflow_provider_robofy.probe.words import CODES, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.api.transport import Lost
    from airflow_provider_robofy.hooks.connection import RobofyConnection

#: What the provider would fail with: no list of rows (or no object), or a token under a name that it does not know.
NO_ROWS: Final = "no rows"
UNKNOWN_TOKEN: Final = "unknown token"  # noqa: S105 (what is wrong with it)
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
_DEEPEST: Final = 6
#: An answer of millions of fields is described no further.
_MOST_FIELDS: Final = 10_000
_LATER: Final = "Try again later; if it stays so, give the endpoint to Robofy's support."
_MORE: Final = "Probe again with larger --max-requests or --max-seconds."

Path = tuple[str, ...]


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


@dataclass(frozen=True, slots=True)
class Failure:
    """Describe why a call came to nothing, in words of our own: Robofy's may hold anything.

    :param what: A sentence for people.
    :param advice: What to do about it.
    :param missing: Whether the path answered that it, or what it names, does not exist. Default False.
    :param wrong_id: Whether it is the project or agent that does not exist. Default False.
    :param final: Whether asking on is of no use. Default False.
    :param asked: Whether the call was made at all. Default True.
    """

    what: str
    advice: str = _LATER
    missing: bool = False
    wrong_id: bool = False
    final: bool = False
    asked: bool = True


_NO_REQUESTS: Final = Failure("the requests that the probe may send were used up", _MORE, final=True)
_NO_TIME: Final = Failure("the time that the probe may take was over", _MORE, final=True)
_TOO_LARGE: Final = Failure(
    "the answers were larger than max_response_mb in all", "Read fewer pages, or raise max_response_mb.", final=True
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as the provider reads it. It holds values of the account; a report writes none of them.

    :param payload: The decoded answer.
    :param fields: Path to value of every field outside of arrays, outermost first.
    :param rows: The page of a listing; None for another answer, and where no rows were found.
    :param trouble: Empty, :data:`NO_ROWS` or :data:`UNKNOWN_TOKEN`: what the provider would have failed with.
    :param at: The server's clock when it came, or ours where the answer has no date.
    :param leads_back: Whether the page's token leads back to an earlier page. Default False.
    :param template: Path template that answered in place of the one in use, None if that one did. Default None.
    """

    payload: Any = field(repr=False)
    fields: Mapping[Path, Any] = field(repr=False)
    rows: Rows | None = field(repr=False)
    trouble: str
    at: datetime
    leads_back: bool = False
    template: str | None = None

    @property
    def items(self) -> list[Any]:
        """Return the rows, none where there is no list of them."""
        return self.rows.items if self.rows else []

    @property
    def rows_at(self) -> Path | None:
        """Return the path to the rows; empty for a bare array, None where they are not found."""
        if self.rows is None or self.payload is self.rows.items:
            return None if self.rows is None else ()
        return next((at for at, value in self.fields.items() if value is self.rows.items), None)

    @property
    def token_at(self) -> Path | None:
        """Return the path to the token of the next page, None where there is none."""
        return next(
            (at for at, value in self.fields.items() if at[-1] in TOKEN_NAMES and value not in (None, "")), None
        )

    @property
    def pointers_at(self) -> list[Path]:
        """Return the paths to what seems to point to a next page under a name that is not known."""
        return [
            at for at, one in self.fields.items() if one and at[-1] not in TOKEN_NAMES and TOKEN_LIKE.search(at[-1])
        ]


def read_answer(payload: Any, read: Callable[[Any], Any], at: datetime) -> Answer:
    """Return an answer as the provider reads it, and whether it does.

    Sample, an answer to List Leads::

        {"message": "...", "data": {"report": {"columns": ["id"], "rows": [{"id": "lead_1"}], "next_page_token": "x"}}}

    :param payload: The decoded answer.
    :param read: How the provider reads it; raises ValueError where it does not understand it.
    :param at: The server's clock when it came.
    """
    answer = Answer(payload=payload, fields=dict(islice(_fields(payload), _MOST_FIELDS)), rows=None, trouble="", at=at)
    value, trouble = None, ""
    try:
        value = read(payload)
    except ValueError:
        try:
            # Without what seems to point to a next page: are there rows at least?
            value, trouble = read(_without(payload, {at[-1] for at in answer.pointers_at})), UNKNOWN_TOKEN
        except ValueError:
            trouble = NO_ROWS
    return replace(answer, rows=value if isinstance(value, Rows) else None, trouble=trouble)


def _fields(payload: Any) -> Iterator[tuple[Path, Any]]:
    pending: deque[tuple[Path, Any]] = deque([((), payload)])
    while pending:
        at, layer = pending.popleft()
        if isinstance(layer, dict) and len(at) < _DEEPEST:
            for name, value in layer.items():
                yield (*at, name), value
                pending.append(((*at, name), value))


def _without(payload: Any, names: set[str], depth: int = _DEEPEST) -> Any:
    if isinstance(payload, dict) and depth:
        return {name: _without(value, names, depth - 1) for name, value in payload.items() if name not in names}
    return payload


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


def error_shape(body: bytes) -> str:
    """Return which of the two documented shapes an error has, by its names alone.

    Samples::

        {"message": "Unauthorized", "error": {"code": "UNAUTHORIZED", "detail": "..."}}
        {"error": {"code": "unauthorized", "message": "...", "details": {"field": "Authorization"}}}

    :param body: The body of the answer.
    """
    try:
        payload = codec.loads(body)
    except ValueError:
        return "no JSON"
    if not isinstance(payload, dict):
        return f"no object but {kind_of(payload)}"
    error = payload.get("error")
    if not isinstance(error, dict):
        return "an object without the object error"
    if "message" in payload and "detail" in error:
        return "documented shape 1"
    return (
        "documented shape 2" if "message" in error else "an object with the object error, of neither documented shape"
    )


def failure_of(error: errors.RobofyError, endpoint: str, *, answered: bool) -> Failure:
    """Return why a call failed. Its own text is used only where it cannot quote Robofy.

    :param error: What the client raised.
    :param endpoint: Endpoint name.
    :param answered: Whether an earlier call of this probe was answered.
    """
    status, code = getattr(error, "status", None) or 0, getattr(error, "code", "")
    what = f"HTTP {status} {code}" if code in CODES else f"HTTP {status}"
    match error:
        case errors.RobofyConfigError():
            return Failure("an id cannot be put into a path", "Check the ids that were given.")
        case errors.RobofyResponseError():
            wrong = _NO_REDIRECT if 300 <= status < 400 else _NO_JSON
            return Failure(f"{what}, {wrong}{' (it is HTML)' if error.content_type == 'text/html' else ''}")
        case errors.RobofyAuthError() if status == 403 and answered:
            # Once the key has opened anything, a 403 is about the one thing that was asked for.
            return Failure(what, "The key may not read this. Check its rights in Robofy's dashboard.")
        case errors.RobofyAuthError():
            return Failure(f"the key is refused, {what}", _CHECK_KEY, final=True)
        case errors.RobofyRateLimitError():
            return Failure(f"{what}: the account limits the rate of requests", _SLOWER, final=True)
        case errors.RobofyApiError() if isinstance(error, errors.RobofyNotFoundError) or status == 405:
            wrong_id = re.search("PROJECT|CHATBOT|AGENT", code) is not None
            advice = _CHECK_IDS if wrong_id else _OTHER_PATH.format(endpoint)
            return Failure(what, advice, missing=True, wrong_id=wrong_id)
        case errors.RobofyConnectionError():
            return Failure(str(error.args[0]), _LATER if answered else error.advice or _CHECK_HOST, final=not answered)
    return Failure(what)


_NO_REDIRECT: Final = "a redirect that the client does not follow"
_NO_JSON: Final = "but no JSON that the provider understands"
_CHECK_KEY: Final = "Copy the API key from Robofy's dashboard again, and check that it belongs to this account."
_SLOWER: Final = "Set requests_per_minute (here --requests-per-minute) and probe again later."
_CHECK_IDS: Final = "Check project_id and chatbot_id: Robofy says that one of them does not exist for this key."
_OTHER_PATH: Final = "If it has another path, set that in the extra endpoints as {!r}; Robofy's support knows it."
_CHECK_HOST: Final = "Check the host, the network and the proxy settings (HTTPS_PROXY, NO_PROXY)."
