"""
What can go wrong on purpose.

A fault is aimed (`endpoint`, `chatbot`, `session`, `page`), patient (`after` lets that many matching requests pass)
and limited (`times`; 0 or null means always). Faults that replace, delay or break an answer happen once unless told
otherwise; faults in a page's content stay, so that asking for the page again shows the same. Of the faults that
replace an answer the first one set is used, and those behind it wait; all others are combined.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
from dataclasses import dataclass, field, fields
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import web

from airflow_provider_robofy.emulator.answers import Answer, ApiError, json_answer
from airflow_provider_robofy.emulator.routes import ENDPOINTS

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.ask import Ask


class FaultError(ValueError):
    """A fault that the emulator does not know, or an option that it cannot use; the text says which."""


@dataclass(kw_only=True)
class Fault:
    """
    Aim and limit a fault; the base of them all.

    :param endpoint: endpoint name; None for any.
    :param chatbot: only requests whose path names this agent.
    :param session: only requests whose path or `sessionId` names this session.
    :param page: only this page of a listing, from 1.
    :param times: how often; 0 or None for always; -1 for what the kind does by itself.
    :param after: matching requests to let pass first.
    """

    kind: ClassVar[str]
    stays: ClassVar[bool] = False

    endpoint: str | None = None
    chatbot: str | None = None
    session: str | None = None
    page: int | None = None
    times: int | None = -1
    after: int = 0
    done: int = field(default=0, init=False)
    passed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Refuse what would never or always match by mistake."""
        if self.endpoint is not None and self.endpoint not in ENDPOINTS:
            raise FaultError(f"unknown endpoint {self.endpoint!r}; known: {', '.join(ENDPOINTS)}")
        if self.times == -1:
            self.times = 0 if self.stays else 1
        for option in fields(self):
            value = getattr(self, option.name)
            least = 1 if option.name in {"page", "bytes", "count"} else 0
            if isinstance(value, int | float) and (value < least or not math.isfinite(value)):
                raise FaultError(f"{self.kind}: {option.name} must be at least {least}, not {value}")

    def strikes(self, ask: Ask) -> bool:
        """
        Say whether this request is hit, and count it.

        :param ask: the request.
        """
        if (self.times and self.done >= self.times) or not self.matches(ask):
            return False
        if self.passed < self.after:
            self.passed += 1
            return False
        self.done += 1
        return True

    def matches(self, ask: Ask) -> bool:
        """
        Say whether the request is one that this fault is aimed at.

        :param ask: the request.
        """
        session = ask.params.get("sessionId", ask.query.get("sessionId"))
        return (
            self.endpoint in {None, ask.endpoint}
            and self.chatbot in {None, ask.params.get("chatbotId")}
            and self.session in {None, session}
            and self.page in {None, ask.page}
        )

    def as_json(self) -> dict[str, Any]:
        """Return it with its options and how often it struck, for the control API."""
        return {"kind": self.kind} | {option.name: getattr(self, option.name) for option in fields(self)}


# ---------------------------------------------------------------------------------------- in place of the answer
class Replacement(Fault):
    """A fault that answers in place of the API."""

    def replace(self) -> Answer | ApiError:
        """Return the answer to give, or the refusal to write in the error shape of the moment."""
        raise NotImplementedError


@dataclass(kw_only=True)
class Status(Replacement):
    """Refuse with a status: `status`, error `code`, and a `message`."""

    kind: ClassVar[str] = "status"
    status: int = 500
    code: str = "INTERNAL_SERVER_ERROR"
    message: str = "Something went wrong on our side."

    def __post_init__(self) -> None:
        """Refuse what is no final HTTP status."""
        super().__post_init__()
        if not 200 <= self.status <= 599:
            raise FaultError(f"status: status must be from 200 to 599, not {self.status}")

    def replace(self) -> Answer | ApiError:
        return ApiError(self.status, self.code, self.message)


@dataclass(kw_only=True)
class RateLimit(Replacement):
    """Answer 429 with Retry-After as seconds (`retry_after`), a date that far ahead (`retry_after_date`) or none."""

    kind: ClassVar[str] = "rate_limit"
    retry_after: float | None = None
    retry_after_date: float | None = None

    def replace(self) -> Answer | ApiError:
        refusal = ApiError(429, "TOO_MANY_REQUESTS", "Too many requests.")
        if self.retry_after_date is not None:
            refusal.headers["Retry-After"] = formatdate(math.ceil(time.time() + self.retry_after_date), usegmt=True)
        elif self.retry_after is not None:
            refusal.headers["Retry-After"] = f"{self.retry_after:g}"
        return refusal


@dataclass(kw_only=True)
class Html(Replacement):
    """Answer an HTML page, as a proxy in front would, with `status`."""

    kind: ClassVar[str] = "html"
    status: int = 200

    def replace(self) -> Answer | ApiError:
        page = b"<!doctype html><html><head><title>Be right back</title></head><body><h1>Maintenance</h1></body></html>"
        return Answer(page, self.status, "text/html; charset=utf-8")


@dataclass(kw_only=True)
class NotJson(Replacement):
    """Answer 200 with a JSON content type and a body that is not JSON."""

    kind: ClassVar[str] = "not_json"

    def replace(self) -> Answer | ApiError:
        return Answer(b'{"message": "Leads retri')


@dataclass(kw_only=True)
class WrongShape(Replacement):
    """Answer 200 with JSON of another shape."""

    kind: ClassVar[str] = "wrong_shape"

    def replace(self) -> Answer | ApiError:
        return json_answer({"data": "soon"})


@dataclass(kw_only=True)
class Redirect(Replacement):
    """Send the client elsewhere: `to` is the address, `status` 302 or another."""

    kind: ClassVar[str] = "redirect"
    to: str = ""
    status: int = 302

    def __post_init__(self) -> None:
        """Ask for the address, since there is no sensible default."""
        super().__post_init__()
        if not self.to or not 300 <= self.status <= 399:
            raise FaultError("redirect: give to=ADDRESS, and a status from 300 to 399 if not 302")

    def replace(self) -> Answer | ApiError:
        return Answer(b"", self.status, "text/plain", {"Location": self.to})


# ------------------------------------------------------------------------------------ in how the answer is sent
@dataclass(kw_only=True)
class Delay(Fault):
    """Wait `seconds` before the answer; an hour is as good as a hang."""

    kind: ClassVar[str] = "delay"
    seconds: float = 1.0


class Delivery(Fault):
    """A fault in how an answer is sent."""

    async def deliver(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """
        Send the answer, badly.

        :param request: where to.
        :param answer: what.
        """
        raise NotImplementedError


@dataclass(kw_only=True)
class Drop(Delivery):
    """Close the connection before any answer; `reset` true sends a TCP reset instead of an orderly end."""

    kind: ClassVar[str] = "drop"
    reset: bool = False

    async def deliver(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        transport = request.transport
        if transport is not None:
            if self.reset:
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        # aiohttp wants a response to fail to send.
        return web.Response(status=answer.status)


async def _begin(request: web.BaseRequest, answer: Answer, *, chunked: bool) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type, **answer.headers})
    if chunked:
        response.enable_chunked_encoding()
    else:
        response.content_length = len(answer.body)
    await response.prepare(request)
    return response


@dataclass(kw_only=True)
class Truncate(Delivery):
    """Promise the whole body, send `bytes` of it (half if not given) and close; or break off a `chunked` one."""

    kind: ClassVar[str] = "truncate"
    bytes: int | None = None
    chunked: bool = False

    async def deliver(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = await _begin(request, answer, chunked=self.chunked)
        shown = len(answer.body) // 2 if self.bytes is None else min(self.bytes, len(answer.body) - 1)
        await response.write(answer.body[:shown])
        if request.transport is not None:
            request.transport.close()
        return response


@dataclass(kw_only=True)
class Trickle(Delivery):
    """Send the body `bytes` at a time with `delay` seconds between, with a length or `chunked`."""

    kind: ClassVar[str] = "trickle"
    delay: float = 0.1
    bytes: int = 1
    chunked: bool = False

    async def deliver(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = await _begin(request, answer, chunked=self.chunked)
        try:
            for start in range(0, len(answer.body), self.bytes):
                await response.write(answer.body[start : start + self.bytes])
                await asyncio.sleep(self.delay)
        except ConnectionError:
            pass  # The client had enough, which is what this fault is there to show.
        return response


@dataclass(kw_only=True)
class Endless(Delivery):
    """Send a chunked body that begins like the answer and never ends: `bytes` of blanks every `delay` seconds."""

    kind: ClassVar[str] = "endless"
    delay: float = 0.01
    bytes: int = 65_536

    async def deliver(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        response = await _begin(request, answer, chunked=True)
        try:
            await response.write(answer.body[:-1])
            while True:
                await response.write(b" " * self.bytes)
                await asyncio.sleep(self.delay)
        except ConnectionError:
            pass  # as above
        return response
