"""Pages of a listing: what an answer becomes, and which call asks for the next one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_robofy.api.errors import RobofyResponseError

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.client import Answered
    from airflow_provider_robofy.api.envelopes import Rows

#: Pages without a row in unbroken sequence after which a listing is taken to lead nowhere.
MAX_EMPTY_PAGES = 1000
#: Query parameter that carries the token of the next page (docs.robofy.ai, List Leads).
TOKEN_PARAMETER = "nextPageToken"  # noqa: S105 (the name of a parameter)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing.

    :param number: 1 for the first.
    :param rows: The rows as they came; they need not be objects.
    :param end_marker: On the last page how the API said so (``absent``, ``null``, ``empty``), else None.
    :param date: The answer's ``Date`` header, UTC, or None.
    """

    number: int
    rows: list[Any]
    end_marker: str | None
    date: datetime | None


class Listing:
    """Follow a listing from page to page, without I/O.

    Usage::

        listing = Listing(list_leads(project_id, chatbot_id))
        while call := listing.call:
            page = listing.accept(client.exchange(call))

    :param first: Call for the first page. Its token parameter is filled in for the others.
    """

    def __init__(self, first: Call[Rows]) -> None:
        #: The call for the next page; None at the end.
        self.call: Call[Rows] | None = first
        self.pages = 0
        self._first = first
        self._seen: set[str] = set()
        self._empty = 0

    def accept(self, answered: Answered[Rows]) -> Page:
        """Take the answer to :attr:`call`, and prepare the next call.

        :param answered: What the call came to.
        :raises RobofyResponseError: The token came before, so the listing runs in a circle, or page after page comes
            without a row.
        """
        rows = answered.value
        self.pages += 1
        self._empty = 0 if rows.items else self._empty + 1
        if rows.token is None:
            self.call = None
        else:
            if rows.token in self._seen:
                raise self._endless(f"page {self.pages} repeats the token of an earlier page", answered.requested_at)
            if self._empty >= MAX_EMPTY_PAGES:
                raise self._endless(f"{self._empty} pages in sequence hold no row", answered.requested_at)
            self._seen.add(rows.token)
            self.call = self.call_for(rows.token)
        return Page(self.pages, rows.items, rows.end_marker, answered.date)

    def call_for(self, token: str) -> Call[Rows]:
        """Return the call for a page.

        :param token: The page's token.
        """
        return replace(self._first, query={**self._first.query, TOKEN_PARAMETER: token})

    def _endless(self, what: str, requested_at: datetime) -> RobofyResponseError:
        return RobofyResponseError(
            f"the listing does not end: {what}",
            endpoint=self._first.title,
            requested_at=requested_at,
            advice="Try again later; if it stays so, give this to Robofy's support.",
        )
