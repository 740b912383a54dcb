"""The statement that merges landed rows into a table of a warehouse which has a load operator of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from unicodedata import category

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.columns import table_of
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Callable

_FETCHED_AT: Final = "_fetched_at"
_NUMBER: Final = "_number"


@dataclass(frozen=True)
class _Dialect:
    """What differs between warehouses.

    :param longest: Characters that a name may have.
    :param quote: What is put around a name.
    :param time: The type of a time with a zone.
    :param in_bytes: Is the length of a name counted in bytes of UTF-8? Default False.
    :param merges: Has it a MERGE that takes a condition? Default True.
    """

    longest: int
    quote: str = '"'
    time: str = "TIMESTAMPTZ"
    in_bytes: bool = False
    merges: bool = True


_DIALECTS: Final = {
    "snowflake": _Dialect(255, time="TIMESTAMP_TZ"),
    "bigquery": _Dialect(300, quote="`", time="TIMESTAMP"),
    "databricks": _Dialect(255, quote="`", time="TIMESTAMP"),
    "duckdb": _Dialect(1000),
    "postgres": _Dialect(63, in_bytes=True),
    "redshift": _Dialect(127, in_bytes=True, merges=False),
}


def merge_statement(
    resource: str, table: str, staging: str, dialect: str, fetched_at: str | datetime | Mapping[str, Any]
) -> str:
    """Return the SQL that merges a staging table, into which one landed file was loaded, into a table of all rows.

    Each row is in the table once, in the version that was fetched last; an older file never takes a newer row back, and
    the same file changes nothing the second time. Usage, with ``manifest`` as a fetch task returned it::

        merge_statement("leads", "robofy.leads", "robofy.leads_staging", "snowflake", manifest)

    Of several versions of one row in the file the one with the latest time is taken.

    :param resource: ``leads``, ``sessions`` or ``messages``.
    :param table: The table as ``table``, ``schema.table`` or ``database.schema.table``. It has the columns of the
        resource's Parquet files, and ``_fetched_at``, a time with a zone. Names are quoted, so their case counts.
    :param staging: The staging table, named likewise. It has the columns of the Parquet files.
    :param dialect: ``snowflake``, ``bigquery``, ``databricks``, ``duckdb``, ``postgres`` (15 or newer) or ``redshift``.
    :param fetched_at: When the listing began: ``started_at`` of the manifest. Or the manifest, whose resource is then
        compared with ``resource``.
    :return: A MERGE; for Redshift, whose MERGE takes no condition, a DELETE and an INSERT in one transaction.
    :raises RobofyConfigError: A name, the dialect, the resource or the time is none of these, or the manifest is one of
        another resource; the message names it.
    """
    if dialect not in _DIALECTS:
        raise RobofyConfigError(f"dialect={str(dialect)[:40]!r} must be one of {', '.join(_DIALECTS)}.")
    kind, columns = _DIALECTS[dialect], table_of(resource)
    at: Any = fetched_at
    if isinstance(at, Mapping):
        landed = at.get("resource")
        if landed != resource:
            raise RobofyConfigError(
                f"fetched_at: the manifest is one of {str(landed)[:40]!r}, and resource is {resource!r}. Load files of "
                f"{resource} into this table."
            )
        at = at.get("started_at")

    def quoted(name: str) -> str:
        return f"{kind.quote}{name.replace(kind.quote, kind.quote * 2)}{kind.quote}"

    target, source = (_path(what, given, dialect, quoted) for what, given in (("table", table), ("staging", staging)))
    time = f"CAST('{_moment(at)}' AS {kind.time})"
    names = [quoted(name) for name in columns.names]
    keys = [quoted(name) for name in (PROJECT_ID, CHATBOT_ID, columns.resource.key)]
    fetched, number = quoted(_FETCHED_AT), quoted(_NUMBER)
    latest = quoted(columns.resource.landed_time or columns.resource.key)
    listed = ", ".join(names)
    # Without a project the column is null, and null equals nothing.
    partition = ", ".join([f"COALESCE({keys[0]}, '')", *keys[1:]])
    one_each = (
        f"(SELECT {listed} FROM (SELECT {listed}, ROW_NUMBER() OVER (PARTITION BY {partition} "  # noqa: S608 (names are quoted)
        f"ORDER BY {latest} DESC NULLS LAST) AS {number} FROM {source}) numbered "
        f"WHERE {number} = 1) s"
    )

    def same(left: str) -> str:
        first = f"COALESCE({left}.{keys[0]}, '') = COALESCE(s.{keys[0]}, '')"
        return " AND ".join([first, *(f"{left}.{key} = s.{key}" for key in keys[1:])])

    inserted = ", ".join([*(f"s.{name}" for name in names), time])
    if not kind.merges:
        # Without an alias, which a DELETE of Redshift has none of: the table goes by the last part of its name.
        own = quoted(table.strip().rpartition(".")[2])
        return (
            f"BEGIN;\nDELETE FROM {target} WHERE {own}.{fetched} <= {time} AND EXISTS "  # noqa: S608 (names are quoted)
            f"(SELECT 1 FROM {source} s WHERE {same(own)});\n"
            f"INSERT INTO {target} ({listed}, {fetched})\nSELECT {inserted} FROM {one_each}\n"
            f"WHERE NOT EXISTS (SELECT 1 FROM {target} t WHERE {same('t')});\nCOMMIT;"
        )
    changed = ", ".join([*(f"{name} = s.{name}" for name in names if name not in keys), f"{fetched} = {time}"])
    return (
        f"MERGE INTO {target} t\nUSING {one_each}\nON {same('t')}\n"  # noqa: S608 (names are quoted)
        f"WHEN MATCHED AND t.{fetched} <= {time} THEN UPDATE SET {changed}\n"
        f"WHEN NOT MATCHED THEN INSERT ({listed}, {fetched}) VALUES ({inserted})"
    )


def _path(what: str, given: Any, dialect: str, quoted: Callable[[str], str]) -> str:
    """Return the quoted name of a table, or raise where the warehouse cannot hold it."""
    kind = _DIALECTS[dialect]
    parts = given.strip().split(".") if isinstance(given, str) else []
    if not 1 <= len(parts) <= 3 or not all(part.strip() for part in parts):
        raise RobofyConfigError(
            f"{what}={str(given)[:80]!r} must be the name of a table, schema.table or database.schema.table."
        )
    for part in parts:
        length = len(part.encode(errors="surrogatepass")) if kind.in_bytes else len(part)
        if length > kind.longest:
            raise RobofyConfigError(
                f"{what}: {part[:80]!r} has {length} {'bytes' if kind.in_bytes else 'characters'}; a name in {dialect} "
                f"has {kind.longest} at most."
            )
        # BigQuery and DuckDB's tools read a backslash as an escape, and no name needs one.
        if bad := next((one for one in part if one in "`\\" or category(one) in {"Cc", "Cs"}), None):
            raise RobofyConfigError(f"{what}: {part[:80]!r} holds {bad!r}, which no name may here.")
    return ".".join(map(quoted, parts))


def _moment(fetched_at: Any) -> str:
    try:
        time = fetched_at if isinstance(fetched_at, datetime) else datetime.fromisoformat(fetched_at)
        utc = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise RobofyConfigError(
            f"fetched_at={str(fetched_at)[:40]!r} is no time in ISO 8601. Give the file's manifest, or its started_at."
        ) from None
    return utc.isoformat(" ", "microseconds")
