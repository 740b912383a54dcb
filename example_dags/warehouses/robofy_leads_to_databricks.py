"""Load an agent's new leads into Databricks every hour: each lead once, in the version that was fetched last.

Needs ``apache-airflow-providers-databricks``, the extra ``parquet``, connections ``robofy_default`` and
``databricks_default`` (with ``http_path`` in its extra), and in Databricks the schema ``main.robofy`` and an external
location on the bucket. The tables are made by the first run. The cursor is in the bucket too, and moves when the load
is done.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.warehouse.merge import merge_statement

try:
    from airflow.providers.databricks.operators.databricks_sql import DatabricksCopyIntoOperator, DatabricksSqlOperator
except ImportError as error:
    raise ImportError("This DAG needs Databricks' provider: pip install apache-airflow-providers-databricks") from error

BUCKET = "my-bucket/robofy"
LANDING = f"s3://aws_default@{BUCKET}"
# Spark takes no : in the name of a file.
FILE = "leads/{{ run_id.replace(':', '-').replace('+', '-') }}.parquet"
TABLE, STAGING = "main.robofy.leads", "main.robofy.leads_staging"
COLUMNS = """`id` STRING, `created_at` STRING, `source` STRING, `page_url` STRING, `ip_address` STRING,
`lead_data` STRING, `_project_id` STRING, `_chatbot_id` STRING, `_created_at` TIMESTAMP,
`_extra` STRING, `_absent` STRING"""


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs would use one staging table
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_databricks() -> None:
    @task
    def merge_sql(manifest: dict[str, Any]) -> str:
        """Return the statement, which contains the time of the fetch."""
        return merge_statement("leads", TABLE, STAGING, "databricks", manifest)

    # [START databricks]
    leads = RobofyFetchLeadsOperator(
        task_id="fetch_leads",
        output_path=f"{LANDING}/{FILE}",
        cursor=f"{LANDING}/cursors",
        advance_cursor=False,
    )
    # Databricks' own subclass of SQLExecuteQueryOperator, which takes no connection of this type.
    prepare_tables = DatabricksSqlOperator(
        task_id="prepare_tables",
        sql=[
            f"CREATE TABLE IF NOT EXISTS {TABLE} ({COLUMNS}, `_fetched_at` TIMESTAMP)",
            f"CREATE OR REPLACE TABLE {STAGING} ({COLUMNS})",
        ],
    )
    load_staging = DatabricksCopyIntoOperator(
        task_id="load_staging",
        table_name=STAGING,
        file_location=f"s3://{BUCKET}/{FILE}",
        file_format="PARQUET",
        force_copy=True,  # the staging table is new each time; COPY INTO skips files that it knows
    )
    merge_leads = DatabricksSqlOperator(task_id="merge_leads", sql=merge_sql(leads.output))
    advance = RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor=f"{LANDING}/cursors")
    leads >> prepare_tables >> load_staging >> merge_leads >> advance
    # [END databricks]


robofy_leads_to_databricks()
