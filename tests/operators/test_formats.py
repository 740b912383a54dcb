"""Every fetch operator lands every format: the same rows, counted the same."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import parquet

from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.operators.conftest import fetch, fetch_leads, fetch_messages, fetch_sessions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def robofy(robofy_emulator_factory, monkeypatch):
    emulator = robofy_emulator_factory(agents=1, leads=25, sessions=12, page_size=5)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", emulator.connection_json())
    return emulator


def as_others_read(path: Path) -> list[dict[str, Any]]:
    """Return the columns of a file, as programs find them that know nothing of this provider."""
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("ending", ["csv.gz", "parquet"])
def test_leads_land_in_the_format_that_the_path_names(robofy, context, tmp_path, ending):
    path = tmp_path / f"leads.{ending}"

    manifest = fetch_leads(context, path)

    shown = robofy.leads()
    stamp = {"_project_id": robofy.project_id, "_chatbot_id": robofy.chatbot_ids[0]}
    expected = [{**row, **stamp, "_created_at": row["created_at"].replace(" ", "T") + "+00:00"} for row in shown]
    assert list(rows(manifest)) == expected
    assert [row["id"] for row in as_others_read(path)] == [row["id"] for row in shown]
    assert (manifest["format"], manifest["rows"], manifest["bytes"]) == (ending, 25, path.stat().st_size)


@pytest.mark.parametrize("ending", ["csv", "jsonl.gz", "parquet"])
def test_messages_of_the_sessions_in_a_file_of_any_format(robofy, context, tmp_path, ending):
    sessions = tmp_path / f"sessions.{ending}"
    messages = tmp_path / f"messages.{ending}"

    listed = fetch_sessions(context, sessions)
    plain = fetch_messages(context, tmp_path / "plain.jsonl", listed)
    manifest = fetch_messages(context, messages, str(sessions))

    assert (listed["rows"], manifest["sessions_read"]) == (12, 12)
    assert manifest["rows"] == plain["rows"] > 12
    assert list(rows(manifest)) == list(rows(plain))
    keys = [row["_message_key"] for row in rows(plain)]
    assert [row["_message_key"] for row in as_others_read(messages)] == keys
    if ending != "jsonl.gz":
        said = [json.loads(row["message"]) for row in as_others_read(messages)]
        assert [{**row, **one} for row, one in zip(rows(plain), said, strict=True)] == list(rows(plain))
        assert all("_message_key" not in one and "direction" in one for one in said)


@pytest.mark.parametrize(
    "operator", [RobofyFetchLeadsOperator, RobofyFetchSessionsOperator, RobofyFetchMessagesOperator]
)
def test_formulas_are_defused_unless_the_operator_is_given_false(robofy, context, tmp_path, operator):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    more = {"sessions": sessions} if operator is RobofyFetchMessagesOperator else {}
    for given, defused in (({}, True), ({"defuse_formulas": False}, False)):
        manifest = fetch(operator, context, tmp_path / f"{defused}.csv", **given, **more)
        assert manifest["formulas_defused"] is defused
