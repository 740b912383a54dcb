"""Lineage of loading landed files into a database: the files, the table, and the rows that were written."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator

pytest.importorskip("airflow.providers.sqlite")


@pytest.fixture
def database(tmp_path, monkeypatch) -> str:
    path = f"{tmp_path}/shop.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": path}))
    return path


def fetch(context, tmp_path, name: str):
    return RobofyFetchLeadsOperator(task_id="leads", output_path=str(tmp_path / name)).execute(context)


def load(*manifests) -> RobofyManifestToSqlOperator:
    return RobofyManifestToSqlOperator(task_id="load", manifest=manifests, table="leads", sql_conn_id="warehouse")


@pytest.mark.usefixtures("robofy")
def test_files_go_into_a_table_and_the_rows_that_were_written_are_counted(  # noqa: PLR0917
    collector, extract, context, tmp_path, database, planted
):
    first, second = fetch(context, tmp_path, "first.jsonl"), fetch(context, tmp_path, "second.jsonl")
    operator = load(first, second)

    counts = operator.execute(context)

    assert (counts["rows"], counts["inserted"], counts["updated"]) == (52, 26, 0), "the second file holds the same"
    found = extract(operator)
    assert found.inputs == [("file", first["uri"]), ("file", second["uri"])]
    assert found.outputs == [(f"sqlite://{database}", "leads")]
    assert found.raw.outputs[0].outputFacets["outputStatistics"].rowCount == 26
    assert collector.inputs[2:] == [f"file://{first['uri']}", f"file://{second['uri']}"], "after those of the fetches"
    assert collector.outputs[2:] == [Asset(uri=f"sqlite://{database}/leads").uri]
    assert [what for what in planted.values() if what in collector.text + str(found.raw)] == []


@pytest.mark.usefixtures("robofy")
def test_a_load_that_fails_at_its_second_file_names_the_table_for_the_first(extract, context, tmp_path, database):
    first = fetch(context, tmp_path, "first.jsonl")
    operator = load(first, {**first, "uri": str(tmp_path / "gone.jsonl")})

    with pytest.raises(Exception, match="gone"):
        operator.execute(context)

    found = extract(operator)
    assert (found.inputs, found.outputs) == ([("file", first["uri"])], [(f"sqlite://{database}", "leads")])
    assert found.raw.outputs[0].outputFacets["outputStatistics"].rowCount == 26


def test_a_load_that_never_began_names_nothing(extract):
    found = extract(load({}))
    assert (found.inputs, found.outputs) == ([], [])
