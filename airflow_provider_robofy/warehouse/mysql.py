"""MySQL and MariaDB: rows go as statements with many rows each, which the driver puts together."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import func, select
from sqlalchemy.dialects import mysql

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.resources import Kind
from airflow_provider_robofy.warehouse.database import Database
from airflow_provider_robofy.warehouse.table import FETCHED_AT

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import Insert
    from sqlalchemy.types import TypeEngine

    from airflow_provider_robofy.warehouse.table import Target

#: What tells a from A, and "a" from "a " where the server can do that: MySQL 8's, MariaDB's, any other's.
_COLLATIONS = ("utf8mb4_0900_bin", "utf8mb4_nopad_bin", "utf8mb4_bin")


class Mysql(Database):
    """MySQL or MariaDB."""

    name = "MySQL"
    longest_name = 64
    # The drivers take a % for a value in a statement that they put together, SQLAlchemy a ` for the end of a name.
    forbidden = "%`"
    # Of InnoDB.
    system_columns = frozenset({"db_row_id", "db_trx_id", "db_roll_ptr", "fts_doc_id"})
    types: ClassVar = {
        Kind.TEXT: mysql.LONGTEXT(charset="utf8mb4"),
        Kind.JSON: mysql.JSON(),
        Kind.INTEGER: mysql.BIGINT(),
        Kind.TIME: mysql.DATETIME(fsp=6),
    }

    @staticmethod
    def configure(raw: Any) -> None:
        # An emoji takes four bytes, and not every connection's character set has those.
        if hasattr(raw, "set_charset_collation"):
            raw.set_charset_collation("utf8mb4")
        else:
            raw.set_character_set("utf8mb4")
        if hasattr(raw, "cursorclass"):
            # A hook may be told to give rows as dictionaries.
            raw.cursorclass = import_module(f"{type(raw).__module__.partition('.')[0]}.cursors").Cursor

    def start(self, where: str) -> None:  # noqa: ARG002
        run = self.connection.exec_driver_sql
        # Strict: otherwise what is too long is cut. Without other modes the statements mean what they say.
        run("SET SESSION sql_mode = 'STRICT_ALL_TABLES', autocommit = 0, lock_wait_timeout = 60")
        run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.wide_integers = bool(self.connection.dialect.is_mariadb)  # type: ignore[attr-defined]
        there = {name for (name,) in run("SELECT collation_name FROM information_schema.collations")}
        self._collation = next((name for name in _COLLATIONS if name in there), _COLLATIONS[-1])
        self.connection.rollback()

    def check_name(self, name: str, what: str) -> None:
        super().check_name(name, what)
        if name.endswith(" ") or not max(name) <= "\uffff":
            raise RobofyConfigError(
                f"{what} {name!r} ends in a blank or holds an emoji or the like, which no name may in {self.name}."
            )

    def text_type(self, length: int) -> TypeEngine[Any]:
        return mysql.VARCHAR(length, charset="utf8mb4", collation=self._collation)

    def try_lock(self, number: int) -> bool:
        return bool(self.connection.scalar(select(func.get_lock(f"airflow-robofy:{number}", 0))))

    def unlock(self, number: int) -> None:
        self.connection.scalar(select(func.release_lock(f"airflow-robofy:{number}")))

    def insert(self, target: Target) -> Insert:
        statement = mysql.insert(target.table)
        if not target.upserts:
            return statement
        # VALUES() and not an alias for the new row: MariaDB has no alias, and mysqlclient would send a statement with
        # one row by row. MySQL 8.0.20 and newer run it with a deprecation warning, which no driver raises.
        # The time, which is what is compared, changes last: what comes later sees what came before.
        fetched_at = target.columns[FETCHED_AT]
        newer = func.values(fetched_at) >= fetched_at
        return statement.on_duplicate_key_update(
            [
                (column.key, func.if_(newer, target.updated(column, func.values(column)), column))
                for column in target.changing
            ]
        )
