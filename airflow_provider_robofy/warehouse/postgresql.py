"""PostgreSQL: a chunk of rows goes as one JSON document, which the server takes apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from airflow_provider_robofy.warehouse.dialect import KNOWN, Dialect, Target
from airflow_provider_robofy.warehouse.layout import AGENT, FETCHED_AT, PROJECT
from airflow_provider_robofy.warehouse.values import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from airflow_provider_robofy.warehouse.values import Bound


class Postgresql(Dialect):
    """Speak to PostgreSQL."""

    name = "PostgreSQL"
    longest_name = 63
    counted = "bytes"
    counts = True
    types: ClassVar = {
        Kind.TEXT: "TEXT",
        Kind.JSON: "JSONB",
        Kind.INTEGER: "BIGINT",
        Kind.TIME: "TIMESTAMP WITH TIME ZONE",
    }

    def settle(self, raw: Any) -> None:
        raw.autocommit = False
        if hasattr(raw, "row_factory"):
            from psycopg.rows import tuple_row

            raw.row_factory = tuple_row
        else:
            raw.cursor_factory = None

    def begin(self, connection: Connection) -> bool:
        # A snapshot of before the lock was had would show rows as they were before.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
        # Times are bound as text without a zone.
        connection.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
        # Nothing is known yet of a table that is just being filled, and what is guessed of it misleads the planner.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '60s'")
        return True

    def length_of(self, name: str) -> int:
        return len(name.encode())

    def try_lock(self, connection: Connection, number: int) -> bool:
        return bool(connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%(n)s)", {"n": number}).scalar())

    def find(
        self, connection: Connection, target: Target, owner: tuple[str, str], keys: Sequence[str]
    ) -> Sequence[Sequence[Any]]:
        project, agent, key = target.key_places
        wanted = ", ".join(f"t.{one}" for one in (key, *target.quoted(*KNOWN)))
        # OFFSET 0 keeps it a look into the index for each key, by all of its columns.
        sql = (
            "SELECT f.* FROM unnest(CAST(%(keys)s AS text[])) AS k(key) CROSS JOIN LATERAL "
            f"(SELECT {wanted} FROM {target.table} AS t "
            f"WHERE t.{project} = %(project)s AND t.{agent} = %(agent)s AND t.{key} = k.key OFFSET 0) AS f"
        )
        given = {"keys": list(keys), "project": owner[0], "agent": owner[1]}
        return connection.exec_driver_sql(sql, given).all()

    def put(self, connection: Connection, target: Target, rows: Sequence[tuple[Bound, ...]]) -> int:
        names = [f"c{number}" for number in range(len(target.places))]
        document = orjson.dumps([dict(zip(names, row, strict=True)) for row in rows]).decode()
        result = connection.exec_driver_sql(self._sql(target, names), {"rows": document})
        return int(result.rowcount)

    @staticmethod
    def _sql(target: Target, names: list[str]) -> str:
        # Text is not cast: a cast to VARCHAR(n) would cut it, an assignment refuses.
        cells = [
            f"r.{name}" if place.kind is Kind.TEXT else f"CAST(r.{name} AS {place.type})"
            for name, place in zip(names, target.places, strict=True)
        ]
        sql = (
            f"INSERT INTO {target.table} AS t ({target.names}) SELECT {', '.join(cells)} "
            f"FROM json_to_recordset(CAST(%(rows)s AS json)) AS r({', '.join(f'{name} text' for name in names)})"
        )
        if not target.upserts:
            return sql
        changes = ", ".join(f"{one} = EXCLUDED.{one}" for one in target.changing)
        [fetched_at] = target.quoted(FETCHED_AT)
        return (
            f"{sql} ON CONFLICT ({', '.join(target.quoted(PROJECT, AGENT, target.key))}) DO UPDATE SET {changes} "
            f"WHERE t.{fetched_at} <= EXCLUDED.{fetched_at}"
        )
