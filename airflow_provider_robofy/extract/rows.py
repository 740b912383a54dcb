"""What becomes of each row of a listing: it lands, or it is a duplicate, outside the window, or rejected.

A hundred thousand rows pass through this loop, so it works on plain dictionaries, and what can be done once a page is
done once a page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.times import form_of
from airflow_provider_robofy.extract.overlap import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

    from airflow_provider_robofy.extract.overlap import Overlap, Owed
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.extract.window import Window
    from airflow_provider_robofy.resources import Resource

NO_OBJECT: Final = "the row is not an object"
NO_ID: Final = "the row has no id"
NO_TIME: Final = "the row has no readable time, so it is not known whether it lies in the window"
TOO_DEEP: Final = "the row is nested too deeply to be written"
TAKEN_NAME: Final = "the row has a field of its own under a name that this provider adds"

NEWEST_FIRST: Final = "newest_first"
OLDEST_FIRST: Final = "oldest_first"
MIXED: Final = "mixed"
UNKNOWN: Final = "unknown"

#: A row this far ahead of the clock is not the clock's fault any more.
FUTURE: Final = timedelta(minutes=5)

_pack = Struct("<q").pack


def rejected_line(facts: dict[str, Any], row: Any, privacy: PrivacyPolicy | None = None) -> bytes:
    """Return a line of the file of rejected rows.

    :param facts: Where the row was, and the reason.
    :param row: The row; left out where it is nested too deeply to be written.
    :param privacy: What becomes of personal data in it. Default None: everything is kept.
    """
    try:
        return dump_line({**facts, "row": row if privacy is None else privacy.rejected(row)})
    except (ValueError, RecursionError):
        return dump_line(facts)


@dataclass(slots=True)
class FilteredPage:
    """What became of one page.

    :param lines: Rows to land, in order, as lines of JSON. One buffer: each result of orjson takes some 4 KB as long as
        it lives.
    :param rows: The same rows, where the filter keeps them.
    :param times: The times of those that have a readable one.
    :param ids: Ids that were read.
    :param ordered: The times that show the listing's order.
    :param older: Rows that are older than the window.
    :param all_older: Is every row older than the window? False where one has no readable time.
    """

    lines: bytearray = field(default_factory=bytearray)
    rows: list[dict[str, Any]] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    ids: set[str | int] = field(default_factory=set)
    ordered: list[datetime] = field(default_factory=list)
    older: int = 0
    all_older: bool = False


class RowFilter:
    """Decide about each row of a listing, and count.

    Usage::

        rows = RowFilter(LEADS, window=window, read_time=times.read, stamp={"_chatbot_id": ...})
        for page in pages:
            filtered = rows.filter(page.rows, reject)

    :param resource: What the rows are.
    :param window: Which rows are wanted.
    :param read_time: Returns the API's time as an aware datetime in UTC; raises ValueError.
    :param stamp: Fields to add to every row that lands.
    :param landed_before: Fingerprints of rows that an earlier run with the same cursor has landed. Default none.
    :param owed: Rows that land wherever they lie in time, because what follows the landing failed for them. Default
        none.
    :param overlap: Collects the rows that the next run may meet again; None without a cursor.
    :param privacy: What becomes of personal data; None keeps everything.
    :param keep_rows: Return the rows beside their lines. False for JSON lines, which need only the lines: a page of
        live dictionaries costs a tenth of this loop. Default True.
    :param ahead_of: Rows later than this are counted as :attr:`future`: the time zone is probably set wrongly.
    """

    def __init__(
        self,
        resource: Resource,
        *,
        window: Window,
        read_time: Callable[[object], datetime],
        stamp: Mapping[str, Any],
        landed_before: frozenset[str] = frozenset(),
        owed: Collection[Owed] = (),
        overlap: Overlap | None = None,
        privacy: PrivacyPolicy | None = None,
        keep_rows: bool = True,
        ahead_of: datetime | None = None,
    ) -> None:
        self.ahead_of = ahead_of
        self.order = RowOrder()
        self.duplicates = self.outside_window = self.undated = self.future = 0
        #: What the first time that could not be read looks like, without its value.
        self.unreadable_form: str | None = None
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self._id, self._time, self._landed_time = resource.key, resource.time, f"_{resource.time}"
        self._since, self._until, self._windowed = window.since, window.until, window.mode != "full"
        self._read_time = read_time
        self._stamp = {**stamp, self._landed_time: None}
        self._owed = {one.fingerprint for one in owed}
        self._landed_before = landed_before - self._owed
        self._owed_times = {one.at for one in owed}
        #: Rows before this are older than all that is wanted: None where nothing is, or where that is not known.
        self._oldest = _oldest(window.since, self._owed_times)
        #: Owed rows that have landed.
        self.owed_landed: set[str] = set()
        self._overlap = overlap
        self._privacy = privacy
        self._keep_rows = keep_rows
        #: Versions that have landed. A set of byte strings takes half of what a dictionary from id to hash does.
        self._seen: set[bytes] = set()
        self._page_before: set[str | int] = set()

    def leave_out_from(self, until: datetime | None) -> None:
        """Count rows at or after a time as outside the window too.

        :param until: The time, in UTC; None changes nothing.
        """
        if until is not None:
            self._until, self._windowed = until, True

    def filter(self, rows: list[Any], reject: Callable[[int, str, Any], None]) -> FilteredPage:
        """Return what becomes of the rows of the next page.

        :param rows: The rows as the API sent them; they are not changed.
        :param reject: Called for each rejected row, with its position in the page, the reason and the row. A page of
            3 MB can consist of a million and a half of them, so they are not collected.
        """
        page = FilteredPage()
        for position, row in enumerate(rows):
            try:
                reason = self._filter_row(row, page)
            except (ValueError, RecursionError):
                reason = TOO_DEEP
            if reason is not None:
                reject(position, reason, row)
        self.order.watch(page.ordered)
        self._page_before = page.ids
        page.all_older = bool(rows) and page.older == len(rows)
        if page.times:
            first, last = min(page.times), max(page.times)
            self.first_at = first if self.first_at is None else min(first, self.first_at)
            self.last_at = last if self.last_at is None else max(last, self.last_at)
            if self.ahead_of is not None and last > self.ahead_of:
                self.future += sum(at > self.ahead_of for at in page.times)
        return page

    def _filter_row(self, row: Any, page: FilteredPage) -> str | None:
        """Decide about one row; return why it is rejected, or None."""
        if type(row) is not dict:
            return NO_OBJECT
        row_id = row.get(self._id)
        if not (row_id and type(row_id) is str) and type(row_id) is not int:
            return NO_ID
        page.ids.add(row_id)
        at: datetime | None
        try:
            at = self._read_time(row.get(self._time))
        except ValueError:
            if self.unreadable_form is None:
                self.unreadable_form = form_of(row.get(self._time))
            # With a cursor it lands once: refused again and again, one such row would hold up the sync for ever.
            if self._windowed and self._overlap is None:
                return NO_TIME
            at = None
        else:
            # A row that was on the page before too was pushed on by new ones; it says nothing about the order.
            if row_id not in self._page_before:
                page.ordered.append(at)
            if self._windowed and self._is_outside(at, page):
                if at in self._owed_times:
                    return self._land(row, row_id, at, page, only_owed=True)
                self.outside_window += 1
                return None
        return self._land(row, row_id, at, page)

    def _land(
        self,
        row: dict[str, Any],
        row_id: str | int,
        at: datetime | None,
        page: FilteredPage,
        *,
        only_owed: bool = False,
    ) -> str | None:
        """Land a wanted row unless it is a duplicate; return why it is rejected, or None."""
        if self._privacy is not None:
            # What the policy removes is in nothing from here on: neither in the file, nor in the hashes of a cursor.
            if not self._privacy.added.isdisjoint(row):
                return TAKEN_NAME
            row = self._privacy.land(row)
        if self._landed_before or self._owed:
            print_ = fingerprint(row)
            if print_ in self._landed_before:
                self.duplicates += 1
                page.older += at is None
                return None
            if print_ in self._owed:
                self.owed_landed.add(print_)
            elif only_owed:
                self.outside_window += 1
                return None
        stamped = row | self._stamp
        if len(stamped) != len(row) + len(self._stamp):
            return TAKEN_NAME
        stamped[self._landed_time] = at
        line = dump_line(stamped)
        before = len(self._seen)
        self._seen.add(version_key(row_id, line))
        if len(self._seen) == before:
            self.duplicates += 1
            return None
        page.lines += line
        if self._keep_rows:
            page.rows.append(stamped)
        if self._overlap is not None:
            self._overlap.add(row[self._id], at, row)
        if at is None:
            self.undated += 1
        else:
            page.times.append(at)
        return None

    def _is_outside(self, at: datetime, page: FilteredPage) -> bool:
        if self._since is not None and at < self._since:
            page.older += self._oldest is not None and at < self._oldest
            return True
        if self._until is None or at < self._until:
            return False
        # What a cursor leaves out as too new is never early enough where the time zone is set wrongly.
        if self._overlap is not None and self.ahead_of is not None and at > self.ahead_of:
            self.future += 1
        return True


def version_key(row_id: str | int, line: bytes) -> bytes:
    """Return what tells versions of rows apart within this process: Python keys its hash per process.

    Ids are kept whole. Of the content only a 64-bit keyed hash is kept, so that two versions of one lead could be taken
    for one with a chance of one in 2**64; two different leads never.

    :param row_id: The row's id.
    :param line: The row as it lands.
    """
    try:
        key = str(row_id).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        key = str(row_id).encode(errors="surrogatepass")
    return key + _pack(hash(line))


class RowOrder:
    """Observe in which order the rows of a listing come, a page at a time."""

    __slots__ = ("_last", "falls", "rises", "warned")

    def __init__(self) -> None:
        #: Has a row been later than the one before it? Earlier?
        self.rises = False
        self.falls = False
        #: Has it been logged that the order is not as expected?
        self.warned = False
        self._last: datetime | None = None

    def watch(self, times: list[datetime]) -> None:
        """Take the times of the next rows.

        :param times: In the order the rows came.
        """
        if not times:
            return
        if self._last is not None:
            times = [self._last, *times]
        self._last = times[-1]
        # Sorting what is sorted already costs one pass in C; comparing pair by pair in Python costs more.
        if not (self.rises and self.falls):
            self.rises = self.rises or times != sorted(times, reverse=True)
            self.falls = self.falls or times != sorted(times)

    @property
    def verdict(self) -> str:
        """Return ``newest_first``, ``oldest_first``, ``mixed``, or ``unknown`` where all times were equal."""
        if self.rises and self.falls:
            return MIXED
        if self.falls:
            return NEWEST_FIRST
        return OLDEST_FIRST if self.rises else UNKNOWN


def _oldest(since: datetime | None, owed: Collection[datetime | None]) -> datetime | None:
    """Return the time before which no row is wanted, None where a row of any age may be.

    :param since: Begin of the window.
    :param owed: Times of owed rows.
    """
    if since is None:
        return None
    times = [at for at in owed if at is not None]
    return min([since, *times]) if len(times) == len(owed) else None
