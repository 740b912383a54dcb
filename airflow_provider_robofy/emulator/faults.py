"""Faults, which go wrong on purpose. Each kind is one function; `build` and `parse` return faults that are set.

A fault is aimed (`endpoint`, `chatbot`, `session`, `page`), may wait (`after` lets that many matching requests pass)
and is limited (`times`; 0 or null means always). Faults that replace, delay or break an answer happen once by
default; faults in a page's content stay, so that asking for the page again shows the same. Of the faults that replace
an answer the first one set is used, and those behind it wait; all others are combined.
"""

# ruff: noqa: A002 - an option is called what users write

from __future__ import annotations

import asyncio
import inspect
import math
import socket
import struct
import time
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_type_hints

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from airflow_provider_robofy.emulator.pages import LISTINGS, Page
from airflow_provider_robofy.emulator.settings import Endpoint, Number, Text, Whole, explain
from airflow_provider_robofy.emulator.wire import ApiError, respond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_robofy.emulator.wire import ApiRequest

_IDS = ("id", "session_id", "chatbot_id", "asset_id")
_TIMES = ("created_at", "last_message_time")
_MALFORMED = ("no_id", "bad_date", "not_object")

Seconds = Annotated[Number, Field(ge=0)]
Count = Annotated[Whole, Field(ge=1)]

#: What a fault changes: the answer itself, when it is sent, how it is sent, or the rows, token and list of a page.
ANSWER, DELAY, DELIVERY, PAGE = "answer", "delay", "delivery", "page"


class FaultError(ValueError):
    """A fault that the emulator does not know, or an option that it cannot use; the text says which."""


class Options(BaseModel):
    """The options that all faults have. The first four are what a request is compared with.

    `times` is -1 for what the kind does by itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    endpoint: Endpoint | None = None
    chatbot: str | None = None
    session: str | None = None
    page: Annotated[Whole, Field(ge=1)] | None = None
    times: Annotated[Whole, Field(ge=0)] | None = Field(-1, validate_default=False)
    after: Annotated[Whole, Field(ge=0)] = 0


class Kind(NamedTuple):
    """One kind of fault.

    :param changes: `ANSWER`, `DELAY`, `DELIVERY` or `PAGE`.
    :param act: The function that does it.
    :param options: Names of its own options.
    :param model: All its options.
    """

    changes: str
    act: Callable[..., Any]
    options: tuple[str, ...]
    model: type[Options]


KINDS: dict[str, Kind] = {}


def _kind(changes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a function to `KINDS` under its name; its keyword-only parameters are the options of the fault."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        own = [one for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
        fields: Any = {one.name: (hints[one.name], ... if one.default is one.empty else one.default) for one in own}
        model = create_model(function.__name__, __base__=Options, **fields)
        KINDS[function.__name__] = Kind(changes, function, tuple(fields), model)
        return function

    return register


# ---------------------------------------------------------------------------------------- in place of the answer
@_kind(ANSWER)
def status(
    *,
    status: Annotated[Whole, Field(ge=200, le=599)] = 500,
    code: str = "INTERNAL_SERVER_ERROR",
    message: str = "Something went wrong on our side.",
) -> web.Response:
    """Refuse with a status: `status`, error `code`, and a `message`."""
    raise ApiError(status, code, message)


@_kind(ANSWER)
def rate_limit(*, retry_after: Seconds | None = None, retry_after_date: Seconds | None = None) -> web.Response:
    """Answer 429 with Retry-After as seconds (`retry_after`), a date that far ahead (`retry_after_date`) or none."""
    header = None if retry_after is None else f"{retry_after:g}"
    if retry_after_date is not None:
        header = formatdate(math.ceil(time.time() + retry_after_date), usegmt=True)
    raise ApiError(429, "TOO_MANY_REQUESTS", "Too many requests.", **({"Retry-After": header} if header else {}))


@_kind(ANSWER)
def html(*, status: Count = 200) -> web.Response:
    """Answer an HTML page, as a proxy in front would, with `status`."""
    page = b"<!doctype html><html><head><title>Be right back</title></head><body><h1>Maintenance</h1></body></html>"
    return respond(page, status, "text/html; charset=utf-8")


@_kind(ANSWER)
def not_json() -> web.Response:
    """Answer 200 with a JSON content type and a body that is not JSON."""
    return respond(b'{"message": "Leads retri')


@_kind(ANSWER)
def wrong_shape() -> web.Response:
    """Answer 200 with JSON of another shape."""
    return respond({"data": "soon"})


@_kind(ANSWER)
def redirect(*, to: Text, status: Annotated[Whole, Field(ge=300, le=399)] = 302) -> web.Response:
    """Send the client elsewhere: `to` is the address, `status` 302 or another."""
    return respond(b"", status, "text/plain", Location=to)


# ------------------------------------------------------------------------------------ in how the answer is sent
@_kind(DELAY)
async def delay(*, seconds: Seconds = 1.0) -> None:
    """Wait `seconds` before the answer; an hour is as good as a hang."""
    await asyncio.sleep(seconds)


@_kind(DELIVERY)
async def drop(request: web.BaseRequest, answer: web.Response, *, reset: bool = False) -> web.StreamResponse:
    """Close the connection before any answer; `reset` true sends a TCP reset instead of an orderly end."""
    if request.transport is not None:
        if reset:
            raw = request.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    # aiohttp wants a response to fail to send.
    return answer


async def _begin(request: web.BaseRequest, answer: web.Response, *, chunked: bool) -> tuple[web.StreamResponse, bytes]:
    body = answer.body if isinstance(answer.body, bytes) else b""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(body)
    await response.prepare(request)
    return response, body


@_kind(DELIVERY)
async def truncate(
    request: web.BaseRequest, answer: web.Response, *, bytes: Count | None = None, chunked: bool = False
) -> web.StreamResponse:
    """Promise the whole body, send `bytes` of it (half if not given) and close; or break off a `chunked` one."""
    response, body = await _begin(request, answer, chunked=chunked)
    await response.write(body[: len(body) // 2 if bytes is None else min(bytes, len(body) - 1)])
    if request.transport is not None:
        request.transport.close()
    return response


@_kind(DELIVERY)
async def trickle(
    request: web.BaseRequest, answer: web.Response, *, delay: Seconds = 0.1, bytes: Count = 1, chunked: bool = False
) -> web.StreamResponse:
    """Send the body `bytes` at a time with `delay` seconds between, with a length or `chunked`."""
    response, body = await _begin(request, answer, chunked=chunked)
    with suppress(ConnectionError):  # the client had enough, which is what this fault is there to show
        for start in range(0, len(body), bytes):
            await response.write(body[start : start + bytes])
            await asyncio.sleep(delay)
    return response


@_kind(DELIVERY)
async def endless(
    request: web.BaseRequest, answer: web.Response, *, delay: Seconds = 0.01, bytes: Count = 65_536
) -> web.StreamResponse:
    """Send a chunked body that begins like the answer and never ends: `bytes` of blanks every `delay` seconds."""
    response, body = await _begin(request, answer, chunked=True)
    with suppress(ConnectionError):  # as above
        await response.write(body[:-1])
        while True:
            await response.write(b" " * bytes)
            await asyncio.sleep(delay)
    return response


# --------------------------------------------------------------------------------------- in the content of a page
@_kind(PAGE)
def duplicate_rows(page: Page, *, count: Count = 3) -> None:
    """Repeat the last `count` rows of the page before at the top of this one; the first page has none before it."""
    page.rows[:0] = page.before()[-count:]


@_kind(PAGE)
def changed_rows(page: Page, *, count: Count = 1) -> None:
    """Add the first `count` rows of the page once more at its end, with the same id and other content."""
    for row in page.rows[:count]:
        if isinstance(row, dict):
            data, news = row.get("lead_data"), {"field_name": "status", "field_type": "text", "field_value": "changed"}
            page.rows.append(row | ({"lead_data": [*data, news]} if isinstance(data, list) else {"changed": True}))


@_kind(PAGE)
def disorder(page: Page, *, count: Count = 1) -> None:
    """Swap `count` pairs of rows, outermost first."""
    rows = page.rows
    for low in range(min(count, len(rows) // 2)):
        rows[low], rows[-1 - low] = rows[-1 - low], rows[low]


@_kind(PAGE)
def malformed_rows(
    page: Page, *, count: Count = 3, how: Literal["mixed", "no_id", "bad_date", "not_object", "odd_id"] = "mixed"
) -> None:
    """Add `count` malformed rows: `how` is no_id, bad_date, not_object, mixed (these in turn), or odd_id."""
    good = list(page.rows) or [{}]
    for n in range(count):
        # Spread over the page, where a check of the first or last row alone would miss them.
        at = (n + 1) * len(page.rows) // (count + 1)
        page.rows.insert(
            at, _malformed(_MALFORMED[n % 3] if how == "mixed" else how, good[n % len(good)], f"{page.number}_{n}")
        )


def _malformed(how: str, like: Any, name: str) -> Any:
    if how == "not_object" or not isinstance(like, dict):
        return f"malformed row {name}"
    if how == "no_id":
        return {key: value for key, value in like.items() if key not in _IDS}
    key = next((key for key in _IDS if key in like), "id")
    if how == "odd_id":
        return {**like, key: {"value": name}}
    return {**like, key: f"malformed_{name}", **dict.fromkeys([t for t in _TIMES if t in like], "soon")}


@_kind(PAGE)
def token_loop(page: Page) -> None:
    """Write a token into every page that leads back to the same page."""
    page.next = page.number


@_kind(PAGE)
def token_unknown(page: Page, *, key: str = "continuation") -> None:
    """Write the next page's token under another key, `key`."""
    page.token_key = key


@_kind(PAGE)
def missing_list(page: Page) -> None:
    """Leave out the list of rows, which is not the same as an empty one."""
    page.list_missing = True


# --------------------------------------------------------------------------------------------------- making them
class Fault:
    """One fault that is set, and how often it was applied.

    :param kind: Its name in `KINDS`.
    :param options: All its options.
    """

    def __init__(self, kind: str, options: Options) -> None:
        self.kind = kind
        self.changes, function, own, _ = KINDS[kind]
        self.act = partial(function, **{name: getattr(options, name) for name in own})
        self.times = options.times
        if self.times == -1:
            self.times = 0 if self.changes == PAGE else 1
        self._options = options
        self._done = self._passed = 0

    def applies(self, request: ApiRequest) -> bool:
        """Return whether the fault applies to a request, and count it.

        :param request: The request.
        """
        if (self.times and self._done >= self.times) or not self._matches(request):
            return False
        if self._passed < self._options.after:
            self._passed += 1
            return False
        self._done += 1
        return True

    def _matches(self, request: ApiRequest) -> bool:
        if self.changes == PAGE and request.endpoint not in LISTINGS:
            return False
        if self.kind == "duplicate_rows" and (request.page or 0) < 2:
            return False
        aim = self._options
        found = zip((aim.endpoint, aim.chatbot, aim.session, aim.page), (*request.listing, request.page), strict=True)
        return all(wanted in {None, value} for wanted, value in found)

    def as_json(self) -> dict[str, Any]:
        """Return it with its options and how often it was applied, for the control API."""
        options = self._options.model_dump() | {"times": self.times}
        return {"kind": self.kind, **options, "done": self._done, "passed": self._passed}


def build(kind: str, given: Mapping[str, Any]) -> Fault:
    """Return a fault of a kind and options.

    :param kind: Its name.
    :param given: Its options by name; text is read as the type that the option has.
    :raises FaultError: The kind or an option cannot be used; the text says what is wrong.
    """
    if kind not in KINDS:
        raise FaultError(f"unknown fault {kind!r}; known: {', '.join(KINDS)}")
    model = KINDS[kind].model
    values: dict[str, Any] = {name: None if value == "none" else value for name, value in given.items()}
    try:
        options = model(**values)
    except ValidationError as wrong:
        raise FaultError(f"{kind}: {explain(wrong, 'option', model.model_fields)}") from None
    return Fault(kind, options)


def parse(text: str) -> Fault:
    """Return a fault written as on the command line: `KIND[:key=value,...]`.

    :param text: Such as `status:status=503,endpoint=list_leads,times=2`.
    :raises FaultError: It cannot be used.
    """
    kind, _, rest = text.partition(":")
    options = {}
    for pair in filter(None, rest.split(",")):
        name, equals, value = pair.partition("=")
        if not equals:
            raise FaultError(f"{kind}: {pair!r} is not key=value")
        options[name.strip()] = value
    return build(kind.strip(), options)
