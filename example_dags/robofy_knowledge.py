"""Update an agent's knowledge from a folder and a website.

Every night the DAG uploads the documents that are new or have changed, starts a crawl of the site, and waits for it
without using a worker. A ledger below ``[robofy] landing_root`` records the uploads, so a night without changes uploads
nothing, and a retry uploads nothing twice.

The folder is ``documents`` below ``[robofy] landing_root``, unless you trigger it with another one, for example::

    airflow dags trigger robofy_knowledge --conf '{"docs": "s3://aws_default@wiki/product", "site": "https://..."}'

Needs a connection ``robofy_default`` with ``project_id`` and ``chatbot_id``, and ``[robofy] landing_root``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator


@dag(
    schedule="@daily",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    # A second run at the same time would fail: the ledger has one writer.
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={"docs": "documents", "site": "https://example.com"},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_knowledge() -> None:
    @task
    def to_clean_up(manifest: dict) -> int:
        """Count what you may want to remove in Robofy: replaced versions, and documents that were deleted here."""
        counts: dict[str, int] = manifest["counts"]
        return counts["superseded"] + counts["removed"]

    upload = RobofyUploadKnowledgeOperator(task_id="upload_documents", source="{{ params.docs }}")
    # [START crawl]
    crawl = RobofyCrawlWebsiteOperator(
        task_id="crawl_website",
        start_urls=["{{ params.site }}"],
        max_pages=200,
        deferrable=True,
        poll_interval=30,
        timeout=3 * 3600,
    )
    # [END crawl]
    to_clean_up(upload.output)
    upload >> crawl


robofy_knowledge()
