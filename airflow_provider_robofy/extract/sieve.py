"""The row loop: what lands, what is a duplicate, what lies outside, what cannot be understood.

This is the loop that costs: a hundred thousand rows pass here, so it works on plain dictionaries, and everything that
can be done once a page is done once a page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.extract.dedupe import Seen
from airflow_provider_robofy.extract.order import RowOrder
from airflow_provider_robofy.extract.recent import Recent, fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.extract.window import Window

NO_OBJECT = "the row is not an object"
NO_ID = "the row has no id"
NO_TIME = "the row has no readable time, so it is not known whether it lies in the window"
TAKEN_NAME = "the row has a field of its own under a name that this provider adds"


@dataclass(slots=True)
class Sifted:
    """Hold what became of one page."""

    #: Encoded lines to land, in order, and their times where they bear one.
    lines: list[bytes] = field(default_factory=list)
    landed: list[datetime] = field(default_factory=list)
    #: Position in the page, reason and the whole row.
    rejected: list[tuple[int, str, Any]] = field(default_factory=list)
    #: Ids that were read, and the times that tell of the listing's order.
    ids: set[str | int] = field(default_factory=set)
    ordered: list[datetime] = field(default_factory=list)
    #: Rows that lie before the window.
    older: int = 0
    #: Was every row older than the window? False where one bears no readable time.
    all_older: bool = False


class Sieve:
    """Decide about each row, and count.

    :param window: Which rows are wanted.
    :param read_time: Turns the API's time into an aware datetime in UTC; raises ValueError.
    :param stamp: Fields to add to every row that lands.
    :param time_field: Where a row's time stands. It lands in UTC as ``_`` and this name.
    :param id_field: Where a row's id stands.
    :param landed_before: Fingerprints of rows that an earlier run of the same sync has landed.
    :param recent: Remembers the newest rows that land, for the next run.
    :param privacy: What becomes of personal data, or None.
    :param ahead_of: Rows later than this are counted as :attr:`future`: the zone is probably set wrongly.
    """

    def __init__(
        self,
        *,
        window: Window,
        read_time: Callable[[object], datetime],
        stamp: Mapping[str, Any],
        time_field: str,
        id_field: str = "id",
        landed_before: frozenset[str] = frozenset(),
        recent: Recent | None = None,
        privacy: PrivacyPolicy | None = None,
        ahead_of: datetime | None = None,
    ) -> None:
        self._since, self._until, self._windowed = window.since, window.until, window.mode != "full"
        self.ahead_of = ahead_of
        self.order = RowOrder()
        self.duplicates = self.outside_window = self.undated = self.future = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self._read_time = read_time
        self._stamp = dict(stamp)
        self._time_field = time_field
        self._stamped_time = f"_{time_field}"
        self._added = len(self._stamp) + 1
        self._id_field = id_field
        self._landed_before = landed_before
        self._recent = recent
        self._privacy = privacy
        self._seen = Seen()
        self._page_before: set[str | int] = set()

    def sift(self, rows: list[Any]) -> Sifted:
        """Go through the rows of one page."""
        page = Sifted()
        for position, row in enumerate(rows):
            reason = self._sift_row(row, page)
            if reason is not None:
                kept = row if self._privacy is None else self._privacy.rejected(row)
                page.rejected.append((position, reason, kept))
        self.order.watch(page.ordered)
        self._page_before = page.ids
        self._note(page.landed)
        page.all_older = bool(rows) and page.older == len(rows)
        return page

    def _sift_row(self, row: Any, page: Sifted) -> str | None:
        """Deal with one row; return why it is rejected, or None."""
        if type(row) is not dict:
            return NO_OBJECT
        row_id = row.get(self._id_field)
        if not (row_id and type(row_id) is str) and type(row_id) is not int:
            return NO_ID
        page.ids.add(row_id)
        at: datetime | None
        try:
            at = self._read_time(row.get(self._time_field))
        except ValueError:
            # With a cursor it lands once: refused again and again, one such row would hold up the sync for ever.
            if self._windowed and self._recent is None:
                return NO_TIME
            at = None
        else:
            # A row that came on the page before too was pushed along by new ones; it says nothing about the order.
            if row_id not in self._page_before:
                page.ordered.append(at)
            if self._windowed and self._is_outside(at, page):
                self.outside_window += 1
                return None
        if self._privacy is not None:
            # From here on nothing knows what the policy takes away: not the file, nor the hashes that a cursor keeps.
            if not self._privacy.added.isdisjoint(row):
                return TAKEN_NAME
            row = self._privacy.land(row)
        if self._landed_before and fingerprint(row) in self._landed_before:
            self.duplicates += 1
            page.older += at is None
            return None
        return self._land(row, row_id, at, page)

    def _is_outside(self, at: datetime, page: Sifted) -> bool:
        if self._since is not None and at < self._since:
            page.older += 1
            return True
        return self._until is not None and at >= self._until

    def _land(self, row: dict[str, Any], row_id: str | int, at: datetime | None, page: Sifted) -> str | None:
        stamped = {**row, **self._stamp, self._stamped_time: at}
        if len(stamped) != len(row) + self._added:
            return TAKEN_NAME
        line = dump_line(stamped)
        if not self._seen.is_new(row_id, line):
            self.duplicates += 1
            return None
        page.lines.append(line)
        if self._recent is not None:
            self._recent.add(row[self._id_field], at, row)
        if at is None:
            self.undated += 1
        else:
            page.landed.append(at)
        return None

    def _note(self, landed: list[datetime]) -> None:
        if not landed:
            return
        first, last = min(landed), max(landed)
        self.first_at = first if self.first_at is None else min(first, self.first_at)
        self.last_at = last if self.last_at is None else max(last, self.last_at)
        if self.ahead_of is not None and last > self.ahead_of:
            self.future += sum(at > self.ahead_of for at in landed)
