"""The table of a resource: its columns, the table as it is in the database, and rows as it takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy
from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, func, inspect, types
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import quoted_name

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.extract.fields import clean_name, field_key
from airflow_provider_robofy.resources import CHATBOT_ID, LEADS, PROJECT_ID, SESSION_ID, SESSION_KEY, Field, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from sqlalchemy.schema import SchemaItem
    from sqlalchemy.sql import ColumnElement
    from sqlalchemy.types import TypeEngine

    from airflow_provider_robofy.resources import Resource
    from airflow_provider_robofy.warehouse.database import Database
    from airflow_provider_robofy.warehouse.values import Bound

UPSERT, APPEND, REPLACE = "upsert", "append", "replace"
MODES: Final = (UPSERT, APPEND, REPLACE)

#: Columns that hold what this provider has to know of a row that is there already.
FETCHED_AT: Final = "_fetched_at"
RUN_KEY: Final = "_run_key"
ROW: Final = "_row"
CONTENT_HASH: Final = "_content_hash"
BOOKKEEPING: Final = (FETCHED_AT, RUN_KEY, ROW, CONTENT_HASH)
#: Column of the fields that have none.
EXTRA: Final = "_extra"
#: Column that says since when the API does not list a row any more.
DELETED_AT: Final = "_deleted_at"


class TableName(NamedTuple):
    """The name of a table.

    :param schema: Its schema, or None for the connection's own.
    :param name: Its name.
    """

    schema: str | None
    name: str

    @classmethod
    def of(cls, text: Any) -> Self:
        """Parse ``table`` or ``schema.table``; both are taken as they are, upper case and all.

        :param text: The text.
        :raises RobofyConfigError: It is neither.
        """
        parts = text.strip().split(".") if isinstance(text, str) else []
        if len(parts) not in {1, 2} or not all(part.strip() for part in parts):
            raise RobofyConfigError(f"table={str(text)[:80]!r} must be the name of a table, or schema.table.")
        return cls(parts[0] if len(parts) == 2 else None, parts[-1])

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


def sql_table(name: TableName, *parts: SchemaItem, **options: Any) -> sqlalchemy.Table:
    """Return a table for SQLAlchemy, whose name is always quoted.

    :param name: Its name.
    :param parts: Columns and constraints.
    :param options: Options of a database, as SQLAlchemy names them.
    """
    schema = name.schema and quoted_name(name.schema, quote=True)
    return sqlalchemy.Table(name.name, MetaData(), *parts, schema=schema, quote=True, **options)


class Line(NamedTuple):
    """One row as the table takes it.

    :param key: Its key.
    :param number: Its position in the file, from 1.
    :param content: Hash of :attr:`document`.
    :param document: What the file says of the row, as JSON by the names of columns; nulls are left out.
    :param values: All values, in the order of :attr:`Target.types`.
    """

    key: str
    number: int
    content: str
    document: bytes
    values: tuple[Bound, ...]


@dataclass(frozen=True, eq=False)
class Target:
    """A table and those of its columns that are written.

    :param name: The table.
    :param types: The columns and their types.
    :param key: The column that tells an agent's rows apart.
    :param constants: Columns that have one value for the whole file, and that value.
    :param upserts: Does a row replace the one with the same key? Otherwise it is added.
    :param kept: Columns whose value stays where the later version of a row has none.
    """

    name: TableName
    types: Mapping[str, TypeEngine[Any]]
    key: str
    constants: Mapping[str, str]
    upserts: bool
    kept: frozenset[str]

    @cached_property
    def table(self) -> sqlalchemy.Table:
        """Return the table for statements.

        Its columns have no types, since values are bound as :func:`~airflow_provider_robofy.warehouse.values.binder`
        returns them, and plain keys, since SQLAlchemy names by those what is bound.
        """
        columns = [Column(name, types.NullType(), key=f"c{n}", quote=True) for n, name in enumerate(self.types)]
        return sql_table(self.name, *columns)

    @cached_property
    def columns(self) -> dict[str, Column[Any]]:
        """Return the columns of :attr:`table` by their names."""
        return {str(column.name): column for column in self.table.columns}

    @cached_property
    def key_columns(self) -> list[Column[Any]]:
        """Return the columns that tell rows apart."""
        return [self.columns[name] for name in (PROJECT_ID, CHATBOT_ID, self.key)]

    @cached_property
    def changing(self) -> list[Column[Any]]:
        """Return the columns that an update changes, the time of the fetch as the last one."""
        fixed = {PROJECT_ID, CHATBOT_ID, self.key, FETCHED_AT}
        return [column for name, column in self.columns.items() if name not in fixed] + [self.columns[FETCHED_AT]]

    def updated(self, column: Column[Any], new: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what an update writes into a column.

        :param column: One of :attr:`changing`.
        :param new: Its value in the later version of the row.
        """
        return func.coalesce(new, column) if column.name in self.kept else new


#: Columns for fields that are not known beforehand, form fields included. MySQL's rows hold no more: of each text forty
#: bytes may lie in the row itself, and a row has eight thousand.
MAX_FIELDS: Final = 100
#: Characters of columns that have a limit.
KEY_LENGTH: Final = 255
RUN_KEY_LENGTH: Final = 250
#: Digits of a second.
_MICROSECONDS: Final = 6

#: What columns hold that must be there, by the class of their type, for errors.
_HOLDS: Final[dict[type[TypeEngine[Any]], str]] = {
    types.String: "text",
    types.Integer: "a whole number",
    types.DateTime: "a time with microseconds",
}


def _held(type_: TypeEngine[Any]) -> tuple[type[TypeEngine[Any]], str]:
    return next((class_, word) for class_, word in _HOLDS.items() if isinstance(type_, class_))


def lead_columns(given: Any) -> dict[str, str]:
    """Parse which form fields get a column.

    :param given: Names of form fields, or a mapping from them to names of columns.
    :return: Form field, as :func:`~airflow_provider_robofy.extract.fields.field_key` returns it, to column.
    :raises RobofyConfigError: It is neither, or names one form field twice.
    """
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise RobofyConfigError(
            'lead_fields must be a list such as ["name", "email"], or a mapping from form field to column.'
        )
    pairs: Iterable[tuple[Any, Any]] = given.items() if isinstance(given, Mapping) else ((one, one) for one in given)
    columns: dict[str, str] = {}
    for field, column in pairs:
        key, name = (clean_name(one) if isinstance(one, str) else "" for one in (field, column))
        if not (key and name):
            raise RobofyConfigError("lead_fields must name form fields, and columns, as text that is not empty.")
        if columns.setdefault(field_key(key), name) != name:
            raise RobofyConfigError(
                f"lead_fields names {field!r} twice; case, spaces and Unicode form make no difference."
            )
    if len(columns) > MAX_FIELDS:
        raise RobofyConfigError(f"lead_fields names {len(columns)} form fields; a table takes {MAX_FIELDS}.")
    return columns


def known_fields(resource: Resource) -> tuple[Field, ...]:
    """Return the fields that always have a column, without those that tell rows apart.

    :param resource: What the rows are. Leads have the session that they came from too, which only files have that were
        read session by session.
    """
    known = {field.name: field for field in resource.fields}
    if resource is LEADS:
        known.setdefault(SESSION_ID, Field(SESSION_ID))
    apart = {PROJECT_ID, CHATBOT_ID, resource.key, SESSION_KEY, FETCHED_AT}
    return tuple(field for name, field in known.items() if name not in apart)


@dataclass(frozen=True)
class Table:
    """The table of a resource in a database.

    Usage::

        table = Table(database, TableName.of("leads"), LEADS, mode="upsert", create_table=True)
        columns, added = table.ensure({"email": "email"}, ("utm_source",))

    :param database: The database.
    :param name: The table.
    :param resource: What the rows are.
    :param mode: ``upsert``, ``append`` or ``replace``.
    :param create_table: May it be made, and columns be added?
    :param mark_deleted: Does it need the column :data:`DELETED_AT`? Default False.
    """

    database: Database
    name: TableName
    resource: Resource
    mode: str
    create_table: bool
    mark_deleted: bool = False

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Return the names of the columns that tell rows apart."""
        return (PROJECT_ID, CHATBOT_ID, *((RUN_KEY, ROW) if self.mode == APPEND else (self.resource.key,)))

    def columns(self, lead_fields: Mapping[str, str], fields: Sequence[str]) -> list[Column[Any]]:
        """Return the columns of a new table.

        :param lead_fields: Form field to column.
        :param fields: Fields beyond those that the resource is known to have.
        """

        def column(name: str, kind: Kind = Kind.TEXT, *, length: int = 0, required: bool = False) -> Column[Any]:
            type_ = self.database.text_type(length) if length else self.database.types[kind]
            return Column(name, type_, nullable=not (required or length), autoincrement=False, quote=True)

        return [
            column(PROJECT_ID, length=64),
            column(CHATBOT_ID, length=255),
            column(self.resource.key, length=KEY_LENGTH),
            *(column(field.name, field.kind) for field in known_fields(self.resource)),
            *map(column, (*lead_fields.values(), *fields)),
            column(EXTRA, Kind.JSON),
            column(FETCHED_AT, Kind.TIME, required=True),
            column(RUN_KEY, length=RUN_KEY_LENGTH),
            column(ROW, Kind.INTEGER, required=True),
            column(CONTENT_HASH, length=32),
            *([column(DELETED_AT, Kind.TIME)] if self.mark_deleted else []),
        ]

    def check_names(self, lead_fields: Mapping[str, str]) -> None:
        """Refuse names that the database cannot hold, and columns of form fields that are taken.

        :param lead_fields: Form field to column, as :func:`lead_columns` returns it.
        :raises RobofyConfigError: There are some.
        """
        if lead_fields and self.resource is not LEADS:
            raise RobofyConfigError(f"lead_fields is for leads; this is the manifest of {self.resource.name}.")
        for part in filter(None, self.name):
            self.database.check_name(part, "table:")
        taken = {name.casefold(): name for name in (*(str(one.name) for one in self.columns({}, ())), DELETED_AT)}
        taken |= dict.fromkeys(self.database.system_columns, f"{self.database.name} itself")
        for column in lead_fields.values():
            self.database.check_name(column, "lead_fields: the column")
            if other := taken.get(column.casefold()):
                raise RobofyConfigError(
                    f"lead_fields: the column {column!r} is taken by {other}. Name another one, for example "
                    f"lead_fields={{{column!r}: {f'form_{column}'!r}}}."
                )
            taken[column.casefold()] = f"another of lead_fields, {column!r}"

    def look(self) -> dict[str, TypeEngine[Any]] | None:
        """Return the columns that are there and their types, or None where there is no table."""
        with self.database.transaction("table", str(self.name), doing=f"Looking at table {self.name}"):
            return self._found()

    def ensure(self, lead_fields: Mapping[str, str], fields: Sequence[str]) -> tuple[dict[str, TypeEngine[Any]], int]:
        """Create the table, or the columns that it lacks, and check that rows can be loaded into it.

        Two tasks may do this at once: one waits for the other.

        :param lead_fields: Form field to column.
        :param fields: Fields that get a column, beyond those that the resource is known to have.
        :return: The columns with their types, and how many of them have been made now.
        :raises RobofyConfigError: There is no table and none may be made, or it does not fit.
        """
        try:
            return self._ensure(lead_fields, fields)
        except RobofyDatabaseError:
            # Somebody who does not know the lock may have made the same table or columns; then they serve as well.
            return self._ensure(lead_fields, fields)

    def _ensure(self, lead_fields: Mapping[str, str], fields: Sequence[str]) -> tuple[dict[str, TypeEngine[Any]], int]:
        wanted = self.columns(lead_fields, fields)
        with self.database.transaction("table", str(self.name), doing=f"Preparing table {self.name}"):
            there = self._found()
            made = self._define(there, wanted)
            if made:
                there = self._found()
            self._check(there or {}, wanted)
        return there or {}, made

    def _found(self) -> dict[str, TypeEngine[Any]] | None:
        # A new inspector each time: it remembers what it has seen.
        inspector = inspect(self.database.connection)
        if not inspector.has_table(self.name.name, schema=self.name.schema):
            return None
        columns = inspector.get_columns(self.name.name, self.name.schema)
        return {str(column["name"]): column["type"] for column in columns}

    def _define(self, there: Mapping[str, TypeEngine[Any]] | None, wanted: Sequence[Column[Any]]) -> int:
        """Create what is missing, and return how many columns that are."""
        table = sql_table(
            self.name, *wanted, PrimaryKeyConstraint(*self.primary_key), mysql_engine="InnoDB", mysql_charset="utf8mb4"
        )
        if there is None:
            if not self.create_table:
                raise RobofyConfigError(
                    f"table: there is no {self.name}, or the connection's user may not see it. Make it, or let the "
                    "task do so with create_table=True."
                )
            self.database.define(CreateTable(table))
            return len(wanted)
        # Without case, as SQLite and MySQL compare names.
        names = {name.casefold() for name in there}
        missing = [column for column in wanted if column.name.casefold() not in names]
        if required := [column.name for column in missing if not column.nullable]:
            raise RobofyConfigError(
                f"table: {self.name} lacks {', '.join(required)}, so it is no table for {self.resource.name}. Load "
                "into another one; docs/warehouse.md says what a table needs that is made by hand."
            )
        if not self.create_table:
            return 0
        for column in missing:
            self.database.add_column(table, column)
        return len(missing)

    def _check(self, there: Mapping[str, TypeEngine[Any]], wanted: Iterable[Column[Any]]) -> None:
        for column in wanted:
            name = str(column.name)
            if (not column.nullable or name == DELETED_AT) and not _holds(there.get(name), column):
                raise RobofyConfigError(
                    f"table: the column {name} of {self.name} must hold {_held(column.type)[1]}. Load into another "
                    "table; docs/warehouse.md says what a table needs that is made by hand."
                )
        for name in (EXTRA, *(field.name for field in known_fields(self.resource))):
            if name not in there and any(name.casefold() == one.casefold() for one in there):
                raise RobofyConfigError(f"table: {self.name} has a column {name} in another case. Rename it.")
        if self.mode != APPEND and not self._is_unique():
            raise RobofyConfigError(
                f"table: {self.name} has no primary or unique key of just {', '.join(self.primary_key)}, "
                f"by which mode={self.mode!r} tells rows apart. Was it made by mode='append', or by hand? Load into "
                "another table, or give it that key."
            )

    def _is_unique(self) -> bool:
        inspector, (schema, name) = inspect(self.database.connection), self.name
        wanted = set(self.primary_key)
        # A table that the task has made has it as its primary key; the other questions take longer.
        return (
            wanted == set(inspector.get_pk_constraint(name, schema)["constrained_columns"])
            or wanted in [set(one["column_names"]) for one in inspector.get_unique_constraints(name, schema)]
            or wanted in [set(one["column_names"]) for one in inspector.get_indexes(name, schema) if one.get("unique")]
        )


def _holds(found: Any, wanted: Column[Any]) -> bool:
    """Return whether a column that is there holds what is needed."""
    if not isinstance(found, _held(wanted.type)[0]):
        return False
    # A time that the database rounds would be another than that of the file. MySQL rounds where it is not told.
    precision = found.fsp or 0 if hasattr(found, "fsp") else getattr(found, "precision", None)
    return wanted.name not in {FETCHED_AT, DELETED_AT} or precision in {None, _MICROSECONDS}
