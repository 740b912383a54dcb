"""What an answer means: a value, one of Robofy's two documented error shapes, or neither."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyCallError,
    RobofyConnectionError,
    RobofyNotFoundError,
    RobofyRateLimitError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.api.transport import media_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.api.transport import Lost, Received

T = TypeVar("T")

MAX_RETRY_AFTER = 120.0
_DETAIL_LENGTH = 300
_TRANSIENT = {408, 500, 502, 503, 504}
_SUPPORT = "If it persists, give Robofy's support the endpoint, the time and the message."


def read_answer(call: Call[T], answer: Received, asked_at: datetime, settings: Settings) -> T:
    """Return what the call makes of a complete answer.

    :raises RobofyApiError: Robofy answered with an error, be it under a status that means success.
    :raises RobofyResponseError: The answer is no JSON, or JSON of a foreign shape.
    """
    try:
        payload = codec.loads(answer.body) if answer.body else None
    except ValueError:
        payload = _NOT_JSON
    success = 200 <= answer.status < 300
    if not success or _is_error(payload):
        raise _api_error(call, answer.status, payload, asked_at, settings)
    kind = media_type(answer.headers)

    def foreign(what: str, *, transient: bool = False) -> RobofyResponseError:
        error = RobofyResponseError(
            f"HTTP {answer.status} with {kind or 'no content type'}, but {what}",
            endpoint=call.title,
            requested_at=asked_at,
            status=answer.status,
            content_type=kind,
            advice="If the API has changed, set the path in the connection's extra 'endpoints' under "
            f"{call.endpoint!r}, or update this provider.",
        )
        error.transient = transient
        return error

    if payload is _NOT_JSON:
        # JSON that breaks off is a truncated answer that the transport could not tell from a whole one.
        raise foreign("the answer is not JSON", transient=answer.body.lstrip()[:1] in {b"{", b"["})
    try:
        return call.read(payload)
    except ValueError as error:
        raise foreign(str(error)) from None


def lost(call: Call[T], outcome: Lost, asked_at: datetime, settings: Settings) -> RobofyCallError:
    """Return the error that says why there is no answer.

    :param call: The call.
    :param outcome: How far it got.
    :param asked_at: When it was sent, UTC.
    :param settings: Its timeouts and bounds.
    """
    how = outcome.how
    what, advice = {
        "connect": (
            "no connection could be made",
            "Check the connection's host, the network and the proxy settings (HTTPS_PROXY, NO_PROXY).",
        ),
        "tls": (
            "the server's certificate was not accepted",
            "Check the connection's host; a company's own CA belongs in REQUESTS_CA_BUNDLE.",
        ),
        "dropped": ("the connection was dropped before an answer came", ""),
        "truncated": ("the answer broke off", ""),
        "stalled": (
            f"nothing came for {settings.read_timeout:g} s",
            "The connection's extra read_timeout sets how long to wait.",
        ),
        "deadline": (
            f"no complete answer within {settings.total_timeout:g} s",
            "The connection's extra total_timeout sets how long one call may take.",
        ),
        "oversize": (
            f"the answer is larger than {settings.max_response_mb:g} MB",
            "The connection's extra max_response_mb sets what is accepted.",
        ),
    }[how]
    # What broke off before its last bytes were sent is no request that anybody can have carried out.
    refused = how in {"connect", "tls"} or (call.body is not None and not call.body.whole)
    if not refused and not call.repeatable:
        advice = f"{advice} Robofy may have carried it out all the same: look before you repeat it.".lstrip()
    error: RobofyCallError
    if outcome.status is not None:
        error = RobofyResponseError(
            f"HTTP {outcome.status} with {outcome.content_type or 'no content type'}, but {what}",
            endpoint=call.title,
            requested_at=asked_at,
            advice=advice,
            status=outcome.status,
            content_type=outcome.content_type,
        )
    else:
        error = RobofyConnectionError(what, endpoint=call.title, requested_at=asked_at, advice=advice)
    error.transient = how in {"connect", "dropped", "truncated", "stalled"}
    error.refused = refused
    return error


@lru_cache(maxsize=16)  # many answers come within one second, and reading the date costs as much as reading a short one
def http_date(value: str | None) -> datetime | None:
    """Read an HTTP date; None where it is missing or unreadable."""
    try:
        date = parsedate_to_datetime(value or "")
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read ``Retry-After``, in seconds or as a date, clamped to 0 ... 120 seconds.

    A date is compared with the answer's own ``Date``, so that a wrong clock of this machine does not matter.

    :return: Seconds to wait, or None where the header is missing or unreadable.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        seconds = float(text)
    elif date := http_date(text):
        seconds = (date - (http_date(headers.get("date")) or now)).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


_NOT_JSON = object()


def _is_error(payload: Any) -> bool:
    """Return whether a body is an error in itself: which HTTP status documented errors have is not known."""
    if not isinstance(payload, dict) or payload.get("data"):
        return False
    error = payload.get("error")
    # A text beside a status tells of the thing that was asked about, as that of a crawl may; an object is an error.
    return bool(error) and not (isinstance(error, str) and "status" in payload)


def _api_error(call: Call[T], status: int, payload: Any, asked_at: datetime, settings: Settings) -> RobofyApiError:
    code, detail = _read_error(payload)
    detail = _tidy(call.scrub(detail).replace(settings.api_key, "..."))
    kind = _kind(status, code)
    what = {
        RobofyAuthError: "Robofy refused the API key",
        RobofyNotFoundError: "Robofy knows no such thing",
        RobofyBadRequestError: "Robofy did not accept the request",
        RobofyRateLimitError: "Robofy limits the rate of requests",
        RobofyServerError: "Robofy failed",
    }[kind]
    message = f"{what}, HTTP {status}" + (f" {code}" if code else "") + (f": {detail}" if detail else "")
    error = kind(
        message,
        status=status,
        code=code,
        detail=detail,
        endpoint=call.title,
        requested_at=asked_at,
        advice=f"{_advice(kind, call)} {_SUPPORT}",
    )
    if kind is RobofyServerError:
        error.transient = status in _TRANSIENT or status < 400
    return error


def _kind(status: int, code: str) -> type[RobofyApiError]:
    if status < 400:
        status = next((number for word, number in _STATUS_OF_CODE if word in code), 500)
    if status in {401, 403, 407}:
        return RobofyAuthError
    if status in {404, 410}:
        return RobofyNotFoundError
    if status == 429:
        return RobofyRateLimitError
    return RobofyServerError if status >= 500 or status == 408 else RobofyBadRequestError


_STATUS_OF_CODE = (
    ("UNAUTHORIZED", 401),
    ("FORBIDDEN", 403),
    ("NOT_FOUND", 404),
    ("RATE_LIMIT", 429),
    ("RATELIMIT", 429),
    ("TOO_MANY", 429),
    ("BAD_REQUEST", 400),
    ("INVALID", 400),
)


def _advice(kind: type[RobofyApiError], call: Call[T]) -> str:
    if kind is RobofyAuthError:
        return (
            "Check the API key in the connection's password field, and that it may use this project (Robofy dashboard)."
        )
    if kind is RobofyNotFoundError:
        names = " and ".join(call.path) or "the path"
        return (
            f"Check {names} (operator argument or connection extra); if those are right, the endpoint's path may "
            f"differ for this account: set it in the connection's extra 'endpoints' under {call.endpoint!r}."
        )
    if kind is RobofyBadRequestError:
        names = ", ".join((*call.path, *call.fields)) if isinstance(call.fields, dict) else ", ".join(call.path)
        return f"Check the values of {names or 'the request'}."
    if kind is RobofyRateLimitError:
        return "Set the connection's extra requests_per_minute, or a pool for the tasks that share the account."
    return "Try again later."


def _read_error(payload: Any) -> tuple[str, str]:
    """Return code and sentence from either documented shape, or what there is of them."""
    if not isinstance(payload, dict):
        return "", ""
    error = payload.get("error")
    if isinstance(error, str):
        return "", error
    inner = error if isinstance(error, dict) else {}
    texts = (inner.get("detail"), inner.get("message"), payload.get("message"))
    detail = next((text for text in texts if isinstance(text, str) and text), "")
    code = inner.get("code")
    code = re.sub(r"[^A-Z0-9]+", "_", code.upper())[:60] if isinstance(code, str) else ""
    return code, detail


def _tidy(text: str) -> str:
    """Keep a foreign sentence to one printable line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _DETAIL_LENGTH else f"{line[:_DETAIL_LENGTH]}..."
