"""In which order a listing comes, as far as it can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NEWEST_FIRST = "newest_first"
OLDEST_FIRST = "oldest_first"
MIXED = "mixed"
UNKNOWN = "unknown"


class RowOrder:
    """Watch the times of rows go by, a page at a time."""

    __slots__ = ("_last", "falls", "rises", "warned")

    def __init__(self) -> None:
        #: Has a row been later than the one before it? Earlier?
        self.rises = False
        self.falls = False
        #: Has somebody been told that the order is not as expected?
        self.warned = False
        self._last: datetime | None = None

    def watch(self, times: list[datetime]) -> None:
        """Take the times of the next rows, in the order they came."""
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
