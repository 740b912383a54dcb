"""How far a sync has come: a small versioned state, and pure functions from one state to the next.

The API has no filter by time, so "new" is decided here. The state holds a *mark*, behind which everything has landed,
and the rows that landed at or after it, so that the lag can overlap without landing a row twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """Name one row that has landed at or after the mark: its id, where that may be kept, a hash of it, its time.

    A row whose time cannot be read may lie anywhere, so it is kept for good, without a time.
    """

    row_id: str
    fingerprint: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Hold how far a sync of one listing has come.

    :param timezone: Zone in which the API's times were read. In another zone the mark would mean another moment.
    :param mark: Rows before this have landed; None before the first landing.
    :param kept: The rows that have landed at or after the mark.
    :param full_at: When everything was last read.
    :param generation: Changes with every move; empty before the first.
    :param run_key: The run that moved it last, and ``before`` where it stood then; None before the first move.
    """

    timezone: str = "UTC"
    mark: datetime | None = None
    kept: tuple[Kept, ...] = field(default=(), repr=False)
    full_at: datetime | None = None
    generation: str = ""
    run_key: str | None = None
    before: Cursor | None = field(default=None, repr=False)

    def start_for(self, run_key: str) -> Cursor:
        """Return where a run starts: a retry, or a cleared task, starts again where it started the first time."""
        return self.before if self.before is not None and self.run_key == run_key else self

    def moved(
        self,
        *,
        run_key: str,
        timezone: str,
        started: datetime,
        newest: datetime | None,
        landed: Iterable[Kept],
        lag: timedelta,
        full: bool,
    ) -> Cursor:
        """Return the cursor after a run that started here and landed what it found.

        The mark follows the newest row that landed, but never the clock's future, and stays behind by the lag: a row
        may turn up late by that much and is still found. It never goes back.

        :param run_key: The run.
        :param timezone: Zone in which it read times.
        :param started: When its listing began, by the earlier of our clock and the API's.
        :param newest: Time of the newest row that landed, or None where none did.
        :param landed: What landed, at least all of it that lies at or after the new mark.
        :param lag: How late a row may turn up.
        :param full: Whether everything was read.
        """
        mark = self.mark
        if newest is not None:
            reached = min(newest, started) - lag
            mark = reached if mark is None else max(mark, reached)
        kept = {(one.row_id, one.fingerprint): one for one in (*self.kept, *landed)}
        return Cursor(
            timezone=timezone,
            mark=mark,
            kept=tuple(one for one in kept.values() if one.at is None or (mark is not None and one.at >= mark)),
            full_at=started if full else self.full_at,
            generation=blake2b(f"{self.generation}|{run_key}|{started}".encode(), digest_size=8).hexdigest(),
            run_key=run_key,
            before=replace(self, before=None, run_key=None),
        )

    def encode(self, identity: dict[str, Any]) -> dict[str, Any]:
        """Return plain JSON.

        :param identity: Whose cursor it is; checked when it is read.
        """
        body: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **identity, **_encode(self)}
        body["last"] = None if self.before is None else {"run_key": self.run_key, "before": _encode(self.before)}
        return body

    @classmethod
    def decode(cls, body: Any, identity: dict[str, Any], where: str) -> Cursor:
        """Read what :meth:`encode` wrote.

        :param body: The JSON, or None where there is none yet.
        :param identity: Whose cursor it should be.
        :param where: How to call the place in an error.
        :raises RobofyConfigError: It is damaged, of a newer version, or somebody else's.
        """
        if body is None:
            return cls()
        if not isinstance(body, dict) or not isinstance(body.get("schema_version"), int):
            raise RobofyConfigError(f"{where} is not a cursor. {RESET}")
        if body["schema_version"] > SCHEMA_VERSION:
            raise RobofyConfigError(
                f"{where} was written by a newer version of this provider (schema {body['schema_version']}, known is "
                f"{SCHEMA_VERSION}). Update airflow-provider-robofy."
            )
        strangers = [
            f"{name} is {body.get(name)!r}, not {mine!r}" for name, mine in identity.items() if body.get(name) != mine
        ]
        if strangers:
            raise RobofyConfigError(
                f"{where} is the cursor of another sync: {'; '.join(strangers)}. Give each its own."
            )
        try:
            last = body.get("last")
            before = None if last is None else _decode(last["before"])
            run_key = None if last is None else str(last["run_key"])
            return replace(_decode(body), run_key=run_key, before=before)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise RobofyConfigError(f"{where} is damaged. {RESET}") from None


#: The one way to move or reset a cursor, wherever it is kept.
RESET: Final = (
    'To start again, trigger the DAG with the configuration {"robofy_cursor": "reset"}, which reads everything, or '
    '{"robofy_cursor": "2025-01-15T00:00:00Z"}, which reads what is newer.'
)


def _encode(cursor: Cursor) -> dict[str, Any]:
    return {
        "timezone": cursor.timezone,
        "mark": cursor.mark and cursor.mark.isoformat(),
        "full_at": cursor.full_at and cursor.full_at.isoformat(),
        "generation": cursor.generation,
        "kept": [[one.row_id, one.fingerprint, one.at and one.at.isoformat()] for one in cursor.kept],
    }


def _decode(body: dict[str, Any]) -> Cursor:
    return Cursor(
        timezone=str(body["timezone"]),
        mark=_time(body["mark"]),
        full_at=_time(body["full_at"]),
        generation=str(body["generation"]),
        kept=tuple(Kept(str(row_id), str(print_), _time(at)) for row_id, print_, at in body["kept"]),
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time
