"""The deferrable crawl on a real triggerer, which is killed in the middle of it."""

from __future__ import annotations

import json

import pytest

KEY = "rk_planted_key_77aa01c4"

DAG = """
from datetime import UTC, datetime, timedelta
from airflow.sdk import dag
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.sensors.knowledge import RobofyCrawlSensor

@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC),
     default_args={"retries": 1, "retry_delay": timedelta(seconds=1)})
def processes_crawl():
    crawl = RobofyCrawlWebsiteOperator(
        task_id="crawl", start_urls=["https://example.com"], deferrable=True, poll_interval=10, timeout=300
    )
    crawl >> RobofyCrawlSensor(task_id="crawled", deferrable=True, poke_interval=10, timeout=300)

processes_crawl()
"""


@pytest.fixture
def robofy(robofy_emulator_factory, running_airflow):
    emulator = robofy_emulator_factory(api_key=KEY, leads=0, crawl_seconds=600, crawl_running="Crawling")
    running_airflow.connect("robofy_default", json.loads(emulator.connection_json()))
    return emulator


def test_a_crawl_is_waited_for_without_a_worker_and_over_a_crash_of_the_triggerer(running_airflow, robofy):
    running_airflow.write_dag("processes_crawl", DAG)
    run_id = running_airflow.trigger("processes_crawl")

    running_airflow.wait_for_task("processes_crawl", run_id, "crawl", "deferred")
    [crawl] = robofy.crawls()
    assert running_airflow.xcom("processes_crawl", run_id, "crawl", "run_id") == crawl["run_id"], "before the wait"
    looked = robofy.count("get_crawl_status")
    running_airflow.until(lambda: robofy.count("get_crawl_status") > looked, "the trigger looks", timeout=60)
    running_airflow.restart("triggerer")
    looked = robofy.count("get_crawl_status")
    running_airflow.until(lambda: robofy.count("get_crawl_status") > looked, "the next trigger looks", timeout=120)
    assert running_airflow.task("processes_crawl", run_id, "crawl")["state"] == "deferred"

    robofy.configure(crawl_seconds=0)
    assert running_airflow.wait_for_run("processes_crawl", run_id, timeout=180) == "success"

    assert len(robofy.crawls()) == 1
    assert running_airflow.task("processes_crawl", run_id, "crawl")["try_number"] == 1
    for task_id in ("crawl", "crawled"):
        result = running_airflow.xcom("processes_crawl", run_id, task_id)
        assert (result["status"], result["run_id"]) == ("completed", crawl["run_id"])
    assert KEY not in running_airflow.everything_written()


def test_a_wrong_key_met_by_the_trigger_fails_the_task_at_once(running_airflow, robofy):
    running_airflow.write_dag("processes_crawl", DAG)
    run_id = running_airflow.trigger("processes_crawl")
    running_airflow.wait_for_task("processes_crawl", run_id, "crawl", "deferred")
    robofy.configure(api_key="rk_another_key")

    assert running_airflow.wait_for_run("processes_crawl", run_id, timeout=180) == "failed"

    assert running_airflow.task("processes_crawl", run_id, "crawl")["try_number"] == 1, "no retry"
    assert "password field" in running_airflow.task_log("processes_crawl", run_id, "crawl")
    assert len(robofy.crawls()) == 1
