"""The example DAGs of conversations and of knowledge in a browser: run, and their logs read as a person reads them."""

from __future__ import annotations

import json
import re

import pytest

from tests.ui.conftest import EXAMPLES

#: What a person would stop at in the log of a task that has succeeded.
ALARMING = re.compile(r"Traceback|ERROR|CRITICAL|WARNING|Exception")


@pytest.fixture
def start(screens, airflow, robofy):
    """Run an example DAG to its end, and open the page of that run."""

    def run(dag_id: str, *, tasks: int) -> None:
        airflow.connect("robofy_default", json.loads(robofy.connection_json()))
        source = (EXAMPLES / f"{dag_id}.py").read_text()
        # Without a schedule, lest a second run stand beside the one that is looked at.
        source, found = re.subn(r'schedule="@\w+"', "schedule=None", source)
        assert found == 1
        airflow.write_dag(dag_id, source)
        screens.dag(dag_id)
        screens.switch_on()
        screens.trigger()
        screens.run(dag_id, "manual", tasks=tasks)

    return run


def test_the_logs_of_a_conversations_run_name_counts_and_files_and_nobody(start, screens, window, airflow, robofy):
    dag_id = "robofy_conversations"
    start(dag_id, tasks=7)  # one of them in four parts

    screens.task("fetch_sessions")
    sessions = screens.log()
    assert re.search(r"Landed \d+ sessions \(full\): received \d+, duplicates 0", sessions)
    assert "The cursor stays where it stands until RobofyAdvanceCursorOperator moves it" in sessions
    window.page.goto(window.page.url.partition("/tasks/")[0])
    screens.task("advance_cursor")
    advanced = screens.log("cursor")

    for log in (sessions, advanced):
        assert not ALARMING.search(log), log
    landed = [path for path in airflow.landing.rglob("*.jsonl") if "fetch_sessions" in str(path)]
    ids = {json.loads(line)["session_id"] for path in landed for line in path.read_text().splitlines()}
    assert ids
    told = window.told() + airflow.everything_written()
    assert not [one for one in (robofy.api_key, *ids) if one in told]


def test_the_logs_of_a_knowledge_run_name_the_documents_and_follow_the_crawl(start, screens, window, airflow, robofy):
    folder = airflow.landing / "documents"
    folder.mkdir(parents=True)
    (folder / "returns.txt").write_text("Goods can be sent back within 30 days.")
    start("robofy_knowledge", tasks=3)

    screens.task("upload_documents")
    uploaded = screens.log("uploaded")
    assert "1 found, 1 uploaded, 0 unchanged" in uploaded
    window.page.goto(window.page.url.partition("/tasks/")[0])
    screens.task("crawl_website")
    crawled = screens.log("crawl")

    for log in (uploaded, crawled):
        assert not ALARMING.search(log), log
    assert robofy.api_key not in airflow.everything_written()
