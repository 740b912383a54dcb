"""What a database's error may be told of: its kind and its code, and never its text, which can hold what was stored."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyDatabaseError, RobofyDatabaseRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Packages whose errors are those of a database.
_DRIVERS: Final = {"sqlalchemy", "psycopg", "psycopg2", "MySQLdb", "mysql", "pymysql", "sqlite3"}

_DENIED: Final = "the connection's user may not do this. Grant what docs/warehouse.md lists, or log in as another user."
_LOGIN: Final = "the database did not let the connection's user in. Check login, password and schema of the connection."
_MISFIT: Final = (
    "a value does not fit into its column. Was the table made by hand? Give the column a wider type, or let the task "
    "make the table."
)
_RULE: Final = (
    "a constraint, a unique key or a trigger of the table forbids a row. Drop it, or load into another table."
)
_MISSING: Final = "something that the statement names is not there, or is of another type."
_AWAY: Final = "the database could not be reached, or went away. The task's retries apply."
_BUSY: Final = "another transaction stood in the way. The task's retries apply."
_FULL: Final = "the database has run out of something, such as disk or connections. The task's retries apply."
_TOO_LARGE: Final = "a row is larger than max_allowed_packet of the server, or a table wider than it takes."
_OTHER: Final = "see the log of the database."

#: By the first two characters of SQLSTATE: what it means, and whether a retry could mend it.
_CLASSES: Final = {
    "08": (_AWAY, True),
    "0A": (_MISSING, False),
    "22": (_MISFIT, False),
    "23": (_RULE, False),
    "25": (_DENIED, False),
    "28": (_LOGIN, False),
    "3D": (_LOGIN, False),
    "3F": (_MISSING, False),
    "40": (_BUSY, True),
    "42": (_MISSING, False),
    "53": (_FULL, True),
    "54": (_TOO_LARGE, False),
    "55": (_BUSY, True),
    "57": (_AWAY, True),
}
_NUMBERS: Final = {
    **dict.fromkeys((1044, 1142, 1143, 1227, 1290, 1370), (_DENIED, False)),
    **dict.fromkeys((1045, 1049, 1251, 1698, 2054, 2059), (_LOGIN, False)),
    **dict.fromkeys((1264, 1265, 1292, 1366, 1367, 1406, 3140), (_MISFIT, False)),
    **dict.fromkeys((1048, 1062, 1169, 1364, 1451, 1452, 1644, 3819, 4025), (_RULE, False)),
    **dict.fromkeys((1054, 1064, 1146, 1109), (_MISSING, False)),
    **dict.fromkeys((1071, 1074, 1117, 1118, 1153), (_TOO_LARGE, False)),
    **dict.fromkeys((1205, 1213, 1412, 1684, 1969), (_BUSY, True)),
    **dict.fromkeys((1021, 1040, 1041, 1114, 1203), (_FULL, True)),
    **dict.fromkeys((1053, 1927, 2002, 2003, 2005, 2006, 2013, 2055), (_AWAY, True)),
}
_SQLITE: Final = {
    "SQLITE_BUSY": (_BUSY, True),
    "SQLITE_LOCKED": (_BUSY, True),
    "SQLITE_FULL": (_FULL, True),
    "SQLITE_IOERR": (_FULL, True),
    "SQLITE_CANTOPEN": (_LOGIN, False),
    "SQLITE_NOTADB": (_LOGIN, False),
    "SQLITE_READONLY": (_DENIED, False),
    "SQLITE_CONSTRAINT": (_RULE, False),
    "SQLITE_ERROR": (_MISSING, False),
    "SQLITE_MISMATCH": (_MISFIT, False),
    "SQLITE_TOOBIG": (_MISFIT, False),
}


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn a database's error into one of ours, without its text and without its cause.

    :param doing: What was being done, for the sentence.
    :raises RobofyDatabaseRefusedError: A retry would fail in the same way.
    :raises RobofyDatabaseError: A retry may succeed.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _DRIVERS:
            raise
        raise _told(error, doing) from None


def _told(error: Exception, doing: str) -> RobofyDatabaseError:
    cause = getattr(error, "orig", None) or error
    code, (meaning, passing) = _read(cause)
    facts = [type(cause).__name__, *([code] if code else [])]
    # Names of the table's own parts: what somebody wrote into a CREATE TABLE, and no row's content.
    diagnosis = getattr(cause, "diag", None)
    for part in ("column", "constraint"):
        name = getattr(diagnosis, f"{part}_name", None)
        facts += [f"{part} {name!r}"] if name else []
    kind = RobofyDatabaseError if passing else RobofyDatabaseRefusedError
    return kind(f"{doing} failed ({', '.join(facts)}): {meaning} Nothing of the file is in the table.")


def _read(cause: Any) -> tuple[str, tuple[str, bool]]:
    """Return an error's code, what it means, and whether a retry may help."""
    unknown = (_OTHER, True)
    if name := getattr(cause, "sqlite_errorname", None):
        # SQLITE_CONSTRAINT_NOTNULL is a SQLITE_CONSTRAINT.
        return name, _SQLITE.get("_".join(name.split("_")[:2]), unknown)
    number = getattr(cause, "errno", None) or next(iter(cause.args), None)
    if type(number) is int:
        return f"error {number}", _NUMBERS.get(number, unknown)
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if state:
        return f"SQLSTATE {state}", (_DENIED, False) if state == "42501" else _CLASSES.get(state[:2], unknown)
    # No code at all: the connection was not made, or broke.
    return "", (_AWAY, True) if type(cause).__name__ in {"OperationalError", "InterfaceError"} else unknown
