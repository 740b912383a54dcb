"""What is told of a database's error."""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_robofy.api.errors import RobofyDatabaseError, RobofyDatabaseRefusedError
from airflow_provider_robofy.warehouse.database import translated

PLANTED = "planted.person@example.com"


def driver_error(module: str, name: str = "OperationalError", *arguments: Any, **fields: Any) -> Exception:
    kind = type(name, (Exception,), {"__module__": module, **fields})
    error: Exception = kind(*arguments)
    return error


@pytest.mark.parametrize(
    ("error", "permanent", "words"),
    [
        (driver_error("psycopg.errors", "DeadlockDetected", PLANTED, sqlstate="40P01"), False, "SQLSTATE 40P01"),
        (driver_error("psycopg.errors", "InsufficientPrivilege", PLANTED, sqlstate="42501"), True, "Grant"),
        (driver_error("psycopg2.errors", "StringDataRightTruncation", PLANTED, pgcode="22001"), True, "does not fit"),
        (driver_error("psycopg", "OperationalError", PLANTED), False, "could not be reached"),
        (driver_error("psycopg.errors", "LockNotAvailable", PLANTED, sqlstate="55P03"), False, "stood in the way"),
        (driver_error("MySQLdb", "OperationalError", 1213, PLANTED), False, "error 1213"),
        (driver_error("MySQLdb", "OperationalError", 1205, PLANTED), False, "stood in the way"),
        (driver_error("MySQLdb", "DataError", 1366, PLANTED), True, "does not fit"),
        (driver_error("MySQLdb", "OperationalError", 1153, PLANTED), True, "max_allowed_packet"),
        (driver_error("mysql.connector.errors", "ProgrammingError", PLANTED, errno=1142), True, "Grant"),
        (driver_error("MySQLdb", "OperationalError", 9999, PLANTED), False, "log of the database"),
        (driver_error("sqlalchemy.exc", "ArgumentError", PLANTED), False, "ArgumentError"),
        (driver_error("pymysql.err", "DataError", 9999, PLANTED), True, "does not fit"),
        (driver_error("psycopg", "ProgrammingError", PLANTED), True, "is not there, or is of another type"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_kind_and_code_are_told_and_nothing_of_the_text(error, permanent, words):
    with pytest.raises(RobofyDatabaseError, match=words) as caught, translated("Loading into t"):
        raise error
    assert isinstance(caught.value, RobofyDatabaseRefusedError) == permanent == caught.value.permanent
    assert PLANTED not in str(caught.value)
    assert str(caught.value).startswith("Loading into t failed (")
    assert caught.value.__suppress_context__


NULL_IN_A_COLUMN = driver_error("psycopg.errors", "NotNullViolation", PLANTED, sqlstate="23502")
NULL_IN_A_COLUMN.diag = SimpleNamespace(column_name="email", constraint_name=None)  # type: ignore[attr-defined]
GONE = {"connection_invalidated": True, "orig": driver_error("MySQLdb", "ProgrammingError", 9999, PLANTED)}


@pytest.mark.parametrize(
    ("name", "fields", "permanent", "words"),
    [
        ("IntegrityError", {"orig": NULL_IN_A_COLUMN}, True, r"\(NotNullViolation, SQLSTATE 23502, column 'email'\)"),
        ("ProgrammingError", GONE, False, r"error 9999\): the database .* went away"),
    ],
    ids=["a column", "a connection that is gone"],
)
def test_sqlalchemys_error_is_told_as_the_drivers(name, fields, permanent, words):
    with pytest.raises(RobofyDatabaseError, match=words) as caught, translated("x"):
        raise driver_error("sqlalchemy.exc", name, PLANTED, **fields)
    assert caught.value.permanent is permanent


def test_a_path_that_sqlite_cannot_read_is_told_with_what_to_write():
    with (
        pytest.raises(RobofyDatabaseRefusedError, match=r"SQLITE_ERROR.*write its path as the host"),
        translated("Connecting", connecting=True),
    ):
        sqlite3.connect("file://nowhere/w.db", uri=True)


def test_sqlite_names_its_errors():
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t (a PRIMARY KEY)")
    with pytest.raises(RobofyDatabaseRefusedError, match="IntegrityError, SQLITE_CONSTRAINT_"), translated("x"):
        database.executemany("INSERT INTO t VALUES (?)", [(1,), (1,)])


def test_other_errors_are_not_touched():
    with pytest.raises(KeyError), translated("x"):
        raise KeyError("mine")
