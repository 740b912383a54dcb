"""One page of a listing, the envelopes it may come in, and the memory of pages already rendered."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from airflow_provider_robofy.emulator.settings import Settings

LEAD_COLUMNS = ("id", "created_at", "source", "page_url", "ip_address", "lead_data")

# What each undocumented listing looks like unless told otherwise: the name of its list, and its envelope.
_LISTS = {
    "list_sessions": ("sessions", "named", "Sessions retrieved successfully."),
    "list_session_messages": ("messages", "data_list", "Messages retrieved successfully."),
    "list_agents": ("agents", "data_list", "Chatbots retrieved successfully."),
    "list_linked_assets": ("assets", "data_list", "Assets retrieved successfully."),
    "list_projects": ("projects", "data_list", "Projects retrieved successfully."),
}

LISTINGS = ("list_leads", *_LISTS)


@dataclass(slots=True)
class Page:
    """
    One page before it is written.

    :param rows: its rows.
    :param number: its number from 1.
    :param token: the token of the next page, None on the last.
    :param before: returns the rows of the page before.
    :param token_key: the key that the token is written under.
    :param list_missing: True leaves the list out, which is not the same as an empty one.
    :param envelope: the shape it comes in, for listings that have a choice.
    """

    rows: list[Any]
    number: int
    token: str | None
    before: Callable[[], list[Any]] = list
    token_key: str = "next_page_token"  # noqa: S105 - the name of a field
    list_missing: bool = False
    envelope: str = ""


def envelope_of(endpoint: str, settings: Settings) -> str:
    """
    Return the shape that a listing has now.

    :param endpoint: its endpoint name.
    :param settings: what was asked for.
    """
    return settings.envelopes.get(endpoint) or settings.envelope or _LISTS[endpoint][1]


def cut(total: int, number: int, size: int, settings: Settings) -> tuple[int, int, str | None]:
    """
    Return where a page starts and stops, and the token of the one after it.

    :param total: rows in the whole listing.
    :param number: the page, from 1.
    :param size: rows on a page; 0 puts all on one.
    :param settings: whether an empty page closes a listing.
    """
    size = size or max(total, 1)
    start, stop = (number - 1) * size, number * size
    more = stop < total or (settings.trailing_empty_page and start < total)
    return start, stop, tokens.write(number + 1) if more else None


def plain(endpoint: str, rows: Sequence[Any], number: int, size: int, settings: Settings) -> Page:
    """
    Cut a page out of a list that is in memory as a whole.

    :param endpoint: whose listing.
    :param rows: all of it.
    :param number: the page, from 1.
    :param size: rows on a page; 0 puts all on one.
    :param settings: envelope and token spelling; a bare array has no room for a token, so it is never cut.
    """
    envelope = envelope_of(endpoint, settings)
    size = 0 if envelope == "bare" else size or len(rows)
    start, stop, token = cut(len(rows), number, size, settings)
    return Page(
        rows=list(rows[start:stop]),
        number=number,
        token=None if envelope == "bare" else token,
        before=lambda: list(rows[max(start - size, 0) : start]),
        token_key=settings.token_key,
        envelope=envelope,
    )


def _with_token(target: dict[str, Any], page: Page, settings: Settings) -> dict[str, Any]:
    if page.token is not None:
        target[page.token_key] = page.token
    elif settings.end_marker != "absent":
        target[page.token_key] = None if settings.end_marker == "null" else ""
    return target


def leads_payload(page: Page, settings: Settings) -> dict[str, Any]:
    """
    Put a page of leads into its documented envelope.

    :param page: the page.
    :param settings: how the last page is marked.
    """
    report: dict[str, Any] = {"columns": LEAD_COLUMNS}
    if not page.list_missing:
        report["rows"] = page.rows
    return {"message": "Leads retrieved successfully.", "data": {"report": _with_token(report, page, settings)}}


def payload(endpoint: str, page: Page, settings: Settings) -> Any:
    """
    Put a page of any other listing into the envelope of the moment.

    :param endpoint: whose page.
    :param page: the page.
    :param settings: how the last page is marked.
    """
    name, _, message = _LISTS[endpoint]
    if page.envelope == "bare":
        return {} if page.list_missing else page.rows
    if page.envelope == "data_list":
        content: dict[str, Any] = {"message": message}
        if not page.list_missing:
            content["data"] = page.rows
        return _with_token(content, page, settings)
    named: dict[str, Any] = {} if page.list_missing else {name: page.rows}
    _with_token(named, page, settings)
    return named if page.envelope == "named" else {"message": message, "data": named}


class PageCache:
    """
    Remember rendered pages, the most recently used within a bound of bytes.

    :param max_bytes: the bound; 0 remembers nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pages: OrderedDict[Hashable, bytes] = OrderedDict()
        self.size = 0

    def get(self, key: Hashable) -> bytes | None:
        """
        Return a page, None if it is not remembered.

        :param key: which.
        """
        body = self._pages.get(key)
        if body is not None:
            self._pages.move_to_end(key)
        return body

    def put(self, key: Hashable, body: bytes) -> bool:
        """
        Remember a page; False if an older one had to go for it, or if it is too large itself.

        :param key: which.
        :param body: its bytes.
        """
        if len(body) > self._max_bytes:
            return False
        self.size += len(body) - len(self._pages.pop(key, b""))
        self._pages[key] = body
        fits = self.size <= self._max_bytes
        while self.size > self._max_bytes:
            self.size -= len(self._pages.popitem(last=False)[1])
        return fits

    def clear(self) -> None:
        """Forget everything, because something changed."""
        self._pages.clear()
        self.size = 0
