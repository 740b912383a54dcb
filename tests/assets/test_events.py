"""Which file an outlet's event names, and the manifests that a consumer gets of it."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.assets.events import describe_events, manifests_of

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
ASSET = Asset(uri="s3://lake/leads")
DAGS = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG, Asset
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.operators.snapshot import RobofySnapshotOperator
from airflow_provider_robofy.sensors.inbox import RobofyNewSessionsSensor

with DAG("producer", schedule=None, start_date=datetime(2025, 1, 1), catchup=False):
    RobofyFetchLeadsOperator(task_id="leads", outlets=[Asset("s3://lake/leads")])
    none = RobofyFetchLeadsOperator(task_id="none", since="2100-01-01", outlets=[Asset("s3://lake/none")])
    sessions = RobofyFetchSessionsOperator(task_id="sessions", outlets=[Asset("s3://lake/sessions")])
    RobofyNewSessionsSensor(task_id="wait", min_count=4, idle_for=60) >> sessions
    RobofySnapshotOperator(task_id="agents", resource="agents", outlets=[Asset("s3://lake/agents")])
    for rows in ("messages", "conversations"):
        outlet = Asset(f"s3://lake/{rows}")
        RobofyFetchMessagesOperator(task_id=rows, rows=rows, sessions=sessions.output, outlets=[outlet])
"""


def event(minute, extra, uri=ASSET.uri):
    asset = SimpleNamespace(uri=uri)
    return SimpleNamespace(timestamp=NOON + timedelta(minutes=minute), extra=extra, asset=asset)


class OutletEvents:
    """Give the accessor of one asset. Not a dictionary: assets of Airflow 3.1 cannot be its keys."""

    def __init__(self, accessor) -> None:
        self.accessor = accessor

    def __getitem__(self, asset):
        assert asset == ASSET
        return self.accessor


def landed(folder, name, rows=3) -> dict:
    """Write a manifest, and return the extra of its event as the producer makes it."""
    manifest = {
        "uri": str(folder / name), "resource": "leads", "rows": rows, "sha256": "ab", "first_at": None, "last_at": None,
    }  # fmt: skip
    (folder / f"{name}.manifest.json").write_text(json.dumps(manifest))
    accessor = SimpleNamespace(extra={"mine": 1})
    describe_events([ASSET, "no asset"], {"outlet_events": OutletEvents(accessor)}, manifest)
    assert accessor.extra["mine"] == 1
    return accessor.extra


@pytest.mark.parametrize("name", ["triggering_asset_events", "triggering_dataset_events"])
def test_a_consumer_gets_each_manifest_once_in_the_order_of_the_events(tmp_path, name):
    first, empty, last = (landed(tmp_path, f"{one} %20::#.jsonl", rows) for one, rows in (("a", 3), ("b", 0), ("c", 1)))
    events = {
        "asset": [event(2, last), event(1, empty), event(0, first)],
        "its alias": [event(0, first)],
        "another": [event(3, {"by": "hand"}, "s3://by/hand")],
    }
    found = manifests_of({name: events})
    assert [one["uri"] for one in found] == [first["robofy"]["uri"], last["robofy"]["uri"]]
    assert "manifest_uri" not in empty["robofy"]


def test_a_run_that_no_event_started_has_no_manifests():
    assert manifests_of({"triggering_asset_events": {}}) == []


def test_events_that_name_no_file_are_an_error_that_names_their_asset():
    with pytest.raises(RobofyConfigError, match="s3://by/hand"):
        manifests_of({"triggering_asset_events": {"a": [event(0, None, "s3://by/hand")]}})


def test_a_manifest_that_is_gone_or_none_is_named(tmp_path):
    extra = landed(tmp_path, "a.jsonl")
    path = tmp_path / "a.jsonl.manifest.json"
    for content, why in (("[1]", "is no manifest"), ("{", "is no manifest"), (None, "has been removed since")):
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(RobofyConfigError, match=rf"{re.escape(str(path))}.*{why}"):
            manifests_of({"triggering_asset_events": {"a": [event(0, extra)]}})


@pytest.mark.timeout(400)
@pytest.mark.dag_test
def test_airflow_stores_which_file_landed_with_the_event_of_each_outlet(robofy_emulator_factory, tmp_path):
    robofy = robofy_emulator_factory(leads=12, sessions=4, agents=1)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "producer.py").write_text(DAGS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__ROBOFY__LANDING_ROOT": str(tmp_path / "landing"),
        "AIRFLOW_CONN_ROBOFY_DEFAULT": robofy.connection_json(),
    }
    for command in (["db", "migrate"], ["dags", "reserialize"], ["dags", "test", "producer", "2025-06-01"]):
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        asset = "asset" if "asset_event" in tables else "dataset"
        stored = database.execute(
            f"SELECT a.uri, e.extra FROM {asset}_event e JOIN {asset} a ON a.id = e.{asset}_id"
        ).fetchall()
    extras = {uri: json.loads(extra) for uri, extra in stored}
    counts = {uri: extra["robofy"]["rows"] for uri, extra in extras.items()}
    messages = counts.pop("s3://lake/messages")
    expected = {"leads": 12, "none": 0, "sessions": 4, "conversations": 4, "agents": 1}
    assert counts == {f"s3://lake/{name}": rows for name, rows in expected.items()}
    events = [event(number, extra) for number, extra in enumerate(extras.values())]
    found = manifests_of({"triggering_asset_events": {"a": events}})
    assert sorted(one["rows"] for one in found) == sorted([12, 4, 4, 1, messages])
