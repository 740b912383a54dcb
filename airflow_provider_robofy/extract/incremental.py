"""One run of a sync that has a cursor: where it starts, what it may leave out, where the cursor stands afterwards."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.cursor import RESET, Cursor
from airflow_provider_robofy.extract.recent import Recent
from airflow_provider_robofy.extract.window import Window

if TYPE_CHECKING:
    from datetime import datetime, timedelta

_log = logging.getLogger(__name__)


class Incremental:
    """Plan a run from a cursor, and say where the cursor goes.

    :param stored: The cursor as it is stored.
    :param run_key: The run.
    :param timezone: Zone in which this run reads times.
    :param lag: How late a row may turn up.
    :param full_every: Read everything again when the last time is longer ago than this; None never.
    :param keep_ids: May the cursor hold ids of rows?
    :param now: Our clock.
    """

    def __init__(
        self,
        stored: Cursor,
        *,
        run_key: str,
        timezone: str,
        lag: timedelta,
        full_every: timedelta | None,
        now: datetime,
        keep_ids: bool = True,
    ) -> None:
        self.before = stored.start_for(run_key)
        self.recent = Recent(lag, keep_ids=keep_ids)
        self._stored = stored
        self._run_key = run_key
        self._timezone = timezone
        self._lag = lag
        why = self._why_full(full_every, now)
        self.full = why is not None
        if why:
            _log.info("Everything is read and lands again: %s.", why)

    def _why_full(self, full_every: timedelta | None, now: datetime) -> str | None:
        before = self.before
        if before.mark is None:
            return "there is no mark yet"
        if before.timezone != self._timezone:
            _log.warning(
                "The connection's timezone was %s when the cursor was written and is %s now, so the cursor's mark may "
                "mean another moment. Everything is read again.",
                before.timezone,
                self._timezone,
            )
            return "the zone has changed"
        if full_every is not None and (before.full_at is None or now - before.full_at >= full_every):
            return "full_every has passed"
        return None

    @property
    def window(self) -> Window:
        """Return which rows are wanted."""
        return Window() if self.full else Window(since=self.before.mark)

    @property
    def mode(self) -> str:
        """Return ``full`` where everything lands again, else ``cursor``."""
        return "full" if self.full else "cursor"

    def landed_before(self) -> frozenset[str]:
        """Return fingerprints of the rows that need not land again. A full read leaves nothing out."""
        return frozenset(one.fingerprint for one in (() if self.full else self.before.kept))

    def check_not_older(self, found: dict[str, Any] | None) -> None:
        """Refuse a run that has landed already and after which later runs have moved the cursor on.

        It would start where the cursor stands now, and replace its own file by an emptier one.

        :param found: Manifest that this run left at its place, or None.
        :raises RobofyConfigError: It is such a run.
        """
        if found is None or self._stored.mark is None or self.before is not self._stored:
            return
        if found.get("cursor_generation") != self._stored.generation:
            raise RobofyConfigError(
                f"This run ({self._run_key}) has landed before, and later runs have moved the cursor on. Running it "
                f"again would replace its file by an emptier one. {RESET}"
            )

    def after(self, started: datetime) -> Cursor:
        """Return the cursor once what was found has landed.

        :param started: When the listing began.
        """
        return self.before.moved(
            run_key=self._run_key,
            timezone=self._timezone,
            started=started,
            newest=self.recent.newest,
            landed=self.recent.rows,
            lag=self._lag,
            full=self.full,
        )
