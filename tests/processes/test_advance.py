"""Cursors that move after the work, in a running Airflow: a mapped group of agents, and an asset's state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

DAG = """
from datetime import UTC, datetime
from airflow.sdk import dag, task, task_group
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

state = leads_asset({project!r}, {agents!r}[0])

@task
def load(manifest, params=None):
    if manifest["chatbot_id"] in params["failing"]:
        raise ValueError("the warehouse is down")

@task_group
def sync(chatbot_id):
    leads = RobofyFetchLeadsOperator(
        task_id="leads", project_id={project!r}, chatbot_id=chatbot_id, cursor="cursors", advance_cursor=False
    )
    load(leads.output) >> RobofyAdvanceCursorOperator(task_id="advance", manifest=leads.output, cursor="cursors")

@dag(
    dag_id="advancing", schedule=None, start_date=datetime(2025, 1, 1, tzinfo=UTC), max_active_runs=1,
    params={{"failing": []}}, default_args={{"retries": 0, "robofy_conn_id": "advancing"}},
)
def advancing():
    sync.expand(chatbot_id={agents!r})
    if {with_asset}:
        leads = RobofyFetchLeadsOperator(
            task_id="asset_leads", project_id={project!r}, chatbot_id={agents!r}[0], cursor=state,
            advance_cursor=False,
        )
        advance = RobofyAdvanceCursorOperator(task_id="asset_advance", manifest=leads.output, cursor=state)
        load.override(task_id="asset_load")(leads.output) >> advance

advancing()
"""


@pytest.mark.timeout(600)
def test_where_one_load_fails_the_other_cursors_move_and_the_next_run_has_everything(
    running_airflow, robofy_emulator_factory
):
    airflow = running_airflow
    robofy = robofy_emulator_factory(leads=10, agents=2)
    first, second = robofy.chatbot_ids
    airflow.connect("advancing", json.loads(robofy.connection_json()))
    source = DAG.format(project="24017", agents=[first, second], with_asset=AIRFLOW_V_3_3_PLUS)
    airflow.write_dag("advancing", source)

    run = airflow.trigger("advancing", {"failing": [first]})
    assert airflow.wait_for_run("advancing", run, timeout=300) == "failed"
    for agent in (first, second):
        robofy.add_leads(3, chatbot_id=agent)
    run = airflow.trigger("advancing")
    assert airflow.wait_for_run("advancing", run, timeout=300) == "success"

    rows = {}
    for path in sorted(airflow.landing.rglob("advancing/**/*.manifest.json")):
        manifest = json.loads(path.read_text())
        if manifest["run_key"].split("/")[1] == run:
            rows[Path(manifest["uri"]).stem] = (manifest["chatbot_id"], manifest["rows"])
    everything = len(robofy.leads(first))
    expected = {"sync.leads-0": (first, everything), "sync.leads-1": (second, 3)}
    if AIRFLOW_V_3_3_PLUS:
        expected["asset_leads"] = (first, everything)
    assert rows == expected

    if AIRFLOW_V_3_3_PLUS:
        run = airflow.trigger("advancing")
        assert airflow.wait_for_run("advancing", run, timeout=300) == "success"
        assert airflow.task("advancing", run, "asset_advance")["state"] == "skipped", "nothing is new"
