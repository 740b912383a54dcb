"""Release new knowledge only if the agent answers questions with known answers correctly.

The DAG uploads the documents that are new or have changed, waits until Robofy has processed them, asks the agent golden
questions, and runs the last task only if all answers are right. Otherwise ``ask_agent`` fails without a retry, and the
file that it has landed shows each answer with the reasons.

Run it on a test agent, and let the last task give the same documents to the agent that visitors talk to. Each agent has
a ledger of its own, so this DAG and ``robofy_knowledge`` then do not wait for each other.

The folder is ``documents`` below ``[robofy] landing_root`` and the agent that of the connection, unless you trigger the
DAG with others, for example::

    airflow dags trigger robofy_knowledge_release --conf '{"docs": "s3://aws_default@wiki/product", "agent": "UOmf..."}'

Needs a connection ``robofy_default`` with ``project_id`` and ``chatbot_id``, and ``[robofy] landing_root``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_robofy.operators.ask import RobofyAskAgentOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator


@dag(
    schedule=None,
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={"docs": "documents", "agent": ""},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_knowledge_release() -> None:
    @task
    def release(manifest: dict) -> str:
        """Do what must wait for right answers; here it only says so."""
        return f"{manifest['passed']} of {manifest['rows']} answers are right."

    # [START release]
    upload = RobofyUploadKnowledgeOperator(
        task_id="upload_documents",
        source="{{ params.docs }}",
        chatbot_id="{{ params.agent }}",
        wait=True,
        deferrable=True,
        poll_interval=30,
    )
    ask = RobofyAskAgentOperator(
        task_id="ask_agent",
        chatbot_id="{{ params.agent }}",
        questions=[
            {"ask": "What are your opening hours on Monday?", "expect": ["9:00", "/17:00|5 pm/"]},
            {"ask": "Can goods be returned?", "any_of": ["30 days", "one month"], "reject": "I do not know"},
        ],
    )
    upload >> ask
    release(ask.output)
    # [END release]


robofy_knowledge_release()
