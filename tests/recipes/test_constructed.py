"""Warehouses that are not here: their DAGs are made by the real provider packages, and their statements are parsed.

Snowflake's statements are also run, by fakesnow.
"""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import warnings
from typing import Any

import fakesnow
import pytest
import sqlglot
from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.providers.databricks.hooks.databricks_sql import DatabricksSqlHook
from airflow.providers.google.cloud.hooks.bigquery import BigQueryHook
from airflow.providers.snowflake.hooks.snowflake import SnowflakeHook

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.columns import table_of
from tests.recipes.conftest import EXAMPLES, Run, tasks_of

STARTED = "2025-01-15T10:30:00+00:00"
#: Dialects, and what connections of the examples' ids look like.
DIALECTS: dict[str, dict[str, Any]] = {
    "snowflake": {"snowflake_default": {"conn_type": "snowflake", "login": "u", "password": "p", "schema": "ROBOFY",
                                        "extra": {"account": "a", "database": "DB", "warehouse": "w"}}},
    "bigquery": {"bigquery_default": {"conn_type": "gcpbigquery", "extra": {"project": "my-project"}}},
    "redshift": {"redshift_default": {"conn_type": "redshift", "host": "h", "login": "u", "password": "p"},
                 "aws_default": {"conn_type": "aws", "login": "key", "password": "secret"}},
    "databricks": {"databricks_default": {"conn_type": "databricks", "host": "h", "password": "t",
                                          "extra": {"http_path": "/sql/1.0/warehouses/x"}}},
}  # fmt: skip
ALL = [*DIALECTS, "duckdb", "postgres"]


def example(dialect: str) -> str:
    return f"warehouses/robofy_leads_to_{dialect}.py"


@pytest.fixture(params=DIALECTS)
def dialect(request, monkeypatch) -> str:
    for name, value in DIALECTS[request.param].items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(value))
    return request.param


@pytest.fixture
def manifest() -> dict[str, Any]:
    uri = "s3://aws_default@my-bucket/robofy/leads/manual.parquet"
    return {"resource": "leads", "started_at": STARTED, "uri": uri, "bytes": 7, "rows": 1}


def statements(tasks: dict[str, Any], manifest: dict[str, Any]) -> list[str]:
    """Return what the SQL tasks run, the merge last."""
    prepared = [task for name, task in tasks.items() if name.startswith("prepare_")]
    sql = [part for task in prepared for part in ([task.sql] if isinstance(task.sql, str) else task.sql)]
    return [*sql, tasks["merge_sql"].python_callable(manifest)]


def parsed(sql: str, dialect: str) -> list[Any]:
    """Parse strictly: sqlglot keeps what it does not understand as a Command."""
    found = [one for one in sqlglot.parse(sql, dialect=dialect) if one is not None]
    assert found
    assert not [one for one in found if type(one).__name__ == "Command"], sql
    return found


def test_every_statement_can_be_parsed(dialect, manifest):
    for sql in statements(tasks_of(example(dialect)), manifest):
        parsed(sql, dialect)


def test_the_tables_have_the_columns_of_the_file_in_its_order(dialect, manifest):
    names = list(table_of("leads").names)
    made = [one for sql in statements(tasks_of(example(dialect)), manifest) for one in parsed(sql, dialect)]
    tables = [one for one in made if type(one).__name__ == "Create"]
    assert len(tables) == (1 if dialect == "bigquery" else 2)  # BigQuery makes its staging table from the file
    for table in tables:
        columns = {column.name: column.args["kind"].sql(dialect) for column in table.this.expressions}
        assert list(columns) in (names, [*names, "_fetched_at"])
        times = {name for name, kind in columns.items() if kind.startswith("TIMESTAMP")}
        assert times == {"_created_at", "_fetched_at"} & columns.keys()


@pytest.mark.parametrize("name", ALL)
def test_the_cursor_moves_after_the_merge_and_the_merge_comes_after_the_load(name):
    tasks = tasks_of(example(name))
    assert not tasks["fetch_leads"].advance_cursor
    assert "merge_leads" in tasks["advance_cursor"].upstream_task_ids
    assert tasks["advance_cursor"].cursor == tasks["fetch_leads"].cursor
    before = tasks["merge_leads"].get_flat_relative_ids(upstream=True)
    assert {"fetch_leads", "load_staging"} <= before
    assert "fetch_leads" in tasks["load_staging"].get_flat_relative_ids(upstream=True)


def test_the_connections_hooks_run_sql(dialect):
    tasks = tasks_of(example(dialect))
    sql_tasks = [task for task in tasks.values() if isinstance(task, SQLExecuteQueryOperator)]
    assert len(sql_tasks) == 2
    for task in sql_tasks:
        assert isinstance(task.get_db_hook(), DbApiHook)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("snowflake", "airflow.providers.snowflake.transfers.copy_into_snowflake", "snowflake"),
        ("bigquery", "airflow.providers.google.cloud.transfers.gcs_to_bigquery", "google"),
        ("redshift", "airflow.providers.amazon.aws.transfers.s3_to_redshift", "amazon"),
        ("databricks", "airflow.providers.databricks.operators.databricks_sql", "databricks"),
        ("duckdb", "airflow.providers.duckdb.hooks.duckdb", "duckdb"),
        ("postgres", "airflow.providers.postgres.hooks.postgres", "postgres"),
    ],
)
def test_without_its_provider_a_dag_names_the_package_to_install(name, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"pip install apache-airflow-providers-{package}$"):
        runpy.run_path(str(EXAMPLES / example(name)))


@pytest.mark.parametrize("name", ALL)
def test_a_file_of_another_resource_is_refused_before_anything_is_merged(name, manifest):
    tasks = tasks_of(example(name))
    with pytest.raises(RobofyConfigError, match="the manifest is one of 'sessions', and resource is 'leads'"):
        tasks["merge_sql" if name in DIALECTS else "load_staging"].python_callable({**manifest, "resource": "sessions"})


# -------------------------------------------------------------------------------------------------- load operators
def execute(task: Any, context: dict[str, Any]) -> Any:
    task.render_template_fields(context)
    return task.execute(context)


@pytest.fixture
def context(robofy_context) -> dict[str, Any]:
    return robofy_context(dag_id="robofy", run_id="manual__2025-01-15T00:00:00+00:00")


FILE = "leads/manual__2025-01-15T00-00-00-00-00.parquet"


def test_bigquery_loads_just_the_file_that_landed(context, monkeypatch):
    jobs: list[dict[str, Any]] = []

    class Job:
        job_id, error_result = "x", None

        def result(self, **_: Any) -> None: ...

        def to_api_repr(self) -> dict[str, Any]:
            return {"configuration": jobs[0]}

    def insert_job(_: Any, configuration: dict[str, Any], **__: Any) -> Job:
        jobs.append(configuration)
        return Job()

    monkeypatch.setattr(BigQueryHook, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(BigQueryHook, "project_id", "my-project", raising=False)
    monkeypatch.setattr(BigQueryHook, "generate_job_id", lambda *_, **__: "x")
    monkeypatch.setattr(BigQueryHook, "insert_job", insert_job)
    execute(tasks_of(example("bigquery"))["load_staging"], context)
    [job] = jobs
    assert job["load"]["sourceUris"] == [f"gs://my-bucket/robofy/{FILE}"]
    assert job["load"]["sourceFormat"] == "PARQUET"
    assert job["load"]["writeDisposition"] == "WRITE_TRUNCATE"
    assert job["load"]["destinationTable"]["tableId"] == "leads_staging"


def test_redshift_empties_the_staging_table_and_loads_what_the_list_names(
    context, monkeypatch, manifest, s3_environment
):
    for name, value in {
        **s3_environment,
        "AIRFLOW_CONN_REDSHIFT_DEFAULT": json.dumps({"conn_type": "redshift"}),
    }.items():
        monkeypatch.setenv(name, value)
    ran: list[Any] = []
    monkeypatch.setattr(RedshiftSQLHook, "run", lambda _, sql, **__: ran.append(sql))
    dag = runpy.run_path(str(EXAMPLES / example("redshift")))
    tasks = {task.task_id: task for task in dag["robofy_leads_to_redshift"]().tasks}
    # The bucket that is there.
    namespace = tasks["list_file"].python_callable.__globals__
    namespace |= {"LANDING": "s3://aws_default@landing", "BUCKET": "landing"}
    landed = {**manifest, "uri": f"s3://aws_default@landing/robofy/{FILE}"}
    tasks["list_file"].python_callable(landed)
    listed = namespace["ObjectStoragePath"]("s3://aws_default@landing/robofy/leads_copy.json").read_text()
    assert json.loads(listed) == {
        "entries": [{"url": f"s3://landing/robofy/{FILE}", "mandatory": True, "meta": {"content_length": 7}}]
    }
    execute(tasks["load_staging"], context)
    [[begin, delete, copy, commit]] = ran
    assert (begin, delete, commit) == ("BEGIN;", "DELETE FROM robofy.leads_staging;", "COMMIT")
    assert "FROM 's3://my-bucket/robofy/leads_copy.json'" in copy
    assert copy.split()[-4:] == ["FORMAT", "AS", "PARQUET", "MANIFEST;"]
    parsed(copy, "redshift")


def test_databricks_loads_just_the_file_that_landed(context, monkeypatch):
    ran: list[str] = []
    monkeypatch.setattr(DatabricksSqlHook, "run", lambda _, sql, **__: ran.append(sql))
    execute(tasks_of(example("databricks"))["load_staging"], context)
    [copy] = ran
    assert copy.startswith("COPY INTO main.robofy.leads_staging")
    assert f"FROM 's3://my-bucket/robofy/{FILE}'" in copy
    assert "'force' = 'true'" in copy
    parsed(copy, "databricks")


# ------------------------------------------------------------------------------------------------------- Snowflake
def test_snowflakes_statements_load_every_lead_once_on_fakesnow(robofy_context, robofy_emulator, monkeypatch, tmp_path):
    for name, value in DIALECTS["snowflake"].items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(value))
    [agent, *_] = robofy_emulator.chatbot_ids
    stage = tmp_path / "stage"

    def run(run_id: str) -> None:
        """Run the tasks in their order, on a folder instead of a bucket."""
        tasks = tasks_of(example("snowflake"))
        fetch, advance = tasks["fetch_leads"], tasks["advance_cursor"]
        bucket = "s3://aws_default@my-bucket/robofy"
        fetch.output_path = fetch.output_path.replace(bucket, str(stage))
        fetch.cursor = advance.cursor = fetch.cursor.replace(bucket, str(stage))
        task = Run(tasks, robofy_context(dag_id="robofy_leads_to_snowflake", run_id=run_id))
        for name in ("fetch_leads", "prepare_tables", "load_staging", "merge_sql", "merge_leads", "advance_cursor"):
            task(name)

    with fakesnow.patch(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hook = SnowflakeHook("snowflake_default")
        hook.run(["CREATE DATABASE IF NOT EXISTS DB", "CREATE SCHEMA IF NOT EXISTS DB.ROBOFY"])
        hook.run(f"CREATE STAGE ROBOFY.LANDING URL = 'file://{stage}/'")
        run("manual__1")
        robofy_emulator.add_leads(3, chatbot_id=agent)
        run("manual__2")
        run("manual__2")
        rows = hook.get_records('SELECT "id", "source", "lead_data", "_created_at" FROM ROBOFY.LEADS')
        fetched = hook.get_records('SELECT COUNT(*) FROM ROBOFY.LEADS GROUP BY "_fetched_at" ORDER BY 1')
    expected = {row["id"]: (row["source"], row["lead_data"]) for row in robofy_emulator.leads(agent)}
    assert {row[0]: (row[1], row[2] and json.loads(row[2])) for row in rows} == expected
    assert len(rows) == len(expected)
    assert [one for (one,) in fetched] == [3, 250]
    assert all(row[3].utcoffset() is not None for row in rows)
    shutil.rmtree(stage)
