"""What a table is called: just as Airflow's SQL operators call it when they read or write the same one."""

from __future__ import annotations

import sys

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.hooks.lineage import Lineage
from airflow_provider_robofy.hooks.locations import Location

PASSWORD = "planted-password-3b1c"


def postgres(monkeypatch, port: str = ":6543"):
    hooks = pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    monkeypatch.setenv("AIRFLOW_CONN_DWH", f"postgres://etl:{PASSWORD}@dwh.example{port}/shop")
    return hooks.PostgresHook("dwh")


def mysql(monkeypatch, port: str):
    hooks = pytest.importorskip("airflow.providers.mysql.hooks.mysql")
    monkeypatch.setenv("AIRFLOW_CONN_DWH", f"mysql://etl:{PASSWORD}@dwh.example{port}/shop")
    return hooks.MySqlHook("dwh")


def as_sql_operators_do(hook, statement: str, schema: str) -> tuple[str, str]:
    """Let the OpenLineage provider read a statement, as it does for a SQL operator."""
    sqlparser = pytest.importorskip("airflow.providers.openlineage.sqlparser")
    connection = hook.get_connection("dwh")
    parser = sqlparser.SQLParser(hook.get_openlineage_database_dialect(connection), default_schema=schema)
    info = hook.get_openlineage_database_info(connection)
    lineage = parser.generate_openlineage_metadata_from_sql(statement, hook, info, use_connection=False)
    [output] = lineage.outputs
    return output.namespace, output.name


@pytest.mark.parametrize(
    ("make", "port", "schema", "default", "namespace", "name"),
    [
        (postgres, ":6543", "robofy", "public", "postgres://dwh.example:6543", "shop.robofy.leads"),
        (postgres, "", "robofy", "public", "postgres://dwh.example:5432", "shop.robofy.leads"),
        (mysql, ":6544", "other", "x", "mysql://dwh.example:6544", "other.leads"),
        (mysql, ":6544", None, "x", "mysql://dwh.example:6544", "shop.leads"),
    ],
)
def test_a_table_is_called_as_sql_operators_call_it(  # noqa: PLR0917
    monkeypatch, make, port, schema, default, namespace, name
):
    hook = make(monkeypatch, port)
    found = Location.of_table(hook, "leads", schema)
    statement = f"insert into {schema or 'shop'}.leads values (1)"
    assert (found.namespace, found.name) == as_sql_operators_do(hook, statement, default) == (namespace, name)
    assert found.uri == f"{namespace}/{name.replace('.', '/')}"
    assert Asset(uri=found.uri).uri == found.uri, "as Airflow's own assets are written"


def test_a_table_in_sqlite_lies_in_its_file(monkeypatch):
    hooks = pytest.importorskip("airflow.providers.sqlite.hooks.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_DWH", '{"conn_type": "sqlite", "host": "/data/shop.db"}')
    found = Location.of_table(hooks.SqliteHook(sqlite_conn_id="dwh"), "leads")
    assert found == Location("sqlite:///data/shop.db/leads", "sqlite:///data/shop.db", "leads")


def test_a_database_that_tells_openlineage_nothing_is_called_by_its_connection(monkeypatch):
    hook = postgres(monkeypatch)
    monkeypatch.setattr(hook, "get_openlineage_database_info", lambda connection: None)
    found = Location.of_table(hook, "leads", "robofy")
    assert (found.namespace, found.name) == ("postgres://dwh.example:6543", "shop.robofy.leads")


def test_without_openlineage_a_table_is_called_the_same(monkeypatch):
    """Hooks import the provider when they are asked, so the answer is an ImportError where it is missing."""
    hook = postgres(monkeypatch, port="")
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.sqlparser", None)
    found = Location.of_table(hook, "leads", "robofy")
    assert found.name == "shop.robofy.leads"
    # The handler of Airflow's postgres provider adds the port.
    assert Asset(uri=found.uri).uri == "postgres://dwh.example:5432/shop/robofy/leads"


def test_a_table_that_several_files_go_to_has_the_rows_of_all(monkeypatch, collector):
    pytest.importorskip("airflow.providers.openlineage")
    hook = postgres(monkeypatch)
    lineage = Lineage(hook)

    lineage.wrote_table(hook, "leads", "robofy", 7)
    lineage.wrote_table(hook, "leads", "robofy", 5)

    said = lineage.openlineage()
    assert said
    [output] = said.outputs
    assert output.outputFacets["outputStatistics"].rowCount == 12
    assert output.facets == {}
    assert collector.outputs == ["postgres://dwh.example:6543/shop/robofy/leads"]
    assert [value["rows"] for _, value in collector.extras] == [7, 5]
    assert PASSWORD not in collector.text + str(output)


def test_a_database_that_cannot_be_asked_fails_no_task(monkeypatch, caplog):
    hook = postgres(monkeypatch)

    def refuse() -> str:
        raise ConnectionError(PASSWORD)

    monkeypatch.setattr(hook, "get_openlineage_default_schema", refuse)
    Lineage(hook).wrote_table(hook, "leads", None, 7)
    assert "Lineage could not be reported (ConnectionError)." in caplog.text
    assert PASSWORD not in caplog.text
