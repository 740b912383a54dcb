"""Fetch conversations: every hour the sessions with a message since the last run, then all messages of these sessions.

The cursor moves after the messages have been read. If that fails, the next run fetches the same sessions again. A few
sessions may fail (``max_failed_sessions``): the cursor keeps them, and the next run fetches them again too.

Four mapped tasks read the messages, each into a file of its own, so that the work spreads over Airflow's workers;
``shards(8)`` makes eight of them. A session with a new message is fetched again as a whole: load messages by
``_message_key``, so that each is stored once.

Needs a connection ``robofy_default`` with ``chatbot_id``, and ``[robofy] landing_root``
(``AIRFLOW__ROBOFY__LANDING_ROOT``), for example ``s3://aws_default@my-bucket/robofy``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.inbox import (
    RobofyFetchMessagesOperator,
    RobofyFetchSessionsOperator,
    shards,
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
    sessions = RobofyFetchSessionsOperator(task_id="fetch_sessions", cursor="cursors", advance_cursor=False)
    messages = RobofyFetchMessagesOperator.partial(
        task_id="fetch_messages", sessions=sessions.output, max_concurrency=8, max_failed_sessions=10
    ).expand(shard=shards(4))
    advance = RobofyAdvanceCursorOperator(
        task_id="advance_cursor", manifest=sessions.output, cursor="cursors", read=messages.output
    )
    # [END conversations]
    add_up(messages.output) >> advance


robofy_conversations()
