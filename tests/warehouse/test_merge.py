"""The statement for warehouses with load operators of their own: run on PostgreSQL and DuckDB, parsed elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.columns import table_of
from airflow_provider_robofy.extract.parquet import ParquetWriter
from airflow_provider_robofy.resources import RESOURCES, Kind
from airflow_provider_robofy.warehouse.merge import merge_statement
from tests.warehouse.servers import NoServerError, postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECTS = ("snowflake", "bigquery", "databricks", "duckdb", "postgres", "redshift")
Run = Callable[[str], list[tuple[Any, ...]]]


def columns(resource: str) -> str:
    types = {Kind.TEXT: "text", Kind.JSON: "text", Kind.INTEGER: "bigint", Kind.TIME: "timestamptz"}
    return ", ".join(f'"{name}" {types[kind]}' for name, kind in table_of(resource).kinds.items())


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    psycopg2 = pytest.importorskip("psycopg2")
    try:
        with postgresql("fsync=off") as folder:
            yield psycopg2.connect(host=str(folder), user="postgres", dbname="postgres")
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["postgres", "redshift", "duckdb"])
def warehouse(request: pytest.FixtureRequest) -> tuple[str, Run]:
    """Return a dialect, and what runs SQL where it is understood: Redshift's statement is one of PostgreSQL too."""
    if request.param == "duckdb":
        database = pytest.importorskip("duckdb").connect()
        return "duckdb", lambda sql: database.execute(sql).fetchall()
    connection = request.getfixturevalue("server")
    connection.autocommit = True

    def run(sql: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    run("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
    return request.param, run


def literal(value: Any) -> str:
    return (
        "NULL" if value is None else str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
    )


def stage(run: Run, resource: str, rows: list[dict[str, Any]]) -> None:
    """Fill the staging table with what a Parquet file of these rows holds."""
    run(f'DROP TABLE IF EXISTS "staging"; CREATE TABLE "staging" ({columns(resource)})')
    kept = table_of(resource).columns(rows, plain=False) if rows else []
    for row in zip(*kept, strict=True):
        run(f'INSERT INTO "staging" VALUES ({", ".join(map(literal, row))})')


def lead(row_id: str, source: str, *, agent: str = "a", project: str | None = None, at: str | None = None) -> dict:
    names = table_of("leads").resource.fields
    return {**dict.fromkeys(field.name for field in names), "id": row_id, "source": source, "_chatbot_id": agent,
            "_project_id": project, "_created_at": at}  # fmt: skip


def test_each_row_is_there_once_in_the_version_that_was_fetched_last(warehouse: tuple[str, Run]) -> None:
    dialect, run = warehouse
    run(f'CREATE TABLE "Le""ads" ({columns("leads")}, "_fetched_at" timestamptz)')

    def merge(rows: list[dict[str, Any]], day: int) -> list[tuple[Any, ...]]:
        stage(run, "leads", rows)
        run(merge_statement("leads", 'Le"ads', "staging", dialect, f"2025-01-{day:02}T00:00:00+00:00"))
        return run('SELECT "_project_id", "_chatbot_id", "id", "source" FROM "Le""ads" ORDER BY 1, 2, 3')

    first = [lead("1", "old"), lead("2", "it's"), lead("1", "other", agent="b"), lead("1", "own", project="7")]
    expected = [("7", "a", "1", "own"), (None, "a", "1", "old"), (None, "a", "2", "it's"), (None, "b", "1", "other")]
    for _ in range(2):
        assert sorted(merge(first, 2), key=str) == sorted(expected, key=str)
    versions = [
        lead("1", "later", at="2025-01-02T00:00:00+00:00"),
        lead("1", "earlier", at="2025-01-01T00:00:00+00:00"),
        lead("1", "without a time"),
        lead("3", "new"),
    ]
    newer = [one for one in expected if one[3] != "old"] + [(None, "a", "1", "later"), (None, "a", "3", "new")]
    assert sorted(merge(versions, 3), key=str) == sorted(newer, key=str)
    # The older file once more takes nothing back.
    assert sorted(merge(first, 2), key=str) == sorted(newer, key=str)
    assert merge([], 4)


@pytest.mark.parametrize(
    ("resource", "key", "row"),
    [
        ("sessions", "session_id", {**dict.fromkeys(table_of("sessions").names[:9]), "session_id": "s"}),
        ("messages", "_message_key", {"_message_key": "k", "_session_id": "s", "_position": 0, "text": "Hi",
                                      "_project_id": None}),
    ],
)  # fmt: skip
def test_sessions_and_messages_merge_by_their_keys(
    warehouse: tuple[str, Run], resource: str, key: str, row: dict[str, Any]
) -> None:
    dialect, run = warehouse
    run(f'CREATE TABLE "target" ({columns(resource)}, "_fetched_at" timestamptz)')
    for day in (1, 2):
        stage(run, resource, [{**row, "_chatbot_id": "a"}])
        run(merge_statement(resource, "target", "staging", dialect, f"2025-01-0{day}T00:00:00+00:00"))
    assert run(f'SELECT "{key}" FROM "target"') == [(row[key],)]


def test_duckdb_merges_a_parquet_file_as_it_landed(tmp_path: Any) -> None:
    database = pytest.importorskip("duckdb").connect()
    rows = [{**lead("1", "chatbot", at="2025-01-15T10:30:00+00:00"), "lead_data": [{"field_name": "name"}]}]
    sink = io.BytesIO()
    writer = ParquetWriter(sink, table_of("leads"))
    writer.write(b"".join(map(codec.dump_line, rows)), rows)
    writer.finish()
    (tmp_path / "leads.parquet").write_bytes(sink.getvalue())
    database.execute(f"CREATE VIEW staging AS SELECT * FROM read_parquet('{tmp_path}/leads.parquet')")
    database.execute("CREATE TABLE leads AS SELECT *, CAST(NULL AS TIMESTAMPTZ) AS _fetched_at FROM staging LIMIT 0")
    for _ in range(2):
        database.execute(merge_statement("leads", "leads", "staging", "duckdb", "2025-01-15T11:00:00+00:00"))
    [(row_id, form)] = database.execute("SELECT id, lead_data FROM leads").fetchall()
    assert (row_id, json.loads(form)) == ("1", rows[0]["lead_data"])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("resource", RESOURCES)
def test_every_dialect_can_be_parsed(dialect: str, resource: str) -> None:
    pytest.importorskip("sqlglot")
    sqlglot: Any = import_module("sqlglot")
    statement = merge_statement(resource, "db.robofy.t", "db.robofy.s", dialect, "2025-01-15T10:30:00Z")
    found = [one for one in sqlglot.parse(statement, dialect=dialect) if one is not None]
    kinds = [type(one).__name__ for one in found]
    assert kinds == (["Transaction", "Delete", "Insert", "Commit"] if dialect == "redshift" else ["Merge"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dialect": "oracle"}, "dialect='oracle' must be one of snowflake, bigquery"),
        ({"resource": "agents"}, "The resource 'agents' has no columns"),
        ({"table": "a.b.c.d"}, r"table='a.b.c.d' must be the name of a table"),
        ({"staging": "s."}, r"staging='s\.' must be the name of a table"),
        ({"table": None}, "table='None' must be"),
        ({"table": "ü" * 32}, "has 64 bytes; a name in postgres has 63 at most"),
        ({"table": "a`b", "dialect": "bigquery"}, "table: 'a`b' holds '`'"),
        ({"staging": "a\0b"}, "staging: .* which no name may"),
        ({"fetched_at": "today"}, "fetched_at='today' is no time in ISO 8601. Give the file's manifest"),
        ({"fetched_at": None}, "fetched_at='None' is no time"),
        ({"fetched_at": {"resource": "leads"}}, "fetched_at='None' is no time"),
        ({"fetched_at": {"resource": "sessions"}}, "the manifest is one of 'sessions', and resource is 'leads'"),
    ],
)
def test_what_no_warehouse_can_hold_is_refused_by_name(arguments: dict[str, Any], words: str) -> None:
    given = {"resource": "leads", "table": "t", "staging": "s", "dialect": "postgres", "fetched_at": "2025-01-15"}
    with pytest.raises(RobofyConfigError, match=words):
        merge_statement(**{**given, **arguments})
