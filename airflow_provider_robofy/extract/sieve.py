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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from airflow_provider_robofy.extract.window import Window

NO_OBJECT = "the row is not an object"
NO_ID = "the row has no id"
NO_TIME = "the row has no readable time, so it is not known whether it lies in the window"
TAKEN_NAME = "the row has a field of its own under a name that this provider adds"


@dataclass(slots=True)
class Sifted:
    """Hold what became of one page."""

    #: Encoded lines to land, in order.
    lines: list[bytes] = field(default_factory=list)
    #: Position in the page, reason and the whole row.
    rejected: list[tuple[int, str, Any]] = field(default_factory=list)
    #: Was every row on it older than the window? False where one bears no readable time.
    all_older: bool = False


class Sieve:
    """Decide about each row, and count.

    :param window: Which rows are wanted.
    :param read_time: Turns the API's time into an aware datetime in UTC; raises ValueError.
    :param stamp: Fields to add to every row that lands.
    :param time_field: Where a row's time stands. It lands in UTC as ``_`` and this name.
    :param id_field: Where a row's id stands.
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
        ahead_of: datetime | None = None,
    ) -> None:
        self.window = window
        self.ahead_of = ahead_of
        self.order = RowOrder()
        self.duplicates = self.outside_window = self.undated = self.future = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self._read_time = read_time
        self._stamp = dict(stamp)
        self._time_field = time_field
        self._id_field = id_field
        self._seen = Seen()
        self._page_before: set[str | int] = set()

    def sift(self, rows: list[Any]) -> Sifted:
        """Go through the rows of one page."""
        result = Sifted()
        landed: list[datetime] = []
        ordered: list[datetime] = []
        ids: set[str | int] = set()
        older = 0
        since, until, windowed = self.window.since, self.window.until, self.window.mode != "full"
        id_field, time_field, stamp, is_new = self._id_field, self._time_field, self._stamp, self._seen.is_new
        read_time, stamped_time, added = self._read_time, f"_{self._time_field}", len(self._stamp) + 1
        for position, row in enumerate(rows):
            if type(row) is not dict:
                result.rejected.append((position, NO_OBJECT, row))
                continue
            row_id = row.get(id_field)
            if not (row_id and type(row_id) is str) and type(row_id) is not int:
                result.rejected.append((position, NO_ID, row))
                continue
            ids.add(row_id)
            at: datetime | None
            try:
                at = read_time(row.get(time_field))
            except ValueError:
                at = None
            if at is not None:
                if row_id not in self._page_before:
                    ordered.append(at)
                if windowed and ((since and at < since) or (until and at >= until)):
                    older += bool(since and at < since)
                    self.outside_window += 1
                    continue
            elif windowed:
                result.rejected.append((position, NO_TIME, row))
                continue
            stamped = {**row, **stamp, stamped_time: at}
            if len(stamped) != len(row) + added:
                result.rejected.append((position, TAKEN_NAME, row))
                continue
            line = dump_line(stamped)
            if not is_new(row_id, line):
                self.duplicates += 1
                continue
            result.lines.append(line)
            if at is None:
                self.undated += 1
            else:
                landed.append(at)
        # A row that came on the page before too was pushed along by new ones; it says nothing about the order.
        self.order.watch(ordered)
        self._page_before = ids
        self._note(landed)
        result.all_older = bool(rows) and older == len(rows)
        return result

    def _note(self, landed: list[datetime]) -> None:
        if not landed:
            return
        first, last = min(landed), max(landed)
        self.first_at = first if self.first_at is None else min(first, self.first_at)
        self.last_at = last if self.last_at is None else max(last, self.last_at)
        if self.ahead_of is not None and last > self.ahead_of:
            self.future += sum(at > self.ahead_of for at in landed)
