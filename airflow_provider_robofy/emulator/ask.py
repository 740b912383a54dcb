"""One request of the API, read as far as every endpoint needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_robofy.emulator.answers import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from airflow_provider_robofy.emulator.pages import Page

# Text content may be long; without any bound one request could fill the memory.
_LARGEST_JSON = 32 * 1024 * 1024


@dataclass(slots=True)
class Ask:
    """
    Hold one request.

    :param endpoint: the endpoint's name.
    :param params: decoded path parameters.
    :param query: decoded query parameters; of a repeated one the last.
    :param page: the page asked for, from 1; None for a token that cannot be read.
    :param request: aiohttp's request, for its body.
    :param edits: what faults do to the page before it is written.
    """

    endpoint: str
    params: dict[str, str]
    query: dict[str, str]
    page: int | None
    request: web.BaseRequest
    edits: list[Callable[[Page], None]] = field(default_factory=list)

    @property
    def page_number(self) -> int:
        """The page asked for; refuses a token that this server never gave."""
        if self.page is None:
            raise bad_request("The page token is not valid.", "nextPageToken")
        return self.page

    async def json_object(self) -> dict[str, Any]:
        """Read the body as a JSON object; refuses anything else."""
        body = bytearray()
        async for part in self.request.content.iter_chunked(1 << 16):
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


def text_field(body: dict[str, Any], name: str) -> str:
    """
    Return a required text of a request body; refuses a missing, empty or other value.

    :param body: the body.
    :param name: its field.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise bad_request(f"The field {name} is required and must be text.", name)
    return value
