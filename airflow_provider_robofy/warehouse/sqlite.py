"""SQLite: one writer at a time, so a transaction is the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_robofy.warehouse.dialect import KNOWN, Dialect, Line, Target
from airflow_provider_robofy.warehouse.layout import FETCHED_AT
from airflow_provider_robofy.warehouse.values import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

#: Old ones take no more than 999 values in a statement.
_MOST_VALUES = 900


class Sqlite(Dialect):
    """Speak to SQLite."""

    name = "SQLite"
    longest_name = 1000
    mark = "?"
    types: ClassVar = {Kind.TEXT: "TEXT", Kind.JSON: "TEXT", Kind.INTEGER: "INTEGER", Kind.TIME: "DATETIME"}

    def settle(self, raw: Any) -> None:
        # Transactions are begun here and not by the module, which does so too late: at the first change.
        raw.isolation_level = None
        raw.row_factory = None
        # Who is killed while he waits for another writer wants to be woken: waiting is done in short steps.
        raw.execute("PRAGMA busy_timeout = 200")

    def begin(self, connection: Connection) -> bool:
        from sqlalchemy.exc import OperationalError

        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            return False
        return True

    def find(
        self, connection: Connection, target: Target, owner: tuple[str, str], keys: Sequence[str]
    ) -> Sequence[Sequence[Any]]:
        project, agent, key = target.key_places
        found: list[Sequence[Any]] = []
        for begin in range(0, len(keys), _MOST_VALUES):
            some = keys[begin : begin + _MOST_VALUES]
            sql = (
                f"SELECT {', '.join((key, *target.quoted(*KNOWN)))} FROM {target.table} "
                f"WHERE {project} = ? AND {agent} = ? AND {key} IN ({', '.join('?' * len(some))})"
            )
            found += connection.exec_driver_sql(sql, (*owner, *some)).all()
        return found

    def put(self, connection: Connection, target: Target, lines: Sequence[Line]) -> int:
        sql = f"INSERT INTO {target.table} ({target.names}) VALUES ({', '.join('?' * len(target.places))})"
        if target.upserts:
            changes = ", ".join(f"{one} = excluded.{one}" for one in target.changing)
            [fetched_at] = target.quoted(FETCHED_AT)
            sql += (
                f" ON CONFLICT ({', '.join(target.key_places)}) DO UPDATE SET {changes} "
                f"WHERE {fetched_at} <= excluded.{fetched_at}"
            )
        connection.exec_driver_sql(sql, [line.values for line in lines])
        return len(lines)
