"""The fixture itself: components come up, run a DAG, survive being killed, and leave nothing behind."""

from __future__ import annotations

DAG = """
from datetime import UTC, datetime, timedelta
from airflow.sdk import dag, task

@dag(schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC))
def processes_smoke():
    @task
    def add(a: int, b: int) -> int:
        return a + b

    add(20, 3)

processes_smoke()
"""


def test_a_dag_runs_also_after_the_scheduler_was_killed(running_airflow):
    running_airflow.write_dag("processes_smoke", DAG)
    run_id = running_airflow.trigger("processes_smoke")
    assert running_airflow.wait_for_run("processes_smoke", run_id) == "success"
    assert running_airflow.xcom("processes_smoke", run_id, "add") == 23

    running_airflow.kill("scheduler")
    second = running_airflow.trigger("processes_smoke")
    running_airflow.start("scheduler")
    assert running_airflow.wait_for_run("processes_smoke", second) == "success"
    assert [run["state"] for run in running_airflow.runs("processes_smoke")] == ["success", "success"]
