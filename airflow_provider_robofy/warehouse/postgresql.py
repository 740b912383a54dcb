"""PostgreSQL: a chunk of rows goes as one JSON document, which the server takes apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from sqlalchemy import bindparam, cast, column, func, literal, literal_column, select, true, types
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import quoted_name

from airflow_provider_robofy.resources import Kind
from airflow_provider_robofy.warehouse.database import Database, on_conflict_update, refuse
from airflow_provider_robofy.warehouse.table import BOOKKEEPING, CONTENT_HASH, ROW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.dml import Insert

    from airflow_provider_robofy.warehouse.table import Line, Target

#: ON CONFLICT came with 9.5; what calls itself older (Redshift does) has none.
_OLDEST = (9, 5)


class Postgresql(Database):
    """PostgreSQL."""

    name = "PostgreSQL"
    longest_name = 63
    counted = "bytes"
    # Those that every table has; oid until version 11.
    system_columns = frozenset({"oid", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
    types: ClassVar = {
        Kind.TEXT: types.Text(),
        Kind.JSON: postgresql.JSONB(),
        Kind.INTEGER: types.BigInteger(),
        Kind.TIME: types.DateTime(timezone=True),
    }

    @staticmethod
    def configure(raw: Any) -> None:
        raw.autocommit = False
        if hasattr(raw, "row_factory"):
            from psycopg.rows import tuple_row

            raw.row_factory = tuple_row
        else:
            raw.cursor_factory = None

    def start(self, where: str) -> None:
        found = self.connection.dialect.server_version_info or ()
        if found < _OLDEST:
            raise refuse(f"PostgreSQL {'.'.join(map(str, found))} (9.5 or newer is needed)", where)

    def begin(self) -> bool:
        run = self.connection.exec_driver_sql
        # A snapshot of before the lock was had would show rows as they were before.
        run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
        # Times are bound as text without a zone.
        run("SET LOCAL TIME ZONE 'UTC'")
        # Nothing is known yet of a table that is just being filled, and what is guessed of it misleads the planner.
        run("SET LOCAL enable_seqscan = off")
        run("SET LOCAL lock_timeout = '60s'")
        return True

    def try_lock(self, number: int) -> bool:
        return bool(self.connection.scalar(select(func.pg_try_advisory_xact_lock(number))))

    def find(self, target: Target, owner: tuple[str, str], keys: Sequence[str]) -> dict[str, Sequence[Any]]:
        project, agent, key = target.key_columns
        wanted = func.unnest(cast(list(keys), postgresql.ARRAY(types.Text))).table_valued("key").render_derived("k")
        # OFFSET 0 keeps it a look into the index for each key, by all of its columns.
        found = (
            select(key, *(target.columns[name] for name in BOOKKEEPING))
            .where(project == owner[0], agent == owner[1], key == wanted.c.key)
            .offset(literal_column("0"))
            .lateral("f")
        )
        rows = self.connection.execute(select(found).select_from(wanted.join(found, true()))).all()
        return {row[0]: row[1:] for row in rows}

    def insert(self, target: Target) -> Insert:
        names = [quoted_name(name, quote=True) for name in target.types if name not in target.constants]
        rows = func.jsonb_to_recordset(cast(bindparam("rows", type_=types.Text), postgresql.JSONB))
        record = rows.table_valued(*(column(name, types.Text) for name in names)).render_derived("r", with_types=True)
        cells: dict[str, Any] = dict(zip(names, record.c, strict=True))
        cells |= {name: literal(value, types.Text) for name, value in target.constants.items()}
        # Text is not cast: a cast to VARCHAR(n) would cut it, an assignment refuses.
        values = [
            cells[name] if isinstance(type_, types.String) else cast(cells[name], type_)
            for name, type_ in target.types.items()
        ]
        statement = postgresql.insert(target.table).from_select(list(target.columns.values()), select(*values))
        statement = on_conflict_update(statement, target) if target.upserts else statement
        return statement.execution_options(preserve_rowcount=True)

    def write(self, statement: Insert, target: Target, lines: Sequence[Line]) -> int:
        document = b"[" + b",".join([_element(target.key, line) for line in lines]) + b"]"
        return int(self.connection.execute(statement, {"rows": document.decode()}).rowcount)


def _element(key: str, line: Line) -> bytes:
    """Return a row's document with what the file does not say itself."""
    content = line.document[1:-2]
    return b'{"%b":%b,"%b":%d,"%b":"%b"%b%b}' % (
        key.encode(),
        orjson.dumps(line.key),
        ROW.encode(),
        line.number,
        CONTENT_HASH.encode(),
        line.content.encode(),
        b"," if content else b"",
        content,
    )
