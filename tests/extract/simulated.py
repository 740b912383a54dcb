"""A Robofy in a few lines, its clock, and workers that sync from it and die: for the model-based test of the cursor."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.ahead import PagesAhead
from airflow_provider_robofy.api.client import Answered
from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.pages import TOKEN_PARAMETER, Page
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import Cursor, CursorRun
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import rows
from tests.extract.runs import IDENTITY, make_cursor_run, make_listing_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from zoneinfo import ZoneInfo


class Killed(BaseException):
    """A worker dies: no handler of the code under test may catch it as an error."""


@dataclass
class Lead:
    """One lead on the server.

    :param created: When, by the world's clock in UTC; shown without a zone, in the server's.
    :param arrived: Since when the listing shows it.
    """

    row_id: str
    created: datetime
    arrived: datetime
    rank: int
    version: int = 0


@dataclass
class Robofy:
    """Hold the leads, and list them in numbered pages over whatever there is at that moment."""

    zone: ZoneInfo
    order: str
    page_size: int
    now: datetime
    leads: dict[str, Lead] = field(default_factory=dict)
    #: Every id and version that the listing ever showed.
    shown: dict[str, int] = field(default_factory=dict)

    def row(self, lead: Lead) -> dict[str, Any]:
        local = lead.created.astimezone(self.zone).replace(tzinfo=None)
        return {"id": lead.row_id, "created_at": str(local), "lead_data": [{"version": lead.version}]}

    def listed(self) -> list[Lead]:
        if self.order == "newest_first":
            return sorted(self.leads.values(), key=lambda one: (one.created, one.rank), reverse=True)
        if self.order == "oldest_first":
            return sorted(self.leads.values(), key=lambda one: (one.created, one.rank))
        return sorted(self.leads.values(), key=lambda one: (hash_of(one.row_id), one.rank))

    def pages(self, between: Callable[[int], None], returned: set[str], skew: timedelta) -> Iterator[Page]:
        """List; let the world go on between two pages.

        :param between: Called before each page.
        :param returned: Takes the ids that were on some page.
        :param skew: How far the server's Date header is off.
        """
        number, last = 0, False
        while not last:
            number += 1
            between(number)
            rows, last = self.page(number)
            returned.update(row["id"] for row in rows)
            yield Page(number, rows, "null" if last else None, self.date(skew))

    def page(self, number: int) -> tuple[list[dict[str, Any]], bool]:
        """Return the rows of a page as it is now, and whether it is the last one."""
        leads, start = self.listed(), (number - 1) * self.page_size
        rows = [self.row(lead) for lead in leads[start : start + self.page_size]]
        return rows, start + self.page_size >= len(leads)

    def date(self, skew: timedelta) -> datetime:
        return (self.now + skew).replace(microsecond=0)


class SideBySide:
    """The listing as a client has it that asks for several pages at a time.

    :param between: Called before the first answer to each page, whichever comes first.
    """

    def __init__(self, robofy: Robofy, between: Callable[[int], None], skew: timedelta) -> None:
        self.settings = Settings(api_key="key")
        self._robofy, self._between, self._skew = robofy, between, skew
        self._asked: set[int] = set()
        self._lock = threading.Lock()

    def pages(self, returned: set[str]) -> Iterator[Page]:
        for page in PagesAhead(self, list_leads("1", "a"), "id").pages():  # type: ignore[arg-type]
            returned.update(row["id"] for row in page.rows)
            yield page

    def exchange(self, call: Any) -> Answered[Rows]:
        number = int(call.query.get(TOKEN_PARAMETER, 1))
        with self._lock:
            if number not in self._asked:
                self._asked.add(number)
                self._between(number)
            rows, last = self._robofy.page(number)
            date = self._robofy.date(self._skew)
        return Answered(Rows(rows, None if last else str(number + 1), "null" if last else None), date, date)

    def helper(self) -> SideBySide:
        return self

    def cancel(self) -> None: ...

    def check_cancelled(self) -> None: ...

    def release_helpers(self, *, used: int) -> None: ...


def hash_of(text: str) -> int:
    """Order by something that has nothing to do with time, the same in every process."""
    return sum(ord(char) * 31**place for place, char in enumerate(text)) % 1009


@dataclass
class Outcome:
    """What became of one run: ``landed``, or where it died."""

    landed: bool
    lossless: bool = False
    full: bool = False
    #: Leads that were there from its first page to its last.
    present: frozenset[str] = frozenset()


class Worker:
    """Run the sync as the operator does, with every step where it can die."""

    def __init__(self, robofy: Robofy) -> None:
        self.robofy = robofy
        self.folder = Path(tempfile.mkdtemp(prefix="robofy-model-"))
        self.trust_order = False
        self.side_by_side = False
        self.full_every: timedelta | None = None

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def store(self, name: str) -> Store:
        path = str(self.folder / name)
        return Store(LocalFileSystem(), path, path)

    def cursor(self) -> Cursor:
        store = self._cursor_store()
        return Cursor.decode(store.load(), IDENTITY, store.where)

    def _cursor_store(self) -> FileCursorStore:
        return FileCursorStore(self.store("cursor.json"))

    def run(
        self,
        run_key: str,
        *,
        die_at: str | None = None,
        between: Callable[[int], None] = lambda _: None,
        clock_skew: timedelta = timedelta(0),
        date_skew: timedelta = timedelta(0),
    ) -> Outcome:
        """Try once.

        :param die_at: ``page-2``, ``spooled``, ``data``, ``published``, ``moved``, or None.
        :param between: What happens in the world before each page.
        :param clock_skew: How far this worker's clock is off.
        :param date_skew: How far the server's Date header is off.
        """
        robofy = self.robofy
        returned: set[str] = set()
        at_start = set(robofy.leads)

        def now() -> datetime:
            return robofy.now + clock_skew

        def step(number: int) -> None:
            if die_at == f"page-{number}":
                raise Killed
            between(number)

        zone, store = robofy.zone.key, self.store("cursor.json")
        cursor = make_cursor_run(store, run_key, kind=_MortalRun, timezone=zone, full_every=self.full_every, now=now())
        cursor.die_at = die_at  # type: ignore[attr-defined]
        order = "newest_first" if self.trust_order else "unknown"
        options: dict[str, Any] = {
            "run_key": run_key,
            "cursor": cursor,
            "publish_empty": False,
            "now": now,
            "max_rejected": 0,
        }
        target = _Mortal(self.store(f"{run_key}.jsonl"), die_at)
        listing = make_listing_run(target, timezone=zone, order=order, **options)
        if self.side_by_side and listing.reads_to_the_end:
            pages = SideBySide(robofy, step, date_skew).pages(returned)
        else:
            pages = robofy.pages(step, returned, date_skew)
        try:
            listing.land(pages, lambda: 1)
        except Killed:
            return Outcome(landed=False)
        present = frozenset(at_start & set(robofy.leads))
        early = self.trust_order and not cursor.full
        lossless = present <= returned or (early and self._all_missing_are_old(present - returned, cursor))
        return Outcome(landed=True, lossless=lossless, full=cursor.full, present=present)

    def _all_missing_are_old(self, missing: frozenset[str], cursor: CursorRun) -> bool:
        """A read that stopped early lost nothing if all it did not see lies before the watermark."""
        watermark = cursor.before.watermark
        read = TimeReader(self.robofy.zone.key).read
        return watermark is not None and all(
            read(self.robofy.row(self.robofy.leads[row_id])["created_at"]) < watermark for row_id in missing
        )

    def files(self) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Return every published result, in the order of publishing."""
        # By the disk's clock: those of the workers are wrong on purpose.
        paths = sorted(self.folder.glob("*.manifest.json"), key=lambda path: path.stat().st_mtime_ns)
        return [(one, list(rows(one))) for one in (json.loads(path.read_text()) for path in paths)]

    def upserted(self) -> dict[str, int]:
        """Return id to version, as a database would have them after upsert in the order of publishing."""
        table: dict[str, int] = {}
        for _, landed in self.files():
            for row in landed:
                table[row["id"]] = row["lead_data"][0]["version"]
        return table


class _Mortal(Store):
    """A store whose worker may die before or after it publishes."""

    def __init__(self, store: Store, die_at: str | None) -> None:
        super().__init__(store.fs, store.path, store.uri)
        self._die_at = die_at

    def beside(self, suffix: str) -> Store:
        beside = _Mortal(super().beside(suffix), None)
        if suffix == ".manifest.json" and self._die_at == "data":
            beside._die_at = "spooled"
        return beside

    def publish(self, spooled: Path, size: int) -> tuple[Any, ...]:
        if self._die_at == "spooled":
            raise Killed
        return super().publish(spooled, size)


class _MortalRun(CursorRun):
    """A run whose worker may die before or after it moves the cursor."""

    die_at: str | None = None

    def move(self, started: datetime) -> bool:
        if self.die_at == "published":
            raise Killed
        moved = super().move(started)
        if self.die_at == "moved":
            raise Killed
        return moved


def utc(text: str) -> datetime:
    """Write a moment shortly."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
