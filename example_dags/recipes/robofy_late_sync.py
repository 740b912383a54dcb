"""Send a Slack message when a sync is late: half an hour after its run was queued it is not done (Airflow 3.1).

Needs ``apache-airflow-providers-slack``, a triggerer, which sends the message, a connection ``robofy_default``, a
connection ``slack_default`` of the type ``slackwebhook``, and ``[robofy] landing_root``. The run goes on; to end it,
set ``dagrun_timeout`` or the tasks' ``execution_timeout``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

try:
    # Where every version has all three.
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError("This DAG needs Airflow 3.1 or newer, which has deadline alerts") from error
try:
    from airflow.providers.slack.notifications.slack_webhook import SlackWebhookNotifier
except ImportError as error:
    raise ImportError("This DAG needs Slack's provider: pip install apache-airflow-providers-slack") from error


# [START late]
late = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(minutes=30),
    callback=AsyncCallback(
        SlackWebhookNotifier,
        kwargs={"slack_webhook_conn_id": "slack_default", "text": "The sync of Robofy's leads is late."},
    ),
)
# [END late]


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    deadline=late,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_late_sync() -> None:
    RobofyFetchLeadsOperator(task_id="fetch_leads", cursor="cursors")


robofy_late_sync()
