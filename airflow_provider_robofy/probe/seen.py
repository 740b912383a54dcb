"""What was read of a listing, and what its rows have in common."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.extract.rows import UNKNOWN, RowOrder
from airflow_provider_robofy.probe.answer import Answer, Failure
from airflow_provider_robofy.probe.times import form_of, moment
from airflow_provider_robofy.probe.words import MESSAGE_IDS, MESSAGE_TIMES, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.probe.times import ZoneEvidence
    from airflow_provider_robofy.probe.words import Names
    from airflow_provider_robofy.resources import Resource

ENDPOINT_OF: Final = {"leads": "list_leads", "sessions": "list_sessions", "messages": "list_session_messages"}
_TIME_LIKE: Final = re.compile(r"(?:^|_)(?:at|on|time|date|timestamp|datetime)$|(?:At|Time|Date|Timestamp)$")


@dataclass(frozen=True, slots=True)
class Times:
    """What the times of a listing are like, read as if they were UTC.

    :param name: Field with a row's time: an expected one, else the one that is readable most often; None for none.
    :param forms: How often each form of a time occurs.
    :param unreadable: Values of the field that are no time.
    :param moments: The different times.
    :param order: ``newest_first``, ``oldest_first``, ``mixed`` or ``unknown``.
    """

    name: str | None = None
    forms: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    moments: frozenset[datetime] = frozenset()
    order: str = UNKNOWN


@dataclass
class Listing:
    """A listing as far as it was read.

    :param resource: What it lists.
    :param connection: What the provider assumes of the account now.
    :param names: Which names may be written.
    :param zone: Evidence of the zone of times.
    :param runs: Pages of each listing of this endpoint, of messages one a session. A failure is the last item of a run.
    :param short: Pages of a listing so short that its end is seen: the leads of one session. Default none.
    :param again: The first page of leads, read once more after a while. Default none.
    """

    resource: Resource
    connection: RobofyConnection
    names: Names
    zone: ZoneEvidence
    runs: list[list[Answer | Failure]] = field(repr=False)
    short: Sequence[Answer | Failure] = field(default=(), repr=False)
    again: Sequence[Answer | Failure] = field(default=(), repr=False)

    @cached_property
    def answers(self) -> list[Answer]:
        """Return the pages of all runs."""
        return [one for run in self.runs for one in run if isinstance(one, Answer)]

    @cached_property
    def worst(self) -> Answer:
        """Return the first page that the provider does not understand, else the first page."""
        return next((one for one in self.answers if one.trouble), self.answers[0])

    @property
    def failure(self) -> Failure | None:
        """Return why a first page could not be read."""
        return next((run[0] for run in self.runs if isinstance(run[0], Failure)), None)

    @property
    def stopped(self) -> Failure | None:
        """Return why a page could not be read, the first or a later one."""
        return next((run[-1] for run in reversed(self.runs) if isinstance(run[-1], Failure)), None)

    @cached_property
    def announcing(self) -> Answer | None:
        """Return the first page that announces another one."""
        return next((one for one in self.answers if one.rows and one.rows.token is not None), None)

    @property
    def ends(self) -> list[str]:
        """Return how each end that was reached is marked."""
        pages = (one for one in (*self.answers, *self.short) if isinstance(one, Answer) and not one.trouble)
        return [one.rows.end_marker for one in pages if one.rows and one.rows.end_marker is not None]

    @cached_property
    def sizes(self) -> list[int]:
        """Return how many rows each page has."""
        return [len(one.items) for one in self.answers]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of all pages that are objects."""
        return [row for one in self.answers for row in objects(one.items)]

    @cached_property
    def fields(self) -> dict[str, Counter[str]]:
        """Return by field how many rows have it with which JSON type."""
        fields: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.rows:
            for name, value in row.items():
                fields[name][kind_of(value)] += 1
        return dict(fields)

    def id_of(self, row: dict[str, Any]) -> str | int | None:
        """Return the id of a row, or None.

        :param row: The row.
        """
        return id_of(row, (self.resource.id,) if self.resource.id else MESSAGE_IDS)

    @cached_property
    def times(self) -> Times:
        """Return what the times of the rows are like."""
        expected = (self.resource.time,) if self.resource.time else MESSAGE_TIMES
        read: Counter[str] = Counter()
        for row in self.rows:
            likely = (name for name in row if name in expected or _TIME_LIKE.search(name))
            read.update(name for name in likely if moment(row[name]) is not None)
        if not read:
            return Times()
        name = next((name for name in expected if name in read), max(read, key=read.__getitem__))
        found = [(row[name], moment(row[name])) for row in self.rows if row.get(name) is not None]
        return Times(
            name,
            Counter(form_of(value) or "another form that the provider reads" for value, at in found if at),
            sum(at is None for _, at in found),
            frozenset(at for _, at in found if at),
            self._order(name),
        )

    def _order(self, name: str) -> str:
        order = RowOrder()
        for run in self.runs:  # from one run to the next, times mean nothing
            of_run = RowOrder()
            of_run.watch(list(self._in_sequence(run, name)))
            order.rises, order.falls = order.rises or of_run.rises, order.falls or of_run.falls
        return order.verdict

    def _in_sequence(self, run: list[Answer | Failure], name: str) -> Iterator[datetime]:
        before: set[str | int | None] = set()
        for page in run:
            rows = objects(page.items) if isinstance(page, Answer) else []
            for row in rows:
                at = moment(row.get(name))
                # New rows push a row of the page before onto this one, whatever the order.
                if at is not None and self.id_of(row) not in before:
                    yield at
            before = {self.id_of(row) for row in rows} - {None}

    def by_id(self, page: Answer) -> dict[str | int | None, bytes]:
        """Return the content of the rows of a page by their ids.

        :param page: The page.
        """
        return {row_id: _content(row) for row in objects(page.items) if (row_id := self.id_of(row)) is not None}

    def compare(self, again: Answer) -> dict[str, int]:
        """Return how many rows of the first page changed, vanished or came until it was read again.

        A row only counts as vanished if no new one can have pushed it onto the next page.

        :param again: The first page as it was read again.
        """
        before, after = self.by_id(self.answers[0]), self.by_id(again)
        both = before.keys() & after.keys()
        changed = sum(before[row_id] != after[row_id] for row_id in both)
        new = len(after.keys() - {self.id_of(row) for row in self.rows})
        gone = max(len(before.keys() - after.keys()) - new, 0)
        seconds = round(max((again.at - self.answers[0].at).total_seconds(), 0.0))
        return {"seconds": seconds, "unchanged": len(both) - changed, "changed": changed, "vanished": gone, "new": new}


def objects(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the rows that are objects.

    :param rows: Rows of a page.
    """
    return [row for row in rows if isinstance(row, dict)]


def id_of(row: dict[str, Any], names: Iterable[str]) -> str | int | None:
    """Return the id of a row, or None.

    Sample::

        {"session_id": "+4915112345678", "last_message": "Hello"}

    :param row: The row.
    :param names: Where its id may stand, the likeliest first.
    """
    found = next((row[name] for name in names if name in row), None)
    return found if isinstance(found, str | int) and not isinstance(found, bool) and found != "" else None


def _content(row: dict[str, Any]) -> bytes:
    try:
        return dump_line(row)
    except ValueError:  # nested too deeply; then changes of it are not seen
        return b""
