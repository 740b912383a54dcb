"""Landed rows that a later run with the same cursor may meet again, and what they are recognized by."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.extract.window import earlier

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RowVersion:
    """One row as it stood when it was read.

    :param row_id: Its id; empty where ids may not be kept.
    :param fingerprint: A hash of its content.
    :param at: Its time, or None where that cannot be read.
    """

    row_id: str
    fingerprint: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Owed:
    """A row that has landed, and for which what follows the landing has failed, such as reading its messages.

    :param fingerprint: A hash of its content, as :func:`fingerprint` returns it.
    :param at: Its time, or None where that cannot be read.
    :param runs: For how many runs in sequence that has failed.
    """

    fingerprint: str
    at: datetime | None
    runs: int = 1


def fingerprint(row: dict[str, Any]) -> str:
    """Return a hash of a row's content, the same in every process and for every order of its fields.

    Cursors store it, so it must not change.

    :param row: The row after the privacy policy, without the fields that this provider adds.
    """
    return blake2b(dump_line(row), digest_size=12).hexdigest()


class Overlap:
    """Collect the landed rows that the next run with the same cursor may meet again.

    These are the rows no older than the newest less the lag, and those without a readable time.

    :param lag: How late a row may turn up.
    :param keep_ids: Keep ids beside the hashes. False for sessions: an id may be a phone number, and a cursor may be
        stored in Airflow's database. The hash covers the id too.
    """

    def __init__(self, lag: timedelta, *, keep_ids: bool = True) -> None:
        #: When the listing began; rows later than this do not raise the lower limit.
        self.started: datetime | None = None
        #: Time of the newest landed row.
        self.newest: datetime | None = None
        self._lag = lag
        self._keep_ids = keep_ids
        self._lower: datetime | None = None
        self._dated: list[RowVersion] = []
        self._undated: list[RowVersion] = []
        self._prune_at = 2000

    def add(self, row_id: str | int, at: datetime | None, row: dict[str, Any]) -> None:
        """Keep a landed row, unless it is too old for the next run.

        :param row_id: Its id, as it lands.
        :param at: Its time, or None.
        :param row: The row, for its hash.
        """
        name = str(row_id) if self._keep_ids else ""
        if at is None:
            self._undated.append(RowVersion(name, fingerprint(row), None))
            return
        if self.newest is None or at > self.newest:
            self.newest = at
            self._lower = earlier(at if self.started is None else min(at, self.started), self._lag)
        if self._lower is None or at >= self._lower:
            self._dated.append(RowVersion(name, fingerprint(row), at))
            if len(self._dated) >= self._prune_at:
                self._prune()
                self._prune_at = 2 * max(1000, len(self._dated))

    @property
    def rows(self) -> list[RowVersion]:
        """Return the rows that the next run may meet again."""
        self._prune()
        return [*self._dated, *self._undated]

    def _prune(self) -> None:
        lower = self._lower
        self._dated = [one for one in self._dated if lower is None or one.at is None or one.at >= lower]
