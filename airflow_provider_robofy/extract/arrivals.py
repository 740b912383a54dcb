"""Find out that leads have arrived, without landing them: what sensors, triggers and watchers ask of a listing."""

from __future__ import annotations

import heapq
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.rows import RowOrder, RowVersion, fingerprint
from airflow_provider_robofy.resources import LEADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from airflow_provider_robofy.api.client import Page, RobofyClient
    from airflow_provider_robofy.api.errors import RobofyError
    from airflow_provider_robofy.extract.cursor import Cursor
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy

    ReadTime = Callable[[object], datetime]

#: Lead ids that a result names at most: it travels through Airflow's database.
MAX_IDS: Final = 1000
#: Pages of one poll after which a warning says that the order of leads would help.
MANY_PAGES: Final = 10
#: Rows of the listing's newest end that a watcher compares with a cursor.
HEAD_ROWS: Final = 500

_log = logging.getLogger(__name__)


class Answer(Protocol):
    """What a question comes to, page by page."""

    def is_enough(self, page: Page) -> bool:
        """Take a page, and return whether no more pages are needed."""


class Question(Protocol):
    """What is asked of a listing. Equal questions have equal answers."""

    def __hash__(self) -> int: ...

    def begin(self, read_time: ReadTime, *, newest_first: bool) -> Answer:
        """Return the answer, to be shown the pages.

        :param read_time: Turns the API's time into an aware datetime.
        :param newest_first: Does the listing come so?
        """


@dataclass(frozen=True, slots=True)
class LeadPoll:
    """Read the listing of an agent's leads once, as far as some questions need.

    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :param timezone: Zone of the API's timestamps.
    :param newest_first: Does the listing come so?
    """

    project_id: str
    chatbot_id: str
    timezone: str
    newest_first: bool

    def __call__(self, client: RobofyClient, questions: Iterable[Question]) -> dict[Question, Any]:
        """Return the answer to each question.

        :param client: How to read.
        :param questions: What to find out.
        :raises RobofyError: The listing could not be read as far as needed.
        """
        read_time = TimeReader(self.timezone).read
        answers = {one: one.begin(read_time, newest_first=self.newest_first) for one in questions}
        open_answers = list(answers.values())
        for page in client.pages(list_leads(self.project_id, self.chatbot_id)):
            open_answers = [one for one in open_answers if not one.is_enough(page)]
            if not open_answers:
                break
        return dict(answers)


@dataclass(frozen=True, slots=True)
class CountLeads:
    """Ask for a number of leads.

    :param since: Leads at or after this count; None counts all.
    :param min_count: Leads after which the listing need not be read on.
    :param landed: Hashes of leads that do not count, because a sync has landed them. None where no sync is asked about:
        then a lead without a readable time does not count either, unless all do. Default None.
    :param policy: What becomes of personal data before a lead lands: ids and hashes are those of landed leads. Default
        none.
    """

    since: datetime | None
    min_count: int
    landed: frozenset[str] | None = None
    policy: PrivacyPolicy | None = None

    def begin(self, read_time: ReadTime, *, newest_first: bool) -> LeadCount:
        """Return the count, to be shown the pages."""
        return LeadCount(self, read_time, newest_first=newest_first)


class LeadCount:
    """The leads that count in one pass through the listing.

    :param question: Which count, and how many are enough.
    :param read_time: Turns the API's time into an aware datetime.
    :param newest_first: Does the listing come so?
    """

    def __init__(self, question: CountLeads, read_time: ReadTime, *, newest_first: bool) -> None:
        self.pages = 0
        #: Times of the leads by their ids; None where a lead has no readable time.
        self.leads: dict[str, datetime | None] = {}
        self.newest_first = newest_first
        self.question = question
        self._read_time = read_time
        self._order = RowOrder()

    def is_enough(self, page: Page) -> bool:
        """Take a page, and return whether enough leads were seen or no more can come."""
        self.pages = page.number
        since, older, times = self.question.since, 0, []
        for row in page.rows:
            row_id, at = _id_and_time(row, self._read_time)
            if row_id is None:
                continue
            if at is not None:
                times.append(at)
            if since is not None and at is not None and at < since:
                older += 1
            elif (since is None or at is not None or self.question.landed is not None) and (lead := self._new(row)):
                self.leads[lead] = at
        self._order.watch(times)
        passed = bool(page.rows) and older == len(page.rows)
        enough = len(self.leads) >= self.question.min_count
        return enough or (self.newest_first and passed and not self._order.rises)

    def _new(self, row: dict[str, Any]) -> str | None:
        """Return the id under which a lead lands, None where the sync has landed it or cannot land it."""
        policy, landed = self.question.policy, self.question.landed
        try:
            row = row if policy is None else policy.land(row)
            return None if landed and fingerprint(row) in landed else str(row[LEADS.key])
        except (ValueError, RecursionError):  # nested too deeply to be written
            return None

    @property
    def newest(self) -> datetime | None:
        """Return the time of the newest lead that counts."""
        return max((at for at in self.leads.values() if at is not None), default=None)


class LeadWatch:
    """Decide at each poll whether the wait for leads is over: the same in poke, reschedule and deferred mode."""

    def __init__(self) -> None:
        self._advised = False

    def judge(self, count: LeadCount) -> dict[str, Any] | None:
        """Return what the task returns (count, newest time and ids), or None while there are too few leads.

        :param count: What a poll found.
        """
        newest = count.newest.isoformat() if count.newest else None
        _log.info(
            "%s leads since %s, %s wanted; newest %s; pages read: %s",
            len(count.leads),
            count.question.since.isoformat() if count.question.since else "the beginning",
            count.question.min_count,
            newest,
            count.pages,
        )
        if count.pages > MANY_PAGES and not count.newest_first and not self._advised:
            self._advised = True
            _log.warning(
                "Each poll reads the whole listing, more than %s pages. If this account lists its leads newest first, "
                "the connection's extra leads_order=newest_first lets a poll stop early.",
                MANY_PAGES,
            )
        if len(count.leads) < count.question.min_count:
            return None
        return {"count": len(count.leads), "newest": newest, "lead_ids": list(count.leads)[:MAX_IDS]}

    @staticmethod
    def tolerate(error: RobofyError) -> None:
        """Log an error of a poll, where the next poll may succeed.

        :param error: The error.
        :raises RobofyError: The error, where no later poll can succeed.
        """
        if not error.may_pass:
            raise error
        _log.warning("The leads could not be read; the next poll reads them again: %s", error)


@dataclass(frozen=True, slots=True)
class NewestLeads:
    """Ask for the newest rows of the listing, to compare them with a cursor."""

    @staticmethod
    def begin(read_time: ReadTime, *, newest_first: bool) -> Head:
        """Return the newest rows, to be shown the pages."""
        return Head(read_time, newest_first=newest_first)


@dataclass(frozen=True, slots=True)
class HeadRow(RowVersion):
    """One of the newest rows as the API sent it, its id and hash included.

    :param row: The row. It contains personal data, so it is shown nowhere and dropped once it has been compared.
    """

    row: dict[str, Any] = field(repr=False, compare=False)


class Head:
    """The newest rows of a listing.

    :param read_time: Turns the API's time into an aware datetime.
    :param newest_first: Does the listing come so?
    """

    def __init__(self, read_time: ReadTime, *, newest_first: bool) -> None:
        self._read_time = read_time
        self._newest_first = newest_first
        self._rows: list[tuple[datetime, HeadRow]] = []

    def is_enough(self, page: Page) -> bool:
        """Take a page, and return whether the newest rows are known: after one page, if the newest come first."""
        for row in page.rows:
            row_id, at = _id_and_time(row, self._read_time)
            if row_id is None or at is None:
                continue
            try:
                self._rows.append((at, HeadRow(row_id, fingerprint(row), at, row)))
            except ValueError:  # nested too deeply to be written: the fetch rejects it, so it never lands
                continue
        if len(self._rows) > 2 * HEAD_ROWS:
            self._rows = self._newest()
        return self._newest_first

    @property
    def rows(self) -> tuple[HeadRow, ...]:
        """Return the newest rows, newest first."""
        return tuple(row for _, row in self._newest())

    def _newest(self) -> list[tuple[datetime, HeadRow]]:
        return heapq.nlargest(HEAD_ROWS, self._rows, key=lambda one: (one[0], one[1].row_id, one[1].fingerprint))


def as_landed(head: Iterable[HeadRow], policy: PrivacyPolicy | None) -> tuple[RowVersion, ...]:
    """Return the newest rows with the ids and hashes that they have once they have landed.

    :param head: The rows as the API sent them.
    :param policy: What becomes of their personal data, or None where all is kept.
    """
    if policy is None:
        return tuple(RowVersion(one.row_id, one.fingerprint, one.at) for one in head)
    landed = [(policy.land(one.row), one.at) for one in head]
    return tuple(RowVersion(str(row[LEADS.key]), fingerprint(row), at) for row, at in landed)


def ahead_of(head: Iterable[RowVersion], cursor: Cursor) -> list[RowVersion]:
    """Return the rows that a sync has still to land: at or after its watermark, and not landed yet.

    :param head: The newest rows of the listing.
    :param cursor: Where the sync stands.
    """
    landed = {(one.row_id, one.fingerprint) for one in cursor.overlap}
    return [
        one
        for one in head
        if (cursor.watermark is None or one.at is None or one.at >= cursor.watermark)
        and (one.row_id, one.fingerprint) not in landed
    ]


def _id_and_time(row: Any, read_time: ReadTime) -> tuple[str | None, datetime | None]:
    """Return a lead's id and time, None where there is none; sensors leave it to the fetch to complain."""
    row_id = row.get(LEADS.id) if isinstance(row, dict) else None
    if not isinstance(row_id, str | int) or row_id == "":
        return None, None
    try:
        return str(row_id), read_time(row.get(LEADS.time))
    except ValueError:
        return str(row_id), None
