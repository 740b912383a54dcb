"""Wait for conversations without a worker, and start DAGs when they arrive or are finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.resources import SESSIONS
from airflow_provider_robofy.triggers.listing import RobofyNewRowsEventTrigger, RobofyNewRowsTrigger

if TYPE_CHECKING:
    from datetime import timedelta


class RobofyNewSessionsTrigger(RobofyNewRowsTrigger):
    """Fire when an agent has a number of new or continued conversations.

    Usage, in an operator of your own::

        self.defer(
            trigger=RobofyNewSessionsTrigger(
                project_id=None,
                chatbot_id="UOmf...",
                since="2025-01-15T00:00:00+00:00",
                min_count=1,
                idle_for=3600,
                robofy_conn_id="robofy_default",
                poll_interval=60,
                deadline=time.time() + 3600,
            ),
            method_name="execute_complete",
        )

    :param project_id: The connection's project, under which the sync keeps its cursor; None where it names none.
    :param chatbot_id: The agent.
    :param since: Sessions whose last message came at or after this ISO 8601 time count; None counts all.
    :param min_count: How many there must be.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Second since 1970 at which the wait ends.
    :param cursor: Sessions that the sync with this cursor has landed as they are do not count: the cursor itself, or
        ``{"file": path}``, which is read at each poll. Default none: ``since`` decides alone.
    :param cursor_name: The cursor's name.
    :param idle_for: Timedelta or seconds without a message after which a session counts. Default 0: all count.
    """

    resource = SESSIONS

    def __init__(self, *, idle_for: timedelta | float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.idle_for = read_duration("idle_for", idle_for).total_seconds()


class RobofyNewSessionsEventTrigger(RobofyNewRowsEventTrigger):
    """Start DAGs when an agent has conversations that a sync has not landed yet (Airflow 3.3).

    Usage, with the sync that keeps its cursor in the same asset, an hour after the last message of each conversation::

        sessions = sessions_asset(
            24017,
            "UOmf...",
            watchers=[
                AssetWatcher(
                    name="finished_sessions",
                    trigger=RobofyNewSessionsEventTrigger(chatbot_id="UOmf...", cursor_name="sessions", idle_for=3600),
                )
            ],
        )


        @dag(schedule=[sessions], max_active_runs=1)
        def sync_sessions():
            RobofyFetchSessionsOperator(
                task_id="sessions", chatbot_id="UOmf...", cursor=sessions, cursor_name="sessions", idle_for=3600
            )

    It works as :class:`~airflow_provider_robofy.triggers.leads.RobofyNewLeadsEventTrigger` does. Its events name no
    session, since an id can be a phone number. With the connection's ``sessions_order=newest_first`` a poll reads the
    pages of sessions that are not idle yet, and one more; otherwise it reads the whole listing.

    :param chatbot_id: The agent.
    :param cursor_name: The ``cursor_name`` of the task that syncs.
    :param robofy_conn_id: Id of the Robofy connection. The project that it names is part of the cursor's name.
    :param poll_interval: Time between two polls, as a timedelta or in seconds. Default 30.
    :param repeat_after: Timedelta or seconds after which the event is repeated while the cursor does not move. Above
        the DAG's usual run time, or runs start that find nothing to do. Each further repetition takes twice as long, up
        to an hour, and new sessions then wait for it too. Default 600.
    :param idle_for: The ``idle_for`` of the task that syncs. Where the cursor says that it differs, a warning is
        logged. Default 0: all sessions count.
    :raises RobofyConfigError: This Airflow is older than 3.3, or an argument cannot be used.
    """

    resource = SESSIONS

    def __init__(self, *, idle_for: timedelta | float = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.idle_for = read_duration("idle_for", idle_for).total_seconds()
