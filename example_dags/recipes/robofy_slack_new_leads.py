"""Send a Slack message every hour when leads are new. It contains counts and no personal data.

Needs ``apache-airflow-providers-slack``, a connection ``robofy_default``, a connection ``slack_default`` of the type
``slackwebhook`` with the webhook's URL as its password, and ``[robofy] landing_root``. When nothing is new, the fetch
is skipped, and so is the message. The cursor moves when the message was sent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

try:
    from airflow.providers.slack.operators.slack_webhook import SlackWebhookOperator
except ImportError as error:
    raise ImportError("This DAG needs Slack's provider: pip install apache-airflow-providers-slack") from error


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_slack_new_leads() -> None:
    # [START slack]
    leads = RobofyFetchLeadsOperator(task_id="fetch_leads", cursor="cursors", advance_cursor=False)
    send_message = SlackWebhookOperator(
        task_id="send_message",
        slack_webhook_conn_id="slack_default",
        message="{% set landed = ti.xcom_pull(task_ids='fetch_leads') %}"
        "{{ landed['rows'] }} new leads for agent {{ landed['chatbot_id'] }}, the last at {{ landed['last_at'] }}.",
    )
    advance = RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor="cursors")
    leads >> send_message >> advance
    # [END slack]


robofy_slack_new_leads()
