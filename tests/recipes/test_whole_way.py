"""From the API to a table of DuckDB and PostgreSQL by their own means: the examples as they stand, run by Airflow."""

from __future__ import annotations

import json
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_provider_robofy.extract.columns import table_of
from tests.warehouse.servers import NoServerError, postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)

#: Connections by their state, where the landing root is, and what reads the table.
Warehouse = tuple[dict[str, str], dict[str, str], "Callable[[str], list[tuple[Any, ...]]]"]


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    try:
        with postgresql("fsync=off") as folder:
            yield folder
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def duckdb_on_a_bucket(tmp_path, s3_environment) -> Warehouse:
    file = tmp_path / "leads.duckdb"

    def read(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(file), read_only=True) as database:
            return database.execute(sql).fetchall()

    def connection(path: Path) -> dict[str, str]:
        return {"AIRFLOW_CONN_DUCKDB_DEFAULT": json.dumps({"conn_type": "duckdb", "host": str(path)})}

    common = {**s3_environment, "AIRFLOW__ROBOFY__LANDING_ROOT": "s3://aws_default@landing/robofy"}
    return {**common, **connection(tmp_path / "nowhere" / "x")}, {**common, **connection(file)}, read


@pytest.fixture
def postgres_on_a_folder(tmp_path, server) -> Warehouse:
    def read(sql: str) -> list[tuple[Any, ...]]:
        psycopg2: Any = import_module("psycopg2")
        with closing(psycopg2.connect(host=str(server), user="postgres", dbname="postgres")) as database:
            cursor = database.cursor()
            cursor.execute(sql)
            return cursor.fetchall()

    def connection(host: str) -> dict[str, str]:
        value = {"conn_type": "postgres", "host": host, "login": "postgres", "schema": "postgres"}
        return {"AIRFLOW_CONN_POSTGRES_DEFAULT": json.dumps(value)}

    common = {"AIRFLOW__ROBOFY__LANDING_ROOT": str(tmp_path / "landing")}
    return {**common, **connection(str(tmp_path))}, {**common, **connection(str(server))}, read


@pytest.mark.parametrize(
    ("example", "warehouse"),
    [
        ("warehouses/robofy_leads_to_duckdb.py", "duckdb_on_a_bucket"),
        ("warehouses/robofy_leads_to_postgres.py", "postgres_on_a_folder"),
    ],
)
def test_every_lead_is_in_the_table_once_though_the_first_load_fails(
    example, warehouse, run_dag, robofy_emulator_factory, request
):
    broken, working, read = request.getfixturevalue(warehouse)
    robofy = robofy_emulator_factory(leads=140, agents=1)
    [agent] = robofy.chatbot_ids
    robofy.add_leads(1, chatbot_id=agent, source="=1+1", lead_data=[{"field_name": 'say "hi"\r\n', "field_value": "ü"}])
    there = {"AIRFLOW_CONN_ROBOFY_DEFAULT": robofy.connection_json()}

    run_dag(example, "2025-05-01", check=False, **there, **broken)
    assert robofy.count("list_leads") == 2, "what failed is not the load"
    run_dag(example, "2025-05-02", **there, **working)
    assert read("SELECT COUNT(*) FROM leads") == [(141,)], (
        "what the first run fetched, and could not load, is not there"
    )
    robofy.add_leads(3, chatbot_id=agent)
    run_dag(example, "2025-05-03", **there, **working)

    fetched = read('SELECT COUNT(*) FROM leads GROUP BY "_fetched_at" ORDER BY 1')
    assert fetched == [(3,), (141,)], "the cursor did not move when the load was done"
    names = [name for name in table_of("leads").names if not name.startswith("_")]
    columns = ", ".join(f'"{name}"' for name in names)
    found = {row[0]: dict(zip(names, row, strict=True)) for row in read(f"SELECT {columns} FROM leads")}
    expected = {row["id"]: row for row in robofy.leads(agent)}
    assert found.keys() == expected.keys()
    for key, lead in expected.items():
        assert found[key] | {"lead_data": json.loads(found[key]["lead_data"])} == lead
