"""One run over a listing, from the first page to the published manifest."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError, RobofyError
from airflow_provider_robofy.extract.cursor_store import RESET
from airflow_provider_robofy.extract.landed import hold
from airflow_provider_robofy.extract.landing import Landing
from airflow_provider_robofy.extract.manifest import Manifest, identity
from airflow_provider_robofy.extract.rows import FUTURE, NEWEST_FIRST, RowFilter, rejected_line
from airflow_provider_robofy.extract.window import earlier
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from logging import Logger

    from airflow_provider_robofy.api.pages import Page
    from airflow_provider_robofy.api.times import TimeReader
    from airflow_provider_robofy.extract.cursor import CursorRun
    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.extract.rows import RowOrder
    from airflow_provider_robofy.extract.spool import Spool
    from airflow_provider_robofy.extract.window import Window
    from airflow_provider_robofy.resources import Resource

#: Seconds between two log lines about a long read.
PROGRESS_INTERVAL: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ListingRun:
    """Read a listing and land it.

    Usage::

        run = ListingRun(resource=LEADS, ..., store=store)
        manifest = run.land(client.pages(call), lambda: client.requests)

    :param resource: What the rows are.
    :param project_id: The agent's project, or None where none is known.
    :param chatbot_id: The agent.
    :param window: Which rows are wanted. With a cursor, everything.
    :param lag: How late a row may turn up. A window that ends later than this before now gets a warning.
    :param times: Reads the API's times.
    :param order: What the account's listing is known to do: ``newest_first``, so that it need not be read to its end,
        or ``unknown``.
    :param run_key: Which task of which run this is.
    :param store: Where the rows go.
    :param max_rejected: Rows that may be rejected before the run fails. Default 0.
    :param cursor: Decides which rows are wanted, instead of the window. Default none.
    :param advance_cursor: Move the cursor when the rows have landed. False writes its next state beside the file and
        leaves it to a later step; where nothing landed there is nothing to wait for, and it moves at once. Default
        True.
    :param privacy: What becomes of personal data. Default none: everything is kept.
    :param defuse_formulas: In CSV, put an apostrophe before what a spreadsheet could take for a formula. Default True.
    :param publish_empty: Publish a file without a row too, rather than none. Default True.
    :param now: Clock, for tests.
    """

    resource: Resource
    project_id: str | None
    chatbot_id: str
    window: Window
    lag: timedelta
    times: TimeReader
    order: str
    run_key: str
    store: Store
    max_rejected: int = 0
    cursor: CursorRun | None = None
    advance_cursor: bool = True
    privacy: PrivacyPolicy | None = None
    defuse_formulas: bool = True
    publish_empty: bool = True
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def land(
        self, pages: Iterable[Page], requests: Callable[[], int], requests_unused: Callable[[], int] = int
    ) -> Manifest:
        """Read, filter, publish, verify, then move the cursor, in this order; return the manifest.

        A run that is cleared after later runs have moved the cursor returns the manifest that it has left.

        Until everything has been read nothing is published, so an earlier good file survives a run that fails. Until
        everything is published the cursor stays, so a run that is killed reads the same rows again.

        :param pages: The listing.
        :param requests: Returns how many requests it took.
        :param requests_unused: Returns how many of them were not used. Default: none.
        :raises RobofyDataError: More rows were rejected than is allowed. What landed stays, the cursor does not move.
        :raises RobofyError: The listing could not be read to its end, or the result could not be landed.
        """
        cursor = self.cursor
        started = self.now()
        common = {
            "resource": self.resource.name,
            "project_id": self.project_id,
            "chatbot_id": self.chatbot_id,
            "mode": cursor.mode if cursor else self.window.mode,
            "since": _iso(self.window.since),
            "until": _iso(self.window.until),
            "run_key": self.run_key,
        }
        progress = Progress(_log, self.resource.name)
        received = count = 0
        end_marker: str | None = None
        with Landing(self.store, identity(common), defuse_formulas=self.defuse_formulas) as landing:
            rows = RowFilter(
                self.resource,
                window=cursor.window if cursor else self.window,
                landed_before=cursor.landed_before if cursor else frozenset(),
                owed=cursor.before.owed if cursor else (),
                overlap=cursor.overlap if cursor else None,
                privacy=self.privacy,
                read_time=self.times.read,
                keep_rows=landing.format.has_columns,
                stamp={PROJECT_ID: self.project_id, CHATBOT_ID: self.chatbot_id},
            )
            found = landing.check()
            if cursor and found is not None and cursor.is_past(found):
                return self._landed_before(found)
            with landing.spool() as data, landing.spool_rejected() as rejected:
                for page in pages:
                    if page.number == 1:
                        started = min(started, page.date or started)
                        rows.ahead_of = earlier(started, -FUTURE)
                        if cursor:
                            cursor.overlap.started = started
                            rows.leave_out_from(cursor.until(started))
                        self._warn_of_late_rows(started)
                    filtered = rows.filter(page.rows, partial(self._reject, rejected, page.number))
                    data.append(filtered.lines, filtered.rows or None)
                    received, count, end_marker = received + len(page.rows), page.number, page.end_marker
                    progress.report(count, received)
                    if end_marker is None and filtered.all_older and self._may_stop(rows.order):
                        end_marker = "early"
                        break
                data.finish()
                rejected.finish()
                # A full run of a cursor that left out sessions does not have the whole listing.
                mode = {"mode": "cursor"} if cursor and rows.outside_window else {}
                manifest = Manifest(
                    **{**common, **mode},  # type: ignore[arg-type]
                    **landing.facts(data, rejected),
                    received=received,
                    duplicates=rows.duplicates,
                    outside_window=rows.outside_window,
                    undated=rows.undated,
                    future=rows.future,
                    pages=count,
                    requests=requests(),
                    requests_unused=requests_unused(),
                    end_marker=end_marker,
                    first_at=_iso(rows.first_at),
                    last_at=_iso(rows.last_at),
                    row_order=rows.order.verdict,
                    watermark_before=_iso(cursor.before.watermark) if cursor else None,
                    watermark_after=_iso(cursor.after(started).watermark) if cursor else None,
                    cursor_generation=cursor.before.generation if cursor else None,
                    cursor_next_uri=landing.next.uri if cursor and data.rows and not self.advance_cursor else None,
                    privacy=self.privacy.rules if self.privacy else None,
                    started_at=started.isoformat(),
                    finished_at=self.now().isoformat(),
                )
                published = self.publish_empty or manifest.rows or manifest.rejected or found is not None
                if published:
                    state = cursor.next_state(started, landing.try_id) if cursor and manifest.cursor_next_uri else None
                    landing.publish(data, rejected, manifest, next_state=state)
        self._summarise(manifest, rows.unreadable_form, progress.seconds, published=bool(published))
        self._check_rejected(manifest)
        if cursor and (gone := len(cursor.before.owed) - len(rows.owed_landed)):
            _log.warning("%s sessions that were to be read again are gone from the listing, or have changed.", gone)
        if cursor and manifest.cursor_next_uri:
            _log.info("The cursor stays where it stands until RobofyAdvanceCursorOperator moves it.")
        elif cursor and (manifest.rows or cursor.full or cursor.rules_changed or cursor.before.owed):
            cursor.move(started)
        return manifest

    def _reject(self, rejected: Spool, page: int, position: int, reason: str, row: Any) -> None:
        rejected.append(rejected_line({"page": page, "position": position, "reason": reason}, row, self.privacy))

    def _landed_before(self, found: dict[str, Any]) -> Manifest:
        """Return the manifest of a cleared run after which later runs have moved the cursor.

        :param found: The manifest beside its file.
        :raises RobofyConfigError: The file is not whole, and this run cannot land it again.
        """
        try:
            manifest = Manifest.of(found)
            with hold(found, self.store):
                pass
        except (RobofyError, TypeError, KeyError) as error:
            raise RobofyConfigError(
                f"This run ({self.run_key}) has landed before, and later runs have moved the cursor since, so it "
                f"cannot land the same rows again. What it landed cannot be used: {error} {RESET}"
            ) from None
        _log.info(
            "This run has landed before, and later runs have moved the cursor since: its file %s is whole, and its "
            "manifest is returned again.",
            manifest.uri,
        )
        self._check_rejected(manifest)
        return manifest

    @property
    def reads_to_the_end(self) -> bool:
        """Return whether the listing is read to its end, wherever the wanted rows are in it."""
        window = self.cursor.window if self.cursor else self.window
        return self.order != NEWEST_FIRST or window.mode == "full"

    def _may_stop(self, order: RowOrder) -> bool:
        """Return whether the rest of the listing is older too, after a page that is all older than the window."""
        if self.order == NEWEST_FIRST and order.rises and not order.warned:
            order.warned = True
            _log.warning(
                "The connection says %s_order=newest_first, but a row came that is newer than the one before it. "
                "Reading the listing to its end, so that none is missed.",
                self.resource.name,
            )
        return self.order == NEWEST_FIRST and not order.rises

    def _warn_of_late_rows(self, now: datetime) -> None:
        if self.window.may_miss_late_rows(now, self.lag):
            _log.warning(
                "until (%s) is less than lag (%s) ago: rows that turn up late may be missed by this window and the "
                "next. Shift since and until back by the lag.",
                _iso(self.window.until),
                self.lag,
            )

    def _summarise(self, manifest: Manifest, unreadable: str | None, seconds: float, *, published: bool) -> None:
        _log.info(
            "Landed %s %s (%s): received %s, duplicates %s, outside the window %s, rejected %s; "
            "%s pages, %s requests, %.1f s%s",
            manifest.rows,
            manifest.resource,
            manifest.mode,
            manifest.received,
            manifest.duplicates,
            manifest.outside_window,
            manifest.rejected,
            manifest.pages,
            manifest.requests,
            seconds,
            f"; in {manifest.uri}" if published else ". Nothing is new, so no file was written.",
        )
        if self.privacy:
            self.privacy.report(_log, manifest.rows + manifest.rejected)
        if manifest.undated:
            _log.warning(
                "%s rows have no time that can be read (the first one is of the form %s), so they landed without one. "
                "python -m airflow_provider_robofy.probe shows in which form this account writes times.",
                manifest.undated,
                unreadable,
            )
        if manifest.future:
            _log.warning(
                "%s rows lie more than five minutes ahead of the clock. The connection's extra timezone is %r; "
                "is that the zone of Robofy's timestamps?",
                manifest.future,
                self.times.timezone,
            )
        # With a cursor, full runs are rare: the hint is logged once per cursor and not in each run.
        rare = self.cursor is None or self.cursor.full
        if rare and manifest.row_order == NEWEST_FIRST and self.order != NEWEST_FIRST and manifest.pages > 1:
            _log.info(
                "The listing came newest first over all its %s pages. If that is so for this account always, the "
                "connection's extra %s_order=newest_first lets a windowed read stop early.",
                manifest.pages,
                manifest.resource,
            )

    def _check_rejected(self, manifest: Manifest) -> None:
        if manifest.rejected <= self.max_rejected:
            return
        error = RobofyDataError(
            f"{manifest.rejected} of {manifest.received} rows were rejected, and max_rejected is {self.max_rejected}. "
            f"They are in {manifest.rejected_uri} with the reasons; the others landed in {manifest.uri}, and the "
            "manifest is in XCom under the key 'manifest'."
        )
        error.manifest = manifest.as_dict()
        raise error


class Progress:
    """Log pages, rows and rate of a long read, at most every ten seconds.

    :param log: Where to.
    :param what: What is being read, for example ``leads``.
    :param monotonic: Clock in seconds.
    """

    def __init__(self, log: Logger, what: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._what = what
        self._monotonic = monotonic
        self._began = self._reported = monotonic()

    def report(self, pages: int, rows: int) -> None:
        """Log how far the read is, if ten seconds have passed.

        :param pages: Pages so far; ``rows`` likewise rows.
        """
        now = self._monotonic()
        if now - self._reported >= PROGRESS_INTERVAL:
            self._reported = now
            rate = rows / (now - self._began)
            self._log.info("Reading %s: %s pages, %s rows, %.0f rows/s", self._what, pages, rows, rate)

    @property
    def seconds(self) -> float:
        """Return the time since the beginning, in seconds."""
        return self._monotonic() - self._began


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
