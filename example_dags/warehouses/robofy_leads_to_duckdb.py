"""Load an agent's new leads into DuckDB every hour: each lead once, in the version that was fetched last.

Needs ``apache-airflow-providers-duckdb``, the extra ``parquet``, a connection ``robofy_default``, a connection
``duckdb_default`` with the path of the database as its host, and ``[robofy] landing_root``, a folder or a bucket. The
tables are made by the first run. The cursor moves when the load is done.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath, dag, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.warehouse.merge import merge_statement

try:
    from airflow.providers.duckdb.hooks.duckdb import DuckDBHook
except ImportError as error:
    raise ImportError("This DAG needs DuckDB's provider: pip install apache-airflow-providers-duckdb") from error

# Below the landing root.
FILE = "leads/{{ run_id.replace(':', '-').replace('+', '-') }}.parquet"
TABLE, STAGING = "leads", "leads_staging"


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # a DuckDB file has one writer, and two runs would use one staging table
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_duckdb() -> None:
    # [START duckdb]
    @task
    def load_staging(manifest: dict[str, Any]) -> str:
        """Read the file through Airflow's connection of the bucket, and return the MERGE."""
        statement = merge_statement("leads", TABLE, STAGING, "duckdb", manifest)
        file = ObjectStoragePath(manifest["uri"])
        with closing(DuckDBHook().get_conn()) as database, file.open("rb") as landed:
            database.execute(f"DROP TABLE IF EXISTS {STAGING}")
            database.read_parquet(landed).create(STAGING)
            database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} AS FROM {STAGING} LIMIT 0")
            database.execute(f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS _fetched_at TIMESTAMPTZ")
        return statement

    leads = RobofyFetchLeadsOperator(task_id="fetch_leads", output_path=FILE, cursor="cursors", advance_cursor=False)
    merge_leads = SQLExecuteQueryOperator(
        task_id="merge_leads",
        conn_id="duckdb_default",
        sql=load_staging(leads.output),
    )
    merge_leads >> RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor="cursors")
    # [END duckdb]


robofy_leads_to_duckdb()
