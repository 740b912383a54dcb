"""PostgreSQL: a chunk of rows goes as one JSON document, which the server takes apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from airflow_provider_robofy.warehouse.dialect import KNOWN, Dialect, Line, Target
from airflow_provider_robofy.warehouse.layout import CONTENT, FETCHED_AT, ROW
from airflow_provider_robofy.warehouse.values import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection


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

    def put(self, connection: Connection, target: Target, lines: Sequence[Line]) -> int:
        given = {f"k{number}": value for number, value in enumerate(target.constants.values())}
        document = b"[" + b",".join([_element(target.key, line) for line in lines]) + b"]"
        result = connection.exec_driver_sql(self._sql(target), {"rows": document.decode(), **given})
        return int(result.rowcount)

    @staticmethod
    def _sql(target: Target) -> str:
        given = {name: f"CAST(%(k{number})s AS text)" for number, name in enumerate(target.constants)}
        places = target.places
        texts = [given.get(place.name, f"r.{place.quoted}") for place in places]
        # Text is not cast: a cast to VARCHAR(n) would cut it, an assignment refuses.
        cells = [
            text if place.kind is Kind.TEXT else f"CAST({text} AS {place.type})"
            for text, place in zip(texts, places, strict=True)
        ]
        record = ", ".join(f"{place.quoted} text" for place in places if place.name not in given)
        sql = (
            f"INSERT INTO {target.table} AS t ({target.names}) SELECT {', '.join(cells)} "
            f"FROM jsonb_to_recordset(CAST(%(rows)s AS jsonb)) AS r({record})"
        )
        if not target.upserts:
            return sql
        changes = ", ".join(f"{one} = EXCLUDED.{one}" for one in target.changing)
        [fetched_at] = target.quoted(FETCHED_AT)
        return (
            f"{sql} ON CONFLICT ({', '.join(target.key_places)}) DO UPDATE SET {changes} "
            f"WHERE t.{fetched_at} <= EXCLUDED.{fetched_at}"
        )


def _element(key: str, line: Line) -> bytes:
    """Return a row's document with what the file does not say itself."""
    content = line.document[1:-2]
    return b'{"%b":%b,"%b":%d,"%b":"%b"%b%b}' % (
        key.encode(),
        orjson.dumps(line.key),
        ROW.encode(),
        line.number,
        CONTENT.encode(),
        line.content.encode(),
        b"," if content else b"",
        content,
    )
