"""Wait for leads without a worker, and start DAGs when they arrive."""

from __future__ import annotations

from typing import Any

from airflow_provider_robofy.resources import LEADS
from airflow_provider_robofy.triggers.listing import RobofyNewRowsEventTrigger, RobofyNewRowsTrigger, not_empty


class RobofyNewLeadsTrigger(RobofyNewRowsTrigger):
    """Fire when an agent has a number of new leads.

    Usage, in an operator of your own::

        self.defer(
            trigger=RobofyNewLeadsTrigger(
                project_id="24017",
                chatbot_id="UOmf...",
                since="2025-01-15T00:00:00+00:00",
                min_count=1,
                robofy_conn_id="robofy_default",
                poll_interval=60,
                deadline=time.time() + 3600,
            ),
            method_name="execute_complete",
        )

    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :param since: Leads at or after this ISO 8601 time count; None counts all.
    :param min_count: How many there must be.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Second since 1970 at which the wait ends.
    :param cursor: Leads that the sync with this cursor has landed do not count: the cursor itself, or
        ``{"file": path}``, which is read at each poll. Default none: ``since`` decides alone.
    :param cursor_name: The cursor's name.
    """

    resource = LEADS


class RobofyNewLeadsEventTrigger(RobofyNewRowsEventTrigger):
    """Start DAGs when an agent has leads that a sync has not landed yet (Airflow 3.3).

    Usage, with the sync that keeps its cursor in the same asset::

        leads = leads_asset(
            24017,
            "UOmf...",
            watchers=[
                AssetWatcher(
                    name="new_leads",
                    trigger=RobofyNewLeadsEventTrigger(project_id=24017, chatbot_id="UOmf...", cursor_name="leads"),
                )
            ],
        )


        @dag(schedule=[leads], max_active_runs=1)
        def sync_leads():
            RobofyFetchLeadsOperator(
                task_id="leads", project_id=24017, chatbot_id="UOmf...", cursor=leads, cursor_name="leads"
            )

    The watcher reads the sync's cursor and never writes one. An event carries no data: the task reads up to now from
    its own cursor. While Robofy stays ahead of the cursor the event is repeated, because Airflow does not promise a
    run for every event. Nothing is remembered between polls, so no crash can lose a lead.

    The newest leads are compared with the cursor as they land: after the connection's privacy rules and those that the
    task has added, which the cursor names.

    Watchers of one agent with one interval share one poll, however many they are. A poll is one request where the
    connection says ``leads_order=newest_first``, and reads the whole listing otherwise.

    :param project_id: The agent's project, written out.
    :param chatbot_id: The agent.
    :param cursor_name: The ``cursor_name`` of the task that syncs.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds. Default 30.
    :param repeat_after: Timedelta or seconds after which the event is repeated while the cursor does not move. Above
        the DAG's usual run time, or runs start that find nothing to do. Each further repetition takes twice as long, up
        to an hour, and new leads then wait for it too: a load that fails does not start run after run. Default 600.
    :raises RobofyConfigError: This Airflow is older than 3.3, or an argument cannot be used.
    """

    resource = LEADS

    def __init__(self, *, project_id: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project_id = not_empty("project_id", str(project_id))
