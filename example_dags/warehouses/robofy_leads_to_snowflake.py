"""Load an agent's new leads into Snowflake every hour: each lead once, in the version that was fetched last.

Needs ``apache-airflow-providers-snowflake``, the extra ``parquet``, a connection ``robofy_default``, a connection
``snowflake_default`` that names warehouse and database, and in Snowflake the schema ``ROBOFY`` with an external stage
``LANDING`` on the bucket. The tables are made by the first run. The cursor is in the bucket too, and moves when the
load is done.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.warehouse.merge import merge_statement

try:
    from airflow.providers.snowflake.transfers.copy_into_snowflake import CopyFromExternalStageToSnowflakeOperator
except ImportError as error:
    raise ImportError("This DAG needs Snowflake's provider: pip install apache-airflow-providers-snowflake") from error

# Where LANDING points to.
BUCKET = "s3://aws_default@my-bucket/robofy"
# Without : and +, which some readers of buckets take for something else.
FILE = "leads/{{ run_id.replace(':', '-').replace('+', '-') }}.parquet"
TABLE, STAGING = "ROBOFY.LEADS", "ROBOFY.LEADS_STAGING"
COLUMNS = """"id" VARCHAR, "created_at" VARCHAR, "source" VARCHAR, "page_url" VARCHAR, "ip_address" VARCHAR,
"lead_data" VARCHAR, "_project_id" VARCHAR, "_chatbot_id" VARCHAR, "_created_at" TIMESTAMP_TZ,
"_extra" VARCHAR, "_absent" VARCHAR"""


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs would use one staging table
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_snowflake() -> None:
    @task
    def merge_sql(manifest: dict[str, Any]) -> str:
        """Return the statement, which contains the time of the fetch."""
        return merge_statement("leads", TABLE, STAGING, "snowflake", manifest)

    # [START snowflake]
    leads = RobofyFetchLeadsOperator(
        task_id="fetch_leads",
        output_path=f"{BUCKET}/{FILE}",
        cursor=f"{BUCKET}/cursors",
        advance_cursor=False,
    )
    prepare_tables = SQLExecuteQueryOperator(
        task_id="prepare_tables",
        conn_id="snowflake_default",
        sql=[
            f'CREATE TABLE IF NOT EXISTS {TABLE} ({COLUMNS}, "_fetched_at" TIMESTAMP_TZ)',
            f"CREATE OR REPLACE TABLE {STAGING} ({COLUMNS})",
        ],
    )
    load_staging = CopyFromExternalStageToSnowflakeOperator(
        task_id="load_staging",
        snowflake_conn_id="snowflake_default",
        table=STAGING,
        stage="ROBOFY.LANDING",
        files=[FILE],
        file_format="(TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)",
        copy_options="MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE FORCE = TRUE",
    )
    merge_leads = SQLExecuteQueryOperator(
        task_id="merge_leads",
        conn_id="snowflake_default",
        sql=merge_sql(leads.output),
    )
    advance = RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor=f"{BUCKET}/cursors")
    leads >> prepare_tables >> load_staging >> merge_leads >> advance
    # [END snowflake]


robofy_leads_to_snowflake()
