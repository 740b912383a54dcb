"""Wait for five leads of the last day without using a worker, then fetch that day's leads.

Needs a connection ``robofy_default`` with ``project_id`` and ``chatbot_id``, ``[robofy] landing_root``, and a running
triggerer.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.sensors.leads import RobofyNewLeadsSensor

# [START since]
# A run that was triggered by hand has no data interval, so the day is counted back from the run's start.
SINCE = "{{ params.since or (dag_run.start_date - macros.timedelta(days=1)).isoformat() }}"
# [END since]


@dag(
    schedule="@daily",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
    params={"since": None},
)
def robofy_wait_for_leads() -> None:
    # [START wait]
    wait = RobofyNewLeadsSensor(
        task_id="wait_for_leads",
        since=SINCE,
        min_count=5,
        deferrable=True,
        poke_interval=60,
        timeout=6 * 60 * 60,
        soft_fail=True,  # a quiet day is no failure
    )
    fetch = RobofyFetchLeadsOperator(task_id="fetch_leads", output_path="waited/{{ run_id }}.jsonl", since=SINCE)
    wait >> fetch
    # [END wait]


robofy_wait_for_leads()
