"""A hundred thousand landed leads into PostgreSQL: the operator beside the hook's own ``insert_rows``, row by row.

The server is started here, with its own settings as they come. Both upsert into a table of the same columns and the
same key, and both read the rows from the landed file. They take turns, each in a process and a table of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import MB, measure, run
from tests.warehouse.servers import NoServerError, postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is promised: so many times faster, and resident growth.
MIN_RATIO, MAX_GROWTH = 5.0, 20 * MB
#: Seconds for fifty rows into a table of a million.
MAX_SECONDS = 0.15
_KEY = ("_project_id", "_chatbot_id", "id")
_COLUMNS = (*_KEY, "created_at", "source", "page_url", "ip_address", "lead_data", "_created_at")
_BOOKS = ("_fetched_at", "_run_key", "_row", "_content_hash")


def land(folder: Path, count: int, at: str, *, first: int = 0) -> dict[str, Any]:
    """Write a landed file of the leads from a number on, and return its manifest."""
    path = folder / f"leads-{count}-{at[:10]}.jsonl"
    with path.open("w") as file:
        for number in range(first, first + count):
            name = f"Person {number}"
            answers = [("name", "text", name), ("email", "email", f"p{number}@example.com"), ("phone", "phone", "0123")]
            row = {
                "_chatbot_id": "UOmfsaU_vRhAfIwDFrFLoXZUz9nHBAkDNkDygeBCjw",
                "_created_at": "2025-01-15T10:30:00+00:00",
                "_project_id": "24017",
                "created_at": "2025-01-15 10:30:00",
                "id": f"lead_{hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest()}",
                "ip_address": "203.0.113.7",
                "lead_data": [
                    dict(zip(("field_name", "field_type", "field_value"), one, strict=True)) for one in answers
                ],
                "page_url": "https://example.com/contact",
                "source": "chatbot",
            }
            file.write(f"{json.dumps(row, separators=(',', ':'))}\n")
    content = path.read_bytes()
    return {
        "resource": "leads",
        "mode": "full",
        "project_id": "24017",
        "chatbot_id": "UOmfsaU_vRhAfIwDFrFLoXZUz9nHBAkDNkDygeBCjw",
        "uri": str(path),
        "format": "jsonl",
        "rows": count,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rejected": 0,
        "run_key": f"benchmark/{at}/leads",
        "started_at": at,
    }


def operator(manifest: dict[str, Any], table: str) -> int:
    from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator

    loading = RobofyManifestToSqlOperator(task_id="load", manifest=manifest, table=table, sql_conn_id="warehouse")
    counts: dict[str, Any] = loading.execute({})
    return int(counts["rows"])


def as_values(manifest: dict[str, Any], table: str) -> int:
    """Run the operator with the form that other databases get: a statement with the values of many rows."""
    from sqlalchemy.dialects import postgresql as dialect

    from airflow_provider_robofy.warehouse.database import Database, on_conflict_update
    from airflow_provider_robofy.warehouse.postgresql import Postgresql

    def write(self: Database, statement: Any, target: Any, lines: Any) -> None:
        keys = [column.key for column in target.columns.values()]
        self.connection.execute(statement, [dict(zip(keys, line.values, strict=True)) for line in lines])

    changed: Any = Postgresql
    changed.write = write
    changed.insert = lambda _, target: on_conflict_update(dialect.insert(target.table), target)
    return operator(manifest, table)


def _values(manifest: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    from airflow_provider_robofy.extract.landed import rows

    for number, row in enumerate(rows(manifest), 1):
        row["lead_data"] = json.dumps(row["lead_data"])
        yield (*(row[name] for name in _COLUMNS), manifest["started_at"], manifest["run_key"], number, "")


def insert_rows(manifest: dict[str, Any], table: str) -> int:
    """Load the rows with the hook, which pipelines them where psycopg 3 is installed."""
    from airflow.providers.common.compat.sdk import BaseHook

    hook: Any = BaseHook.get_connection("warehouse").get_hook()
    hook.insert_rows(
        table,
        _values(manifest),
        target_fields=[*_COLUMNS, *_BOOKS],
        commit_every=1000,
        replace=True,
        replace_index=list(_KEY),
    )
    return int(hook.get_first(f"SELECT count(*) FROM {table}")[0])


def row_by_row(manifest: dict[str, Any], table: str) -> int:
    """Run the statement that ``insert_rows`` makes for each row, in one transaction."""
    from airflow.providers.common.compat.sdk import BaseHook

    hook: Any = BaseHook.get_connection("warehouse").get_hook()
    with closing(hook.get_conn()) as connection:
        cursor = connection.cursor()
        fields, keys = [*_COLUMNS, *_BOOKS], list(_KEY)
        for values in _values(manifest):
            sql = hook._generate_insert_sql(table, values, fields, replace=True, replace_index=keys)  # noqa: SLF001
            cursor.execute(sql, values)
        connection.commit()
    return int(hook.get_first(f"SELECT count(*) FROM {table}")[0])


CONTENDERS = {"operator": operator, "as values": as_values, "insert_rows": insert_rows, "row by row": row_by_row}


def contend(name: str, nothing: str, given: str, table: str) -> None:
    """Run one contender in this process, after all that is imported and made once: hook, drivers, the table."""
    import logging

    logging.disable(logging.INFO)
    operator(json.loads(Path(nothing).read_text()), table)
    manifest = json.loads(Path(given).read_text())
    measure(lambda: CONTENDERS[name](manifest, table))


def few_into_many(few: int = 50, many: int = 1_000_000, rounds: int = 5) -> bool:
    """Load some rows, half of them known, into a large table; return whether the limit is met."""
    try:
        with _folder() as folder:
            paths = []
            for day, count in enumerate((0, many, *[few] * rounds), 1):
                first = many - few // 2 if day > 2 else 0
                manifest = land(folder, count, f"2025-01-{day:02}T00:00:00+00:00", first=first)
                paths.append(folder / f"{day}.json")
                paths[-1].write_text(json.dumps(manifest))
            nothing, *given = map(str, paths)
            runs = [run("benchmarks.warehouse", "operator", nothing, one, "large") for one in given]
    except NoServerError as error:
        print(f"not measured: {error}")
        return True
    times = [one["seconds"] for one in runs[1:]]
    seconds = statistics.median(times)
    kept = seconds <= MAX_SECONDS
    print(
        f"{few} rows into {many:,}: {seconds:.3f} s ({min(times):.3f}-{max(times):.3f}, {rounds} rounds; promised: "
        f"{MAX_SECONDS}): {'kept' if kept else 'MISSED'}"
    )
    return kept


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder, while a server runs that the connection ``warehouse`` leads to."""
    with tempfile.TemporaryDirectory() as folder, postgresql() as server:
        connection = {"conn_type": "postgres", "host": str(server), "login": "postgres", "schema": "postgres"}
        os.environ.update(AIRFLOW_HOME=folder, AIRFLOW_CONN_WAREHOUSE=json.dumps(connection))
        yield Path(folder)


def compare(leads: int = 100_000, rounds: int = 3) -> bool:
    """Compare the contenders and print a table; return whether the limit is met."""
    print(
        f"{leads:,} landed leads into PostgreSQL, {rounds} rounds, each contender in a process and a table of its own"
    )
    seconds: dict[str, list[float]] = {name: [] for name in (*CONTENDERS, "operator, again")}
    grown: dict[str, float] = dict.fromkeys(seconds, 0.0)
    try:
        with _folder() as folder:
            paths = {}
            for name, count, at in (
                ("none", 0, "2025-01-01"),
                ("all", leads, "2025-01-02"),
                ("later", leads, "2025-01-03"),
            ):
                paths[name] = folder / f"{name}.json"
                paths[name].write_text(json.dumps(land(folder, count, f"{at}T00:00:00+00:00")))
            for number in range(rounds):
                steps = [(name, "all", f"{name.replace(' ', '_')}_{number}") for name in CONTENDERS]
                steps.append(("operator, again", "later", f"operator_{number}"))
                for name, manifest, table in steps:
                    contender = name.partition(",")[0]
                    given = [str(paths[one]) for one in ("none", manifest)]
                    figures = run("benchmarks.warehouse", contender, *given, table)
                    if figures["count"] != leads:
                        raise RuntimeError(f"{name} loaded {figures['count']} rows")
                    seconds[name].append(figures["seconds"])
                    grown[name] = max(grown[name], figures["grown"])
    except NoServerError as error:
        print(f"not measured: {error}")
        return True
    print(f"{'':20}{'seconds':>10}{'rows/s':>10}{'grown MB':>10}   how many times as fast as row by row (min-max)")
    ratio = 0.0
    for name, times in seconds.items():
        ratios = [slow / fast for slow, fast in zip(seconds["row by row"], times, strict=True)]
        middle = statistics.median(times)
        shown = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        print(f"{name:20}{middle:>10.2f}{leads / middle:>10,.0f}{grown[name] / MB:>10.1f}   {shown}")
        if name == "operator":
            ratio = statistics.median(ratios)
    kept = ratio >= MIN_RATIO and grown["operator"] <= MAX_GROWTH
    print(f"promised: ratio >= {MIN_RATIO}, growth <= {MAX_GROWTH / MB:.0f} MB: {'kept' if kept else 'MISSED'}")
    return kept


if __name__ == "__main__":
    if len(sys.argv) > 1:
        contend(*sys.argv[1:])
    else:
        sys.exit(0 if all([compare(), few_into_many()]) else 1)
