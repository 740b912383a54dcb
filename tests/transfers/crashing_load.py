"""Load a landed file and be killed at each step. Started by test_accidents.py; knows no Airflow, so it is quick.

Usage: python crashing_load.py '{"kind": "sqlite", "connection": {...}, "manifest": {...}, "modes": ["upsert"]}'
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from importlib import import_module
from typing import Any

from airflow_provider_robofy.extract.landed import hold, open_uri
from airflow_provider_robofy.warehouse.database import open_database
from airflow_provider_robofy.warehouse.load import Load
from airflow_provider_robofy.warehouse.table import TableName

STEPS = ("table_made", "second_chunk", "before_commit")


def connect(kind: str, connection: dict[str, Any]) -> Any:
    if kind == "sqlite":
        return sqlite3.connect(connection["host"])
    if kind == "postgresql":
        options = connection["extra"]["options"]
        return import_module("psycopg2").connect(
            host=connection["host"], user="postgres", dbname="postgres", options=options
        )
    return import_module("MySQLdb").connect(
        user="root", unix_socket=connection["extra"]["unix_socket"], db=connection["schema"]
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(options: dict[str, Any], mode: str, step: str) -> None:
    put, write = Load._put, Load._write
    chunks = 0

    def counting_put(self: Load, target: Any, lines: Any) -> None:
        nonlocal chunks
        put(self, target, lines)
        chunks += 1
        if chunks == 2 and step == "second_chunk":
            die()

    def dying_write(self: Load, target: Any, lines: Any) -> None:
        if step == "table_made":
            die()
        write(self, target, lines)
        if step == "before_commit":
            die()

    Load._put, Load._write = counting_put, dying_write  # type: ignore[method-assign]
    manifest = options["manifest"]
    with (
        hold(manifest, open_uri(manifest["uri"])) as held,
        open_database(
            lambda: connect(options["kind"], options["connection"]), "Connection 'x'", lambda: None
        ) as database,
    ):
        Load(database=database, table=TableName.of(mode), manifest=manifest, mode=mode, chunk_size=2).run(held)


def main(options: dict[str, Any]) -> None:
    for module in ("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "sqlalchemy.dialects.mysql"):
        import_module(module)
    for mode in options["modes"]:
        for step in STEPS:
            # Imported once, killed many times.
            child = os.fork()
            if child == 0:
                crash(options, mode, step)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.WIFSIGNALED(status), (mode, step, status)
            print(mode, step)  # noqa: T201


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
