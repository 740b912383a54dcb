"""One connection to a user's database: opened by the user's hook, used through SQLAlchemy, its errors translated."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final
from unicodedata import category

from sqlalchemy import Column, bindparam, create_engine, select, types
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateColumn

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError, RobofyDatabaseRefusedError
from airflow_provider_robofy.warehouse.table import BOOKKEEPING, FETCHED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Table as SqlTable
    from sqlalchemy.engine import Compiled, Connection, CursorResult, Dialect
    from sqlalchemy.schema import DDLElement
    from sqlalchemy.sql.dml import Insert
    from sqlalchemy.types import TypeEngine

    from airflow_provider_robofy.resources import Kind
    from airflow_provider_robofy.warehouse.table import Line, Target

#: By the package of the driver: the class of its database, in the module of that name, and SQLAlchemy's URL.
_DRIVERS: Final = {
    "psycopg": ("Postgresql", "postgresql+psycopg://"),
    "psycopg2": ("Postgresql", "postgresql+psycopg2://"),
    "MySQLdb": ("Mysql", "mysql+mysqldb://"),
    "mysql": ("Mysql", "mysql+mysqlconnector://"),
    "pymysql": ("Mysql", "mysql+pymysql://"),
    "sqlite3": ("Sqlite", "sqlite://"),
}
#: The names by which common-sql's hooks call the databases that rows can be loaded into.
DIALECTS: Final = ("postgresql", "mysql", "mariadb", "sqlite")

#: How long a load waits for another one of the same rows, and how long between two tries, in seconds.
_LONGEST_WAIT: Final = 600.0
_WAIT: Final = 0.2
#: Keys in one statement: older versions of SQLite take no more than 999 values.
_KEYS: Final = 900


class Database(ABC):
    """The connection over which a file is loaded, and what is done differently in each database.

    Usage::

        with open_database(hook.get_conn, "Connection 'warehouse'", check) as database:
            with database.transaction("leads", doing="Loading"):
                database.connection.execute(...)

    :param connection: SQLAlchemy's connection.
    :param check: Called often; raises where the task was killed.
    """

    #: What people call it.
    name: ClassVar[str]
    #: The longest name, and what is counted.
    longest_name: ClassVar[int]
    counted: ClassVar[str] = "characters"
    #: Characters that no name may have, besides control characters.
    forbidden: ClassVar[str] = ""
    #: Names that the database gives to columns of its own, in lower case.
    system_columns: ClassVar[frozenset[str]] = frozenset()
    #: The types of new columns.
    types: ClassVar[Mapping[Kind, TypeEngine[Any]]]
    #: Does the database keep integers in JSON exactly, however long?
    wide_integers: bool = True

    def __init__(self, connection: Connection, check: Callable[[], None]) -> None:
        self.connection = connection
        self.check = check

    @staticmethod
    @abstractmethod
    def configure(raw: Any) -> None:
        """Bring the driver's connection into the state that is expected here, whatever its hook was told.

        :param raw: The driver's connection.
        """

    def start(self, where: str) -> None:  # noqa: B027 (often there is nothing to do)
        """Check the server and make the settings of the session.

        :param where: What the connection is called in errors.
        :raises RobofyConfigError: Rows cannot be loaded into such a server.
        """

    def begin(self) -> bool:
        """Begin a transaction, and return whether it could be begun."""
        return True

    def try_lock(self, number: int) -> bool:  # noqa: ARG002
        """Take a lock, and return whether it was free.

        :param number: The lock, 64 bits with a sign.
        """
        return True

    def unlock(self, number: int) -> None:  # noqa: B027 (often there is nothing to do)
        """Release a lock that does not end with the transaction.

        :param number: The lock.
        """

    def text_type(self, length: int) -> TypeEngine[Any]:
        """Return the type of a new column of short text.

        :param length: Characters that it takes.
        """
        return types.String(length)

    def check_name(self, name: str, what: str) -> None:
        """Refuse a name that the database cannot hold as it is.

        :param name: The name of a table, schema or column.
        :param what: What is named, for the error.
        :raises RobofyConfigError: It is refused.
        """
        if found := next((one for one in name if one in self.forbidden or category(one) in {"Cc", "Cs"}), None):
            raise RobofyConfigError(f"{what} {name!r} holds {found!r}, which no name may in {self.name}.")
        length = len(name.encode()) if self.counted == "bytes" else len(name)
        if length > self.longest_name:
            raise RobofyConfigError(
                f"{what} {name[:80]!r} has {length} {self.counted}; a name in {self.name} has {self.longest_name} at "
                "most."
            )

    @abstractmethod
    def insert(self, target: Target) -> Insert:
        """Return the statement that writes a row, and leaves a row alone that was fetched later.

        :param target: The table.
        """

    def write(self, statement: Insert, target: Target, lines: Sequence[Line]) -> int | None:  # noqa: ARG002
        """Write rows, and return how many the table has taken, or None where the database does not say.

        :param statement: What :meth:`insert` returns for the table.
        :param target: The table.
        :param lines: The rows; no two of them have one key where ``target`` upserts.
        """
        self._run(statement.compile(dialect=self.connection.dialect), [line.values for line in lines])
        return None

    def find(self, target: Target, owner: tuple[str, str], keys: Sequence[str]) -> dict[str, Sequence[Any]]:
        """Return what the table knows of rows that are there, by their key.

        What that is, is in :data:`~airflow_provider_robofy.warehouse.table.BOOKKEEPING`.

        :param target: The table.
        :param owner: Project and agent.
        :param keys: Keys to look for.
        """
        found: dict[str, Sequence[Any]] = {}
        for begin in range(0, len(keys), _KEYS):
            wanted = keys[begin : begin + _KEYS]
            statement = _select_bookkeeping(target, len(wanted), self.connection.dialect)
            found |= {row[0]: row[1:] for row in self._run(statement, [(*owner, *wanted)]).all()}
        return found

    def _run(self, statement: Compiled, rows: Sequence[tuple[Any, ...]]) -> CursorResult[Any]:
        """Run a statement once for each row of values, which are given in the order of its parameters.

        Past SQLAlchemy's own handling of values, which takes longer than all else: they are what the driver takes.
        """
        parameters: Any = rows
        if not statement.positional:  # type: ignore[attr-defined]
            names = list(statement.params)
            parameters = [dict(zip(names, row, strict=True)) for row in rows]
        one = parameters[0] if len(parameters) == 1 else parameters
        return self.connection.exec_driver_sql(str(statement), one)

    def define(self, element: DDLElement | str) -> None:
        """Run a statement that makes a table or a column.

        :param element: The statement.
        """
        sql = str(element if isinstance(element, str) else element.compile(dialect=self.connection.dialect))
        if self.connection.dialect.paramstyle in {"format", "pyformat"}:
            # SQLAlchemy doubles a per cent sign for drivers that look for values; here there are none.
            sql = sql.replace("%%", "%")
        self.connection.execution_options(no_parameters=True).exec_driver_sql(sql)

    def add_column(self, table: SqlTable, column: Column[Any]) -> None:
        """Add a column to a table.

        :param table: The table.
        :param column: One of its columns.
        """
        dialect = self.connection.dialect
        name = dialect.identifier_preparer.format_table(table)
        self.define(f"ALTER TABLE {name} ADD COLUMN {CreateColumn(column).compile(dialect=dialect)}")

    @contextmanager
    def transaction(self, *lock: str, doing: str) -> Iterator[None]:
        """Run what follows in one transaction, and alone among those that name the same lock.

        :param lock: Words that name what must not happen twice at a time.
        :param doing: What is being done, for errors.
        :raises RobofyDatabaseError: The database failed, or another load kept the lock.
        """
        number = int.from_bytes(hashlib.blake2b("\0".join(lock).encode(), digest_size=8).digest(), signed=True)
        with translated(doing):
            try:
                self._begin(number, doing)
                yield
                self.check()
                self.connection.commit()
            finally:
                self._end(number)

    def _begin(self, number: int, doing: str) -> None:
        until = time.monotonic() + _LONGEST_WAIT
        while True:
            self.check()
            if self.begin() and self.try_lock(number):
                return
            self.connection.rollback()
            if time.monotonic() > until:
                raise RobofyDatabaseError(
                    f"{doing}: another load of the same rows has not ended for {_LONGEST_WAIT / 60:.0f} minutes. Let "
                    "it end, or end its connection in the database; the task's retries apply."
                )
            time.sleep(_WAIT)

    def _end(self, number: int) -> None:
        """Undo what was not committed, and release the lock."""
        try:
            self.connection.rollback()
            self.unlock(number)
            self.connection.rollback()
        except Exception:  # noqa: BLE001
            # The error that led here is the one to report. The lock ends with the connection.
            self.connection.invalidate()


@lru_cache(maxsize=8)
def _select_bookkeeping(target: Target, keys: int, dialect: Dialect) -> Compiled:
    """Return the statement that finds so many keys. SQLAlchemy would expand its IN anew for each chunk."""
    project, agent, key = target.key_columns
    wanted = select(key, *(target.columns[name] for name in BOOKKEEPING))
    wanted = wanted.where(project == bindparam("project"), agent == bindparam("agent"))
    return wanted.where(key.in_([bindparam(f"key{n}") for n in range(keys)])).compile(dialect=dialect)


def on_conflict_update(statement: Any, target: Target) -> Any:
    """Return an INSERT of PostgreSQL or SQLite that updates a row with the same key, unless that was fetched later.

    :param statement: SQLAlchemy's INSERT of that database.
    :param target: The table.
    """
    new, fetched_at = statement.excluded, target.columns[FETCHED_AT]
    return statement.on_conflict_do_update(
        index_elements=target.key_columns,
        set_={column.key: target.updated(column, new[column.key]) for column in target.changing},
        where=fetched_at <= new[fetched_at.key],
    )


def refuse(name: str, where: str) -> RobofyConfigError:
    """Return the error for a database that rows cannot be loaded into.

    :param name: What it calls itself.
    :param where: The connection.
    """
    return RobofyConfigError(
        f"{where} leads to {name!r}. Landed rows can be loaded into PostgreSQL, MySQL, MariaDB and SQLite; for other "
        "databases, load the landed files with what the database has for that."
    )


@contextmanager
def open_database(connect: Callable[[], Any], where: str, check: Callable[[], None]) -> Iterator[Database]:
    """Connect, and close the connection afterwards; what was not committed is undone.

    :param connect: Opens a connection, as the ``get_conn`` of a hook does.
    :param where: What the connection is called in errors.
    :param check: Called often; raises where the task was killed.
    :raises RobofyConfigError: It is no database that rows can be loaded into.
    :raises RobofyDatabaseError: The database could not be reached.
    """
    doing = f"Connecting ({where})"
    with translated(doing, connecting=True):
        raw = connect()
    package = type(raw).__module__.partition(".")[0]
    if package not in _DRIVERS:
        raw.close()
        raise refuse(package, where)
    name, url = _DRIVERS[package]
    kind: type[Database] = getattr(import_module(f"{__package__}.{name.lower()}"), name)
    with translated(doing):
        kind.configure(raw)
        # Parameters are rows: SQLAlchemy puts them neither into its errors nor into its log.
        engine = create_engine(
            url, creator=lambda: raw, poolclass=NullPool, future=True, hide_parameters=True, echo=False
        )
        connection = engine.connect()
    try:
        database = kind(connection, check)
        with translated(doing):
            database.start(where)
        yield database
    finally:
        # A connection that is broken already has nothing more to say.
        try:
            connection.close()
        except Exception:  # noqa: BLE001
            connection.invalidate()


_DENIED: Final = "the connection's user may not do this. Grant what docs/warehouse.md lists, or log in as another user."
_LOGIN: Final = "the database did not let the connection's user in. Check login, password and schema of the connection."
_FILE: Final = (
    "the file cannot be opened as a database of SQLite. In the connection, write its path as the host, such as "
    '{"conn_type": "sqlite", "host": "/data/warehouse.db"}; the folder must be there.'
)
_MISFIT: Final = (
    "a value does not fit into its column. Was the table made by hand? Give the column a wider type, or let the task "
    "make the table."
)
_RULE: Final = (
    "a constraint, a unique key or a trigger of the table forbids a row. Drop it, or load into another table."
)
_MISSING: Final = "something that the statement names is not there, or is of another type."
_TOO_LARGE: Final = "a row is larger than max_allowed_packet of the server, or a table wider than it takes."
_BUSY: Final = "another transaction stood in the way. The task's retries apply."
_FULL: Final = "the database has run out of something, such as disk or connections. The task's retries apply."
_AWAY: Final = "the database could not be reached, or went away. The task's retries apply."
_OTHER: Final = "see the log of the database."
#: After these a retry may help.
_PASSING: Final = frozenset({_BUSY, _FULL, _AWAY, _OTHER})

#: What an error is known by: SQLSTATE or its first two characters, the number of MySQL, the name of SQLite, and the
#: class, which the drivers of all databases have in common and SQLAlchemy too.
_KNOWN_BY: Final[dict[str, tuple[str | int, ...]]] = {
    _DENIED: ("42501", "25", 1044, 1142, 1143, 1227, 1290, 1370, "SQLITE_READONLY"),
    _LOGIN: ("28", "3D", 1045, 1049, 1251, 1698, 2054, 2059),
    _FILE: ("SQLITE_CANTOPEN", "SQLITE_NOTADB"),
    _MISFIT: ("22", "DataError", 1292, 1366, 1367, 3140, "SQLITE_MISMATCH"),
    _RULE: ("23", "IntegrityError", 1169, 1364, 1644, 3819, 4025),
    _MISSING: ("0A", "3F", "42", "ProgrammingError", "NotSupportedError", 1054, 1109, "SQLITE_ERROR"),
    _TOO_LARGE: ("54", 1071, 1074, 1117, 1118, 1153),
    _BUSY: ("40", "55", 1205, 1213, 1412, 1684, 1969, "SQLITE_BUSY", "SQLITE_LOCKED"),
    _FULL: ("53", 1021, 1040, 1041, 1114, 1203, "SQLITE_FULL", "SQLITE_IOERR"),
    _AWAY: ("08", "57", 1053, 1927, 2002, 2003, 2005, 2006, 2013, 2055),
}
_MEANINGS: Final = {sign: meaning for meaning, signs in _KNOWN_BY.items() for sign in signs}
#: Packages whose errors are those of a database.
_PACKAGES: Final = {"sqlalchemy", *_DRIVERS}


@contextmanager
def translated(doing: str, *, connecting: bool = False) -> Iterator[None]:
    """Turn a database's error into one of ours, without its cause and its text, which can hold what was stored.

    :param doing: What was being done, for the sentence.
    :param connecting: Is the connection being opened? Then SQLite's general error is one of the file's path. Default
        False.
    :raises RobofyDatabaseRefusedError: A retry would fail in the same way.
    :raises RobofyDatabaseError: A retry may succeed.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _PACKAGES:
            raise
        raise _translation(error, doing, connecting=connecting) from None


def _translation(error: Exception, doing: str, *, connecting: bool) -> RobofyDatabaseError:
    cause = getattr(error, "orig", None) or error
    code, signs = _signs(cause)
    facts = [type(cause).__name__, *([code] if code else [])]
    # Names of the table's own parts: what somebody wrote into a CREATE TABLE, and no row's content.
    for part in ("column", "constraint"):
        name = getattr(getattr(cause, "diag", None), f"{part}_name", None)
        facts += [f"{part} {name!r}"] if name else []
    # No code at all: the connection was not made, or broke.
    other = _AWAY if not code and type(cause).__name__ in {"OperationalError", "InterfaceError"} else _OTHER
    meaning = next((_MEANINGS[sign] for sign in signs if sign in _MEANINGS), other)
    if getattr(error, "connection_invalidated", False):
        meaning = _AWAY
    elif connecting and code == "SQLITE_ERROR":
        meaning = _FILE
    kind = RobofyDatabaseError if meaning in _PASSING else RobofyDatabaseRefusedError
    return kind(f"{doing} failed ({', '.join(facts)}): {meaning} Nothing of the file is in the table.")


def _signs(cause: Any) -> tuple[str, list[str | int]]:
    """Return an error's code for people, and what it is known by, the most exact first."""
    classes: list[str | int] = [class_.__name__ for class_ in type(cause).__mro__]
    if name := getattr(cause, "sqlite_errorname", None):
        # SQLITE_CONSTRAINT_NOTNULL is a SQLITE_CONSTRAINT.
        return name, ["_".join(name.split("_")[:2]), *classes]
    number = getattr(cause, "errno", None) or next(iter(cause.args), None)
    if type(number) is int:
        return f"error {number}", [number, *classes]
    if state := getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None):
        return f"SQLSTATE {state}", [state, state[:2], *classes]
    return "", classes
