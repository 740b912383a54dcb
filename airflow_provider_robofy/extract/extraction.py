"""One run, from the first page to the published manifest."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.extract.landing import Landing, speaking_of
from airflow_provider_robofy.extract.manifest import Manifest, identity
from airflow_provider_robofy.extract.order import NEWEST_FIRST
from airflow_provider_robofy.extract.progress import Progress
from airflow_provider_robofy.extract.sieve import Sieve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_robofy.api.client import Page
    from airflow_provider_robofy.api.times import TimeReader
    from airflow_provider_robofy.extract.cursor_store import CursorKeeper
    from airflow_provider_robofy.extract.incremental import Incremental
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.extract.sieve import Sifted
    from airflow_provider_robofy.extract.spool import Spool
    from airflow_provider_robofy.extract.store import Store
    from airflow_provider_robofy.extract.window import Window

#: A row this far ahead of the clock is not the clock's fault any more.
FUTURE = timedelta(minutes=5)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Read a listing and land it.

    Usage::

        manifest = Extraction(resource="leads", ..., store=store).run(client.pages(call), lambda: client.requests)

    :param resource: What the rows are.
    :param project_id: The agent's project, or None where none is known.
    :param chatbot_id: The agent.
    :param id_field: Field of a row's id; ``time_field`` that of its time.
    :param window: Which rows are wanted.
    :param lag: How late a row may turn up; only warned about.
    :param times: Reads the API's times.
    :param order: What the account's listing is known to do: ``newest_first``, so that it need not be read to its end,
        or ``unknown``.
    :param max_rejected: Rows that may be rejected before the run fails.
    :param cursor: Where an incremental run starts and what it leaves out; None without a cursor. Decides the window.
    :param keeper: Moves the cursor when everything has landed.
    :param privacy: What becomes of personal data, or None.
    :param defuse_formulas: In CSV, put an apostrophe before what a spreadsheet could take for a formula.
    :param publish_empty: Publish a file without a row too, rather than none.
    :param run_key: Which task of which run this is.
    :param store: Where the rows go.
    :param now: Clock, for tests.
    """

    resource: str
    project_id: str | None
    chatbot_id: str
    time_field: str
    window: Window
    lag: timedelta
    times: TimeReader
    order: str
    run_key: str
    store: Store
    id_field: str = "id"
    max_rejected: int = 0
    cursor: Incremental | None = None
    keeper: CursorKeeper | None = None
    privacy: PrivacyPolicy | None = None
    defuse_formulas: bool = True
    publish_empty: bool = True
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def run(self, pages: Iterable[Page], requests: Callable[[], int]) -> Manifest:
        """Fetch, publish, verify, then move the cursor, in this order; return the manifest.

        Until everything has been read nothing is published, so an earlier good file survives a run that fails. Until
        everything is published the cursor stays, so a run that is killed reads the same rows again.

        :param pages: The listing.
        :param requests: Tells how many requests it took.
        :raises RobofyDataError: More rows were rejected than is allowed. What landed stays, the cursor does not move.
        :raises RobofyError: The listing could not be read to its end, or the result could not be landed.
        """
        started = self.now()
        landing = Landing(self.store, self._identity(), defuse_formulas=self.defuse_formulas)
        sieve = Sieve(
            window=self._window,
            landed_before=self.cursor.landed_before() if self.cursor else frozenset(),
            recent=self.cursor.recent if self.cursor else None,
            privacy=self.privacy,
            read_time=self.times.read,
            stamp={"_project_id": self.project_id, "_chatbot_id": self.chatbot_id},
            time_field=self.time_field,
            id_field=self.id_field,
        )
        progress = Progress(_log, self.resource)
        received = count = 0
        end_marker: str | None = None
        with speaking_of(self.store.uri), closing(landing):
            found = landing.check()
            if self.cursor:
                self.cursor.check_not_older(found)
            with landing.spool() as data, landing.spool_rejected() as rejected:
                for page in pages:
                    if page.number == 1:
                        started = min(started, page.date or started)
                        sieve.ahead_of = started + FUTURE
                        if self.cursor:
                            self.cursor.recent.started = started
                        self._warn_of_lag(started)
                    sifted = sieve.sift(page.rows)
                    data.append(sifted.lines)
                    rejected.append(_rejected_lines(page.number, sifted))
                    received, count, end_marker = received + len(page.rows), page.number, page.end_marker
                    progress.tick(count, received)
                    if end_marker is None and self._may_stop(sieve, sifted):
                        end_marker = "early"
                        break
                data.finish()
                rejected.finish()
                manifest = self._manifest(
                    sieve,
                    data,
                    rejected,
                    format=landing.format,
                    formulas_defused=landing.formulas_defused,
                    rejected_uri=landing.rejected_uri if rejected.rows else None,
                    received=received,
                    pages=count,
                    requests=requests(),
                    end_marker=end_marker,
                    started=started,
                    finished_at=self.now().isoformat(),
                )
                published = self.publish_empty or manifest.rows or manifest.rejected or found is not None
                if published:
                    landing.publish(data, rejected, manifest)
        self._summarise(manifest, progress.seconds, manifest.uri if published else "no file")
        if manifest.rejected > self.max_rejected:
            raise _too_many_rejected(manifest, self.max_rejected)
        if self.cursor and self.keeper and (manifest.rows or self.cursor.full):
            self.keeper.move(self.cursor.after(started))
        return manifest

    @property
    def _window(self) -> Window:
        return self.cursor.window if self.cursor else self.window

    @property
    def _mode(self) -> str:
        return self.cursor.mode if self.cursor else self.window.mode

    def _identity(self) -> dict[str, Any]:
        return identity(
            {
                "resource": self.resource,
                "project_id": self.project_id,
                "chatbot_id": self.chatbot_id,
                "mode": self._mode,
                "since": _iso(self.window.since),
                "until": _iso(self.window.until),
                "run_key": self.run_key,
            }
        )

    def _manifest(self, sieve: Sieve, data: Spool, rejected: Spool, started: datetime, **rest: Any) -> Manifest:
        cursor = self.cursor
        return Manifest(
            resource=self.resource,
            mode=self._mode,
            project_id=self.project_id,
            chatbot_id=self.chatbot_id,
            uri=self.store.uri,
            rows=data.rows,
            duplicates=sieve.duplicates,
            outside_window=sieve.outside_window,
            rejected=rejected.rows,
            undated=sieve.undated,
            future=sieve.future,
            since=_iso(self.window.since),
            until=_iso(self.window.until),
            first_at=_iso(sieve.first_at),
            last_at=_iso(sieve.last_at),
            row_order=sieve.order.verdict,
            mark_before=_iso(cursor.before.mark) if cursor else None,
            mark_after=_iso(cursor.after(started).mark) if cursor else None,
            cursor_generation=cursor.before.generation if cursor else None,
            privacy=self.privacy.rules if self.privacy else None,
            started_at=started.isoformat(),
            bytes=data.bytes,
            sha256=data.sha256,
            run_key=self.run_key,
            **rest,
        )

    def _may_stop(self, sieve: Sieve, sifted: Sifted) -> bool:
        if self.order != NEWEST_FIRST or not sifted.all_older:
            return False
        if sieve.order.rises:
            if not sieve.order.warned:
                sieve.order.warned = True
                _log.warning(
                    "The connection says %s_order=newest_first, but a row came that is newer than the one before it. "
                    "Reading the listing to its end, so that none is missed.",
                    self.resource,
                )
            return False
        return True

    def _warn_of_lag(self, now: datetime) -> None:
        if self.window.may_miss_late_rows(now, self.lag):
            _log.warning(
                "until (%s) is less than lag (%s) ago: rows that turn up late may be missed by this window and the "
                "next. Shift since and until back by the lag.",
                _iso(self.window.until),
                self.lag,
            )

    def _summarise(self, manifest: Manifest, seconds: float, where: str) -> None:
        _log.info(
            "Landed %s %s in %s (%s): received %s, duplicates %s, outside the window %s, rejected %s; "
            "%s pages, %s requests, %.1f s",
            manifest.rows,
            self.resource,
            where,
            manifest.mode,
            manifest.received,
            manifest.duplicates,
            manifest.outside_window,
            manifest.rejected,
            manifest.pages,
            manifest.requests,
            seconds,
        )
        if self.privacy:
            self.privacy.report(_log, manifest.rows + manifest.rejected)
        if manifest.future:
            _log.warning(
                "%s rows lie more than five minutes ahead of the clock. The connection's extra timezone is %r; "
                "is that the zone of Robofy's timestamps?",
                manifest.future,
                self.times.timezone,
            )
        if manifest.row_order == NEWEST_FIRST and self.order != NEWEST_FIRST and manifest.pages > 1:
            _log.info(
                "The listing came newest first over all its %s pages. If that is so for this account always, the "
                "connection's extra %s_order=newest_first lets a windowed read stop early.",
                manifest.pages,
                self.resource,
            )


def _too_many_rejected(manifest: Manifest, allowed: int) -> RobofyDataError:
    error = RobofyDataError(
        f"{manifest.rejected} of {manifest.received} rows were rejected, and max_rejected is {allowed}. They are in "
        f"{manifest.rejected_uri} with the reasons; the others landed in {manifest.uri}, and the manifest is in XCom "
        "under the key 'manifest'."
    )
    error.manifest = manifest.as_dict()
    return error


def _rejected_lines(page: int, sifted: Sifted) -> list[bytes]:
    return [
        dump_line({"page": page, "position": position, "reason": reason, "row": row})
        for position, reason, row in sifted.rejected
    ]


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
