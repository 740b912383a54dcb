"""Lineage as it leaves a real Airflow: OpenLineage's own file of events, and what Airflow's collector holds."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS, AIRFLOW_V_3_1_PLUS

from tests.lineage.conftest import PLANTED, plant

pytest.importorskip("airflow.providers.openlineage")
pytestmark = [pytest.mark.timeout(400), pytest.mark.dag_test]

DAG = """
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

with DAG("lineage", schedule=None, start_date=datetime(2025, 1, 1), default_args={{"retries": 0}}):
    RobofyFetchLeadsOperator(task_id="leads", inlets=[leads_asset({project!r}, {agent!r}, host={host!r})])
    sessions = RobofyFetchSessionsOperator(task_id="sessions")
    RobofyFetchMessagesOperator(task_id="messages", sessions=sessions.output)
    RobofyFetchLeadsOperator(task_id="refused", chatbot_id="no-such-agent")
"""

# What a tool that reads hook lineage does, written down for the test.
READER = """
import json, os

from airflow.listeners import hookimpl
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.providers.common.compat.sdk import AirflowPlugin, HookLineageReader


class Listener:
    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        found = get_hook_lineage_collector().collected_assets
        line = {"inputs": [one.asset.uri for one in found.inputs], "outputs": [one.asset.uri for one in found.outputs],
                "extras": [one.value for one in found.extra], "task": task_instance.task_id}
        with open(os.environ["COLLECTED"], "a") as file:
            file.write(json.dumps(line) + "\\n")


class Reader(AirflowPlugin):
    name = "reads_lineage"
    hook_lineage_readers = [HookLineageReader]
    listeners = [Listener()]
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def asset_events(home) -> int:
    table = "asset_event" if AIRFLOW_V_3_0_PLUS else "dataset_event"
    with sqlite3.connect(home.folder / "airflow.db") as database:
        [(count,)] = database.execute(f"select count(*) from {table}")
    return count


def names(datasets) -> list[tuple[str, str]]:
    return [(one["namespace"], one["name"]) for one in datasets]


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(api_key=PLANTED["key"], leads=40, sessions=12, page_size=15)


@pytest.mark.skipif(
    AIRFLOW_V_3_0_PLUS and not AIRFLOW_V_3_1_PLUS,
    reason="`airflow dags test` of 3.0 fails each task with an outlet, since no scheduler has activated its asset",
)
def test_the_events_name_where_rows_came_from_and_went_to_with_their_number_and_nobody(airflow_home, robofy, tmp_path):
    host, agent = robofy.url.removeprefix("http://"), robofy.chatbot_ids[0]
    for folder, text in {
        "dags": DAG.format(project=robofy.project_id, agent=agent, host=host),
        "plugins": READER,
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lineage.py").write_text(text)
    events, collected = tmp_path / "events.jsonl", tmp_path / "collected.jsonl"
    asset_events_before = asset_events(airflow_home)

    written = airflow_home.run_dag(
        "lineage",
        "2025-02-01",
        check=False,  # one of the tasks fails
        AIRFLOW_CONN_ROBOFY_DEFAULT=plant(robofy),
        AIRFLOW__CORE__DAGS_FOLDER=str(tmp_path / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(tmp_path / "plugins"),
        AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps({"type": "file", "log_file_path": str(events), "append": True}),
        AIRFLOW__OPENLINEAGE__NAMESPACE="tests",
        # The most that OpenLineage can be told to write: every attribute of an operator.
        AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO="True",
        COLLECTED=str(collected),
    )

    assert events.exists(), written[-6000:]
    manifests = {manifest["resource"]: manifest for manifest, _ in airflow_home.landed()}
    ends = {
        event["job"]["name"].removeprefix("lineage."): event
        for event in lines(events)
        if event["eventType"] in {"COMPLETE", "FAIL"}
    }
    tasks = {"leads": "COMPLETE", "sessions": "COMPLETE", "messages": "COMPLETE", "refused": "FAIL"}
    assert {task: event["eventType"] for task, event in ends.items() if task != "lineage"} == tasks
    account = f"robofy://{host}"
    project = f"{robofy.project_id}/{agent}"
    for resource in ("leads", "sessions", "messages"):
        event, manifest = ends[resource], manifests[resource]
        sessions_file = [("file", manifests["sessions"]["uri"])] if resource == "messages" else []
        assert names(event["inputs"]) == [(account, f"{project}/{resource}"), *sessions_file]
        assert names(event["outputs"]) == [("file", manifest["uri"])]
        statistics = event["outputs"][0]["outputFacets"]["outputStatistics"]
        assert (statistics["rowCount"], statistics["size"]) == (manifest["rows"], manifest["bytes"])
    assert (manifests["leads"]["rows"], manifests["sessions"]["rows"]) == (41, 13)
    assert names(ends["refused"]["inputs"]) == [(account, f"{robofy.project_id}/no-such-agent/leads")]
    assert ends["refused"]["outputs"] == []
    assert "no-such-agent" in json.dumps(ends["refused"]["run"]["facets"]["airflow"]), "the run was told everything"

    # The process of `dags test` runs all tasks, so its collector gathers theirs; the last one has them all.
    gathered = lines(collected)[-1]
    expected = {f"{account}/{project}/{resource}" for resource in manifests}
    expected |= {f"{account}/{robofy.project_id}/no-such-agent/leads"} & set(gathered["inputs"])
    assert set(gathered["inputs"]) == {*expected, f"file://{manifests['sessions']['uri']}"}
    assert set(gathered["outputs"]) == {f"file://{manifest['uri']}" for manifest in manifests.values()}
    assert asset_events(airflow_home) == asset_events_before, "lineage starts no DAG"

    landed = "".join(Path(manifest["uri"]).read_text() for manifest in manifests.values())
    assert all(PLANTED[name] in landed for name in ("email", "phone", "address", "said"))
    written += events.read_text() + collected.read_text()
    for secret in (*PLANTED.values(), PLANTED["phone"].removeprefix("+")):
        assert secret not in written, f"{secret} has left Airflow with its lineage"
