"""Remembering the newest rows of a run, as many as the lag makes necessary."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.extract.cursor import Kept

if TYPE_CHECKING:
    from datetime import datetime, timedelta


def fingerprint(row: dict[str, Any]) -> str:
    """Return a hash of a row's content, the same in every process and for every order of its fields."""
    return blake2b(dump_line(row), digest_size=12).hexdigest()


class Recent:
    """Keep the landed rows that the next run might meet again: those no older than the newest less the lag.

    :param lag: How late a row may turn up.
    :param keep_ids: Remember ids beside the hashes. Not for sessions: an id may be a phone number, and a cursor may be
        kept in Airflow's database. The hash covers the id too.
    """

    def __init__(self, lag: timedelta, *, keep_ids: bool = True) -> None:
        self._lag = lag
        self._keep_ids = keep_ids
        self._rows: list[Kept] = []
        self._undated: list[Kept] = []
        #: Never counted beyond this: when the listing began.
        self.started: datetime | None = None
        #: Time of the newest landed row.
        self.newest: datetime | None = None
        #: Rows older than this need not be remembered.
        self.floor: datetime | None = None

    def add(self, row_id: str | int, at: datetime | None, row: dict[str, Any]) -> None:
        """Remember a landed row, unless it is too old to matter."""
        name = str(row_id) if self._keep_ids else ""
        if at is None:
            self._undated.append(Kept(name, fingerprint(row), None))
            return
        if self.newest is None or at > self.newest:
            self.newest = at
            reached = at if self.started is None else min(at, self.started)
            self.floor = reached - self._lag
        if self.floor is None or at >= self.floor:
            self._rows.append(Kept(name, fingerprint(row), at))
            if len(self._rows) >= 2 * self._enough:
                self._forget()

    _enough = 1000

    def _forget(self) -> None:
        floor = self.floor
        self._rows = [one for one in self._rows if floor is None or one.at is None or one.at >= floor]
        self._enough = max(1000, len(self._rows))

    @property
    def rows(self) -> list[Kept]:
        """Return the rows that matter."""
        self._forget()
        return [*self._rows, *self._undated]
