"""Load an agent's new leads into PostgreSQL by its own COPY and MERGE: each lead once, as it was fetched last.

``RobofyManifestToSqlOperator`` needs less and does more, see the example ``robofy_leads_to_sql``. This one is for
warehouses whose other tables are filled in the same way.

Needs PostgreSQL 15 or newer, ``apache-airflow-providers-postgres``, connections ``robofy_default`` and
``postgres_default``, and ``[robofy] landing_root``, a folder or a bucket. The tables are made by the first run. The
cursor moves when the load is done.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from tempfile import NamedTemporaryFile
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath, dag, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.warehouse.merge import merge_statement

try:
    from airflow.providers.postgres.hooks.postgres import PostgresHook
except ImportError as error:
    raise ImportError("This DAG needs PostgreSQL's provider: pip install apache-airflow-providers-postgres") from error

# Below the landing root. CSV, because COPY reads no Parquet.
FILE = "leads/{{ run_id.replace(':', '-').replace('+', '-') }}.csv"
TABLE, STAGING = "leads", "leads_staging"
COLUMNS = """"id" text, "created_at" text, "source" text, "page_url" text, "ip_address" text,
"lead_data" text, "_project_id" text, "_chatbot_id" text, "_created_at" timestamptz,
"_extra" text, "_absent" text"""


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs would use one staging table
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_postgres() -> None:
    # [START postgres]
    @task
    def load_staging(manifest: dict[str, Any]) -> str:
        """Copy the file into the staging table, and return the MERGE."""
        statement = merge_statement("leads", TABLE, STAGING, "postgres", manifest)
        with NamedTemporaryFile(suffix=".csv") as file:
            with ObjectStoragePath(manifest["uri"]).open("rb") as landed:
                shutil.copyfileobj(landed, file)
            file.flush()
            copy = f"COPY {STAGING} FROM STDIN WITH (FORMAT csv, HEADER match)"
            PostgresHook("postgres_default").copy_expert(copy, file.name)
        return statement

    leads = RobofyFetchLeadsOperator(
        task_id="fetch_leads",
        output_path=FILE,
        defuse_formulas=False,  # the text as it is: no spreadsheet reads it
        cursor="cursors",
        advance_cursor=False,
    )
    prepare_tables = SQLExecuteQueryOperator(
        task_id="prepare_tables",
        conn_id="postgres_default",
        sql=[
            f'CREATE TABLE IF NOT EXISTS {TABLE} ({COLUMNS}, "_fetched_at" timestamptz)',
            f"CREATE TABLE IF NOT EXISTS {STAGING} ({COLUMNS})",
            f"TRUNCATE {STAGING}",
        ],
    )
    statement = load_staging(leads.output)
    merge_leads = SQLExecuteQueryOperator(task_id="merge_leads", conn_id="postgres_default", sql=statement)
    advance = RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor="cursors")
    leads >> prepare_tables >> statement
    merge_leads >> advance
    # [END postgres]


robofy_leads_to_postgres()
