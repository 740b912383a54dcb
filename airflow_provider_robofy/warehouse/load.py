"""Load one landed file into a table: all of it or nothing, and counted.

A file is read twice. The first reading finds which fields it has and checks every row; nothing is written before. The
second one turns each row into a row of the table and writes them in chunks, in one transaction.
"""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, delete, func, literal, or_, select, update
from sqlalchemy.types import DateTime, NullType

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.resources import (
    CHATBOT_ID,
    LEADS,
    PROJECT_ID,
    RESOURCES,
    SESSION_KEY,
    SESSIONS,
)
from airflow_provider_robofy.warehouse.projection import Projection
from airflow_provider_robofy.warehouse.table import (
    APPEND,
    BOOKKEEPING,
    DELETED_AT,
    EXTRA,
    FETCHED_AT,
    KEY_LENGTH,
    MAX_FIELDS,
    REPLACE,
    RUN_KEY_LENGTH,
    Line,
    Table,
    Target,
    sql_table,
)
from airflow_provider_robofy.warehouse.values import MisfitError, fits_text, instant, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_robofy.extract.landed import HeldFile
    from airflow_provider_robofy.warehouse.database import Database
    from airflow_provider_robofy.warehouse.table import TableName

_log = logging.getLogger(__name__)

#: What may have become of a row of the file; docs/warehouse.md says what each of them means.
OUTCOMES: Final = ("inserted", "updated", "unchanged", "outdated", "superseded")
#: A chunk ends after so many bytes too: some drivers make one statement of it, and servers limit those.
_CHUNK_BYTES: Final = 1 << 20
#: Fields of other names have no column of their own: every database takes these, and tells them apart.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
#: A table has few of these times, each in many rows.
_fetched_at: Final = lru_cache(64)(instant)
#: Rows between two checks whether the task was killed.
_OFTEN: Final = 1000


@dataclass(kw_only=True)
class Load:
    """Load one landed file into one table.

    Usage::

        with hold(manifest, store) as held:
            counts = Load(database=database, table=TableName.of("leads"), manifest=manifest, mode="upsert").run(held)

    :param database: Where to.
    :param table: The table.
    :param manifest: What the file holds.
    :param mode: ``upsert``, ``append`` or ``replace``.
    :param create_table: May the table be made, and columns be added? Default True.
    :param chunk_size: Rows in a statement. Default 1000.
    :param lead_fields: Form field to column, as :func:`~airflow_provider_robofy.warehouse.table.lead_columns` returns
        it. Default none.
    :param mark_deleted: Are rows that a whole listing lacks to be marked as deleted? Default False.
    """

    database: Database
    table: TableName
    manifest: Mapping[str, Any]
    mode: str
    create_table: bool = True
    chunk_size: int = 1000
    lead_fields: Mapping[str, str] = field(default_factory=dict)
    mark_deleted: bool = False

    def __post_init__(self) -> None:
        """Read the manifest."""
        manifest, run_key = self.manifest, str(self.manifest["run_key"])
        if len(run_key) > RUN_KEY_LENGTH:
            run_key = f"{run_key[: RUN_KEY_LENGTH - 33]}~{blake2b(run_key.encode(), digest_size=16).hexdigest()}"
        self.resource = RESOURCES[manifest["resource"]]
        self.where = str(manifest["uri"])
        self.run_key = run_key
        try:
            self.fetched_at = instant(manifest["started_at"])
        except MisfitError:
            raise RobofyConfigError(
                f"manifest: started_at of the manifest of {self.where} is "
                f"{str(manifest['started_at'])[:40]!r}, which is no time in ISO 8601. Give the manifest as it was "
                "landed, or land again."
            ) from None
        #: Project and agent; a key holds no null.
        self.owner = (str(manifest.get("project_id") or ""), str(manifest["chatbot_id"]))
        self.counts = dict.fromkeys(("rows", *OUTCOMES, "deleted", "columns_added"), 0)

    def run(self, held: HeldFile) -> dict[str, int]:
        """Load the file, and return what became of its rows.

        :param held: The file; its rows are read twice.
        :return: ``rows``, the counts of :data:`OUTCOMES`, which add up to it, ``deleted`` and ``columns_added``. Where
            the table has the column ``_deleted_at``, also ``restored``, and where rows were compared with those of the
            API, ``marked_deleted``, ``in_both``, ``only_in_api`` and ``only_in_table``.
        :raises RobofyConfigError: Manifest, table and arguments do not go together, or a row cannot be loaded.
        :raises RobofyDatabaseError: The database failed, or does not show what was written.
        """
        check_whole(self.manifest, replaces=self.mode == REPLACE, marks=self.mark_deleted)
        table = Table(self.database, self.table, self.resource, self.mode, self.create_table, self.mark_deleted)
        table.check_names(self.lead_fields)
        fields, new = self._survey(held.rows(), table)
        types, self.counts["columns_added"] = table.ensure(self.lead_fields, new)
        projection = Projection(self, types, fields)
        with self.database.transaction("load", str(self.table), *self.owner, doing=f"Loading into {self.table}"):
            lines = (projection.line(number, row) for number, row in enumerate(held.rows(), 1))
            self._write(projection.target, lines)
            if isinstance(types.get(DELETED_AT), DateTime):
                self._mark()
            self._reconcile()
        if self.counts["rows"] and (unmet := [name for name in self.lead_fields if name not in projection.answered]):
            _log.warning(
                "lead_fields: none of these %s leads has a form field called %s. Is a name misspelt, or did a privacy "
                "rule drop it? The column stays empty.",
                self.counts["rows"],
                " or ".join(map(repr, unmet)),
            )
        return self.counts

    def key_of(self, row: Mapping[str, Any]) -> Any:
        """Return the value by which a row is told apart: of a session the hash that stands for its id, if it has one.

        :param row: The row.
        """
        hashed = row.get(SESSION_KEY) if self.resource is SESSIONS else None
        return row.get(self.resource.key) if hashed is None else hashed

    def _survey(self, rows: Iterable[Any], table: Table) -> tuple[set[str], list[str]]:
        """Check all rows; return the fields that have a column or get one, and those of them that get one."""
        there = table.look() or {}
        key_length = getattr(there.get(self.resource.key), "length", KEY_LENGTH) or sys.maxsize
        own = {str(column.name) for column in table.columns({}, ())} | {DELETED_AT}
        room = MAX_FIELDS - len({*there, *self.lead_fields.values()} - own) if self.create_table else 0
        known = {*own, *there, *self.lead_fields.values(), SESSION_KEY} - {*BOOKKEEPING, EXTRA, DELETED_AT}
        taken = {name.casefold() for name in (*own, *known)} | self.database.system_columns
        present: set[str] = set()
        new: list[str] = []
        hashed: set[bool] = set()
        # Most rows have the fields of the one before them.
        like: Any = None
        for number, row in enumerate(rows, 1):
            if number % _OFTEN == 0:
                self.database.check()
            if why := self._why_not(row, key_length):
                raise RobofyConfigError(f"manifest: row {number} of {self.where} {why}. Nothing was loaded.")
            if self.resource is SESSIONS:
                hashed.add(row.get(SESSION_KEY) is not None)
            if row.keys() == like:
                continue
            like = row.keys()
            # In the order of the row: of names that differ in case the first one gets the column, in every run.
            for name in [name for name in row if name not in present]:
                if name in known:
                    present.add(name)
                elif len(new) < room and name.casefold() not in taken and _PLAIN.fullmatch(name):
                    taken.add(name.casefold())
                    present.add(name)
                    new.append(name)
        if len(hashed) > 1:
            raise RobofyConfigError(
                f"manifest: some rows of {self.where} have _session_key and others do not, so ids of sessions would "
                "get into the table. Land them again under one privacy policy."
            )
        return present, new

    def _why_not(self, row: Any, length: int) -> str:
        """Return why a row cannot be loaded; empty text where it can.

        :param length: Characters that the key's column takes.
        """
        if type(row) is not dict:
            return "is no object"
        if row.get(PROJECT_ID) != self.manifest.get("project_id") or row.get(CHATBOT_ID) != self.manifest["chatbot_id"]:
            return "belongs to another project or agent than the manifest says"
        key, name = self.key_of(row), self.resource.key
        if type(key) is str and 0 < len(key) <= length and key.isascii() and "\0" not in key:
            return ""
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
            return f"has no {name} that is text or a whole number"
        text = str(key)
        if not fits_text(text):
            return f"has {name} with a NUL or half a surrogate pair, which no database takes"
        return "" if len(text) <= length else f"has {name} of {len(text)} characters, and the column takes {length}"

    def _write(self, target: Target, lines: Iterable[Line]) -> None:
        """Write all rows, and delete what the mode says."""
        counts, database = self.counts, self.database
        self._insert = database.insert(target)
        project, agent, fetched_at, run_key = (target.columns[name] for name in target.constants)
        # Without a type, as rows are bound: the server takes the text for what the column holds.
        ours = literal(target.constants[FETCHED_AT], NullType())
        of_owner = [project == self.owner[0], agent == self.owner[1]]
        if self.mode == APPEND:
            gone = delete(target.table).where(*of_owner, run_key == self.run_key)
            counts["deleted"] = database.connection.execute(gone).rowcount
        elif self.mode == REPLACE:
            newer = select(fetched_at).where(*of_owner, fetched_at > ours).limit(1)
            if database.connection.execute(newer).first() is not None:
                raise RobofyConfigError(
                    "mode='replace': the table holds rows of this agent that were fetched after "
                    f"{target.constants[FETCHED_AT]} UTC, when this file was. An older listing does not replace them. "
                    "Load the newest one, or use mode='upsert', which keeps what is newer."
                )
        for chunk in _chunks(lines, self.chunk_size):
            database.check()
            counts["rows"] += len(chunk)
            if self.mode == APPEND:
                counts["inserted"] += len(chunk)
                self._put(target, chunk)
            else:
                self._upsert(target, chunk)
        if self.mode == REPLACE:
            gone = delete(target.table).where(*of_owner, or_(fetched_at != ours, run_key != self.run_key))
            counts["deleted"] = database.connection.execute(gone).rowcount

    def _mark(self) -> None:
        """Mark rows that the listing lacks as deleted, if it is whole; a row that came back loses its mark."""
        names = (PROJECT_ID, CHATBOT_ID, FETCHED_AT, DELETED_AT)
        table = sql_table(self.table, *(Column(name, NullType()) for name in names))
        project, agent, fetched_at, deleted_at = (table.columns[name] for name in names)
        of_owner = [project == self.owner[0], agent == self.owner[1]]
        run = self.database.connection.execute
        # The time of a deletion is that of the listing that lacked the row, so a file from before it restores nothing.
        back = update(table).where(*of_owner, deleted_at <= fetched_at).values({DELETED_AT: None})
        counts = self.counts
        counts["restored"] = run(back).rowcount
        if not self.mark_deleted or self.manifest["mode"] != "full":
            return
        if why := _why_unmarked(self.manifest):
            _log.warning("mark_deleted: no row is marked as deleted, since %s %s.", self.where, why)
            return
        ours = literal(time_text(self.fetched_at), NullType())
        gone = update(table).where(*of_owner, fetched_at < ours, deleted_at.is_(None)).values({DELETED_AT: ours})
        counts["marked_deleted"] = run(gone).rowcount
        there = run(select(func.count()).select_from(table).where(*of_owner)).scalar_one()
        counts["in_both"] = counts["updated"] + counts["unchanged"] + counts["outdated"]
        counts["only_in_api"] = counts["inserted"]
        counts["only_in_table"] = there - counts["in_both"] - counts["inserted"]

    def _upsert(self, target: Target, chunk: Sequence[Line]) -> None:
        last = {line.key: line for line in chunk}
        self.counts["superseded"] += len(chunk) - len(last)
        found = self.database.find(target, self.owner, list(last))
        changed = []
        for line in last.values():
            outcome, changes = self._outcome(line, found.get(line.key))
            self.counts[outcome] += 1
            if changes:
                changed.append(line)
        if changed:
            # In one order, so that two that write the same rows do not wait for each other.
            self._put(target, sorted(changed, key=lambda line: line.key))

    def _outcome(self, line: Line, known: Sequence[Any] | None) -> tuple[str, bool]:
        """Return what becomes of a row, and whether it is written.

        :param known: What the table knows of the row with the same key, None where there is none.
        """
        if known is None:
            return "inserted", True
        at, run_key, number, content = _fetched_at(known[0]), *known[1:]
        if at > self.fetched_at:
            return "outdated", False
        same_run = at == self.fetched_at and run_key == self.run_key
        if same_run and number != line.number:
            # Another version of the row in this file. Of a file that was loaded before, the later one is there.
            return "superseded", number < line.number
        if content == line.content:
            return "unchanged", not same_run
        return "updated", True

    def _put(self, target: Target, lines: Sequence[Line]) -> None:
        written = self.database.write(self._insert, target, lines)
        if written is None and target.upserts:
            found = self.database.find(target, self.owner, [line.key for line in lines])
            ours = (self.fetched_at, self.run_key)
            shown = {key: row[2] for key, row in found.items() if (_fetched_at(row[0]), row[1]) == ours}
            written = sum(shown.get(line.key) == line.number for line in lines)
        if written not in {None, len(lines)}:
            raise RobofyDatabaseError(
                f"Of {len(lines)} rows sent to the table it shows {written}. Does a trigger, a policy or another "
                "unique key of the table keep rows back, or does somebody else write the same rows? Nothing of the "
                "file is in the table."
            )

    def _reconcile(self) -> None:
        rows, accounted = self.counts["rows"], sum(self.counts[name] for name in OUTCOMES)
        if not rows == accounted == self.manifest["rows"]:
            raise RobofyDatabaseError(
                f"The counts do not add up: the manifest says {self.manifest['rows']} rows, {rows} were read "
                f"and {accounted} accounted for. Nothing of the file is in the table; please report this to the "
                "provider's maintainers."
            )


def check_whole(manifest: Mapping[str, Any], *, replaces: bool, marks: bool) -> None:
    """Refuse a file from which it cannot be seen what an agent has no more.

    :param manifest: What the file holds.
    :param replaces: Are rows that it lacks to be deleted?
    :param marks: Are they to be marked as deleted? Then a file of new rows and one with rejected rows are taken, since
        they mark nothing.
    :raises RobofyConfigError: It is refused; the message says why.
    """
    if not (replaces or marks):
        return
    why, mode = "", manifest.get("mode")
    if manifest["resource"] == LEADS.name and manifest.get("sessions_uri") is not None:
        why = "has the leads of sessions, so it lacks those without one"
    elif mode != "full" and not (marks and mode == "cursor"):
        why = f"is one of mode={str(mode)[:20]!r}, so it lacks what lies outside"
    elif manifest.get("shard") is not None:
        why = "is one shard of several"
    elif replaces and (manifest.get("rejected") or manifest.get("sessions_failed")):
        why = "lacks rows that were rejected, or sessions that could not be read"
    if why:
        asked, does = ("mode='replace'", "deletes") if replaces else ("mark_deleted", "marks as deleted")
        raise RobofyConfigError(
            f"{asked} needs a whole listing, since it {does} what the file does not have; {manifest['uri']} {why}. "
            f"Use mode='upsert'{'' if replaces else ' without mark_deleted'}."
        )


def _why_unmarked(manifest: Mapping[str, Any]) -> str:
    """Return why rows that a file lacks may still be there; empty text where they are gone."""
    if manifest.get("rejected") or manifest.get("sessions_failed"):
        return "lacks rows that were rejected, or sessions that could not be read"
    return "" if manifest["rows"] else "is empty, which a mistake at the source can be too"


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
