"""Writing the rows of one file, chunk by chunk, within a transaction that somebody else has begun."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.warehouse.layout import AGENT, APPEND, FETCHED_AT, PROJECT, REPLACE, RUN_KEY
from airflow_provider_robofy.warehouse.values import instant, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airflow_provider_robofy.warehouse.database import Database
    from airflow_provider_robofy.warehouse.dialect import Line, Target

#: A chunk ends after so many bytes too: some drivers make one statement of it, and servers limit those.
_CHUNK_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Counts:
    """Say what became of the rows of a file; ``rows`` is the sum of the five after it.

    :param rows: Rows in the file.
    :param inserted: Rows that were not in the table.
    :param updated: Rows that were there with other content.
    :param unchanged: Rows that were there with the same content.
    :param outdated: Rows that are there as a later fetch brought them, and were left so.
    :param superseded: Rows of which another version stands later in the same file.
    :param deleted: Rows that are gone from the table: those of the same run in mode ``append``, those that the listing
        does not have in mode ``replace``.
    :param columns_added: Columns that the table got.
    """

    rows: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    outdated: int = 0
    superseded: int = 0
    deleted: int = 0
    columns_added: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts as plain JSON."""
        return asdict(self)

    @property
    def accounted(self) -> int:
        """Return the rows of which it is known what became of them."""
        return self.inserted + self.updated + self.unchanged + self.outdated + self.superseded


class Writer:
    """Write rows into a table, and count what becomes of them.

    :param database: Where to.
    :param target: The table and its columns.
    :param mode: ``upsert``, ``append`` or ``replace``.
    :param owner: Project and agent.
    :param fetched_at: When the listing was fetched: of two versions of a row the one fetched later stays.
    :param run_key: Which task of which run fetched it.
    :param counts: Where to count.
    """

    def __init__(
        self,
        database: Database,
        target: Target,
        *,
        mode: str,
        owner: tuple[str, str],
        fetched_at: datetime,
        run_key: str,
        counts: Counts,
    ) -> None:
        self._database = database
        self._target = target
        self._mode = mode
        self._owner = owner
        self._fetched_at = fetched_at
        self._run_key = run_key
        self._counts = counts

    def write(self, lines: Iterable[Line], chunk_size: int) -> None:
        """Write all rows.

        :param lines: The rows, in the order of the file.
        :param chunk_size: Rows in a statement.
        :raises RobofyConfigError: In mode ``replace``, the table holds rows that were fetched later.
        :raises RobofyDatabaseError: The table does not show what was written.
        """
        counts = self._counts
        run_is = f"{self._target.quoted(RUN_KEY)[0]} = {self._database.dialect.mark}"
        fetched_is = f"{self._target.quoted(FETCHED_AT)[0]} = {self._database.dialect.mark}"
        fetched_at = time_text(self._fetched_at)
        if self._mode == APPEND:
            counts.deleted = self._delete(run_is, self._run_key)
        elif self._mode == REPLACE:
            self._refuse_newer(fetched_at)
        for chunk in _chunks(lines, chunk_size):
            self._database.check()
            counts.rows += len(chunk)
            if self._mode == APPEND:
                counts.inserted += len(chunk)
                self._put(chunk)
            else:
                self._upsert(chunk)
        if self._mode == REPLACE:
            counts.deleted = self._delete(f"NOT ({fetched_is} AND {run_is})", fetched_at, self._run_key)

    def _upsert(self, chunk: Sequence[Line]) -> None:
        counts = self._counts
        last = {line.key: line for line in chunk}
        counts.superseded += len(chunk) - len(last)
        found = {row[0]: row[1:] for row in self._find(list(last))}
        changed = []
        for line in last.values():
            if line.key not in found:
                counts.inserted += 1
            else:
                fetched_at, run_key, number, content = found[line.key]
                known_at = instant(fetched_at)
                if known_at > self._fetched_at:
                    counts.outdated += 1
                    continue
                if known_at == self._fetched_at and run_key == self._run_key:
                    if number > line.number:
                        # Loaded before: the later version stands there already.
                        counts.superseded += 1
                        continue
                    if number < line.number:
                        counts.superseded += 1
                    elif content == line.content:
                        counts.unchanged += 1
                        continue
                    else:
                        counts.updated += 1
                elif content == line.content:
                    counts.unchanged += 1
                else:
                    counts.updated += 1
            changed.append(line)
        if changed:
            # In one order, so that two that write the same rows do not wait for each other.
            self._put(sorted(changed, key=lambda line: line.key))
            self._verify(changed)

    def _put(self, lines: Sequence[Line]) -> None:
        database, target = self._database, self._target
        written = database.dialect.put(database.connection, target, lines)
        if written != len(lines):
            raise self._lost(len(lines), written)

    def _verify(self, lines: Sequence[Line]) -> None:
        """Look whether what was written is there, where the database has not counted it."""
        if self._database.dialect.counts:
            return
        ours = (self._fetched_at, self._run_key)
        found = {row[0]: (instant(row[1]), row[2], row[3]) for row in self._find([line.key for line in lines])}
        there = sum(found.get(line.key) == (*ours, line.number) for line in lines)
        if there != len(lines):
            raise self._lost(len(lines), there)

    def _find(self, keys: Sequence[str]) -> Sequence[Sequence[Any]]:
        database = self._database
        return database.dialect.find(database.connection, self._target, self._owner, keys)

    def _delete(self, condition: str, *values: str) -> int:
        result = self._database.connection.exec_driver_sql(
            f"DELETE FROM {self._target.table} WHERE {self._owned} AND {condition}",
            (*self._owner, *values),
        )
        return int(result.rowcount)

    def _refuse_newer(self, fetched_at: str) -> None:
        [column] = self._target.quoted(FETCHED_AT)
        newer = self._database.connection.exec_driver_sql(
            f"SELECT 1 FROM {self._target.table} "
            f"WHERE {self._owned} AND {column} > {self._database.dialect.mark} LIMIT 1",
            (*self._owner, fetched_at),
        ).first()
        if newer is not None:
            raise RobofyConfigError(
                f"mode='replace': the table holds rows of this agent that were fetched after {fetched_at} "
                "UTC, when this file was. An older listing does not replace them. Load the newest one, or use "
                "mode='upsert', which keeps what is newer."
            )

    @property
    def _owned(self) -> str:
        mark = self._database.dialect.mark
        return " AND ".join(f"{column} = {mark}" for column in self._target.quoted(PROJECT, AGENT))

    def _lost(self, sent: int, there: int) -> RobofyDatabaseError:
        return RobofyDatabaseError(
            f"Of {sent} rows sent to the table it shows {there}. Does a trigger, a policy or another unique "
            "key of the table keep rows back, or does somebody else write the same rows? Nothing of the file is in the "
            "table."
        )


def _chunks(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    filled = 0
    for line in lines:
        chunk.append(line)
        filled += len(line.document)
        if len(chunk) >= size or filled >= _CHUNK_BYTES:
            yield chunk
            chunk, filled = [], 0
    if chunk:
        yield chunk
