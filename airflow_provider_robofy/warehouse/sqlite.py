"""SQLite: one writer at a time, so a transaction is the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import types
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import OperationalError

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.resources import Kind
from airflow_provider_robofy.warehouse.database import Database, on_conflict_update

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import Insert

    from airflow_provider_robofy.warehouse.table import Target


class Sqlite(Database):
    """A file of SQLite."""

    name = "SQLite"
    longest_name = 1000
    types: ClassVar = {
        Kind.TEXT: types.Text(),
        Kind.JSON: types.Text(),
        Kind.INTEGER: types.Integer(),
        Kind.TIME: types.DateTime(),
    }

    @staticmethod
    def configure(raw: Any) -> None:
        # Transactions are begun here and not by the module, which does so too late: at the first change.
        raw.isolation_level = None
        raw.row_factory = None
        # A task that is killed while it waits for another writer is to notice: waiting is done in short steps.
        raw.execute("PRAGMA busy_timeout = 200")

    def start(self, where: str) -> None:
        # A database without a file is gone with the connection, and with it what was loaded.
        if not self.connection.exec_driver_sql("PRAGMA database_list").all()[0][2]:
            raise RobofyConfigError(f"{where} names no file. Write the path of the database as its host.")
        self.connection.rollback()

    def begin(self) -> bool:
        try:
            self.connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            return False
        return True

    def insert(self, target: Target) -> Insert:
        statement = sqlite.insert(target.table)
        return on_conflict_update(statement, target) if target.upserts else statement
