"""Turn an answer into the call's value or into an exception. Both documented error shapes are read here alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

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
    """Return the value that the call reads from a complete answer.

    :param call: The call.
    :param answer: Status, headers and body of the answer.
    :param asked_at: When the request was sent, in UTC.
    :param settings: Settings of the client. The key is removed from error messages.
    :return: The result of ``call.read``.
    :raises RobofyApiError: Robofy answered that the call failed, also under a status such as 200.
    :raises RobofyResponseError: The answer is not JSON, or JSON that the call cannot read.
    """
    problem = ""
    payload: Any = None
    try:
        payload = codec.loads_answer(answer.body, _charset(answer.headers)) if answer.body else None
    except ValueError as error:
        problem = f"the answer is not JSON ({error})"
    failure = find_failure(payload, own_status=call.own_status)
    if not 200 <= answer.status < 300 or failure is not None:
        raise _api_error(call, answer.status, failure or _read_failure([payload]), asked_at, settings)
    # A proxy may answer with a page of its own, for example during maintenance: a later attempt may succeed.
    transient = bool(problem) or not answer.body
    if not problem:
        try:
            return call.read(payload)
        except ValueError as error:
            problem = str(error)
    kind = media_type(answer.headers)
    foreign = RobofyResponseError(
        f"HTTP {answer.status} with {kind or 'no content type'}, but {problem}",
        endpoint=call.title,
        requested_at=asked_at,
        status=answer.status,
        content_type=kind,
        advice="If the API has changed, set the path in the connection's extra 'endpoints' under "
        f"{call.endpoint!r}, or update this provider.",
    )
    foreign.transient = transient
    raise foreign


@dataclass(frozen=True, slots=True)
class Failure:
    """Robofy's reason for a failed call.

    :param code: Error code or status word in upper case. Default empty.
    :param detail: Error message. It may repeat ids of the request. Default empty.
    """

    code: str = ""
    detail: str = ""


def find_failure(payload: Any, *, own_status: bool = False) -> Failure | None:
    """Return the failure that an answer reports, or None.

    This function decides for every endpoint, before rows or ids are read. It reads the answer and its ``data``, never
    the rows. The status of an error is not documented, so the HTTP status plays no part. These are failures::

        {"message": "Unauthorized", "error": {"code": "UNAUTHORIZED", "detail": "..."}}
        {"error": {"code": "INTERNAL_ERROR", "message": "..."}, "data": {"report": {"rows": []}}}
        {"success": false, "message": "Storage quota exceeded"}
        {"status": "error", "errors": ["..."], "rows": []}
        {"code": 403, "message": "..."}

    Null, empty, false and 0 in ``error``, ``errors`` or ``code`` are not a failure.

    :param payload: The decoded JSON of the answer.
    :param own_status: Whether the answer describes a crawl or a document with a status of its own. ``status`` and an
        error text then belong to the crawl or document and not to the call. Default False.
    :return: The failure, or None.
    """
    levels = [payload, payload.get("data")] if isinstance(payload, dict) else []
    objects = [level for level in levels if isinstance(level, dict)]
    if any(_reports_failure(level, own_status=own_status) for level in objects):
        return _read_failure(objects)
    return None


_ERROR_FIELDS = ("error", "errors", "error_code", "errorCode", "error_message", "errorMessage")
_SUCCESS_FIELDS = ("success", "ok", "succeeded", "is_success", "isSuccess", "successful")
_FAILED_FIELDS = ("failed", "is_error", "isError", "has_error", "hasError")
_CODE_FIELDS = ("code", "status_code", "statusCode", "http_status", "httpStatus", "http_code", "httpCode")
_STATUS_FIELDS = ("status", "result", "outcome")
_NOTHING_WORDS = {"", "0", "false", "none", "null", "no", "ok", "success"}
#: Part of a status word, and the HTTP status that it means; 0 is a failure of unknown kind. The first match counts.
_MEANING = (
    ("UNAUTHORI", 401),
    ("UNAUTHENTICATED", 401),
    ("FORBIDDEN", 403),
    ("ACCESS_DENIED", 403),
    ("PERMISSION", 403),
    ("NOT_FOUND", 404),
    ("RATE_LIMIT", 429),
    ("RATELIMIT", 429),
    ("TOO_MANY", 429),
    ("BAD_REQUEST", 400),
    ("INVALID", 400),
    ("UNAVAILABLE", 503),
    ("TIMEOUT", 504),
    ("TIMED_OUT", 504),
    ("INTERNAL", 500),
    ("SERVER_ERROR", 500),
    ("ERROR", 0),
    ("FAIL", 0),
    ("DENIED", 0),
    ("REFUSED", 0),
    ("REJECTED", 0),
    ("EXCEPTION", 0),
    ("UNSUCCESSFUL", 0),
)


def meaning_of(word: object) -> int | None:
    """Return the HTTP status that a code or status word means.

    :param word: Value of a code or status field, such as ``403``, ``"403"``, ``"PROJECT_NOT_FOUND"`` or ``"failed"``.
    :return: The status, 0 for a failure of unknown kind, or None where the value reports no failure.
    """
    if isinstance(word, bool):
        return None
    if isinstance(word, int | float):
        return int(word) if 400 <= word < 1000 else None
    if not isinstance(word, str):
        return None
    text = _upper(word)
    if text.isdecimal():
        return meaning_of(int(text[:9]))
    if text.startswith(("NO_ERROR", "NO_FAIL", "ERROR_FREE", "WITHOUT_ERROR")):
        return None
    return next((number for part, number in _MEANING if part in text), None)


def _reports_failure(level: dict[str, Any], *, own_status: bool) -> bool:
    own = own_status and any(isinstance(level.get(name), str) for name in _STATUS_FIELDS)
    for name in _ERROR_FIELDS:
        value = level.get(name)
        if isinstance(value, str):
            if not own and value.strip().lower() not in _NOTHING_WORDS:
                return True
        elif value and (name != "errors" or not isinstance(value, int | float) or value is True):
            return True  # a number of errors is a count
    if not own and any(_is_false(level.get(name)) for name in _SUCCESS_FIELDS):
        return True
    if any(level.get(name) is True for name in _FAILED_FIELDS):
        return True
    if any(meaning_of(level.get(name)) is not None for name in _CODE_FIELDS):
        return True
    words = (level.get(name) for name in _STATUS_FIELDS)
    return any(
        word is False or (meaning_of(word) is not None and not (own_status and isinstance(word, str))) for word in words
    )


def _is_false(value: object) -> bool:
    return value is False or (isinstance(value, str) and value.strip().lower() in {"false", "no"})


def _read_failure(levels: list[Any]) -> Failure:
    """Return code and message of an answer that reports a failure, in any of the shapes above.

    Of several codes, one that means an HTTP status is preferred.
    """
    codes: list[Any] = []
    texts: list[Any] = []
    for level in levels:
        if not isinstance(level, dict):
            continue
        inner = level.get("error") or level.get("errors")
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, dict):
            codes += [inner.get("code"), inner.get("status"), inner.get("type")]
            texts += [inner.get("detail"), inner.get("message")]
        elif isinstance(inner, str):
            # One word in capitals is a code, everything else a message.
            (codes if re.fullmatch(r"[A-Z][A-Z0-9_]+", inner) else texts).append(inner)
        codes += [level.get(name) for name in ("error_code", "errorCode", *_CODE_FIELDS, *_STATUS_FIELDS)]
        texts += [level.get(name) for name in ("error_message", "errorMessage", "message", "detail")]
    known = [code for code in codes if isinstance(code, str | int) and not isinstance(code, bool) and code != ""]
    code = next((one for one in known if meaning_of(one)), known[0] if known and meaning_of(known[0]) == 0 else "")
    code = code or next((one for one in known if isinstance(one, str)), "")
    detail = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    return Failure(_upper(str(code))[:60], detail)


def _upper(word: str) -> str:
    return re.sub(r"[^A-Z0-9]+", "_", word.strip().upper()).strip("_")


def _charset(headers: Mapping[str, str]) -> str:
    found = re.search(r"charset=[\"']?([\w.:-]{1,40})", headers.get("content-type", ""), re.IGNORECASE)
    return found.group(1) if found else ""


def lost(call: Call[T], outcome: Lost, asked_at: datetime, settings: Settings) -> RobofyCallError:
    """Return the error for a call that got no complete answer.

    :param call: The call.
    :param outcome: How the request ended.
    :param asked_at: When it was sent, in UTC.
    :param settings: Settings of the client, for the timeouts in the message.
    :return: The error, with ``transient`` and ``refused`` set.
    """
    how = outcome.how
    what, advice = {
        "connect": (
            f"no connection to {urlsplit(settings.base_url).netloc} could be made",
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
    # Robofy cannot have acted on a request whose last bytes were never sent.
    refused = how in {"connect", "tls"} or (call.body is not None and not call.body.whole)
    if not refused and not call.repeatable:
        advice = f"{advice} Robofy may have carried it out all the same: look before you repeat it.".lstrip()
    kind: type[RobofyCallError] = RobofyConnectionError
    if outcome.status is not None:
        kind = RobofyResponseError
        what = f"HTTP {outcome.status} with {outcome.content_type or 'no content type'}, but {what}"
    error = kind(
        what,
        endpoint=call.title,
        requested_at=asked_at,
        advice=advice,
        status=outcome.status,
        content_type=outcome.content_type,
    )
    error.transient = how in {"connect", "dropped", "truncated", "stalled"}
    error.refused = refused
    return error


@lru_cache(maxsize=16)  # parsing a date costs as much as a short answer, and many answers have the same second
def http_date(value: str | None) -> datetime | None:
    """Parse an HTTP date.

    :param value: Value of a header such as ``Date``, or None.
    :return: The time in UTC, or None where the value is missing or not a date.
    """
    try:
        date = parsedate_to_datetime(value or "")
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Parse ``Retry-After``, in seconds or as a date, clamped to 0 ... 120 seconds.

    A date is compared with the answer's own ``Date`` header, so a wrong clock on this machine does not matter.

    :param headers: Headers of the answer, with lower-case names.
    :param now: The time in UTC, used where the answer has no ``Date``.
    :return: Seconds to wait, or None where the header is missing or cannot be read.
    """
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        seconds = float(text)
    elif date := http_date(text):
        seconds = (date - (http_date(headers.get("date")) or now)).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _api_error(call: Call[T], status: int, failure: Failure, asked_at: datetime, settings: Settings) -> RobofyApiError:
    code = failure.code
    detail = _tidy(call.scrub(failure.detail).replace(settings.api_key, "..."))
    kind = _kind(status, code)
    shown = "" if code == str(status) else code
    message = f"{kind.summary}, HTTP {status}" + (f" {shown}" if shown else "") + (f": {detail}" if detail else "")
    error = kind(
        message,
        status=status,
        code=code,
        detail=detail,
        endpoint=call.title,
        requested_at=asked_at,
        advice=f"{_advice(kind, call)} {_SUPPORT}",
    )
    if kind in {RobofyServerError, RobofyApiError}:
        error.transient = status in _TRANSIENT or status < 400
    return error


def _kind(status: int, code: str) -> type[RobofyApiError]:
    """Return the class of an error. With a status below 300, Robofy's code decides."""
    if status < 300:
        status = meaning_of(code) or 0
        if not status:
            return RobofyApiError
    if status in {401, 403, 407}:
        return RobofyAuthError
    if status in {404, 410}:
        return RobofyNotFoundError
    if status == 429:
        return RobofyRateLimitError
    return RobofyBadRequestError if 400 <= status < 500 and status != 408 else RobofyServerError


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


def _tidy(text: str) -> str:
    """Return Robofy's message as one printable line of at most 300 characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _DETAIL_LENGTH else f"{line[:_DETAIL_LENGTH]}..."
