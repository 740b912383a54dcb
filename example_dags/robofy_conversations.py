"""Land what was said: every hour the sessions that were written in since the last run, then their messages.

The cursor moves when the messages have been read. If that fails, the next run lands the same sessions again; a few that
fail by themselves (``max_failed_sessions``) are kept in the cursor, and the next run lands them again too.

The messages are read by four mapped tasks, each with a file of its own, so that an export spreads over Airflow's
workers; ``shards(8)`` makes eight of them. A session that is written in again lands again, whole: load messages by
``_message_key``, and each counts once.

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
        """Add up what the shards landed: only counts go to XCom."""
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
