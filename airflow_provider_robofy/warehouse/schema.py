"""The table as it is: looked at, made, and given the columns that it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.warehouse.dialect import Place
from airflow_provider_robofy.warehouse.layout import APPEND, BOOKS, EXTRA, FETCHED_AT, OWNER, Column
from airflow_provider_robofy.warehouse.mysql import Mysql
from airflow_provider_robofy.warehouse.values import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_robofy.warehouse.database import Database
    from airflow_provider_robofy.warehouse.layout import Layout
    from airflow_provider_robofy.warehouse.naming import TableName

_MICROSECONDS: Final = 6


@dataclass(frozen=True, slots=True)
class Found:
    """Describe a column that is there.

    :param place: How statements name it.
    :param length: Characters that it takes, None where there is no such limit.
    """

    place: Place
    length: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """Hold a table and what it is to look like.

    Usage::

        table = Table(database, TableName.of("leads"), layout, mode="upsert", create_table=True)
        columns = table.ensure({"email": "email"}, ("utm_source",))

    :param database: The database.
    :param name: The table.
    :param layout: What rows of this resource need.
    :param mode: ``upsert``, ``append`` or ``replace``.
    :param create_table: May it be made, and columns be added?
    """

    database: Database
    name: TableName
    layout: Layout
    mode: str
    create_table: bool

    def check_names(self, lead_fields: Mapping[str, str]) -> None:
        """Refuse names that the database cannot hold.

        :raises RobofyConfigError: There are some.
        """
        for part in filter(None, (self.name.schema, self.name.name)):
            self.database.dialect.check_name(part, "table:")
        for column in lead_fields.values():
            self.database.dialect.check_name(column, "lead_fields: the column")

    @property
    def quoted(self) -> str:
        """Return the table's name for SQL."""
        return self.database.quote(self.name.schema, self.name.name)

    def look(self) -> dict[str, Found] | None:
        """Return the columns that are there, None where there is no table."""
        with self.database.transaction("table", str(self.name), doing=f"Looking at table {self.name}"):
            return self._columns()

    def _columns(self) -> dict[str, Found] | None:
        from sqlalchemy import inspect

        # A new one each time: it remembers what it has seen.
        inspector, name, schema = inspect(self.database.connection), self.name.name, self.name.schema
        if not inspector.has_table(name, schema=schema):
            return None
        return {
            str(one["name"]): self._found(str(one["name"]), one["type"]) for one in inspector.get_columns(name, schema)
        }

    def ensure(self, lead_fields: Mapping[str, str], fields: tuple[str, ...]) -> tuple[dict[str, Found], int]:
        """Make the table, or the columns that it lacks, and look whether it can be loaded into.

        Two tasks may do this at once: one waits for the other. Should somebody else be faster all the same, what he
        has made will do.

        :param lead_fields: Form field to column.
        :param fields: Fields that want a column, beyond those that the layout knows.
        :return: The columns, and how many of them have been made now.
        :raises RobofyConfigError: There is no table and none may be made, or it is another one.
        """
        wanted = self.layout.columns(lead_fields, fields)
        there, made = self.look(), 0
        if there is None or self._missing(there, wanted):
            try:
                with self.database.transaction("table", str(self.name), doing=f"Making table {self.name}"):
                    made = self._define(self._columns(), wanted)
            except RobofyDatabaseError:
                # Somebody who knows nothing of the lock may have been faster.
                there = self.look()
                if there is None or self._missing(there, wanted):
                    raise
            there = self.look()
        if there is None:
            raise RobofyConfigError(f"table: {self.name} is not there any more.")
        with self.database.transaction("table", str(self.name), doing=f"Looking at table {self.name}"):
            self._check(there)
        return there, made

    def _missing(self, there: Mapping[str, Found], wanted: Iterable[Column]) -> list[Column]:
        # Without case, as SQLite and MySQL compare names.
        names = {name.casefold() for name in there}
        missing = [column for column in wanted if column.name.casefold() not in names]
        return missing if self.create_table else [column for column in missing if column.required]

    def _define(self, there: Mapping[str, Found] | None, wanted: tuple[Column, ...]) -> int:
        """Make what is missing; return how many columns that are."""
        if there is None:
            if not self.create_table:
                raise RobofyConfigError(
                    f"table: there is no {self.name}, or the connection's user may not see it. Make it, or let the "
                    "task do so with create_table=True."
                )
            key = ", ".join(map(self.database.quote, self.layout.primary_key(self.mode)))
            columns = ", ".join(map(self._definition, wanted))
            self.database.define(
                f"CREATE TABLE {self.quoted} ({columns}, PRIMARY KEY ({key})){self.database.dialect.table_options}"
            )
            return len(wanted)
        missing = self._missing(there, wanted)
        if required := [column.name for column in missing if column.required]:
            raise RobofyConfigError(
                f"table: {self.name} lacks {', '.join(required)}, so it is no table for {self.layout.resource}. Load "
                "into another one; docs/warehouse.md says what a table needs that is made by hand."
            )
        for column in missing:
            self.database.define(f"ALTER TABLE {self.quoted} ADD COLUMN {self._definition(column)}")
        return len(missing)

    def _definition(self, column: Column) -> str:
        null = " NOT NULL" if column.required else ""
        return f"{self.database.quote(column.name)} {self.database.dialect.type_of(column)}{null}"

    def _check(self, there: Mapping[str, Found]) -> None:
        for column in (*OWNER, self.layout.key, *BOOKS):
            found = there.get(column.name)
            if found is None or found.place.kind is not column.kind:
                raise RobofyConfigError(
                    f"table: the column {column.name} of {self.name} must hold {column.kind.value}. Load into another "
                    "table; docs/warehouse.md says what a table needs that is made by hand."
                )
        for name in (EXTRA, *(column.name for column in self.layout.fields)):
            if name not in there and any(name.casefold() == one.casefold() for one in there):
                raise RobofyConfigError(f"table: {self.name} has a column {name} in another case. Rename it.")
        if self.mode != APPEND and not self._is_unique():
            raise RobofyConfigError(
                f"table: {self.name} has no primary or unique key of just "
                f"{', '.join(self.layout.primary_key(self.mode))}, "
                f"by which mode={self.mode!r} tells rows apart. Was it made by mode='append', or by hand? Load into "
                "another table, or give it that key."
            )

    def _is_unique(self) -> bool:
        from sqlalchemy import inspect

        inspector, name, schema = inspect(self.database.connection), self.name.name, self.name.schema
        keys: list[Any] = [inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]]
        keys += [one["column_names"] for one in inspector.get_unique_constraints(name, schema=schema)]
        keys += [one["column_names"] for one in inspector.get_indexes(name, schema=schema) if one.get("unique")]
        return set(self.layout.primary_key(self.mode)) in [set(key) for key in keys]

    def _found(self, name: str, type_: Any) -> Found:
        kind = _kind_of(type_)
        if name == FETCHED_AT and kind is Kind.TIME and self._precision(type_) != _MICROSECONDS:
            # Rounded, it would be another time than that of the file.
            kind = Kind.OTHER
        length = getattr(type_, "length", None) if kind is Kind.TEXT else None
        text = "" if kind is Kind.OTHER else type_.compile(self.database.connection.dialect)
        return Found(Place(name, self.database.quote(name), kind, text), length)

    def _precision(self, type_: Any) -> int | None:
        if isinstance(self.database.dialect, Mysql):
            return getattr(type_, "fsp", None)
        precision = getattr(type_, "precision", None)
        return _MICROSECONDS if precision is None else precision


def _kind_of(type_: Any) -> Kind:
    from sqlalchemy import types

    kinds = (
        (types.JSON, Kind.JSON),
        (types.Boolean, Kind.BOOLEAN),
        (types.Integer, Kind.INTEGER),
        (types.Numeric, Kind.NUMBER),
        (types.DateTime, Kind.TIME),
        (types.String, Kind.TEXT),
    )
    return next((kind for class_, kind in kinds if isinstance(type_, class_)), Kind.OTHER)
