"""Three databases, landed files, and the operator between them."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator
from tests.warehouse.servers import NoServerError, mariadb, postgresql

if TYPE_CHECKING:
    from pathlib import Path

DATABASES = ("postgresql", "mariadb", "sqlite")


def _absent(why: str) -> None:
    """Skip, but not where somebody has to notice."""
    if os.environ.get("CI"):
        pytest.fail(f"{why}, and CI is set: here nothing is skipped")
    pytest.skip(why)


def _need(*modules: str) -> None:
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            _absent(f"{module} is not installed")


@pytest.fixture(scope="session")
def postgresql_server():
    _need("airflow.providers.postgres.hooks.postgres")
    try:
        with postgresql("fsync=off", "full_page_writes=off") as folder:
            yield folder
    except NoServerError as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def mariadb_server():
    _need("MySQLdb", "airflow.providers.mysql.hooks.mysql")
    try:
        with mariadb() as socket:
            yield socket
    except NoServerError as error:
        _absent(str(error))


@dataclass
class Warehouse:
    """Look into a database from beside."""

    kind: str
    connection: dict[str, Any]

    def connect(self) -> Any:
        return BaseHook.get_connection("warehouse").get_hook().get_conn()

    def run(self, sql: str, *values: Any) -> list[tuple]:
        """Run a statement."""
        with closing(self.connect()) as connection:
            if hasattr(connection, "set_character_set"):
                connection.set_character_set("utf8mb4")
            cursor = connection.cursor()
            cursor.execute(sql, *([values] if values else []))
            rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
        return rows

    def quote(self, name: str) -> str:
        mark = "`" if self.kind == "mariadb" else '"'
        return f"{mark}{name.replace(mark, mark * 2)}{mark}"

    def columns(self, table: str = "t") -> list[str]:
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT * FROM {self.quote(table)} LIMIT 0")
            return [one[0] for one in cursor.description]

    def rows(self, table: str = "t", *, key: str = "id") -> list[dict[str, Any]]:
        """Return all rows in the order of their keys, JSON decoded."""
        names = self.columns(table)
        found = [dict(zip(names, row, strict=True)) for row in self.run(f"SELECT * FROM {self.quote(table)}")]
        for row in found:
            for name in ("lead_data", "_extra"):
                if self.kind != "postgresql" and row.get(name) is not None:
                    row[name] = json.loads(row[name])
        return sorted(found, key=lambda row: (row["_chatbot_id"], row[key], row["_run_key"]))


@pytest.fixture(params=DATABASES)
def warehouse(request, tmp_path, monkeypatch) -> Warehouse:
    """Give an empty place in a database, as the connection ``warehouse``."""
    kind = request.param
    return open_warehouse(kind, request, tmp_path, monkeypatch)


def open_warehouse(kind, request, tmp_path, monkeypatch) -> Warehouse:
    connection: dict[str, Any]
    use: dict[str, Any]
    name = f"t{hashlib.sha1(request.node.nodeid.encode()).hexdigest()[:12]}"
    if kind == "postgresql":
        folder = request.getfixturevalue("postgresql_server")
        connection = {"conn_type": "postgres", "host": str(folder), "login": "postgres", "schema": "postgres"}
        make = f"CREATE SCHEMA {name}"
        use = {"extra": {"options": f"-c search_path={name}"}}
    elif kind == "mariadb":
        socket = request.getfixturevalue("mariadb_server")
        connection = {"conn_type": "mysql", "login": "root", "extra": {"unix_socket": str(socket)}}
        make, use = f"CREATE DATABASE {name}", {"schema": name}
    else:
        _need("airflow.providers.sqlite.hooks.sqlite")
        connection, make, use = {"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}, "", {}
    warehouse = Warehouse(kind, {**connection, **use})
    if make:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
        warehouse.run(make)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(warehouse.connection))
    return warehouse


@dataclass
class Landed:
    """Land rows as a fetch task does."""

    folder: Path
    number: int = field(default=0)

    def __call__(
        self,
        rows: list[dict[str, Any]],
        *,
        resource: str = "leads",
        at: str = "2025-01-15T10:30:00.123456+00:00",
        agent: str = "agent",
        project: str | None = "24017",
        **changes: Any,
    ) -> dict[str, Any]:
        self.number += 1
        path = self.folder / f"landed-{self.number}.jsonl"
        stamp = {"_project_id": project, "_chatbot_id": agent}
        content = b"".join(codec.dump_line({**row, **stamp}) for row in rows)
        path.write_bytes(content)
        manifest = {
            "resource": resource,
            "mode": "full",
            "project_id": project,
            "chatbot_id": agent,
            "uri": str(path),
            "format": "jsonl",
            "rows": len(rows),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "rejected": 0,
            "run_key": f"dag/run-{self.number}/{resource}",
            "started_at": at,
            **changes,
        }
        (self.folder / f"{path.name}.manifest.json").write_text(json.dumps(manifest))
        return manifest


@pytest.fixture
def land(tmp_path) -> Landed:
    folder = tmp_path / "landed"
    folder.mkdir()
    return Landed(folder)


@pytest.fixture
def load():
    def run(manifest: Any, table: str = "t", **arguments: Any) -> dict[str, Any]:
        operator = RobofyManifestToSqlOperator(
            task_id="load", manifest=manifest, table=table, sql_conn_id="warehouse", **arguments
        )
        return execute(operator)

    return run


def execute(operator: RobofyManifestToSqlOperator) -> dict[str, Any]:
    """Execute without the guard that Airflow puts around, which on 2.11 knows the main thread only."""
    bare = getattr(type(operator).execute, "__wrapped__", type(operator).execute)
    result: dict[str, Any] = bare(operator, {})
    return result


def lead(number: int | str, **changes: Any) -> dict[str, Any]:
    """Return a lead as it lands."""
    return {
        "id": f"lead_{number}",
        "created_at": "2025-01-15 10:30:00",
        "source": "chatbot",
        "page_url": "https://example.com/contact",
        "ip_address": "203.0.113.7",
        "lead_data": [
            {"field_name": "name", "field_type": "text", "field_value": f"Person {number}"},
            {"field_name": "Email ", "field_type": "email", "field_value": f"p{number}@example.com"},
        ],
        "_created_at": "2025-01-15T10:30:00+00:00",
        **changes,
    }
