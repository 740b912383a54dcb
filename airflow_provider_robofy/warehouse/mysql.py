"""MySQL and MariaDB: rows go as statements with many rows each, which the driver puts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.warehouse.dialect import KNOWN, Dialect, Line, Target
from airflow_provider_robofy.warehouse.values import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from airflow_provider_robofy.warehouse.layout import Column
#: What tells a from A, and "a" from "a " where the server can do that: MySQL 8's, MariaDB's, any other's.
_COLLATIONS = ("utf8mb4_0900_bin", "utf8mb4_nopad_bin", "utf8mb4_bin")


class Mysql(Dialect):
    """Speak to MySQL or MariaDB."""

    name = "MySQL"
    longest_name = 64
    # The drivers take a % for a value in a statement that they put together, SQLAlchemy a ` for the end of a name.
    forbidden = "%`"
    types: ClassVar = {
        Kind.TEXT: "LONGTEXT CHARACTER SET utf8mb4",
        Kind.JSON: "JSON",
        Kind.INTEGER: "BIGINT",
        Kind.TIME: "DATETIME(6)",
    }
    table_options = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._collation = _COLLATIONS[-1]

    def settle(self, raw: Any) -> None:
        # An emoji takes four bytes, and not every connection's character set has those.
        if hasattr(raw, "set_charset_collation"):
            raw.set_charset_collation("utf8mb4")
        else:
            raw.set_character_set("utf8mb4")
        if hasattr(raw, "cursorclass"):
            from importlib import import_module

            # A hook may be told to give rows as dictionaries.
            raw.cursorclass = import_module(f"{type(raw).__module__.partition('.')[0]}.cursors").Cursor

    def start(self, connection: Connection) -> None:
        # Strict: otherwise what is too long is cut. Without other modes the statements mean what they say.
        connection.exec_driver_sql("SET SESSION sql_mode = 'STRICT_ALL_TABLES', autocommit = 0, lock_wait_timeout = 60")
        connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.wide_integers = bool(connection.dialect.is_mariadb)  # type: ignore[attr-defined]
        there = connection.exec_driver_sql(
            "SELECT collation_name FROM information_schema.collations WHERE collation_name IN (%s, %s, %s)", _COLLATIONS
        )
        self._collation = min((one for (one,) in there), key=_COLLATIONS.index, default=self._collation)
        connection.rollback()

    def check_name(self, name: str, what: str) -> None:
        super().check_name(name, what)
        if name.endswith(" ") or not max(name) <= "\uffff":
            raise RobofyConfigError(
                f"{what} {name!r} ends in a blank or holds an emoji or the like, which no name may in {self.name}."
            )

    def type_of(self, column: Column) -> str:
        if column.length:
            return f"VARCHAR({column.length}) CHARACTER SET utf8mb4 COLLATE {self._collation}"
        return self.types[column.kind]

    def try_lock(self, connection: Connection, number: int) -> bool:
        return bool(connection.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (_lock(number),)).scalar())

    def unlock(self, connection: Connection, number: int) -> None:
        connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (_lock(number),))

    def find(
        self, connection: Connection, target: Target, owner: tuple[str, str], keys: Sequence[str]
    ) -> Sequence[Sequence[Any]]:
        project, agent, key = target.key_places
        sql = (
            f"SELECT {', '.join((key, *target.quoted(*KNOWN)))} FROM {target.table} "
            f"WHERE {project} = %s AND {agent} = %s AND {key} IN ({', '.join(['%s'] * len(keys))})"
        )
        return connection.exec_driver_sql(sql, (*owner, *keys)).all()

    def put(self, connection: Connection, target: Target, lines: Sequence[Line]) -> int:
        sql = f"INSERT INTO {target.table} ({target.names}) VALUES ({', '.join(['%s'] * len(target.places))})"
        if target.upserts:
            # VALUES() and not an alias: MariaDB has no alias, and mysqlclient sees no statement of many rows in one.
            # The time, which is what is compared, changes last: what comes later sees what came before.
            fetched_at = target.changing[-1]
            newer = f"VALUES({fetched_at}) >= {fetched_at}"
            sql += " ON DUPLICATE KEY UPDATE " + ", ".join(
                f"{one} = IF({newer}, VALUES({one}), {one})" for one in target.changing
            )
        connection.exec_driver_sql(sql, [line.values for line in lines])
        return len(lines)


def _lock(number: int) -> str:
    return f"airflow-robofy:{number}"
