"""RobofyFetchLeadsOperator against the emulator, over a real socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.operators.conftest import lines


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=25, page_size=10))


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "landed" / "leads.jsonl"


def fetch(context, output: Path | None, **arguments):
    path = None if output is None else str(output)
    return RobofyFetchLeadsOperator(task_id="leads", output_path=path, **arguments).execute(context)


def ids(path) -> list[str]:
    return [row["id"] for row in lines(path)]


# ------------------------------------------------------------------------------------------------- what lands


def test_every_lead_lands_as_the_api_sent_it_with_three_fields_added(robofy, context, output):
    manifest = fetch(context, output)
    [agent] = robofy.chatbot_ids[:1]
    for row, source in zip(lines(output), robofy.leads(agent), strict=True):
        created = source["created_at"].replace(" ", "T") + "+00:00"
        assert row == {**source, "_project_id": "24017", "_chatbot_id": agent, "_created_at": created}
    assert manifest == json.loads(Path(f"{output}.manifest.json").read_text()), "XCom carries the manifest"
    assert (manifest["rows"], manifest["received"], manifest["pages"], manifest["requests"]) == (25, 25, 3, 3)
    assert (manifest["mode"], manifest["row_order"], manifest["end_marker"]) == ("full", "newest_first", "absent")


def test_a_window_lands_what_lies_in_it_half_open(robofy, context, output):
    rows = robofy.leads(robofy.chatbot_ids[0])
    times = sorted(row["created_at"] for row in rows)
    since, until = times[5], times[15]
    manifest = fetch(context, output, since=f"{since}+00:00", until=datetime.fromisoformat(until).replace(tzinfo=UTC))
    assert ids(output) == [row["id"] for row in rows if since <= row["created_at"] < until]
    assert (manifest["mode"], manifest["outside_window"]) == ("window", 15)


def test_the_connections_zone_is_that_of_times_without_one(robofy, connect, context, output):
    connect(robofy, timezone="Asia/Kolkata")
    fetch(context, output)
    newest = datetime.fromisoformat(robofy.leads(robofy.chatbot_ids[0])[0]["created_at"]).replace(tzinfo=UTC)
    assert lines(output)[0]["_created_at"] == (newest - timedelta(hours=5, minutes=30)).isoformat()


def test_without_a_path_each_mapped_task_lands_a_file_of_its_own_below_the_landing_root(robofy, context, ti, landing):
    folder = f"{landing}/leads/24017"
    manifest = fetch(context, None)
    run = "my_dag/manual__2025-01-15T00:00:00+00:00"
    assert manifest["uri"] == f"{folder}/{robofy.chatbot_ids[0]}/{run}/leads.jsonl"
    agent = next(one for one in robofy.chatbot_ids if "/" in one)
    ti.map_index = 2
    manifest = fetch(context, None, chatbot_id=agent)
    assert manifest["uri"] == f"{folder}/{agent.replace('/', '%2F')}/{run}/leads-2.jsonl"
    assert manifest["run_key"].endswith("/leads/2")
    assert ids(manifest["uri"]) == [row["id"] for row in robofy.leads(agent)]


# ---------------------------------------------------------------------------------------- Airflow's own habits


def test_the_documented_fields_are_templated_and_render(robofy, context, tmp_path):
    task = RobofyFetchLeadsOperator(
        task_id="leads",
        output_path=f"{tmp_path}/{{{{ run_id }}}}.jsonl",
        project_id="{{ params.project }}",
        chatbot_id="{{ params.agent }}",
        since="{{ params.since }}",
        until="{{ none }}",
        robofy_conn_id="robofy_{{ params.name }}",
    )
    names = "output_path project_id chatbot_id since until cursor cursor_name sessions shard robofy_conn_id"
    assert set(task.template_fields) == set(names.split())
    context["params"] = {"project": 24017, "agent": robofy.chatbot_ids[1], "since": "", "name": "default"}
    task.render_template_fields(context)
    manifest = task.execute(context)
    assert (manifest["mode"], manifest["chatbot_id"]) == ("full", robofy.chatbot_ids[1])
    assert manifest["uri"].endswith("manual__2025-01-15T00:00:00+00:00.jsonl")


def test_a_window_that_renders_empty_reads_everything_and_says_so(robofy, context, output, caplog, capfd):
    assert fetch(context, output, since="None", until="")["mode"] == "full"
    out, err = capfd.readouterr()  # Airflow 3 logs through structlog, which caplog does not see
    assert "came out empty" in caplog.text + out + err


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("connection", "arguments", "words"),
    [
        ({"password": "wrong"}, {}, ["password field", "UNAUTHORIZED", "list_leads", "support"]),
        ({}, {"project_id": "99999"}, ["PROJECT_NOT_FOUND", "project_id", "support"]),
        ({}, {"chatbot_id": "nobody"}, ["chatbot_id", "list_leads"]),
        ({}, {"until": "last tuesday"}, ["until", "last tuesday"]),
        ({}, {"output_path": "leads.jsonl"}, ["output_path", "relative", "landing_root"]),
        ({}, {"output_path": " "}, ["output_path", "landing_root"]),
    ],
)
def test_what_is_wrong_fails_at_once_and_says_what_to_fix(  # noqa: PLR0917
    robofy, connect, context, output, connection, arguments, words
):
    connect(robofy, **connection)
    task = RobofyFetchLeadsOperator(task_id="leads", **{"output_path": str(output), **arguments})
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context)
    for word in words:
        assert word in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True), "a cause may print a URL"
    assert not output.parent.exists()


def test_rows_that_cannot_be_understood_fail_the_task_beyond_max_rejected(robofy, context, ti, output):
    robofy.fault("malformed_rows", endpoint="list_leads", page=2, count=3)
    with pytest.raises(RobofyDataError, match="max_rejected"):
        fetch(context, output, since="2000-01-01")
    manifest = ti.pushed["manifest"]
    assert manifest["rejected"] == len(lines(f"{output}.rejected.jsonl")) == 3
    assert manifest["received"] == manifest["rows"] + manifest["rejected"]
    assert fetch(context, output, since="2000-01-01", max_rejected=3)["rejected"] == 3


@pytest.mark.parametrize(
    ("first", "second", "remedy"),
    [
        ({}, {"run_id": "other"}, "{{ run_id }} or the window's bounds"),
        ({}, {"dag_id": "other"}, "{{ run_id }} or the window's bounds"),
        ({}, {"task_id": "other", "map_index": 1}, "Put {{ ti.task_id }} into output_path"),
        ({"map_index": 0}, {"map_index": 1}, "Put {{ ti.map_index }} into output_path"),
    ],
)
def test_two_results_at_one_path_are_told_what_keeps_them_apart(robofy, robofy_context, output, first, second, remedy):  # noqa: PLR0917
    fetch(robofy_context(**first), output)
    with pytest.raises(AirflowFailException, match="run_key") as caught:
        fetch(robofy_context(**second), output)
    assert remedy in str(caught.value)
    assert robofy.count("list_leads") == 3, "it was refused before anything was read"
    assert fetch(robofy_context(**first), output)["rows"] == 25


def test_the_summary_of_a_cursor_run_gives_counts_first_and_the_path_last(robofy, robofy_context, tmp_path, caplog):
    cursor = {"cursor": f"{tmp_path}/cursor.json"}
    manifest = fetch(robofy_context(run_id="first"), tmp_path / "first.jsonl", **cursor)
    [summary] = [line for line in caplog.messages if line.startswith("Landed")]
    assert summary.startswith("Landed 25 leads (full): received 25, duplicates 0, ")
    assert summary.endswith(f" s; in {manifest['uri']}")
    assert "Everything is read and landed: the cursor has no watermark yet." in caplog.messages
    assert caplog.text.count("leads_order=newest_first") == 1

    caplog.clear()
    with pytest.raises(AirflowSkipException):
        fetch(robofy_context(run_id="second"), tmp_path / "second.jsonl", **cursor)
    [summary] = [line for line in caplog.messages if line.startswith("Landed")]
    assert summary.startswith("Landed 0 leads (cursor): received 25, ")
    assert summary.endswith(" s. Nothing is new, so no file was written.")
    assert "leads_order=newest_first" not in caplog.text, "the hint is for each cursor, not for each run"
