"""Load conversations into a database every hour: sessions, their messages and their leads, in tables that join.

Each run fetches the sessions with a message since the last run in which nobody has written for half an hour, all
messages of these sessions, and the leads that came from them. A session in which somebody still writes is left to a
later run. The cursor moves when all three are loaded. If something fails for good, the next run fetches the same
sessions again, and loading a row again changes nothing.

This joins a lead to the conversation that it came from::

    SELECT l.id, s.last_message_time, m.message
    FROM robofy_leads l
    JOIN robofy_sessions s ON s.session_id = l._session_id
    JOIN robofy_messages m ON m._session_id = l._session_id
    ORDER BY l.id, m._position

Needs a connection ``robofy_default`` with ``project_id`` and ``chatbot_id``, a connection ``warehouse`` to PostgreSQL,
MySQL, MariaDB or SQLite with that database's provider, the extra ``sql``
(``pip install '.[sql]'`` in a checkout), and ``[robofy] landing_root``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_conversations_to_sql() -> None:
    # [START idle]
    sessions = RobofyFetchSessionsOperator(
        task_id="fetch_sessions", cursor="cursors", advance_cursor=False, idle_for=timedelta(minutes=30)
    )
    # [END idle]
    messages = RobofyFetchMessagesOperator(task_id="fetch_messages", sessions=sessions.output, max_concurrency=8)
    # [START leads]
    leads = RobofyFetchLeadsOperator(task_id="fetch_leads", sessions=sessions.output, max_concurrency=8)
    # [END leads]
    loads = [
        RobofyManifestToSqlOperator(
            task_id=f"load_{name}", manifest=fetched.output, table=f"robofy_{name}", sql_conn_id="warehouse"
        )
        for name, fetched in (("sessions", sessions), ("messages", messages), ("leads", leads))
    ]
    loads >> RobofyAdvanceCursorOperator(
        task_id="advance_cursor", manifest=sessions.output, cursor="cursors", read=messages.output
    )


robofy_conversations_to_sql()
