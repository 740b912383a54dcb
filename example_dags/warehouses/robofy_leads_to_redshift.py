"""Load an agent's new leads into Redshift every hour: each lead once, in the version that was fetched last.

Needs ``apache-airflow-providers-amazon``, the extra ``parquet``, connections ``robofy_default``, ``aws_default`` and
``redshift_default``, and in Redshift the schema ``robofy``. The tables are made by the first run. The cursor is in the
bucket too, and moves when the load is done.

Redshift's MERGE takes no condition, so old versions are deleted and new ones inserted, in one transaction.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath, dag, task
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.warehouse.merge import merge_statement

try:
    from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator
except ImportError as error:
    raise ImportError("This DAG needs Amazon's provider: pip install apache-airflow-providers-amazon") from error

BUCKET = "my-bucket"
LANDING = f"s3://aws_default@{BUCKET}"
# Without : and +, which some readers of buckets take for something else.
FILE = "robofy/leads/{{ run_id.replace(':', '-').replace('+', '-') }}.parquet"
COPY_LIST = "robofy/leads_copy.json"
TABLE, STAGING = "robofy.leads", "robofy.leads_staging"
# In the order of the file, since COPY from Parquet goes by position.
COLUMNS = """"id" VARCHAR(512), "created_at" VARCHAR(512), "source" VARCHAR(65535), "page_url" VARCHAR(65535),
"ip_address" VARCHAR(512), "lead_data" VARCHAR(65535), "_project_id" VARCHAR(512), "_chatbot_id" VARCHAR(512),
"_created_at" {time}, "_extra" VARCHAR(65535), "_absent" VARCHAR(65535)"""


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs would use one staging table
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_redshift() -> None:
    @task
    def merge_sql(manifest: dict[str, Any]) -> str:
        """Return the statements, which contain the time of the fetch."""
        return merge_statement("leads", TABLE, STAGING, "redshift", manifest)

    # [START redshift]
    @task
    def list_file(manifest: dict[str, Any]) -> None:
        """Write Redshift's own manifest: else COPY takes all files whose names begin alike, such as ours beside it."""
        key = manifest["uri"].removeprefix(f"{LANDING}/")
        meta = {"content_length": manifest["bytes"]}
        entries = [{"url": f"s3://{BUCKET}/{key}", "mandatory": True, "meta": meta}]
        ObjectStoragePath(f"{LANDING}/{COPY_LIST}").write_text(json.dumps({"entries": entries}))

    leads = RobofyFetchLeadsOperator(
        task_id="fetch_leads",
        output_path=f"{LANDING}/{FILE}",
        cursor=f"{LANDING}/robofy/cursors",
        advance_cursor=False,
    )
    prepare_tables = SQLExecuteQueryOperator(
        task_id="prepare_tables",
        conn_id="redshift_default",
        sql=[
            f'CREATE TABLE IF NOT EXISTS {TABLE} ({COLUMNS.format(time="TIMESTAMPTZ")}, "_fetched_at" TIMESTAMPTZ)',
            # A COPY from Parquet may take no column with a zone; the session's zone is UTC, as the file's is.
            f"CREATE TABLE IF NOT EXISTS {STAGING} ({COLUMNS.format(time='TIMESTAMP')})",
        ],
    )
    load_staging = S3ToRedshiftOperator(
        task_id="load_staging",
        redshift_conn_id="redshift_default",
        aws_conn_id="aws_default",
        schema="robofy",
        table="leads_staging",
        s3_bucket=BUCKET,
        s3_key=COPY_LIST,
        method="REPLACE",
        copy_options=["FORMAT AS PARQUET", "MANIFEST"],
    )
    merge_leads = SQLExecuteQueryOperator(
        task_id="merge_leads",
        conn_id="redshift_default",
        sql=merge_sql(leads.output),
        split_statements=True,
        autocommit=True,  # the statements begin and commit a transaction of their own
    )
    advance = RobofyAdvanceCursorOperator(
        task_id="advance_cursor",
        manifest=leads.output,
        cursor=f"{LANDING}/robofy/cursors",
    )
    list_file(leads.output) >> load_staging
    leads >> prepare_tables >> load_staging >> merge_leads >> advance
    # [END redshift]


robofy_leads_to_redshift()
