"""What a listing and its rows look like, page by page: names, types, forms and counts, and no value."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.tokens import foresee
from airflow_provider_robofy.extract.rows import MIXED, NEWEST_FIRST, OLDEST_FIRST, UNKNOWN
from airflow_provider_robofy.probe.shapes import Shape
from airflow_provider_robofy.probe.times import form_of, moment
from airflow_provider_robofy.probe.words import (
    FIELD_TYPES,
    MESSAGE_IDS,
    MESSAGE_TIMES,
    ROLES,
    SPEAKERS,
    kind_of,
    snake,
    word,
)

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.probe.shapes import Failure
    from airflow_provider_robofy.probe.times import ZoneEvidence
    from airflow_provider_robofy.probe.words import Names
    from airflow_provider_robofy.resources import Resource

ENDPOINT_OF: Final = {"leads": "list_leads", "sessions": "list_sessions", "messages": "list_session_messages"}
_TIME_LIKE: Final = re.compile(r"(?:^|_)(?:at|on|time|date|timestamp|datetime)$|(?:At|Time|Date|Timestamp)$")
_ID_LIKE: Final = re.compile(r"^_?(?:id|uuid|guid)$|_(?:id|uuid)$|[a-z](?:Id|ID|Uuid)$")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: Of an object that is keyed by something personal, no more names than these are kept, even for counting.
_MOST_NAMES: Final = 300


@dataclass(slots=True)
class TimesSeen:
    """Count what the times of one field are like, read as if they were UTC."""

    forms: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    different: set[datetime] = field(default_factory=set)
    rises: bool = False
    falls: bool = False
    last: datetime | None = None

    @property
    def order(self) -> str:
        """Return ``newest_first``, ``oldest_first``, ``mixed`` or ``unknown``."""
        if self.rises and self.falls:
            return MIXED
        return OLDEST_FIRST if self.rises else NEWEST_FIRST if self.falls else UNKNOWN


class Listing:
    """Count what a listing and its rows look like, page by page.

    Of ids and rows only hashes are kept, for comparing.

    :param resource: What it lists.
    :param connection: What the provider assumes of the account now.
    :param names: Which names may be written.
    :param zone: Evidence of the zone of times from leads, sessions and the account.
    """

    def __init__(self, resource: Resource, connection: RobofyConnection, names: Names, zone: ZoneEvidence) -> None:
        self.resource = resource
        self.endpoint = ENDPOINT_OF[resource.name]
        self.connection = connection
        self.names = names
        self.zone = zone
        #: Listings of this endpoint that were read; of messages one a session.
        self.reads = 0
        #: Why the first page could not be had, and why a later one could not.
        self.failure: Failure | None = None
        self.stopped: Failure | None = None
        #: The first page, or the first that the provider does not understand; and the first that announced another one.
        #: Both are without rows.
        self.shape = Shape()
        self.announcing: Shape | None = None
        self.leads_back = False
        #: What the page tokens count, judged by each two in a row: ``page numbers``, ``row offsets`` or ``no``.
        self.tokens_count: set[str] = set()
        self.end_markers: list[str] = []
        #: The server's clock when the first page came.
        self.first_at: datetime | None = None
        self.sizes: list[int] = []
        self.no_objects = 0
        #: Field to how many rows have it with which JSON type.
        self.fields: dict[str, Counter[str]] = defaultdict(Counter)
        self.repeated_within = self.repeated_between = 0
        #: Hash of a row's id to hash and time of the row: of all pages, and of the first.
        self.seen: dict[int, tuple[int, datetime | None]] = {}
        self.first_page: dict[int, tuple[int, datetime | None]] = {}
        #: Field to the words in it that name who speaks.
        self.speakers: dict[str, Counter[str]] = defaultdict(Counter)
        #: What else is counted: types of ids, and what ``lead_data`` is made of.
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        #: Leads in whose form a name repeats.
        self.repeating = 0
        #: How the first page differed when it was read again, or why it was not.
        self.second: dict[str, int] | Failure | None = None
        self._ids = (resource.id,) if resource.id else MESSAGE_IDS
        self._times = (resource.time,) if resource.time else MESSAGE_TIMES
        self._by_field: dict[str, TimesSeen] = defaultdict(TimesSeen)
        self._page_before: set[int] = set()

    @property
    def pages(self) -> int:
        """Return how many pages were read."""
        return len(self.sizes)

    @property
    def rows(self) -> int:
        """Return how many rows were on them."""
        return sum(self.sizes)

    @property
    def time_field(self) -> str | None:
        """Return the field with a row's time: an expected one, else the one that was readable most often."""
        read = {name: times.forms.total() for name, times in self._by_field.items() if times.forms}
        return next((name for name in self._times if name in read), max(read, key=read.__getitem__, default=None))

    @property
    def times(self) -> TimesSeen:
        """Return what the times of that field are like; nothing where there is none."""
        return self._by_field[self.time_field] if self.time_field else TimesSeen()

    @property
    def id_fields(self) -> list[str]:
        """Return the fields that look like an id, an expected one first."""
        expected = [name for name in self._ids if name in self.fields]
        return [*expected, *(name for name in self.fields if _ID_LIKE.search(name) and name not in expected)]

    def begin(self) -> None:
        """Begin another listing of the endpoint: from one to the next, times and repeated rows mean nothing."""
        self.reads += 1
        self._page_before = set()
        for times in self._by_field.values():
            times.last = None

    def take(self, shape: Shape, at: datetime, asked_with: str | None = None) -> None:
        """Count the next page.

        :param shape: The answer, with its rows.
        :param at: The server's clock when it came.
        :param asked_with: Token that the page was asked for with. Default none: the first page.
        """
        bare = replace(shape, rows=None)
        rows = shape.rows or Rows([], None, None)
        self.first_at = self.first_at or at
        if not self.sizes or (shape.trouble and not self.shape.trouble):
            self.shape = replace(bare, template=shape.template or self.shape.template)
        self.leads_back |= shape.leads_back
        if rows.token is not None:
            self.announcing = self.announcing or bare
            if asked_with is not None:
                form = foresee(asked_with, rows.token, len(rows.items))
                self.tokens_count.add("no" if form is None else "page numbers" if form.step == 1 else "row offsets")
        elif rows.end_marker is not None and not self.shape.trouble:
            self.end_markers.append(rows.end_marker)
        self.sizes.append(len(rows.items))
        on_page: set[int] = set()
        for row in rows.items:
            if isinstance(row, dict):
                self._take_row(row, on_page)
            else:
                self.no_objects += 1
        self._page_before = on_page
        if self.pages == 1:
            self.first_page = dict(self.seen)

    def _take_row(self, row: dict[str, Any], on_page: set[int]) -> None:
        """Count the fields, the id and the times of one row.

        Sample::

            {"id": "lead_1", "created_at": "2025-01-15 10:30:00", "lead_data": [{"field_name": "email"}]}

        :param row: The row.
        :param on_page: Hashes of the ids on this page so far; the row's own is added.
        """
        for name, value in row.items():
            if name in self.fields or len(self.fields) < _MOST_NAMES:
                self.fields[name][kind_of(value)] += 1
                if snake(name) in SPEAKERS:
                    said = word(value, ROLES) or ("none" if value is None else "another word")
                    self.speakers[name][said] += 1
        self._take_form(row.get("lead_data"))
        row_id = self._take_id(row, on_page)
        moments = self._take_times(row, moved=row_id in self._page_before)
        if row_id is not None:
            on_page.add(row_id)
            try:
                content = hash(dump_line(row))
            except ValueError:  # nested too deeply; then changes of it are not seen
                content = 0
            self.seen.setdefault(row_id, (content, moments.get(self.time_field or "")))

    def _take_id(self, row: dict[str, Any], on_page: set[int]) -> int | None:
        value = next((row[name] for name in self._ids if name in row), None)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            self._count("ids", "none")
            return None
        kind = "text (digits)" if str(value).isdecimal() else "text (UUID)" if _UUID.fullmatch(str(value)) else "text"
        self._count("ids", "number" if isinstance(value, int) else kind)
        row_id = hash(dump_line(value))
        self.repeated_within += row_id in on_page
        self.repeated_between += row_id in self.seen and row_id not in on_page
        return row_id

    def _take_times(self, row: dict[str, Any], *, moved: bool) -> dict[str, datetime]:
        """Count a row's times and return them by field.

        :param moved: Was the row on the page before? Then new rows pushed it onto this one, whatever the order.
        """
        moments: dict[str, datetime] = {}
        for name, value in row.items():
            if name not in self.fields or (name not in self._times and not _TIME_LIKE.search(name)):
                continue
            times = self._by_field[name]
            at = moment(value)
            if at is None:
                times.unreadable += value is not None
                continue
            moments[name] = at
            times.forms[form_of(value) or "another form that the provider reads"] += 1
            times.different.add(at)
            if not moved:
                times.rises |= times.last is not None and at > times.last
                times.falls |= times.last is not None and at < times.last
                times.last = at
        return moments

    def _take_form(self, data: Any) -> None:
        """Count what a lead's ``lead_data`` is made of: the form that a visitor filled in, and nothing that was typed.

        Sample::

            [{"field_name": "email", "field_type": "email", "field_value": "john@example.com"}]
        """
        self._count("lead_data", kind_of(data))
        labels = []
        for entry in data if isinstance(data, list) else ():
            self._count("entries", kind_of(entry))
            if isinstance(entry, dict):
                labels.append(str(entry.get("field_name")))
                self._count("form types", word(entry.get("field_type"), FIELD_TYPES) or "another word")
                self._count("form values", kind_of(entry.get("field_value")))
                for name in entry:
                    self._count("form names", name)
        for label in labels:
            self._count("labels", label)
        if len(set(labels)) < len(labels):
            self.repeating += 1

    def _count(self, what: str, one: str) -> None:
        if one in self.counts[what] or len(self.counts[what]) < _MOST_NAMES:
            self.counts[what][one] += 1


def compare(listing: Listing, again: Listing) -> dict[str, int]:
    """Return how many rows of the first page changed, vanished or came until it was read again.

    A row is only taken as vanished if no new one can have pushed it onto the next page.

    :param listing: What was seen first.
    :param again: What was seen of the first page later.
    """
    before, after = listing.first_page, again.first_page
    both = before.keys() & after.keys()
    changed = sum(before[row_id][0] != after[row_id][0] for row_id in both)
    new = len(after.keys() - listing.seen.keys())
    gone = max(len(before.keys() - after.keys()) - new, 0)
    return {"unchanged": len(both) - changed, "changed": changed, "vanished": gone, "new": new}
