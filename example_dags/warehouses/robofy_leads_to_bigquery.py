"""Load an agent's new leads into BigQuery every hour: each lead once, in the version that was fetched last.

Needs ``apache-airflow-providers-google``, the extra ``parquet``, a connection ``robofy_default``, a connection
``google_cloud_default`` for the bucket and the load, a connection ``bigquery_default`` of the type ``gcpbigquery`` for
the statements, and the data set ``robofy``. The tables are made by the first run. The cursor is in the bucket too, and
moves when the load is done.
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
    from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator
except ImportError as error:
    raise ImportError("This DAG needs Google's provider: pip install apache-airflow-providers-google") from error

BUCKET = "my-bucket"
LANDING = f"gs://google_cloud_default@{BUCKET}"
# Without : and +, which some readers of buckets take for something else.
FILE = "robofy/leads/{{ run_id.replace(':', '-').replace('+', '-') }}.parquet"
TABLE, STAGING = "my-project.robofy.leads", "my-project.robofy.leads_staging"
COLUMNS = """`id` STRING, `created_at` STRING, `source` STRING, `page_url` STRING, `ip_address` STRING,
`lead_data` STRING, `_project_id` STRING, `_chatbot_id` STRING, `_created_at` TIMESTAMP,
`_extra` STRING, `_absent` STRING, `_fetched_at` TIMESTAMP"""


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs would use one staging table
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_bigquery() -> None:
    @task
    def merge_sql(manifest: dict[str, Any]) -> str:
        """Return the statement, which contains the time of the fetch."""
        return merge_statement("leads", TABLE, STAGING, "bigquery", manifest)

    # [START bigquery]
    leads = RobofyFetchLeadsOperator(
        task_id="fetch_leads",
        output_path=f"{LANDING}/{FILE}",
        cursor=f"{LANDING}/robofy/cursors",
        advance_cursor=False,
    )
    load_staging = GCSToBigQueryOperator(
        task_id="load_staging",
        gcp_conn_id="google_cloud_default",
        bucket=BUCKET,
        source_objects=[FILE],
        destination_project_dataset_table=STAGING,
        source_format="PARQUET",
        write_disposition="WRITE_TRUNCATE",
    )
    prepare_table = SQLExecuteQueryOperator(
        task_id="prepare_table",
        conn_id="bigquery_default",
        hook_params={"use_legacy_sql": False},
        sql=f"CREATE TABLE IF NOT EXISTS `{TABLE}` ({COLUMNS})",
    )
    merge_leads = SQLExecuteQueryOperator(
        task_id="merge_leads",
        conn_id="bigquery_default",
        hook_params={"use_legacy_sql": False},
        sql=merge_sql(leads.output),
    )
    advance = RobofyAdvanceCursorOperator(
        task_id="advance_cursor",
        manifest=leads.output,
        cursor=f"{LANDING}/robofy/cursors",
    )
    leads >> load_staging >> prepare_table >> merge_leads >> advance
    # [END bigquery]


robofy_leads_to_bigquery()
