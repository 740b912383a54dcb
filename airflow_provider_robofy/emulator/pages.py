"""Pages of listings: which rows are on one, its token, its envelope, and the memory of pages already rendered."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_robofy.emulator.wire import bad_request, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from airflow_provider_robofy.emulator.account import World
    from airflow_provider_robofy.emulator.settings import Settings
    from airflow_provider_robofy.emulator.wire import ApiRequest

_LEAD_COLUMNS = ("id", "created_at", "source", "page_url", "ip_address", "lead_data")


class Listing(NamedTuple):
    """How one listing is answered.

    :param rows: Name of its list.
    :param envelope: Its shape unless the settings say otherwise; only "report", that of leads, is documented.
    :param message: The sentence beside it.
    :param page_size: Setting that says how many rows are on a page; without such a setting all are on one.
    """

    rows: str
    envelope: str
    message: str
    page_size: str


LISTINGS = {
    "list_leads": Listing("rows", "report", "Leads retrieved successfully.", "page_size"),
    "list_sessions": Listing("sessions", "named", "Sessions retrieved successfully.", "sessions_page_size"),
    "list_session_messages": Listing("messages", "data_list", "Messages retrieved successfully.", "messages_page_size"),
    "list_agents": Listing("agents", "data_list", "Chatbots retrieved successfully.", "agents_page_size"),
    "list_linked_assets": Listing("assets", "data_list", "Assets retrieved successfully.", ""),
    "list_projects": Listing("projects", "data_list", "Projects retrieved successfully.", ""),
}


@dataclass(slots=True)
class Page:
    """One page before it is written, for faults to change.

    :param rows: Its rows.
    :param number: Its number from 1.
    :param next: The page that its token leads to, None on the last.
    :param before: Returns the rows of the page before.
    :param token_key: The key that the token is written under.
    :param list_missing: True leaves the list out, which is not the same as an empty one.
    """

    rows: list[Any]
    number: int
    next: int | None
    before: Callable[[], list[Any]]
    token_key: str
    list_missing: bool = False


class Tokens:
    """Write and read page tokens.

    :param settings: Their form, and the seed that they are signed with.
    """

    def __init__(self, settings: Settings) -> None:
        self._form = settings.token_form
        self._secret = secrets.token_bytes(32) if self._form == "opaque" else f"seed {settings.seed}".encode()
        self._opaque: dict[str, int] = {}

    def write(self, listing: Hashable, page: int, size: int) -> str | int:
        """Return the token of a page, such as `eyJwYWdlIjoyfQ==` for the second.

        :param listing: Whose page.
        :param page: Its number from 1.
        :param size: Rows on a page.
        """
        if self._form == "number":
            return page
        if self._form == "offset":
            return (page - 1) * size
        if self._form == "base64":
            return base64.b64encode(json.dumps({"page": page}, separators=(",", ":")).encode()).decode()
        digest = hashlib.blake2b(repr((listing, page)).encode(), key=self._secret, digest_size=31).digest()
        if self._form == "signed":
            return f"{page}.{base64.b64encode(digest).decode()}"
        token = base64.urlsafe_b64encode(digest[:24]).decode()
        self._opaque[token] = page
        return token

    def read(self, listing: Hashable, token: str | None, size: int) -> int | None:
        """Return the page that a token leads to, None for a token that was never given.

        :param listing: Whose page is asked for.
        :param token: The query parameter as it came, decoded; none or an empty one means the first page.
        :param size: Rows on a page, 0 for all.
        """
        if not token:
            return 1
        try:
            match self._form:
                case "base64":
                    page = json.loads(base64.b64decode(token, validate=True))["page"]
                case "offset":
                    page = int(token) // size + 1 if size else 2
                case "number":
                    page = int(token)
                case _:
                    page = int(token.partition(".")[0]) if self._form == "signed" else self._opaque[token]
                    page = page if self.write(listing, page, size) == token else None
        except (ValueError, TypeError, LookupError, RecursionError):
            return None
        return page if isinstance(page, int) and not isinstance(page, bool) and page >= 1 else None


def listing(
    world: World, request: ApiRequest, total: int, between: Callable[[int, int], list[Any]], version: Hashable = None
) -> bytes:
    """Return one page of a listing as JSON.

    :param world: The account.
    :param request: What was asked.
    :param total: Rows in the whole listing.
    :param between: Returns the rows from one position up to another; beyond the end it returns fewer.
    :param version: Changes whenever a row may have changed; the page is remembered under it. None remembers nothing.
    :raises ApiError: The token was never given.
    """
    if request.page is None:
        raise bad_request("The page token is not valid.", "nextPageToken")
    settings, spec, number = world.settings, LISTINGS[request.endpoint], request.page
    key = None if version is None or request.edits else (request.listing, version, number)
    if key is not None and (body := world.cache.get(key)) is not None:
        return body
    envelope = spec.envelope
    if envelope != "report":
        envelope = settings.envelopes.get(request.endpoint) or settings.envelope or envelope
    # A bare array has no token, so it is never cut.
    size = (0 if envelope == "bare" else getattr(settings, spec.page_size, 0)) or max(total, 1)
    start = (number - 1) * size
    more = start + size < total or (settings.trailing_empty_page and start < total)
    page = Page(
        rows=between(start, start + size),
        number=number,
        next=number + 1 if more else None,
        before=lambda: between(max(start - size, 0), start),
        token_key="next_page_token" if envelope == "report" else settings.token_key,
    )
    for edit in request.edits:
        edit(page)
    token: dict[str, Any] = {}
    if page.next is not None:
        token = {page.token_key: world.tokens.write(request.listing, page.next, size)}
    elif settings.end_marker != "absent":
        token = {page.token_key: None if settings.end_marker == "null" else ""}
    body = to_json(_payload(spec, envelope, page, token))
    if key is not None:
        world.cache.put(key, body)
    return body


def _payload(spec: Listing, envelope: str, page: Page, token: dict[str, Any]) -> Any:
    named = {**({} if page.list_missing else {spec.rows: page.rows}), **token}
    match envelope:
        case "report":
            return {"message": spec.message, "data": {"report": {"columns": _LEAD_COLUMNS, **named}}}
        case "bare":
            return {} if page.list_missing else page.rows
        case "named":
            return named
        case "data":
            return {"message": spec.message, "data": named}
        case _:
            return {"message": spec.message, **({} if page.list_missing else {"data": page.rows}), **token}


class PageCache:
    """Remember rendered pages, the most recently used within a bound of bytes.

    :param max_bytes: The bound; 0 remembers nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pages: OrderedDict[Hashable, bytes] = OrderedDict()
        self.size = 0
        self.full = False

    def get(self, key: Hashable) -> bytes | None:
        """Return a page, None if it is not remembered.

        :param key: Which.
        """
        body = self._pages.get(key)
        if body is not None:
            self._pages.move_to_end(key)
        return body

    def put(self, key: Hashable, body: bytes) -> None:
        """Remember a page; older ones go if it does not fit beside them.

        :param key: Which.
        :param body: Its bytes.
        """
        self.full = self.full or self.size + len(body) > self._max_bytes
        if len(body) <= self._max_bytes:
            self.size += len(body) - len(self._pages.pop(key, b""))
            self._pages[key] = body
        while self.size > self._max_bytes:
            self.size -= len(self._pages.popitem(last=False)[1])
