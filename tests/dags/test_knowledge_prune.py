"""A real Airflow prunes an agent's knowledge, deferred and on a worker, and refuses to prune too much at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)

PATH = "/v1/ai-agent/chatbot_asset_delink"
BODY = {"agent": "{chatbot_id}", "link": "{linkage_id}"}

#: One run, because Airflow takes long to start: tasks change the folder between the uploads.
DAG = """
from datetime import UTC, datetime
from pathlib import Path
from airflow.providers.common.compat.sdk import dag, task
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator

@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC), params={"docs": "/nowhere", "limit": "0.2"})
def knowledge_pruned():
    @task
    def change(write, remove, params=None):
        for name in write:
            Path(params["docs"], name).write_text(f"new {name}")
        for name in remove:
            Path(params["docs"], name).unlink()

    def upload(task_id, **arguments):
        return RobofyUploadKnowledgeOperator(
            task_id=task_id, source="{{ params.docs }}", prune=True, prune_limit="{{ params.limit }}", timeout=120,
            **arguments,
        )

    deferred = {"deferrable": True, "poll_interval": 10}
    first, second = upload("first", **deferred), upload("deferred", **deferred)
    third, fourth = upload("on_worker", deferrable=False, poll_interval=1), upload("too_many", poll_interval=1)
    first >> change(["0.md"], ["1.md"]) >> second >> change(["2.md"], ["3.md"]) >> third
    third >> change([], ["4.md", "5.md", "6.md", "7.md"]) >> fourth

knowledge_pruned()
"""


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(leads=0, delink_body=BODY, delink_otherwise="all", processing_seconds=3)


def test_what_a_folder_has_left_behind_is_delinked_and_too_much_at_once_is_not(robofy, airflow_home, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(10):
        (docs / f"{number}.md").write_text(f"document {number}")
    Path(airflow_home.folder / "dags" / "knowledge_pruned.py").write_text(DAG)

    done = airflow_home.airflow(
        "dags", "test", "knowledge_pruned", "2025-03-05", "--conf", json.dumps({"docs": str(docs)}), check=False,
        AIRFLOW_CONN_ROBOFY_DEFAULT=robofy.connection_json(endpoints={"delink_asset": {"path": PATH, "body": BODY}}),
    )  # fmt: skip

    assert [delink["names"] for delink in robofy.delinks()] == [["0.md"], ["1.md"], ["2.md"], ["3.md"]]
    assert robofy.count("delink_asset") == 4
    left = ["0.md", "2.md", *(f"{number}.md" for number in range(4, 10))]
    assert sorted(asset["name"] for asset in robofy.linked()) == left, "the last task has delinked nothing"
    written = done.stdout + done.stderr + airflow_home.everything_written()
    assert "4 of 8 documents would be pruned at once, and prune_limit=0.2 allows 3: 4.md; 5.md; 6.md; 7.md" in written
    [ledger] = (airflow_home.landing / "knowledge").rglob("docs-*.json")
    entries = json.loads(ledger.read_text())["entries"]
    assert {name: one["delink"]["state"] for name, one in entries.items() if "delink" in one} == {
        "1.md": "delinked", "3.md": "delinked",
    }  # fmt: skip
    assert robofy.api_key not in written
