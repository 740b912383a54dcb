"""Whether leads have arrived, page by page and without I/O: what sensors and triggers decide by."""

from __future__ import annotations

import heapq
import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.errors import RobofyCallError, RobofyError
from airflow_provider_robofy.extract.rows import RowOrder, RowVersion, fingerprint
from airflow_provider_robofy.resources import LEADS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.pagination import Page
    from airflow_provider_robofy.extract.cursor import Cursor

    ReadTime = Callable[[object], datetime]

#: Lead ids that a result contains at most: it is stored in Airflow's database.
MAX_IDS: Final = 1000
#: Pages of one poll after which a warning says that the order of leads would help.
MANY_PAGES: Final = 10
#: Rows of the listing's newest end that a watcher compares with a cursor.
HEAD_ROWS: Final = 500

_log = logging.getLogger(__name__)


class LeadWatch:
    """Wait for a number of leads: the one condition and result of poke, reschedule and deferred mode.

    Usage, the same with ``async for``::

        look = watch.look(connection.times.read, newest_first=connection.leads_order == NEWEST_FIRST)
        try:
            for page in client.pages(watch.call):
                if look.is_enough(page):
                    break
        except RobofyError as error:
            watch.forgive(error)
            return None
        return look.result()

    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :param since: Leads at or after this count; None counts all.
    :param min_count: How many there must be.
    """

    def __init__(self, *, project_id: str, chatbot_id: str, since: datetime | None, min_count: int) -> None:
        self.since = since
        self.min_count = min_count
        self._ids = (project_id, chatbot_id)
        self._advised = False

    @property
    def call(self) -> Call[Rows]:
        """Return the call for the listing's first page."""
        return list_leads(*self._ids)

    def look(self, read_time: ReadTime, *, newest_first: bool) -> Look:
        """Start one poll of the listing.

        :param read_time: Returns the API's time as an aware datetime; raises ValueError.
        :param newest_first: Is the listing known to come newest first?
        """
        return Look(self, read_time, newest_first=newest_first)

    def forgive(self, error: RobofyError) -> None:
        """Log an error of a poll that the next poll may not have, and raise any other.

        :param error: What the poll raised.
        :raises RobofyError: The error, where it is permanent.
        """
        if error.permanent or not isinstance(error, RobofyCallError):
            raise error
        _log.warning("The leads could not be read, and are asked for again later: %s", error)

    def advise(self, pages: int) -> None:
        """Warn once that each poll reads many pages.

        :param pages: Pages of this poll so far.
        """
        if pages > MANY_PAGES and not self._advised:
            self._advised = True
            _log.warning(
                "Each look reads the whole listing, more than %s pages. If this account lists its leads newest first, "
                "the connection's extra leads_order=newest_first lets a look stop early.",
                MANY_PAGES,
            )


class Look:
    """One poll: count leads page by page, no further than needed."""

    def __init__(self, watch: LeadWatch, read_time: ReadTime, *, newest_first: bool) -> None:
        self._watch = watch
        self._read = read_time
        self._newest_first = newest_first
        self._order = RowOrder()
        self._found: dict[str, datetime | None] = {}

    def is_enough(self, page: Page) -> bool:
        """Take a page, and return whether the poll can end: enough leads were seen, or no more can come.

        :param page: The next page.
        """
        since, older, times = self._watch.since, 0, []
        for row in page.rows:
            row_id, at = _id_and_time(row, self._read)
            if row_id is None:
                continue
            if at is not None:
                times.append(at)
            if since is not None and (at is None or at < since):
                older += at is not None
            else:
                self._found[row_id] = at
        self._order.watch(times)
        if not self._newest_first:
            self._watch.advise(page.number)
        passed = bool(page.rows) and older == len(page.rows)
        return len(self._found) >= self._watch.min_count or (self._newest_first and passed and not self._order.rises)

    def result(self) -> dict[str, Any] | None:
        """Return what the task returns, or None while there are too few leads.

        For example ``{"count": 2, "newest": "2025-01-15T10:30:00+00:00", "lead_ids": ["lead_2", "lead_1"]}``.
        """
        if len(self._found) < self._watch.min_count:
            return None
        newest = max((at for at in self._found.values() if at is not None), default=None)
        return {
            "count": len(self._found),
            "newest": newest and newest.isoformat(),
            "lead_ids": list(self._found)[:MAX_IDS],
        }


class Head:
    """Collect the newest rows of a listing, to compare them with a cursor.

    :param read_time: Returns the API's time as an aware datetime; raises ValueError.
    :param newest_first: Is the listing known to come newest first?
    """

    def __init__(self, read_time: ReadTime, *, newest_first: bool) -> None:
        self._read = read_time
        self._newest_first = newest_first
        self._rows: list[tuple[datetime, str, str]] = []

    def is_enough(self, page: Page) -> bool:
        """Take a page, and return whether the newest rows are known: after one page, if the newest come first.

        :param page: The next page.
        """
        for row in page.rows:
            row_id, at = _id_and_time(row, self._read)
            if row_id is not None and at is not None:
                self._rows.append((at, row_id, fingerprint(row)))
        if len(self._rows) > 2 * HEAD_ROWS:
            self._rows = heapq.nlargest(HEAD_ROWS, self._rows)
        return self._newest_first

    @property
    def rows(self) -> tuple[RowVersion, ...]:
        """Return the newest rows, newest first."""
        newest = heapq.nlargest(HEAD_ROWS, self._rows)
        return tuple(RowVersion(row_id, print_, at) for at, row_id, print_ in newest)


def ahead_of(head: tuple[RowVersion, ...], cursor: Cursor) -> list[RowVersion]:
    """Return the rows that a sync has still to land: at or after its watermark, and not landed yet.

    :param head: The newest rows of the listing.
    :param cursor: How far the sync has come.
    """
    landed = {(one.row_id, one.fingerprint) for one in cursor.overlap}
    return [
        one
        for one in head
        if (cursor.watermark is None or one.at is None or one.at >= cursor.watermark)
        and (one.row_id, one.fingerprint) not in landed
    ]


def _id_and_time(row: Any, read: ReadTime) -> tuple[str | None, datetime | None]:
    """Return a row's id and time, None where there is none; the fetch rejects such a row, a sensor does not."""
    row_id = row.get(LEADS.id) if isinstance(row, dict) else None
    if not isinstance(row_id, str | int) or row_id == "":
        return None, None
    try:
        return str(row_id), read(row.get(LEADS.time))
    except ValueError:
        return str(row_id), None
