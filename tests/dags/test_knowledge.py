"""The knowledge DAG, run by a real Airflow against the emulator: uploads once, crawls, waits deferred."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import airflow_ui

pytestmark = pytest.mark.timeout(600)

KEY = "rk_planted_key_5e0b11aa"
WORDS = "planted words of a document"


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(api_key=KEY, leads=0, crawl_seconds=4, crawl_running="Crawling")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "faq.md").write_text(WORDS)
    (folder / "prices.pdf").write_bytes(WORDS.encode())
    return folder


@pytest.fixture
def run(airflow_home, robofy, folder):
    def run(dag_id: str, date: str, **options):
        conf = json.dumps({"docs": str(folder), "site": "https://example.com"})
        connection = robofy.connection_json()
        return airflow_home.run_dag(dag_id, date, "--conf", conf, AIRFLOW_CONN_ROBOFY_DEFAULT=connection, **options)

    return run


def test_documents_are_uploaded_once_over_two_nights_and_each_night_has_one_crawl(airflow_home, robofy, run, folder):
    written = run("robofy_knowledge", "2025-03-01")
    assert sorted(asset["name"] for asset in robofy.assets()) == ["faq.md", "prices.pdf"]
    [crawl] = robofy.crawls()
    assert crawl["request"]["start_urls"] == [{"url": "https://example.com"}]
    assert crawl["request"]["max_crawl_pages"] == 200
    assert robofy.count("get_crawl_status") >= 1

    (folder / "faq.md").write_text(f"{WORDS}, and more")
    written += run("robofy_knowledge", "2025-03-02")
    assert sorted(asset["name"] for asset in robofy.assets()) == ["faq.md", "faq.md", "prices.pdf"]
    assert len(robofy.crawls()) == 2

    [ledger] = (airflow_home.landing / "knowledge").rglob("docs-*.json")
    assert {entry["state"] for entry in json.loads(ledger.read_text())["entries"].values()} == {"uploaded"}
    written += airflow_home.everything_written()
    assert ", 1 superseded" in written
    assert crawl["run_id"] in written
    for secret in (KEY, WORDS):
        assert secret not in written, f"{secret} was written"
    assert WORDS not in ledger.read_text()


UNCERTAIN = """
from datetime import UTC, datetime, timedelta
from airflow.providers.common.compat.sdk import dag
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.sensors.knowledge import RobofyCrawlSensor

@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC), params={"docs": "/nowhere"},
     default_args={"retries": 1, "retry_delay": timedelta(seconds=1)})
def knowledge_uncertain():
    upload = RobofyUploadKnowledgeOperator(task_id="upload", source="{{ params.docs }}")
    upload >> RobofyCrawlSensor(task_id="crawled", deferrable=True, timeout=30)

knowledge_uncertain()
"""


WAITING = """
from datetime import UTC, datetime, timedelta
from airflow.providers.common.compat.sdk import dag
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.sensors.knowledge import RobofyCrawlSensor, RobofyKnowledgeSensor

@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC), params={"docs": "/nowhere"})
def knowledge_waiting():
    crawl = RobofyCrawlWebsiteOperator(task_id="crawl", start_urls="https://example.com", wait_for_completion=False)
    waits = [
        RobofyCrawlSensor(task_id="rescheduled", mode="reschedule", poke_interval=10, timeout=120),
        RobofyCrawlSensor(task_id="deferred", deferrable=True, poke_interval=10, timeout=120),
    ]
    upload = RobofyUploadKnowledgeOperator(
        task_id="upload", source="{{ params.docs }}", wait=True, deferrable=True, poll_interval=10, timeout=120
    )
    RobofyKnowledgeSensor(task_id="ready", manifest=upload.output, poke_interval=10, timeout=120)
    crawl >> waits >> upload  # one after another, or the crawl is over before it is waited for

knowledge_waiting()
"""


def test_tasks_wait_rescheduled_and_deferred_for_a_crawl_and_for_documents(airflow_home, robofy, run):
    Path(airflow_home.folder / "dags" / "knowledge_waiting.py").write_text(WAITING)
    robofy.configure(crawl_seconds=5, processing_seconds=5)  # less than one interval: each waits once
    written = run("knowledge_waiting", "2025-03-04")
    assert "state=failed" not in written
    assert len(robofy.crawls()) == 1
    assert robofy.count("get_crawl_status") >= 3
    assert len(robofy.assets()) == 2
    assert robofy.count("list_linked_assets") >= 2, "the upload's trigger and the sensor have polled"
    stored = airflow_home.stored()
    for task_id in ("rescheduled", "deferred", "upload", "ready"):
        assert f"'{task_id}','knowledge_waiting'" in stored
    assert KEY not in airflow_home.everything_written() + written


def test_an_upload_whose_answer_was_lost_fails_the_run_without_a_second_upload(airflow_home, robofy, run):
    Path(airflow_home.folder / "dags" / "knowledge_uncertain.py").write_text(UNCERTAIN)
    robofy.fault("drop", endpoint="add_file")
    written = run("knowledge_uncertain", "2025-03-03", check=False)
    assert "may or may not have arrived" in written + airflow_home.everything_written()
    assert robofy.count("add_file") == 1, "Airflow's retry, had it come, would not have repeated it either"
    assert robofy.count("get_crawl_status") == 0


def test_the_example_runs_as_it_comes_with_a_connection_in_airflows_database(airflow_home, robofy):
    """Under `airflow dags test` the crawl's inline trigger must find the connection that only the database has."""
    documents = airflow_home.landing / "documents"
    airflow_ui.write_documents(documents)
    airflow_home.airflow("connections", "add", "robofy_default", "--conn-json", robofy.connection_json())
    try:
        airflow_home.run_dag("robofy_knowledge", "2025-03-03")
    finally:
        airflow_home.airflow("connections", "delete", "robofy_default")
    assert sorted(asset["name"] for asset in robofy.assets()) == sorted(path.name for path in documents.iterdir())
    assert len(robofy.crawls()) == 1
    assert robofy.count("get_crawl_status") >= 1, "the trigger has polled"
