"""Where rows are written: names of tables and columns, and a row as a table takes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Column, MetaData, Table, func, types
from sqlalchemy.sql.elements import quoted_name

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from sqlalchemy.schema import SchemaItem
    from sqlalchemy.sql import ColumnElement
    from sqlalchemy.types import TypeEngine

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


def sql_table(name: TableName, *parts: SchemaItem, **options: Any) -> Table:
    """Return a table for SQLAlchemy, whose name is always quoted.

    :param name: Its name.
    :param parts: Columns and constraints.
    :param options: Options of a database, as SQLAlchemy names them.
    """
    schema = name.schema and quoted_name(name.schema, quote=True)
    return Table(name.name, MetaData(), *parts, schema=schema, quote=True, **options)


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
    def table(self) -> Table:
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
