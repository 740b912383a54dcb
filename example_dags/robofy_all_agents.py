"""Fetch the leads of every agent of a project: one mapped task and one file for each agent.

The pool limits how many tasks of all DAGs call Robofy at a time. Create it once::

    airflow pools set robofy 4 "Calls to Robofy at a time"

Needs a connection ``robofy_default`` with ``project_id``, and ``[robofy] landing_root``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator


@dag(
    schedule="@daily",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "pool": "robofy"},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_all_agents() -> None:
    # [START all_agents]
    @task
    def agents() -> list[str]:
        """List the project's agents: their ids, which is what the fetch is mapped over."""
        return [agent.chatbot_id for agent in RobofyHook().list_agents()]

    @task
    def total(manifests: list[dict]) -> int:
        """Add up what landed."""
        return sum(manifest["rows"] for manifest in manifests)

    leads = RobofyFetchLeadsOperator.partial(task_id="fetch_leads").expand(chatbot_id=agents())
    total(leads.output)
    # [END all_agents]


robofy_all_agents()
