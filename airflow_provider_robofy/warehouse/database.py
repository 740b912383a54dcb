"""One connection to a user's database: opened by the user's hook, spoken to through SQLAlchemy."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.warehouse.failures import translated
from airflow_provider_robofy.warehouse.mysql import Mysql
from airflow_provider_robofy.warehouse.postgresql import Postgresql
from airflow_provider_robofy.warehouse.sqlite import Sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection, Engine

    from airflow_provider_robofy.warehouse.dialect import Dialect

#: By the package of the driver: what it speaks, and what SQLAlchemy calls it.
_DRIVERS: Final[dict[str, tuple[type[Dialect], str]]] = {
    "psycopg": (Postgresql, "postgresql+psycopg://"),
    "psycopg2": (Postgresql, "postgresql+psycopg2://"),
    "MySQLdb": (Mysql, "mysql+mysqldb://"),
    "mysql": (Mysql, "mysql+mysqlconnector://"),
    "pymysql": (Mysql, "mysql+pymysql://"),
    "sqlite3": (Sqlite, "sqlite://"),
}
#: The names by which common-sql's hooks call what can be loaded into.
DIALECTS: Final = ("postgresql", "mysql", "mariadb", "sqlite")

#: ON CONFLICT came with 9.5; what calls itself older (Redshift does) is none.
_OLDEST_POSTGRESQL: Final = (9, 5)
_LONGEST_WAIT: Final = 600.0
_STEP: Final = 0.2


def refuse(name: str, where: str) -> RobofyConfigError:
    """Return the error for a database that cannot be loaded into.

    :param name: What it calls itself.
    :param where: The connection.
    """
    return RobofyConfigError(
        f"{where} leads to {name!r}. Landed rows can be loaded into PostgreSQL, MySQL, MariaDB and SQLite; for other "
        "databases, load the landed files with what the database has for that."
    )


class Database:
    """Hold the one connection over which a file is loaded.

    Usage::

        with Database.opened(hook.get_conn, "Connection 'warehouse'", check) as database:
            with database.transaction("leads"):
                database.connection.exec_driver_sql(...)

    :param connection: SQLAlchemy's connection.
    :param dialect: How the database wants to be spoken to.
    :param check: Called often; raises where the task was killed.
    """

    def __init__(self, connection: Connection, dialect: Dialect, check: Callable[[], None]) -> None:
        self.connection = connection
        self.dialect = dialect
        self.check = check

    @classmethod
    @contextmanager
    def opened(cls, connect: Callable[[], Any], where: str, check: Callable[[], None]) -> Iterator[Database]:
        """Connect, and close the connection afterwards; what was not committed is undone.

        :param connect: Opens a connection, as the ``get_conn`` of a hook does.
        :param where: What the connection is called in errors.
        :param check: Called often; raises where the task was killed.
        :raises RobofyConfigError: It is no database that rows can be loaded into.
        """
        with translated(f"Connecting ({where})"):
            raw = connect()
        package = type(raw).__module__.partition(".")[0]
        if package not in _DRIVERS:
            raw.close()
            raise refuse(package, where)
        kind, url = _DRIVERS[package]
        dialect = kind(url)
        with translated(f"Connecting ({where})"):
            dialect.settle(raw)
            connection = _engine(dialect.url, raw).connect()
        try:
            with translated(f"Connecting ({where})"):
                _check_version(connection, where)
                dialect.start(connection)
            yield cls(connection, dialect, check)
        finally:
            # A connection that is broken already has nothing more to say.
            try:
                connection.close()
            except Exception:  # noqa: BLE001
                connection.invalidate()

    def quote(self, *names: str | None) -> str:
        """Return a name for SQL, parts of it with dots between; a per cent sign stands twice where values are bound."""
        quote = self.connection.dialect.identifier_preparer.quote_identifier
        return ".".join(quote(name) for name in names if name is not None)

    def define(self, sql: str) -> None:
        """Run a statement that binds nothing, made of names from :meth:`quote`."""
        if self.connection.dialect.paramstyle in {"format", "pyformat"}:
            sql = sql.replace("%%", "%")
        self.connection.execution_options(no_parameters=True).exec_driver_sql(sql)

    @contextmanager
    def transaction(self, *lock: str, doing: str) -> Iterator[None]:
        """Do what follows in one transaction, and alone among those that name the same lock.

        :param lock: Words that name what must not happen twice at a time.
        :param doing: What is being done, for errors.
        :raises RobofyDatabaseError: The database failed, or the lock was not to be had.
        """
        number = int.from_bytes(hashlib.blake2b("\0".join(lock).encode(), digest_size=8).digest(), signed=True)
        with translated(doing):
            self._begin(number, doing)
            try:
                yield
                self.check()
                self.connection.commit()
            except BaseException:
                self._undo()
                raise
            finally:
                self._unlock(number)

    def _begin(self, number: int, doing: str) -> None:
        until = time.monotonic() + _LONGEST_WAIT
        while True:
            self.check()
            if self.dialect.begin(self.connection) and self.dialect.try_lock(self.connection, number):
                return
            self._undo()
            if time.monotonic() > until:
                raise RobofyDatabaseError(
                    f"{doing}: another load of the same rows has not ended for {_LONGEST_WAIT / 60:.0f} minutes. Let "
                    "it end, or end its connection in the database; the task's retries apply."
                )
            time.sleep(_STEP)

    def _undo(self) -> None:
        # The error that led here is the one to tell.
        try:
            self.connection.rollback()
        except Exception:  # noqa: BLE001
            self.connection.invalidate()

    def _unlock(self, number: int) -> None:
        # A lock that cannot be returned ends with the connection.
        try:
            self.dialect.unlock(self.connection, number)
            self.connection.rollback()
        except Exception:  # noqa: BLE001
            self.connection.invalidate()


def _engine(url: str, raw: Any) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    # Parameters are rows: SQLAlchemy puts them neither into its errors nor into its log.
    return create_engine(url, creator=lambda: raw, poolclass=NullPool, future=True, hide_parameters=True, echo=False)


def _check_version(connection: Connection, where: str) -> None:
    if connection.dialect.name == "postgresql":
        found = connection.dialect.server_version_info or ()
        if found < _OLDEST_POSTGRESQL:
            raise refuse(f"PostgreSQL {'.'.join(map(str, found))} (9.5 or newer is needed)", where)
