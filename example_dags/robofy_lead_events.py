"""Start when a lead arrives, and fetch all leads since the last run (Airflow 3.3).

A watcher in the triggerer polls the agent every 30 seconds. It starts the DAG as long as there are leads that the task
has not fetched. The schedule is a fallback for times when no triggerer runs.

Needs a connection ``robofy_default`` and ``[robofy] landing_root``. Ids are written here, or come from environment
variables that every Airflow component has: Airflow registers assets when it parses this file. With
``leads_order=newest_first`` in the connection a poll costs one request.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable, dag

from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsEventTrigger

PROJECT_ID = os.environ.get("ROBOFY_PROJECT_ID", "24017")
CHATBOT_ID = os.environ.get("ROBOFY_CHATBOT_ID", "UOmfsaU_vRhAfIwDFrFLoXZUz9nHBAkDNkDygeBCjw")

# [START watcher]
leads = leads_asset(
    PROJECT_ID,
    CHATBOT_ID,
    watchers=[
        AssetWatcher(
            name="new_leads",
            trigger=RobofyNewLeadsEventTrigger(
                project_id=PROJECT_ID, chatbot_id=CHATBOT_ID, cursor_name="lead_events", poll_interval=30
            ),
        )
    ],
)
# [END watcher]


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 * * * *", timezone="UTC"), assets=[leads]),
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_lead_events() -> None:
    # [START event_fetch]
    RobofyFetchLeadsOperator(
        task_id="fetch_leads",
        project_id=PROJECT_ID,
        chatbot_id=CHATBOT_ID,
        cursor=leads,
        cursor_name="lead_events",
    )
    # [END event_fetch]


robofy_lead_events()
