"""One answer as the provider reads it, or why there is none."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec, errors
from airflow_provider_robofy.api.envelopes import TOKEN_LIKE, TOKEN_NAMES, Rows
from airflow_provider_robofy.probe.words import CODES, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

#: What the provider would fail with: no list of rows (or no object), or a token under a name that it does not know.
NO_ROWS: Final = "no rows"
UNKNOWN_TOKEN: Final = "unknown token"  # noqa: S105 (what is wrong with it)
_DEEPEST: Final = 6
#: An answer of millions of fields is described no further.
_MOST_FIELDS: Final = 10_000
_LATER: Final = "Try again later; if it stays so, give the endpoint to Robofy's support."
_NO_REDIRECT: Final = "a redirect that the client does not follow"
_NO_JSON: Final = "but no JSON that the provider understands"
_CHECK_KEY: Final = "Copy the API key from Robofy's dashboard again, and check that it belongs to this account."
_SLOWER: Final = "Set requests_per_minute (here --requests-per-minute) and probe again later."
_CHECK_IDS: Final = "Check project_id and chatbot_id: Robofy says that one of them does not exist for this key."
_OTHER_PATH: Final = "If it has another path, set that in the extra endpoints as {!r}; Robofy's support knows it."
_CHECK_HOST: Final = "Check the host, the network and the proxy settings (HTTPS_PROXY, NO_PROXY)."

Path = tuple[str, ...]


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
