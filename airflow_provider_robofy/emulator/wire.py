"""Requests of the API as its endpoints read them, their answers, and the two error shapes that Robofy documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.pages import Page

_JSON = "application/json; charset=utf-8"
# Text content may be long; without any bound one request could fill the memory.
_LARGEST_JSON = 32 * 1024 * 1024


class ApiError(Exception):
    """An error that the client gets as an answer.

    :param status: HTTP status.
    :param code: Robofy's upper-case error code.
    :param detail: What is wrong, in a sentence.
    :param field: The header, parameter or body field that is to blame; "" for none.
    :param headers: Further headers of the answer.
    """

    def __init__(self, status: int, code: str, detail: str, field: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.field, self.headers = status, code, detail, field, headers

    def answer(self, shape: str) -> web.Response:
        """Return it as an answer in one of the documented shapes.

        :param shape: "1" or "2".
        """
        if shape == "2":
            details = {"details": {"field": self.field}} if self.field else {}
            content: Any = {"error": {"code": self.code.lower(), "message": self.detail, **details}}
        else:
            title = self.code.replace("_", " ").capitalize()
            content = {"message": title, "error": {"code": self.code, "detail": self.detail}}
        return respond(content, self.status, **self.headers)


def bad_request(detail: str, field: str = "") -> ApiError:
    """Return the 400 for a parameter or body that cannot be used.

    :param detail: What is wrong, in a sentence.
    :param field: Which parameter or body field.
    """
    return ApiError(400, "BAD_REQUEST", detail, field)


def not_found(detail: str, field: str = "", code: str = "NOT_FOUND") -> ApiError:
    """Return the 404 for something that is not there.

    :param detail: What is missing, in a sentence.
    :param field: The parameter that named it.
    :param code: Robofy's code for it.
    """
    return ApiError(404, code, detail, field)


def to_json(content: Any) -> bytes:
    """Return content as JSON.

    :param content: What to write.
    """
    return orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)


def respond(content: Any, status: int = 200, content_type: str = _JSON, **headers: str) -> web.Response:
    """Return an HTTP answer.

    :param content: Its body: bytes as they are, anything else as JSON.
    :param status: HTTP status.
    :param content_type: Its Content-Type header. Default JSON.
    :param headers: Further headers.
    """
    body = content if isinstance(content, bytes) else to_json(content)
    return web.Response(body=body, status=status, headers={"Content-Type": content_type, **headers})


def success(message: str, data: Any) -> dict[str, Any]:
    """Return the content of Robofy's usual answer.

    :param message: One sentence.
    :param data: What was asked for.
    """
    return {"message": message, "data": data}


@dataclass(slots=True)
class ApiRequest:
    """One request of the API.

    :param endpoint: Name of the endpoint.
    :param params: Decoded path parameters.
    :param query: Decoded query parameters; of a repeated one the last.
    :param http: aiohttp's request, for its body. None where pages are rendered before anybody asked.
    :param page: The page asked for, from 1; None for a token that cannot be read.
    :param edits: What faults do to the page before it is written.
    """

    endpoint: str
    params: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    http: web.BaseRequest | None = None
    page: int | None = 1
    edits: list[Callable[[Page], None]] = field(default_factory=list)

    @property
    def listing(self) -> tuple[str | None, ...]:
        """Return what identifies a listing: endpoint, agent and session."""
        session = self.params.get("sessionId", self.query.get("sessionId"))
        return self.endpoint, self.params.get("chatbotId"), session or None

    async def json_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object.

        :raises ApiError: It is something else, or too large.
        """
        body = bytearray()
        if self.http is not None:
            async for part in self.http.content.iter_chunked(1 << 16):
                body += part
                if len(body) > _LARGEST_JSON:
                    raise bad_request("The request body is too large.")
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise bad_request("The request body is not valid JSON.") from None
        if not isinstance(content, dict):
            raise bad_request("The request body must be a JSON object.")
        return content


@dataclass(slots=True, frozen=True)
class Request:
    """One request that was answered, or refused, or dropped.

    :param endpoint: Endpoint name, "" if it meant none.
    :param method: GET, POST ...
    :param path: The path as sent, still encoded.
    :param query: The query as sent, still encoded.
    :param page: The page of a listing that it asked for; None for a token that cannot be read.
    :param status: HTTP status of the answer, 0 where the connection was dropped.
    :param time: When, in seconds since 1970 by the machine's clock.
    :param user_agent: Its User-Agent header.
    :param authorized: Whether it carried the right key; the key itself is not kept.
    :param faults: Kinds of the faults that were applied to it.
    """

    endpoint: str
    method: str
    path: str
    query: str
    page: int | None
    status: int
    time: float
    user_agent: str
    authorized: bool
    faults: tuple[str, ...]


def text_field(body: dict[str, Any], name: str) -> str:
    """Return a required text of a request body.

    :param body: The body.
    :param name: Its field.
    :raises ApiError: It is missing, empty or no text.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(f"The field {name} is required and must be text.", name)
    return value
