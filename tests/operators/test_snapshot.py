"""RobofySnapshotOperator against the emulator, over a real socket, and its file in a table."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_robofy.api.endpoints import snapshot
from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.snapshot import RobofySnapshotOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator

ADDED = {"_snapshot_key", "_resource", "_position", "_fetched_at", "_project_id", "_chatbot_id"}


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=5, sessions=4, agents=3, agents_page_size=2))


def fetch(context, path, resource, **arguments):
    return RobofySnapshotOperator(task_id="s", resource=resource, output_path=str(path), **arguments).execute(context)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_rows_land_as_they_came_with_position_and_time(robofy, context, tmp_path, ending):
    robofy.fault("status", status=503, endpoint="list_agents")
    manifest = fetch(context, tmp_path / f"agents.{ending}", "agents")
    landed = list(rows(manifest))
    assert [row["chatbot_id"] for row in landed] == robofy.chatbot_ids
    assert all(row.keys() > ADDED for row in landed)
    assert {(row["_resource"], row["_fetched_at"]) for row in landed} == {("agents", manifest["started_at"])}
    assert (manifest["rows"], manifest["pages"], [row["_position"] for row in landed]) == (3, 2, [0, 1, 2])


def test_statistics_without_a_list_are_one_row_and_a_table_keeps_those_of_every_run(
    robofy, context, tmp_path, monkeypatch
):
    pytest.importorskip("airflow.providers.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_W", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w.db")}))
    manifests = []
    for number in range(2):
        manifests.append(fetch(context, tmp_path / f"{number}.jsonl", "message_stats"))
        robofy.add_leads(1)
    load = RobofyManifestToSqlOperator(task_id="l", manifest=manifests, table="stats", sql_conn_id="W")
    assert load.execute(context)["inserted"] == load.execute(context)["unchanged"] == 2
    with closing(sqlite3.connect(tmp_path / "w.db")) as database:
        found = database.execute("SELECT total_leads, _resource, _extra FROM stats ORDER BY _fetched_at").fetchall()
    assert [(int(leads), kind) for leads, kind, _ in found] == [(15, "message_stats"), (16, "message_stats")]
    assert not any(json.loads(extra or "{}") for _, _, extra in found)


def test_statistics_with_one_list_in_them_stay_whole(robofy):
    stats = {"total": 3, "by_day": [{"day": "2025-01-01", "count": 3}]}
    assert snapshot("message_stats", None).read({"data": stats}).items == [stats]


@pytest.mark.parametrize(("missing", "error"), [("fail", AirflowFailException), ("skip", AirflowSkipException)])
def test_a_path_that_the_api_does_not_know_fails_or_skips_as_asked(robofy, context, tmp_path, missing, error):
    robofy.fault("status", status=404, endpoint="message_stats")
    with pytest.raises(error, match="message_stats"):
        fetch(context, tmp_path / "stats.jsonl", "message_stats", missing=missing)
    assert not (tmp_path / "stats.jsonl").exists()


def test_a_row_that_is_no_object_is_rejected_and_the_others_land(robofy, context, ti, tmp_path):
    robofy.fault("malformed_rows", endpoint="list_agents", page=1, count=1, how="not_object")
    with pytest.raises(RobofyDataError, match="1 of 4 rows were rejected"):
        fetch(context, tmp_path / "agents.jsonl", "agents")
    assert ti.pushed["manifest"]["rows"] == 3


def test_the_connections_privacy_rules_hold(robofy, connect, context, tmp_path):
    connect(robofy, privacy={"chatbot_id": "drop"})
    assert not any("chatbot_id" in row for row in rows(fetch(context, tmp_path / "agents.jsonl", "agents")))


def test_another_resource_is_refused(robofy, context, tmp_path):
    with pytest.raises(AirflowFailException, match="resource='leads' must be one of agents, projects, message_stats"):
        fetch(context, tmp_path / "leads.jsonl", "leads")
