"""DuckDB, Polars, pandas and Spark read landed Parquet and CSV to the values that were written.

The rows are those of the suite's own cases: whatever breaks quoting, encodings and types, and what hypothesis draws.
"""

from __future__ import annotations

import logging
import os
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.extract.columns import table_of
from airflow_provider_robofy.extract.formats import Format, defused
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.resources import RESOURCES, Kind
from tests.extract.formats.test_csv import FORMULAS, NASTY
from tests.extract.formats.test_round_trip import rows_of, texts, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

Cells = list[tuple[Any, ...]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = ["0001-01-01T00:00:00+00:00", "1969-12-31T23:59:59.000001+00:00", "2025-01-15T10:30:00+00:00",
         "9999-12-31T23:59:59.999999+00:00", "soon", None]  # fmt: skip
NUMBERS = [0, 1, -1, 2**63 - 1, -(2**63)]
#: What Spark is told to take for null: no cell can be it, and then empty text is no null.
NEVER = "\0"


# ---------------------------------------------------------------------------------------------------------- rows
def drawn(strategy: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same few hundred rows each time."""
    rows: list[dict[str, Any]] = []

    @settings(max_examples=80, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(strategy, max_size=4))
    def collect(some: list[dict[str, Any]]) -> None:
        rows.extend(some)

    collect()
    return rows


def rows_for(resource: str) -> list[dict[str, Any]]:
    """Return rows of a resource, with every case in every column that can hold it."""
    table = table_of(resource)
    fields = table.resource.fields
    kinds: dict[Kind, list[Any]] = {
        Kind.TEXT: [*NASTY, *FORMULAS, "a\0b", "\ud83d"],
        Kind.JSON: [[text] for text in NASTY],
        Kind.TIME: TIMES,
        Kind.INTEGER: NUMBERS,
    }
    longest = max(map(len, kinds.values()))
    rows = [
        {field.name: kinds[field.kind][index % len(kinds[field.kind])] for field in fields} for index in range(longest)
    ]
    if table.resource.sent:
        return [*rows, *({key: row[key] for key in list(row)[::2]} for row in rows), *drawn(rows_of(resource))]
    # Rows of the provider's own columns always have them all.
    some = {Kind.TEXT: texts | st.none(), Kind.JSON: values, Kind.INTEGER: st.sampled_from(NUMBERS)}
    whole = {field.name: some.get(field.kind, st.sampled_from(TIMES)) for field in fields}
    return rows + drawn(st.fixed_dictionaries(whole, optional={"text": values}))


def micros(cell: Any) -> Any:
    return (cell - EPOCH) // timedelta(microseconds=1) if isinstance(cell, datetime) else cell


def as_csv(cell: Any) -> str | None:
    return cell.isoformat() if isinstance(cell, datetime) else None if cell is None else str(cell)


@pytest.fixture(scope="module", params=RESOURCES)
def landed(request, tmp_path_factory) -> tuple[str, dict[str, Path], list[tuple[Any, ...]]]:
    """Return a resource, its files by format, and the cells that they hold."""
    resource = request.param
    folder = tmp_path_factory.mktemp(resource)
    lines = list(map(codec.dump_line, rows_for(resource)))
    files = {}
    for name, defuse in (("parquet", True), ("csv", False), ("csv.gz", False), ("defused.csv", True)):
        format_ = Format(name.removeprefix("defused."), resource, defuse_formulas=defuse)
        files[name] = folder / f"{resource}.{name}"
        with Spool(folder / "spool", compress=format_.compressed, writer=format_.writer) as spool:
            spool.append(b"".join(lines))
            spool.finish()
            shutil.copy(folder / "spool", files[name])
    rows = list(map(codec.loads, lines))
    return resource, files, list(zip(*table_of(resource).columns(rows, plain=False), strict=True))


# -------------------------------------------------------------------------------------------------------- readers
def numbered(resource: str, name: str, micros_of: str) -> str:
    """Return a column as SQL, a time as the number of its microseconds: Python's own ends where theirs go on."""
    return f'{micros_of}("{name}")' if table_of(resource).kinds[name] is Kind.TIME else f'"{name}"'


def duckdb_parquet(path: Path, resource: str) -> Cells:
    columns = ", ".join(numbered(resource, name, "epoch_us") for name in table_of(resource).names)
    return duckdb.sql(f"SELECT {columns} FROM read_parquet('{path}')").fetchall()


def duckdb_csv(path: Path, _: str) -> Cells:
    return duckdb.sql(
        f"SELECT * FROM read_csv('{path}', all_varchar = true, header = true, delim = ',', quote = '\"', "
        "escape = '\"', new_line = '\\n', nullstr = '', allow_quoted_nulls = false)"
    ).fetchall()


def polars_parquet(path: Path, _: str) -> Cells:
    frame = pl.read_parquet(path)
    return frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.epoch("us")).rows()


def polars_csv(path: Path, _: str) -> Cells:
    return pl.read_csv(path, infer_schema=False).rows()


def pandas_parquet(path: Path, _: str) -> Cells:
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    times = [name for name, kind in frame.dtypes.items() if str(kind).startswith("timestamp")]
    frame[times] = frame[times].astype("int64[pyarrow]")
    rows = frame.itertuples(index=False, name=None)
    return [tuple(None if cell is pd.NA else cell for cell in row) for row in rows]


def pandas_csv(path: Path, _: str) -> Cells:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, lineterminator="\n")
    return list(frame.itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    if not shutil.which("java") and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs a Java machine: apt-get install openjdk-17-jre-headless")
    from pyspark.sql import SparkSession

    logging.getLogger("py4j").setLevel(logging.WARNING)  # it logs when pytest has closed its output
    local = {"spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC", "spark.ui.showConsoleProgress": "false"}
    local |= dict.fromkeys(("spark.driver.host", "spark.driver.bindAddress"), "127.0.0.1")
    session = SparkSession.builder.master("local[1]").config(map=local).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture
def spark_parquet(spark) -> Callable[[Path, str], Cells]:
    def read(path: Path, resource: str) -> Cells:
        columns = [numbered(resource, name, "unix_micros").replace('"', "`") for name in table_of(resource).names]
        return [tuple(row) for row in spark.read.parquet(str(path)).selectExpr(*columns).collect()]

    return read


@pytest.fixture
def spark_csv(spark) -> Callable[[Path, str], Cells]:
    def read(path: Path, _: str) -> Cells:
        frame = spark.read.csv(str(path), header=True, multiLine=True, escape='"', lineSep="\n", nullValue=NEVER)
        return [tuple(row) for row in frame.collect()]

    return read


READERS = {"duckdb": (duckdb_parquet, duckdb_csv), "polars": (polars_parquet, polars_csv),
           "pandas": (pandas_parquet, pandas_csv), "spark": ("spark_parquet", "spark_csv")}  # fmt: skip


def reader(request: pytest.FixtureRequest, program: str, format_: str) -> Callable[[Path, str], Cells]:
    found: Any = READERS[program][format_ != "parquet"]
    return request.getfixturevalue(found) if isinstance(found, str) else found


# ---------------------------------------------------------------------------------------------------------- tests
@pytest.mark.parametrize("program", READERS)
def test_parquet_is_read_to_the_values_that_were_written(landed, program, request):
    resource, files, cells = landed
    found = reader(request, program, "parquet")(files["parquet"], resource)
    assert found == [tuple(map(micros, row)) for row in cells]


@pytest.mark.parametrize("name", ["csv", "csv.gz", "defused.csv"])
@pytest.mark.parametrize("program", READERS)
def test_csv_is_read_to_the_values_that_were_written(landed, program, name, request):
    resource, files, cells = landed
    expected = [tuple(map(as_csv, row)) for row in cells]
    if name == "defused.csv":
        expected = [tuple(cell and defused(cell) for cell in row) for row in expected]
    if program == "pandas":  # which does not tell nothing from empty text, as its documentation says
        expected = [tuple(cell or "" for cell in row) for row in expected]
    assert reader(request, program, name)(files[name], resource) == expected


@pytest.mark.parametrize("resource", RESOURCES)
def test_the_rows_hold_what_is_hard_to_read(resource):
    cells = [
        cell for row in zip(*table_of(resource).columns(rows_for(resource), plain=False), strict=True) for cell in row
    ]
    texts = {cell for cell in cells if isinstance(cell, str)}
    assert {*NASTY, *FORMULAS} <= texts
    assert None in cells
    assert any("\ufffd" in text for text in texts)
