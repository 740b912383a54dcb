"""Loading one landed file into a table: all of it or nothing, and counted.

A file is read twice. The first reading looks which fields it has and whether every row can be told apart; nothing is
written before. The second one turns each row into a row of the table and writes them in chunks, in one transaction.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, literal, not_, select
from sqlalchemy.types import NullType

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID, RESOURCES, SESSION_KEY, SESSIONS
from airflow_provider_robofy.warehouse.database import Line, Target
from airflow_provider_robofy.warehouse.table import (
    APPEND,
    BOOKKEEPING,
    EXTRA,
    FETCHED_AT,
    KEY_LENGTH,
    MAX_FIELDS,
    REPLACE,
    RESERVED,
    RUN_KEY,
    RUN_KEY_LENGTH,
    Table,
    field_key,
    known_fields,
)
from airflow_provider_robofy.warehouse.values import (
    MisfitError,
    binder,
    fits_text,
    instant,
    json_of,
    text_of,
    time_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.sql.elements import ColumnElement
    from sqlalchemy.types import TypeEngine

    from airflow_provider_robofy.extract.landed import HeldFile
    from airflow_provider_robofy.resources import Resource
    from airflow_provider_robofy.warehouse.database import Database
    from airflow_provider_robofy.warehouse.table import TableName
    from airflow_provider_robofy.warehouse.values import Bound

#: What may have become of a row of the file; docs/warehouse.md says what each of them means.
OUTCOMES: Final = ("inserted", "updated", "unchanged", "outdated", "superseded")
#: A chunk ends after so many bytes too: some drivers make one statement of it, and servers limit those.
_CHUNK_BYTES: Final = 1 << 20
#: Fields of other names have no column of their own: every database takes these, and tells them apart.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
#: Fields that hold JSON whatever type their column has.
_ALWAYS_JSON: Final = frozenset({"lead_data", EXTRA})
#: Rows between two looks whether the task was killed.
_OFTEN: Final = 1000


@dataclass(kw_only=True)
class Load:
    """Loads one landed file into one table.

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
    """

    database: Database
    table: TableName
    manifest: Mapping[str, Any]
    mode: str
    create_table: bool = True
    chunk_size: int = 1000
    lead_fields: Mapping[str, str] = field(default_factory=dict)

    def run(self, held: HeldFile) -> dict[str, int]:
        """Load the file, and return what became of its rows.

        :param held: The file; its rows are read twice.
        :return: ``rows``, the counts of :data:`OUTCOMES` that add up to it, ``deleted`` and ``columns_added``.
        :raises RobofyConfigError: Manifest, table and arguments do not go together, or a row cannot be loaded.
        :raises RobofyDatabaseError: The database failed, or does not show what was written.
        """
        resource = RESOURCES[self.manifest["resource"]]
        if self.mode == REPLACE:
            check_whole(self.manifest)
        table = Table(self.database, self.table, resource, self.mode, self.create_table)
        table.check_names(self.lead_fields)
        fields, new = self._survey(held.rows(), table)
        types, added = table.ensure(self.lead_fields, new)
        projection = Projection(
            resource,
            types,
            fields,
            lead_fields=self.lead_fields,
            constants=self._constants,
            wide_integers=self.database.wide_integers,
            where=self._where,
        )
        target = Target(
            self.table,
            {name: types[name] for name in projection.columns},
            resource.key,
            self._constants,
            upserts=self.mode != APPEND,
        )
        self._counts = dict.fromkeys(("rows", *OUTCOMES, "deleted"), 0) | {"columns_added": added}
        with self.database.transaction("load", str(self.table), *self._owner, doing=f"Loading into {self.table}"):
            lines = (projection.line(number, row) for number, row in enumerate(held.rows(), 1))
            self._write(target, lines)
            self._reconcile()
        return self._counts

    def _survey(self, rows: Iterable[Any], table: Table) -> tuple[frozenset[str], tuple[str, ...]]:
        there = table.look() or {}
        own = {str(column.name) for column in table.columns({}, ())}
        reserved = {*there, *self.lead_fields.values()}
        return survey(
            rows,
            table.resource,
            owner=(self.manifest.get("project_id"), self.manifest["chatbot_id"]),
            where=self._where,
            columns=reserved,
            system_columns=self.database.system_columns,
            room=max(0, MAX_FIELDS - len(reserved - own)) if self.create_table else 0,
            key_length=getattr(there.get(table.resource.key), "length", KEY_LENGTH) or sys.maxsize,
            check=self.database.check,
        )

    def _write(self, target: Target, lines: Iterable[Line]) -> None:
        """Write all rows, and delete what the mode says."""
        counts = self._counts
        run_key = target.columns[RUN_KEY] == self._constants[RUN_KEY]
        # Without a type, as rows are bound: the server takes it for what the column holds.
        fetched_at = literal(self._constants[FETCHED_AT], NullType())
        if self.mode == APPEND:
            counts["deleted"] = self._delete(target, run_key)
        elif self.mode == REPLACE:
            self._refuse_newer(target, target.columns[FETCHED_AT] > fetched_at)
        for chunk in _chunks(lines, self.chunk_size):
            self.database.check()
            counts["rows"] += len(chunk)
            if self.mode == APPEND:
                counts["inserted"] += len(chunk)
                self._put(target, chunk)
            else:
                self._upsert(target, chunk)
        if self.mode == REPLACE:
            counts["deleted"] = self._delete(target, not_((target.columns[FETCHED_AT] == fetched_at) & run_key))

    def _upsert(self, target: Target, chunk: Sequence[Line]) -> None:
        last = {line.key: line for line in chunk}
        self._counts["superseded"] += len(chunk) - len(last)
        found = {row[0]: row[1:] for row in self.database.find(target, self._owner, list(last))}
        changed = []
        for line in last.values():
            outcome, changes = self._outcome(line, found.get(line.key))
            self._counts[outcome] += 1
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
        at, run_key, number, content = instant(known[0]), *known[1:]
        if at > self._fetched_at:
            return "outdated", False
        same_run = at == self._fetched_at and run_key == self._constants[RUN_KEY]
        if same_run and number != line.number:
            # Another version of the row in this file. Of a file that was loaded before, the later one is there.
            return "superseded", number < line.number
        if content == line.content:
            return "unchanged", not same_run
        return "updated", True

    def _put(self, target: Target, lines: Sequence[Line]) -> None:
        written = self.database.write(target, lines)
        if target.upserts and not self.database.counts_rows:
            found = {row[0]: row[1:] for row in self.database.find(target, self._owner, [line.key for line in lines])}
            written = sum(line.key in found and self._is_ours(line, found[line.key]) for line in lines)
        if written != len(lines):
            raise RobofyDatabaseError(
                f"Of {len(lines)} rows sent to the table it shows {written}. Does a trigger, a policy or another "
                "unique key of the table keep rows back, or does somebody else write the same rows? Nothing of the "
                "file is in the table."
            )

    def _is_ours(self, line: Line, known: Sequence[Any]) -> bool:
        at, run_key, number, _ = known
        return (instant(at), run_key, number) == (self._fetched_at, self._constants[RUN_KEY], line.number)

    def _delete(self, target: Target, which: ColumnElement[bool]) -> int:
        return int(self.database.connection.execute(delete(target.table).where(*self._owned(target), which)).rowcount)

    def _refuse_newer(self, target: Target, is_newer: ColumnElement[bool]) -> None:
        newer = select(target.columns[FETCHED_AT]).where(*self._owned(target), is_newer).limit(1)
        if self.database.connection.execute(newer).first() is not None:
            raise RobofyConfigError(
                "mode='replace': the table holds rows of this agent that were fetched after "
                f"{time_text(self._fetched_at)} UTC, when this file was. An older listing does not replace them. Load "
                "the newest one, or use mode='upsert', which keeps what is newer."
            )

    def _owned(self, target: Target) -> list[ColumnElement[bool]]:
        project, agent = (target.columns[name] for name in (PROJECT_ID, CHATBOT_ID))
        return [project == self._owner[0], agent == self._owner[1]]

    def _reconcile(self) -> None:
        rows, accounted = self._counts["rows"], sum(self._counts[name] for name in OUTCOMES)
        if not rows == accounted == self.manifest["rows"]:
            raise RobofyDatabaseError(
                f"The counts do not add up: the manifest says {self.manifest['rows']} rows, {rows} were read "
                f"and {accounted} accounted for. Nothing of the file is in the table; please report this to the "
                "provider's maintainers."
            )

    @property
    def _where(self) -> str:
        return str(self.manifest["uri"])

    @cached_property
    def _owner(self) -> tuple[str, str]:
        # A key holds no null.
        return str(self.manifest.get("project_id") or ""), str(self.manifest["chatbot_id"])

    @cached_property
    def _fetched_at(self) -> datetime:
        return instant(self.manifest["started_at"])

    @cached_property
    def _constants(self) -> dict[str, str]:
        """Return the columns that have one value for the whole file, and that value."""
        run_key = str(self.manifest["run_key"])
        if len(run_key) > RUN_KEY_LENGTH:
            run_key = f"{run_key[: RUN_KEY_LENGTH - 33]}~{blake2b(run_key.encode(), digest_size=16).hexdigest()}"
        project, agent = self._owner
        return {PROJECT_ID: project, CHATBOT_ID: agent, FETCHED_AT: time_text(self._fetched_at), RUN_KEY: run_key}


def check_whole(manifest: Mapping[str, Any]) -> None:
    """Refuse a file that does not have everything that an agent has.

    :param manifest: What the file holds.
    :raises RobofyConfigError: It is refused; the message says why.
    """
    why = ""
    if manifest.get("mode") != "full":
        why = f"is one of mode={str(manifest.get('mode'))[:20]!r}, so it lacks what lies outside"
    elif manifest.get("shard") is not None:
        why = "is one shard of several"
    elif manifest.get("rejected") or manifest.get("sessions_failed"):
        why = "lacks rows that were rejected, or sessions that could not be read"
    if why:
        raise RobofyConfigError(
            f"mode='replace' needs a whole listing, since it deletes what the file does not have; {manifest['uri']} "
            f"{why}. Use mode='upsert'."
        )


def survey(
    rows: Iterable[Any],
    resource: Resource,
    *,
    owner: tuple[str | None, str],
    where: str,
    columns: Iterable[str],
    system_columns: Iterable[str],
    room: int,
    key_length: int,
    check: Callable[[], None],
) -> tuple[frozenset[str], tuple[str, ...]]:
    """Read a file's rows without loading them: which fields they have, and whether every row can be told apart.

    :param rows: All rows.
    :param resource: What they are.
    :param owner: Project and agent, as the manifest names them.
    :param where: The file, for errors.
    :param columns: Columns that are there already, or that form fields get.
    :param system_columns: Names, in lower case, that the database gives to columns of its own.
    :param room: How many columns may be added.
    :param key_length: Characters that the key's column takes.
    :param check: Called now and then; raises where the task was killed.
    :return: The fields that some row has and that have a column or get one, and those of them that get one.
    :raises RobofyConfigError: A row has no key, one that is too long, or belongs to another agent.
    """

    def wrong(what: str) -> RobofyConfigError:
        return RobofyConfigError(f"manifest: row {number} of {where} {what}. Nothing was loaded.")

    known = {PROJECT_ID, CHATBOT_ID, resource.key, SESSION_KEY, *(one.name for one in known_fields(resource)), *columns}
    taken = {name.casefold() for name in (*known, *RESERVED)} | set(system_columns)
    present: set[str] = set()
    new: list[str] = []
    hashed: set[bool] = set()
    # Most rows have the fields of the one before them.
    like: Any = None
    for number, row in enumerate(rows, 1):
        if number % _OFTEN == 0:
            check()
        if type(row) is not dict:
            raise wrong("is no object")
        if row.get(PROJECT_ID) != owner[0] or row.get(CHATBOT_ID) != owner[1]:
            raise wrong("belongs to another project or agent than the manifest says")
        if resource is SESSIONS:
            hashed.add(row.get(SESSION_KEY) is not None)
        if why := _misfit_of_key(key_of(row, resource), resource.key, key_length):
            raise wrong(why)
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
            f"manifest: some rows of {where} bear _session_key and others do not, so ids of sessions would get into "
            "the table. Land them again under one privacy policy."
        )
    return frozenset(present), tuple(new)


def key_of(row: Mapping[str, Any], resource: Resource) -> Any:
    """Return the value by which a row is told apart: of a session the hash that stands for its id, if there is one.

    :param row: The row.
    :param resource: What it is.
    """
    if resource is SESSIONS and (key := row.get(SESSION_KEY)) is not None:
        return key
    return row.get(resource.key)


def _misfit_of_key(key: Any, name: str, length: int) -> str:
    """Return why a key cannot be kept as it is; empty text where it can."""
    if type(key) is str and 0 < len(key) <= length and key.isascii() and "\0" not in key:
        return ""
    if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
        return f"has no {name} that is text or a whole number"
    text = key if isinstance(key, str) else json_of(key)
    if not fits_text(text):
        return f"has {name} with a NUL or half a surrogate pair, which no database takes"
    if len(text) > length:
        return f"has {name} of {len(text)} characters, and the column takes {length}"
    return ""


class Projection:
    """Turns rows of one file into rows of one table: each field into its column, and those without one into a last one.

    :param resource: What the rows are.
    :param types: The table's columns and their types.
    :param fields: Fields that some row has and that have a column. A column that no row has a field for is left alone:
        it may be somebody's own.
    :param lead_fields: Form field to column.
    :param constants: Columns that have one value for the whole file, and that value.
    :param wide_integers: Does JSON keep integers beyond 64 bits?
    :param where: The file, for errors.
    :raises RobofyConfigError: A column is of a type that nothing can be loaded into, or one of ``lead_fields`` is not
        there.
    """

    def __init__(
        self,
        resource: Resource,
        types: Mapping[str, TypeEngine[Any]],
        fields: frozenset[str],
        *,
        lead_fields: Mapping[str, str],
        constants: Mapping[str, str],
        wide_integers: bool,
        where: str,
    ) -> None:
        def bound(name: str) -> Callable[[Any], Bound]:
            try:
                return binder(types[name], as_json=name in _ALWAYS_JSON, wide_integers=wide_integers)
            except MisfitError as error:
                raise RobofyConfigError(
                    f"table: the column {name} is of {error}. Text, JSON, numbers, booleans and times with a date can "
                    "be; docs/warehouse.md says more."
                ) from None

        if lacking := sorted(set(lead_fields.values()) - types.keys()):
            raise RobofyConfigError(
                f"lead_fields: the table has no column {', '.join(map(repr, lacking))}. Names of columns are compared "
                "with their case. Add it, or let the task do so with create_table=True."
            )
        self._resource = resource
        self._where = where
        self._constants = constants
        self._lead_fields = lead_fields
        known = [one.name for one in known_fields(resource)]
        apart = {*RESERVED, resource.key, *lead_fields.values(), *known}
        self._key = bound(resource.key)
        #: Field, the function that converts its values, and whether plain text needs no conversion.
        self._direct = [
            (name, bind, bind is text_of)
            for name, bind in ((name, bound(name)) for name in (*known, *sorted(fields - apart)) if name in types)
        ]
        self._answers = [(form_field, name, bound(name)) for form_field, name in lead_fields.items()]
        self._extra = bound(EXTRA) if EXTRA in types else None
        self._names = [name for name, *_ in self._direct] + [name for _, name, _ in self._answers]
        self._names += [EXTRA] if self._extra else []
        #: The columns that are written, in the order of a line's values.
        self.columns = (PROJECT_ID, CHATBOT_ID, resource.key, *self._names, *BOOKKEEPING)

    def line(self, number: int, row: Mapping[str, Any]) -> Line:
        """Return one row as the table takes it.

        :param number: Its position in the file, from 1.
        :param row: The row.
        :raises RobofyConfigError: The table cannot hold it.
        """
        fields = dict(row)
        key = self._bound(number, self._resource.key, self._key, key_of(fields, self._resource))
        # A session's own id is gone with this where a hash stands for it.
        for name in (PROJECT_ID, CHATBOT_ID, self._resource.key):
            del fields[name]
        if self._resource is SESSIONS:
            fields.pop(SESSION_KEY, None)
        answers = answers_of(fields.get("lead_data"), self._lead_fields) if self._lead_fields else {}
        values: list[Bound] = []
        for name, bind, takes_text in self._direct:
            value = fields.pop(name, None)
            if value is not None and not (takes_text and type(value) is str and value.isascii() and "\0" not in value):
                value = self._bound(number, name, bind, value)
            values.append(value)
        values += [self._bound(number, name, bind, answers.get(one)) for one, name, bind in self._answers]
        if self._extra is not None:
            values.append(self._bound(number, EXTRA, self._extra, fields) if fields else None)
        elif fields:
            raise RobofyConfigError(
                f"table: row {number} of {self._where} has {len(fields)} fields that the table has no column for, and "
                f"no column {EXTRA} to keep them in. Add that, or let the task do so with create_table=True."
            )
        content = codec.dump_line({name: of for name, of in zip(self._names, values, strict=True) if of is not None})
        digest = blake2b(content, digest_size=16).hexdigest()
        project, agent, fetched_at, run_key = self._constants.values()
        bound = (project, agent, key, *values, fetched_at, run_key, number, digest)
        return Line(str(key), number, digest, content, bound)

    def _bound(self, number: int, name: str, bind: Callable[[Any], Bound], value: Any) -> Bound:
        try:
            return bind(value)
        except MisfitError as error:
            raise RobofyConfigError(
                f"table: the column {name} cannot hold what row {number} of {self._where} has there ({error}). Give it "
                "another type, or load into another table. Nothing was loaded."
            ) from None


def answers_of(lead_data: Any, wanted: Iterable[str]) -> dict[str, Any]:
    """Return what a lead answered in some form fields.

    Of a field that is there several times the last answer counts that is not empty. For example::

        [{"field_name": "Email", "field_type": "email", "field_value": "ada@example.com"}]

    :param lead_data: A list of objects with ``field_name`` and ``field_value``, an object of names and values, or
        anything else, which answers nothing.
    :param wanted: Names of form fields, as :func:`~airflow_provider_robofy.warehouse.table.field_key` returns them.
    :return: Answers by those names.
    """
    pairs: Iterable[tuple[Any, Any]] = ()
    if type(lead_data) is dict:
        pairs = lead_data.items()
    elif type(lead_data) is list:
        pairs = [(one.get("field_name"), one.get("field_value")) for one in lead_data if type(one) is dict]
    found: dict[str, Any] = {}
    for name, value in pairs:
        if type(name) is not str:
            continue
        key = field_key(name)
        if key in wanted and (key not in found or value not in (None, "")):
            found[key] = value
    return found


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
