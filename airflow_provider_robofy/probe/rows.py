"""What the rows of a listing look like, learnt page by page: names, types, forms and counts, and no value."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.rows import RowOrder
from airflow_provider_robofy.probe.finding import kind_of
from airflow_provider_robofy.probe.times import form_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_READ = TimeReader("UTC").read
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TIME_LIKE = re.compile(r"(?:^|_)(?:at|on|time|date|timestamp|datetime)$|(?:At|Time|Date|Timestamp)$")
_ID_LIKE = re.compile(r"^_?(?:id|uuid|guid)$|_(?:id|uuid)$|[a-z](?:Id|ID|Uuid)$")
#: Of an object that is keyed by something personal, no more names than these are kept, even for counting.
_MOST_NAMES = 300


@dataclass(slots=True)
class FieldSeen:
    """Count what one field was."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class TimesSeen:
    """Collect what the times of one field tell, read as if they were UTC."""

    forms: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    newest: datetime | None = None
    orders: list[RowOrder] = field(default_factory=lambda: [RowOrder()])
    distinct: set[datetime] = field(default_factory=set)

    @property
    def read(self) -> int:
        """Return how many times were read."""
        return self.forms.total()

    @property
    def order(self) -> str:
        """Return ``newest_first``, ``oldest_first``, ``mixed`` or ``unknown``, over all listings that were read."""
        every = RowOrder()
        every.rises = any(order.rises for order in self.orders)
        every.falls = any(order.falls for order in self.orders)
        return every.verdict


class RowsStudy:
    """Take the rows of a listing, page by page.

    Of ids and rows only hashes are kept, under a key that lives as long as the study: they are for comparing.

    :param times: Names under which a row's time may stand, the likeliest first. Others that look like a time are found.
    :param ids: Likewise for a row's id.
    """

    def __init__(self, *, times: Sequence[str], ids: Sequence[str]) -> None:
        self.pages = 0
        self.sizes: list[int] = []
        self.rows = 0
        self.no_objects = 0
        self.fields: dict[str, FieldSeen] = {}
        self.more_fields = False
        self.id_kinds: Counter[str] = Counter()
        #: Hash of a row's id to hash and time of the row.
        self.seen: dict[bytes, tuple[bytes, datetime | None]] = {}
        self.repeated_within = self.repeated_between = 0
        self._times = tuple(times)
        self._ids = tuple(ids)
        self._by_field: dict[str, TimesSeen] = {}
        self._page_before: set[bytes] = set()
        self._key = token_bytes(16)

    def begin(self) -> None:
        """Begin another listing of the same kind: where it follows on the one before says nothing of the order."""
        self._page_before = set()
        for seen in self._by_field.values():
            seen.orders.append(RowOrder())

    def take(self, rows: list[Any]) -> None:
        """Take the rows of the next page."""
        self.pages += 1
        self.sizes.append(len(rows))
        self.rows += len(rows)
        on_page: set[bytes] = set()
        ordered: dict[str, list[datetime]] = {}
        for row in rows:
            if not isinstance(row, dict):
                self.no_objects += 1
                continue
            self._note_fields(row)
            name = self._note_id(row, on_page)
            for time_field, at in self._note_times(row):
                if name is None or name not in self._page_before:
                    ordered.setdefault(time_field, []).append(at)
            if name is not None:
                on_page.add(name)
                self.seen.setdefault(name, (self._hash(dump_line(row)), self._time_of(row)))
        for time_field, times in ordered.items():
            self._by_field[time_field].orders[-1].watch(times)
        self._page_before = on_page

    @property
    def time_field(self) -> str | None:
        """Return the field that tells a row's time: an expected one, else the one that was readable most often."""
        with_times = {name: seen for name, seen in self._by_field.items() if seen.read}
        for name in self._times:
            if name in with_times:
                return name
        return max(with_times, key=lambda name: with_times[name].read, default=None)

    @property
    def times(self) -> TimesSeen:
        """Return what the times of that field tell; nothing where there is none."""
        name = self.time_field
        return self._by_field[name] if name is not None else TimesSeen()

    @property
    def id_fields(self) -> list[str]:
        """Return the fields that look like an id, an expected one first."""
        expected = [name for name in self._ids if name in self.fields]
        return [*expected, *(name for name in self.fields if _ID_LIKE.search(name) and name not in expected)]

    def hashes(self, rows: Iterable[Any]) -> dict[bytes, tuple[bytes, datetime | None]]:
        """Return rows that are read again, in the form of :attr:`seen`."""
        found: dict[bytes, tuple[bytes, datetime | None]] = {}
        for row in rows:
            name = self._id(row) if isinstance(row, dict) else None
            if name is not None:
                found.setdefault(name, (self._hash(dump_line(row)), self._time_of(row)))
        return found

    def _note_fields(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name not in self.fields:
                if len(self.fields) >= _MOST_NAMES:
                    self.more_fields = True
                    continue
                self.fields[name] = FieldSeen()
            seen = self.fields[name]
            seen.rows += 1
            seen.kinds[kind_of(value)] += 1

    def _note_id(self, row: dict[str, Any], on_page: set[bytes]) -> bytes | None:
        name = self._id(row)
        if name is None:
            self.id_kinds["none"] += 1
            return None
        self.id_kinds[_id_kind(row[self._id_name(row)])] += 1
        if name in on_page:
            self.repeated_within += 1
        elif name in self.seen:
            self.repeated_between += 1
        return name

    def _id_name(self, row: dict[str, Any]) -> str:
        return next((name for name in self._ids if name in row), "")

    def _id(self, row: dict[str, Any]) -> bytes | None:
        value = row.get(self._id_name(row))
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return None
        return self._hash(dump_line(value))

    def _note_times(self, row: dict[str, Any]) -> Iterable[tuple[str, datetime]]:
        for name, value in row.items():
            if name not in self.fields or (name not in self._times and not _TIME_LIKE.search(name)):
                continue
            seen = self._by_field.setdefault(name, TimesSeen())
            at = _time(value)
            if at is None:
                seen.unreadable += value is not None
                continue
            seen.forms[form_of(value) or "another form that the provider reads"] += 1
            seen.newest = at if seen.newest is None else max(at, seen.newest)
            seen.distinct.add(at)
            yield name, at

    def _time_of(self, row: dict[str, Any]) -> datetime | None:
        name = self.time_field
        return _time(row.get(name)) if name is not None else None

    def _hash(self, content: bytes) -> bytes:
        return blake2b(content, digest_size=16, key=self._key).digest()


def _time(value: Any) -> datetime | None:
    # A small number is a count or a flag, and no moment in January 1970.
    if isinstance(value, int | float) and form_of(value) is None:
        return None
    try:
        return _READ(value)
    except ValueError:
        return None


def _id_kind(value: str | int) -> str:
    if isinstance(value, int):
        return "number"
    if _UUID.fullmatch(value):
        return "text (UUID)"
    return "text (digits)" if value.isdecimal() else "text"
