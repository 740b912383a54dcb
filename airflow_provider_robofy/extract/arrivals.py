"""Find out that rows have arrived, without landing them: what sensors, triggers and watchers ask of a listing."""

from __future__ import annotations

import heapq
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import list_leads, list_sessions
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.overlap import RowVersion, fingerprint
from airflow_provider_robofy.extract.rows import RowOrder
from airflow_provider_robofy.extract.window import earlier
from airflow_provider_robofy.resources import LEADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.api.errors import RobofyError
    from airflow_provider_robofy.api.pages import Page
    from airflow_provider_robofy.extract.cursor import Cursor
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.resources import Resource

    ReadTime = Callable[[object], datetime]

#: Ids that a result names at most: it travels through Airflow's database.
MAX_IDS: Final = 1000
#: Pages of one poll after which a warning says that the order of the rows would help.
MANY_PAGES: Final = 10
#: Rows of the listing's newest end that a watcher compares with a cursor.
HEAD_ROWS: Final = 500

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListingPoll:
    """Read an agent's listing once, as far as some questions need.

    :param resource: What the rows are: leads or sessions.
    :param project_id: The agent's project; None for sessions, where none is known.
    :param chatbot_id: The agent.
    :param timezone: Zone of the API's timestamps.
    :param newest_first: Does the listing come so?
    :param idle_for: Only rows whose time is at least this long ago count. Default 0: all count.
    """

    resource: Resource
    project_id: str | None
    chatbot_id: str
    timezone: str
    newest_first: bool
    idle_for: timedelta = timedelta(0)

    def __call__(self, client: RobofyClient, questions: Iterable[CountRows | NewestRows]) -> dict[Any, Any]:
        """Return the answer to each question: a :class:`RowCount` or a :class:`Head`.

        :param client: How to read.
        :param questions: What to find out.
        :raises RobofyError: The listing could not be read as far as needed.
        """
        read_time = TimeReader(self.timezone).read
        about = self.resource, read_time, self.newest_first
        answers = {one: RowCount(one, *about) if isinstance(one, CountRows) else Head(*about) for one in questions}
        open_answers = list(answers.values())
        until: datetime | None = None
        started = datetime.now(UTC)
        for page in client.pages(self._call):
            if self.idle_for and until is None:
                # By the earlier of both clocks, as the fetch does.
                until = earlier(min(started, page.date or started), self.idle_for)
            open_answers = [one for one in open_answers if not one.is_enough(page, until)]
            if not open_answers:
                break
        return answers

    @property
    def _call(self) -> Any:
        if self.resource is LEADS:
            return list_leads(str(self.project_id), self.chatbot_id)
        return list_sessions(self.chatbot_id)


@dataclass(frozen=True, slots=True)
class CountRows:
    """Ask for a number of rows.

    :param since: Rows at or after this count; None counts all.
    :param min_count: Rows after which the listing need not be read on.
    :param landed: Hashes of rows that do not count, because a sync has landed them. None where no sync is asked about:
        then a row without a readable time does not count either, unless all do. Default None.
    :param policy: What becomes of personal data before a row lands: ids and hashes are those of landed rows. Default
        none.
    """

    since: datetime | None
    min_count: int
    landed: frozenset[str] | None = None
    policy: PrivacyPolicy | None = None


@dataclass(frozen=True, slots=True)
class NewestRows:
    """Ask for the newest rows of the listing, to compare them with a cursor."""


@dataclass(repr=False, eq=False)
class RowCount:
    """The rows that count in one pass through the listing.

    :param question: Which count, and how many are enough.
    :param resource: What the rows are.
    :param read_time: Turns the API's time into an aware datetime.
    :param newest_first: Does the listing come so?
    """

    question: CountRows
    resource: Resource
    read_time: ReadTime
    newest_first: bool
    pages: int = field(default=0, init=False)
    #: Times of the rows by their ids; None where a row has no readable time.
    found: dict[str, datetime | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._order = RowOrder()

    def is_enough(self, page: Page, until: datetime | None = None) -> bool:
        """Take a page, and return whether enough rows were seen or no more can come.

        :param page: The page.
        :param until: Rows at or after this are not idle yet, and do not count. Default None: all count.
        """
        self.pages = page.number
        since, older, times = self.question.since, 0, []
        for row in page.rows:
            row_id, at = _id_and_time(row, self.resource, self.read_time)
            if row_id is None:
                continue
            if at is not None:
                times.append(at)
                if until is not None and at >= until:
                    continue
            if since is not None and at is not None and at < since:
                older += 1
            elif (since is None or at is not None or self.question.landed is not None) and (new := self._new(row)):
                self.found[new] = at
        self._order.watch(times)
        passed = bool(page.rows) and older == len(page.rows)
        enough = len(self.found) >= self.question.min_count
        return enough or (self.newest_first and passed and not self._order.rises)

    def _new(self, row: dict[str, Any]) -> str | None:
        """Return the id under which a row lands, None where the sync has landed it or cannot land it."""
        policy, landed = self.question.policy, self.question.landed
        try:
            row = row if policy is None else policy.land(row)
            return None if landed and fingerprint(row) in landed else str(row[self.resource.key])
        except (ValueError, RecursionError):  # nested too deeply to be written
            return None

    @property
    def newest(self) -> datetime | None:
        """Return the time of the newest row that counts."""
        return max((at for at in self.found.values() if at is not None), default=None)


class ArrivalWatch:
    """Decide at each poll whether the wait for rows is over: the same in poke, reschedule and deferred mode."""

    def __init__(self) -> None:
        self._advised = False

    def judge(self, count: RowCount) -> dict[str, Any] | None:
        """Return what the task returns (count, newest time and ids of leads), or None while there are too few.

        :param count: What a poll found.
        """
        newest, name = count.newest.isoformat() if count.newest else None, count.resource.name
        _log.info(
            "%s %s since %s, %s wanted; newest %s; pages read: %s",
            len(count.found),
            name,
            count.question.since.isoformat() if count.question.since else "the beginning",
            count.question.min_count,
            newest,
            count.pages,
        )
        if count.pages > MANY_PAGES and not count.newest_first and not self._advised:
            self._advised = True
            _log.warning(
                "Each poll reads the whole listing, more than %s pages. If this account lists its %s newest first, "
                "the connection's extra %s_order=newest_first lets a poll stop early.",
                MANY_PAGES,
                name,
                name,
            )
        if len(count.found) < count.question.min_count:
            return None
        ids = {} if count.resource.id_is_personal else {"lead_ids": list(count.found)[:MAX_IDS]}
        return {"count": len(count.found), "newest": newest, **ids}

    @staticmethod
    def tolerate(error: RobofyError) -> None:
        """Log an error of a poll, where the next poll may succeed.

        :param error: The error.
        :raises RobofyError: The error, where no later poll can succeed.
        """
        if not error.may_pass:
            raise error
        _log.warning("The listing could not be read; the next poll reads it again: %s", error)


@dataclass(frozen=True, slots=True)
class HeadRow(RowVersion):
    """One of the newest rows as the API sent it, its id and hash included.

    :param row: The row. It contains personal data, so it is shown nowhere and dropped once it has been compared.
    """

    row: dict[str, Any] = field(repr=False, compare=False)


@dataclass(repr=False, eq=False)
class Head:
    """The newest rows of a listing.

    :param resource: What the rows are.
    :param read_time: Turns the API's time into an aware datetime.
    :param newest_first: Does the listing come so?
    """

    resource: Resource
    read_time: ReadTime
    newest_first: bool

    def __post_init__(self) -> None:
        self._rows: list[tuple[datetime, HeadRow]] = []

    def is_enough(self, page: Page, until: datetime | None = None) -> bool:
        """Take a page, and return whether the newest rows are known.

        If the newest come first, that is after the first page without a row that is not idle yet.
        """
        busy = False
        for row in page.rows:
            row_id, at = _id_and_time(row, self.resource, self.read_time)
            if row_id is None or at is None:
                continue
            if until is not None and at >= until:
                busy = True
                continue
            try:
                self._rows.append((at, HeadRow(row_id, fingerprint(row), at, row)))
            except ValueError:  # nested too deeply to be written: the fetch rejects it, so it never lands
                continue
        if len(self._rows) > 2 * HEAD_ROWS:
            self._rows = self._newest()
        return self.newest_first and not busy

    @property
    def rows(self) -> tuple[HeadRow, ...]:
        """Return the newest rows, newest first."""
        return tuple(row for _, row in self._newest())

    def _newest(self) -> list[tuple[datetime, HeadRow]]:
        return heapq.nlargest(HEAD_ROWS, self._rows, key=lambda one: (one[0], one[1].row_id, one[1].fingerprint))


def as_landed(head: Iterable[HeadRow], resource: Resource, policy: PrivacyPolicy | None) -> tuple[RowVersion, ...]:
    """Return the newest rows with the ids and hashes that they have once they have landed.

    :param head: The rows as the API sent them.
    :param resource: What the rows are. Ids that can be personal are left empty.
    :param policy: What becomes of their personal data, or None where all is kept.
    """
    landed = ((one, one.row if policy is None else policy.land(one.row)) for one in head)
    return tuple(
        RowVersion(
            "" if resource.id_is_personal else str(row[resource.key]),
            one.fingerprint if policy is None else fingerprint(row),
            one.at,
        )
        for one, row in landed
    )


def ahead_of(head: Iterable[RowVersion], cursor: Cursor) -> list[RowVersion]:
    """Return the rows that a sync has still to land: at or after its watermark, and not landed yet.

    :param head: The newest rows of the listing.
    :param cursor: Where the sync stands. Its hashes decide, since a cursor of sessions has no ids.
    """
    landed = {one.fingerprint for one in cursor.overlap}
    return [
        one
        for one in head
        if (cursor.watermark is None or one.at is None or one.at >= cursor.watermark) and one.fingerprint not in landed
    ]


def _id_and_time(row: Any, resource: Resource, read_time: ReadTime) -> tuple[str | None, datetime | None]:
    """Return a row's id and time, None where there is none; sensors leave it to the fetch to complain."""
    row_id = row.get(resource.key) if isinstance(row, dict) else None
    if not isinstance(row_id, str | int) or row_id == "":
        return None, None
    try:
        return str(row_id), read_time(row.get(resource.time))
    except ValueError:
        return str(row_id), None
