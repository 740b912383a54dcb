"""Fetch conversations: every hour the sessions with a message since the last run, then all messages of these sessions.

Four mapped tasks read the messages, each into a file of its own, so that the work spreads over Airflow's workers;
``shards(8)`` makes eight of them. A session with a new message is fetched again as a whole: load messages by
``_message_key``, so that each is stored once.

Needs a connection ``robofy_default`` with ``chatbot_id``, and ``[robofy] landing_root``
(``AIRFLOW__ROBOFY__LANDING_ROOT``), for example ``s3://aws_default@my-bucket/robofy``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_robofy.operators.inbox import (
    RobofyFetchMessagesOperator,
    RobofyFetchSessionsOperator,
    shards,
)

# The start of the last successful run, so that an hour without Airflow leaves no gap. Empty text means all sessions: in
# the first run, and in a run without a data interval, such as one that is triggered by hand in Airflow 3.
SINCE = (
    "{{ prev_data_interval_start_success - macros.timedelta(minutes=10)"
    " if prev_data_interval_start_success is defined and prev_data_interval_start_success else '' }}"
)


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_conversations() -> None:
    @task
    def add_up(manifests: list[dict]) -> dict[str, int]:
        """Add up the counts of all shards. Only counts go to XCom."""
        names = ("rows", "sessions_asked", "sessions_read", "sessions_gone")
        return {name: sum(manifest[name] for manifest in manifests) for name in names}

    # [START conversations]
    sessions = RobofyFetchSessionsOperator(task_id="fetch_sessions", since=SINCE)
    messages = RobofyFetchMessagesOperator.partial(
        task_id="fetch_messages", sessions=sessions.output, max_concurrency=8
    ).expand(shard=shards(4))
    # [END conversations]
    add_up(messages.output)


robofy_conversations()
