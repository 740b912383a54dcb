"""Fetch an agent's new leads every hour, and count them by source.

Needs a connection ``robofy_default`` with ``project_id`` and ``chatbot_id``, and ``[robofy] landing_root``
(``AIRFLOW__ROBOFY__LANDING_ROOT``), for example ``s3://aws_default@my-bucket/robofy``. ``make demo`` sets both.

The cursor is stored below the landing root. The first run fetches all leads, later runs new ones, and one run a week
all of them again. To start over, trigger the DAG with the configuration ``{"robofy_cursor": "reset"}``.
"""

from __future__ import annotations

# [START lead_sync]
from collections import Counter
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import ObjectStoragePath, dag, task

from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs that overlap would land some leads twice
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_lead_sync() -> None:
    @task
    def count_by_source(manifest: dict) -> dict[str, int]:
        """Count leads by source: rows are read one at a time, and only counts go to XCom."""
        landed = rows(manifest, ObjectStoragePath(manifest["uri"]))
        return dict(Counter(str(row.get("source")) for row in landed))

    leads = RobofyFetchLeadsOperator(task_id="fetch_leads", cursor="cursors", full_every=timedelta(days=7))
    count_by_source(leads.output)


robofy_lead_sync()
# [END lead_sync]
