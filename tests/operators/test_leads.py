"""RobofyFetchLeadsOperator against the emulator, over a real socket."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_robofy.api.errors import (
    RobofyCancelledError,
    RobofyDataError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=25, page_size=10))


@pytest.fixture
def output(tmp_path) -> Path:
    return tmp_path / "landed" / "leads.jsonl"


def fetch(context, output: Path | None, **arguments):
    return RobofyFetchLeadsOperator(
        task_id="leads", output_path=None if output is None else str(output), **arguments
    ).execute(context)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def ids(path) -> list[str]:
    return [row["id"] for row in lines(path)]


# ------------------------------------------------------------------------------------------------- what lands


def test_every_lead_lands_as_the_api_sent_it_with_three_fields_added(robofy, context, output):
    manifest = fetch(context, output)

    [agent] = robofy.chatbot_ids[:1]
    for row, source in zip(lines(output), robofy.leads(agent), strict=True):
        assert row == {
            **source,
            "_project_id": "24017",
            "_chatbot_id": agent,
            "_created_at": source["created_at"].replace(" ", "T") + "+00:00",
        }
    assert manifest == json.loads(Path(f"{output}.manifest.json").read_text()), "XCom carries the manifest"
    assert (manifest["rows"], manifest["received"], manifest["pages"], manifest["requests"]) == (25, 25, 3, 3)
    assert (manifest["mode"], manifest["row_order"], manifest["end_marker"]) == ("full", "newest_first", "absent")


def test_a_window_lands_what_lies_in_it_half_open(robofy, context, output):
    rows = robofy.leads(robofy.chatbot_ids[0])
    times = sorted(row["created_at"] for row in rows)
    since, until = times[5], times[15]

    manifest = fetch(context, output, since=f"{since}+00:00", until=datetime.fromisoformat(until).replace(tzinfo=UTC))

    wanted = [row["id"] for row in rows if since <= row["created_at"] < until]
    assert ids(output) == wanted
    assert manifest["mode"] == "window"
    assert manifest["outside_window"] == 25 - len(wanted)


def test_the_connections_zone_moves_the_window(robofy_emulator_factory, connect, context, output):
    robofy = connect(robofy_emulator_factory(leads=3, page_size=10), timezone="Asia/Kolkata")
    newest = robofy.leads(robofy.chatbot_ids[0])[0]
    fetch(context, output)
    in_utc = datetime.fromisoformat(newest["created_at"]).replace(tzinfo=UTC) - timedelta(hours=5, minutes=30)
    assert lines(output)[0]["_created_at"] == in_utc.isoformat()


def test_newest_first_stops_as_soon_as_a_whole_page_is_too_old(robofy_emulator_factory, connect, context, output):
    robofy = connect(robofy_emulator_factory(leads=500, page_size=10, order="newest_first"), leads_order="newest_first")
    since = robofy.leads(robofy.chatbot_ids[0])[14]["created_at"]
    manifest = fetch(context, output, since=since)
    assert (manifest["rows"], manifest["pages"], manifest["end_marker"]) == (15, 3, "early")


def test_without_a_path_it_lands_below_the_landing_root(robofy, context, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))
    manifest = fetch(context, None)
    agent = robofy.chatbot_ids[0]
    assert manifest["uri"] == (
        f"{tmp_path}/landing/leads/24017/{agent}/my_dag/manual__2025-01-15T00:00:00+00:00/leads.jsonl"
    )
    assert len(lines(manifest["uri"])) == 25


def test_a_mapped_task_lands_a_file_of_its_own_even_for_an_id_with_slashes(robofy, context, ti, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))
    agent = next(one for one in robofy.chatbot_ids if "/" in one)
    ti.map_index = 2
    manifest = fetch(context, None, chatbot_id=agent)
    assert manifest["uri"].endswith("/leads-2.jsonl")
    assert Path(manifest["uri"]).relative_to(tmp_path / "landing" / "leads" / "24017").parts[0].count(
        "%2F"
    ) == agent.count("/")
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
    assert set(task.template_fields) == {
        "output_path",
        "project_id",
        "chatbot_id",
        "since",
        "until",
        "cursor",
        "cursor_name",
        "robofy_conn_id",
    }
    context["params"] = {"project": 24017, "agent": robofy.chatbot_ids[1], "since": "", "name": "default"}
    task.render_template_fields(context)
    manifest = task.execute(context)
    assert manifest["mode"] == "full"
    assert manifest["chatbot_id"] == robofy.chatbot_ids[1]
    assert manifest["uri"].endswith("manual__2025-01-15T00:00:00+00:00.jsonl")


def test_a_window_that_renders_empty_reads_everything_and_says_so(robofy, context, output, caplog, capfd):
    manifest = fetch(context, output, since="None", until="")
    assert manifest["mode"] == "full"
    out, err = capfd.readouterr()  # Airflow 3 logs through structlog, which caplog does not see
    assert "came out empty" in caplog.text + out + err


# ------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, ["password field", "UNAUTHORIZED", "list_leads", "support"]),
        ({"timezone": "Mars/Olympus"}, ["timezone", "Mars/Olympus"]),
    ],
)
def test_a_wrong_connection_fails_at_once_and_names_the_field(robofy, connect, context, output, changes, words):  # noqa: PLR0917
    connect(robofy, **changes)
    with pytest.raises(AirflowFailException) as caught:
        fetch(context, output)
    for word in words:
        assert word in str(caught.value)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True), "a cause may print a URL"
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"project_id": "99999"}, ["PROJECT_NOT_FOUND", "project_id", "support"]),
        ({"chatbot_id": "nobody"}, ["chatbot_id", "list_leads"]),
        ({"since": "2025-01-01", "until": "2025-01-01T00:00:00Z"}, ["same moment", "CronDataIntervalTimetable"]),
        ({"until": "last tuesday"}, ["until", "last tuesday"]),
        ({"output_path": "/tmp/leads.xlsx"}, ["output_path", ".jsonl"]),
        ({"output_path": "leads.jsonl"}, ["output_path", "relative", "landing_root"]),
        ({"robofy_conn_id": "robofy_default", "output_path": " "}, ["output_path", "landing_root"]),
    ],
)
def test_wrong_arguments_fail_at_once_and_say_what_to_fix(robofy, context, output, arguments, words):
    task = RobofyFetchLeadsOperator(task_id="leads", **{"output_path": str(output), **arguments})
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context)
    for word in words:
        assert word in str(caught.value)


def test_a_passing_fault_costs_only_its_page_again(robofy, context, output):
    robofy.fault("status", status=500, endpoint="list_leads", page=2, times=1)
    manifest = fetch(context, output)
    assert ids(output) == [row["id"] for row in robofy.leads(robofy.chatbot_ids[0])]
    assert (manifest["pages"], manifest["requests"]) == (3, 4)
    assert robofy.count("list_leads") == 4


def test_a_lasting_fault_fails_the_task_and_leaves_the_earlier_file_alone(robofy, context, output):
    fetch(context, output)
    before = {path.name: path.read_bytes() for path in output.parent.iterdir()}
    robofy.add_leads(5, chatbot_id=robofy.chatbot_ids[0])
    robofy.fault("status", status=500, endpoint="list_leads", page=2, times=None)

    with pytest.raises(RobofyServerError) as caught:
        fetch(context, output)

    assert caught.value.attempts == 2
    assert {path.name: path.read_bytes() for path in output.parent.iterdir()} == before


@pytest.mark.parametrize("kind", ["html", "token_loop"])
def test_a_foreign_answer_fails_the_task_and_lands_nothing(robofy, context, output, kind):
    robofy.fault(kind, endpoint="list_leads", times=None)
    with pytest.raises(RobofyResponseError) as caught:
        fetch(context, output)
    assert "list_leads (GET /v1/ai-agent/leads/{project_id}/{chatbot_id})" in str(caught.value)
    assert robofy.chatbot_ids[0] not in str(caught.value)
    assert not output.parent.exists()


def test_rows_that_cannot_be_understood_are_kept_with_their_reason(robofy, context, ti, output):
    robofy.fault("malformed_rows", endpoint="list_leads", page=2, count=3, times=1)
    with pytest.raises(RobofyDataError) as caught:
        fetch(context, output, since="2000-01-01")

    manifest = ti.pushed["manifest"]
    rejected = lines(f"{output}.rejected.jsonl")
    assert manifest["rejected"] == len(rejected) >= 3
    assert manifest["rejected_uri"] == f"{output}.rejected.jsonl"
    assert all(row["reason"] and "row" in row and row["page"] == 2 for row in rejected)
    assert manifest["received"] == manifest["rows"] + manifest["rejected"]
    assert len(lines(output)) == manifest["rows"]
    assert "max_rejected" in str(caught.value)
    assert str(output) in str(caught.value)
    robofy.fault("malformed_rows", endpoint="list_leads", page=2, count=3, times=1)
    assert fetch(context, output, since="2000-01-01", max_rejected=5)["rejected"] == len(rejected)


@pytest.mark.serial
def test_a_killed_task_ends_within_a_second_and_lands_nothing(robofy, context, output):
    robofy.configure(latency=30)
    task = RobofyFetchLeadsOperator(task_id="leads", output_path=str(output))
    killed_at: list[float] = []

    def kill() -> None:
        killed_at.append(time.monotonic())
        task.on_kill()

    killer = threading.Timer(0.5, kill)
    killer.start()
    with pytest.raises(RobofyCancelledError):
        task.execute(context)
    assert time.monotonic() - killed_at[0] < 1
    assert not output.parent.exists()


@pytest.mark.parametrize(
    ("first", "second", "remedy"),
    [
        ({}, {"run_id": "other"}, "{{ run_id }} or the window's bounds"),
        ({}, {"dag_id": "other"}, "{{ run_id }} or the window's bounds"),
        ({}, {"task_id": "other"}, "Put {{ ti.task_id }} into output_path"),
        ({"map_index": 0}, {"map_index": 1}, "Put {{ ti.map_index }} into output_path"),
        ({}, {"task_id": "other", "map_index": 1}, "Put {{ ti.task_id }} into output_path"),
    ],
)
def test_two_results_at_one_path_are_told_what_keeps_them_apart(robofy, robofy_context, output, first, second, remedy):  # noqa: PLR0917
    fetch(robofy_context(**first), output)
    with pytest.raises(AirflowFailException, match="run_key") as caught:
        fetch(robofy_context(**second), output)
    assert remedy in str(caught.value)
    assert robofy.count("list_leads") == 3, "it was refused before anything was read"
    assert fetch(robofy_context(**first), output)["rows"] == 25


def test_the_summary_gives_counts_first_and_the_path_last(robofy, robofy_context, tmp_path, caplog):
    cursor = {"cursor": f"{tmp_path}/cursor.json"}
    manifest = fetch(robofy_context(run_id="first"), tmp_path / "first.jsonl", **cursor)
    [summary] = [line for line in caplog.messages if line.startswith("Landed")]
    assert summary.startswith("Landed 25 leads (full): received 25, duplicates 0, ")
    assert summary.endswith(f" s; in {manifest['uri']}")
    assert "Everything is read and landed: the cursor has no watermark yet." in caplog.messages
    assert not any("again" in line for line in caplog.messages)
    assert caplog.text.count("leads_order=newest_first") == 1

    caplog.clear()
    with pytest.raises(AirflowSkipException):
        fetch(robofy_context(run_id="second"), tmp_path / "second.jsonl", **cursor)
    [summary] = [line for line in caplog.messages if line.startswith("Landed")]
    assert summary.startswith("Landed 0 leads (cursor): received 25, ")
    assert summary.endswith(" s. Nothing is new, so no file was written.")
    assert "leads_order=newest_first" not in caplog.text, "the hint is for each cursor, not for each run"
