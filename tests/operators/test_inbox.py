"""RobofyFetchSessionsOperator and RobofyFetchMessagesOperator against the emulator, over a real socket."""

from __future__ import annotations

import json
import os
import signal
import threading
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_robofy.api.errors import RobofyCancelledError, RobofyDataError
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from tests.operators.conftest import fetch_messages, fetch_sessions, lines

AWKWARD = "guest/7 a+b=c%41?ü太&#"


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=0, sessions=20, sessions_page_size=8))


# ------------------------------------------------------------------------------------------------- sessions


def test_every_session_lands_as_the_api_sent_it_with_three_fields_added(robofy, context, tmp_path):
    manifest = fetch_sessions(context, tmp_path / "sessions.jsonl")
    rows = lines(tmp_path / "sessions.jsonl")
    [agent] = robofy.chatbot_ids[:1]
    assert [row["session_id"] for row in rows] == [one.session_id for one in RobofyHook().iter_sessions()]
    for row in rows:
        assert row["_last_message_time"] == row["last_message_time"].replace(" ", "T") + "+00:00"
        assert (row["_chatbot_id"], row["_project_id"]) == (agent, "24017")
    assert (manifest["resource"], manifest["rows"], manifest["received"], manifest["pages"]) == ("sessions", 20, 20, 3)
    assert manifest == json.loads((tmp_path / "sessions.jsonl.manifest.json").read_text())
    assert any(row["session_id"] == AWKWARD for row in rows)
    other = fetch_sessions(context, tmp_path / "other.jsonl", chatbot_id=robofy.chatbot_ids[1])
    assert other["chatbot_id"] == robofy.chatbot_ids[1]


def test_since_lands_what_was_touched_at_or_after_it_and_nothing_is_too_new(robofy, context, tmp_path):
    fetch_sessions(context, tmp_path / "all.jsonl")
    rows = lines(tmp_path / "all.jsonl")
    since = sorted(row["_last_message_time"] for row in rows)[12]
    robofy.add_message(rows[-1]["session_id"], "Are you still there?", at="2030-01-01T00:00:00+00:00")
    manifest = fetch_sessions(context, tmp_path / "sessions.jsonl", since=since)
    found = {row["session_id"] for row in lines(tmp_path / "sessions.jsonl")}
    assert found == {row["session_id"] for row in rows if row["_last_message_time"] >= since} | {rows[-1]["session_id"]}
    assert (manifest["mode"], manifest["until"], manifest["outside_window"]) == ("window", None, 20 - len(found))


def test_newest_first_stops_early(robofy, connect, context, tmp_path):
    connect(robofy, sessions_order="newest_first")
    robofy.configure(sessions_page_size=2)
    fetch_sessions(context, tmp_path / "all.jsonl")
    since = lines(tmp_path / "all.jsonl")[2]["_last_message_time"]
    manifest = fetch_sessions(context, tmp_path / "sessions.jsonl", since=since)
    assert (manifest["rows"], manifest["pages"], manifest["end_marker"]) == (3, 3, "early")


def test_without_a_project_the_sessions_name_none(robofy, monkeypatch, context, tmp_path):
    connection = json.loads(os.environ["AIRFLOW_CONN_ROBOFY_DEFAULT"])
    del connection["extra"]["project_id"]
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))
    manifest = RobofyFetchSessionsOperator(task_id="sessions").execute(context)
    agent = robofy.chatbot_ids[0]
    assert manifest["uri"] == f"{tmp_path}/sessions/{agent}/my_dag/manual__2025-01-15T00:00:00+00:00/leads.jsonl"
    assert {row["_project_id"] for row in lines(manifest["uri"])} == {None}
    messages = RobofyFetchMessagesOperator(task_id="messages", sessions=manifest).execute(context)
    assert messages["uri"].startswith(f"{tmp_path}/messages/{agent}/my_dag/")
    assert messages["project_id"] is None


def test_sessions_take_no_until():
    with pytest.raises((TypeError, AirflowException), match="until"):
        RobofyFetchSessionsOperator(task_id="sessions", until="2025-01-01")


# ------------------------------------------------------------------------------------------------- messages


def test_every_message_lands_in_order_with_five_fields_added(robofy, context, tmp_path):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    manifest = fetch_messages(context, tmp_path / "messages.jsonl", json.loads(json.dumps(sessions)))
    rows = lines(tmp_path / "messages.jsonl")
    wanted = [row["session_id"] for row in lines(tmp_path / "sessions.jsonl")]
    assert list(dict.fromkeys(row["_session_id"] for row in rows)) == wanted
    assert AWKWARD in wanted
    last = {row["_session_id"]: row["message"] for row in rows}
    assert last == {row["session_id"]: row["last_message"] for row in lines(tmp_path / "sessions.jsonl")}
    added = {"_project_id", "_chatbot_id", "_session_id", "_position", "_message_key"}
    assert all(set(row) == {"direction", "sender", "message", "created_at", *added} for row in rows)
    assert manifest == json.loads((tmp_path / "messages.jsonl.manifest.json").read_text())
    assert manifest.items() >= {
        "resource": "messages", "rows": len(rows), "received": len(rows), "sessions_uri": sessions["uri"],
        "sessions_asked": 20, "sessions_read": 20, "sessions_gone": 0, "sessions_failed": 0, "shard": None,
        "requests": 20, "pages": 20,
    }.items()  # fmt: skip
    assert json.loads(json.dumps(manifest)) == manifest


def test_a_relative_path_lies_below_the_landing_root(robofy, context, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))
    fetch_sessions(context, "my/sessions.jsonl")
    manifest = fetch_messages(context, "my/messages.jsonl", "my/sessions.jsonl")
    assert (manifest["uri"], manifest["sessions_read"]) == (f"{tmp_path}/my/messages.jsonl", 20)


@pytest.mark.parametrize(("count", "drift"), [(4, False), (5, True)])
def test_all_sessions_gone_is_drift_from_five_on(robofy, context, tmp_path, count, drift):
    robofy.configure(sessions_page_size=0)
    fetch_sessions(context, tmp_path / "all.jsonl")
    since = lines(tmp_path / "all.jsonl")[count - 1]["_last_message_time"]
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl", since=since)
    assert sessions["rows"] == count
    robofy.configure(paths={"list_session_messages": "/v2/conversations/{chatbotId}/{sessionId}"})
    if not drift:
        manifest = fetch_messages(context, tmp_path / "messages.jsonl", sessions)
        assert (manifest["sessions_gone"], manifest["rows"]) == (count, 0)
        return
    with pytest.raises(AirflowFailException, match=rf"session_id.*all {count} sessions are gone.*'endpoints'"):
        fetch_messages(context, tmp_path / "messages.jsonl", sessions)
    assert not (tmp_path / "messages.jsonl").exists()


def test_a_session_that_fails_is_named_beside_the_data_and_fails_the_task_afterwards(  # noqa: PLR0917
    robofy, context, ti, tmp_path, caplog, capfd
):
    phone = "+4915100099887"
    robofy.add_session(phone)
    robofy.add_message(phone, "What I said")
    robofy.fault("status", status=500, endpoint="list_session_messages", session=phone, times=0, message=f"No {phone}")
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    with pytest.raises(RobofyDataError) as caught:
        fetch_messages(context, tmp_path / "messages.jsonl", sessions)

    manifest = ti.pushed["manifest"]
    assert (manifest["sessions_asked"], manifest["sessions_read"], manifest["sessions_failed"]) == (21, 20, 1)
    [failed] = lines(manifest["failed_uri"])
    assert (failed["session_id"], failed["status"], failed["attempts"]) == (phone, 500, 2)
    assert phone not in {row["_session_id"] for row in lines(manifest["uri"])}
    said = caplog.text + "".join(capfd.readouterr())
    assert "list_session_messages (GET /v1/ai-agent/inbox/chats/{chatbot_id}/{session_id})" in said
    assert failed["session"] in said
    assert "max_failed_sessions is 0" in str(caught.value)
    assert phone.removeprefix("+") not in said + str(caught.value) + json.dumps(manifest)
    ti.run_id = "another"
    again = fetch_messages(context, tmp_path / "again.jsonl", sessions, max_failed_sessions=1)
    assert lines(again["failed_uri"])[0]["session"] != failed["session"], "without a secret each run has its own names"


@pytest.mark.parametrize("session_id", ["..", "half \ud83d"])
def test_an_id_that_cannot_be_sent_fails_alone(robofy, context, ti, tmp_path, session_id):
    content = "".join(json.dumps({"session_id": one}) + "\n" for one in [AWKWARD, session_id])
    path = tmp_path / "own.jsonl"
    path.write_text(content)
    manifest = {
        **fetch_sessions(context, tmp_path / "sessions.jsonl"),
        "uri": str(path),
        "rows": 2,
        "bytes": len(content),
    }
    with pytest.raises(RobofyDataError, match="1 of 2 sessions failed"):
        fetch_messages(context, tmp_path / "messages.jsonl", manifest)
    assert ti.pushed["manifest"]["sessions_read"] == 1


def test_no_more_sessions_are_read_at_a_time_than_max_concurrency(robofy, context, tmp_path):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    robofy.configure(latency=0.05)
    fetch_messages(context, tmp_path / "messages.jsonl", sessions, max_concurrency=2)
    assert robofy.state()["peak_in_flight"] == 2


def test_an_agent_that_is_gone_is_an_error_and_not_twenty_sessions_gone(robofy, context, tmp_path):
    sessions = {**fetch_sessions(context, tmp_path / "sessions.jsonl"), "chatbot_id": "nobody"}
    with pytest.raises(AirflowFailException, match="CHATBOT_NOT_FOUND"):
        fetch_messages(context, tmp_path / "messages.jsonl", sessions)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shard": (8, 8)}, "out of range"),
        ({"sessions": {"resource": "leads"}}, "'leads'"),
        ({"output_path": "messages.csv"}, "output_path"),
    ],
)
def test_wrong_arguments_fail_at_once_and_say_what_to_fix(robofy, context, tmp_path, arguments, words):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    before = robofy.count()
    values = {"sessions": sessions, "output_path": str(tmp_path / "m.jsonl"), **arguments}
    with pytest.raises(AirflowFailException) as caught:
        RobofyFetchMessagesOperator(task_id="messages", **values).execute(context)
    assert words in str(caught.value)
    assert robofy.count() == before, "it was refused before anything was asked"


def test_rows_that_are_no_messages_fail_the_task_beyond_max_rejected(robofy, context, ti, tmp_path):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    robofy.fault("malformed_rows", endpoint="list_session_messages", session=AWKWARD, how="not_object", count=2)
    with pytest.raises(RobofyDataError, match=r"2 of .* rows were rejected, and max_rejected is 0"):
        fetch_messages(context, tmp_path / "messages.jsonl", sessions)
    assert {row["session_id"] for row in lines(ti.pushed["manifest"]["rejected_uri"])} == {AWKWARD}
    assert fetch_messages(context, tmp_path / "messages.jsonl", sessions, max_rejected=2)["rejected"] == 2


def test_templates_reach_every_field_that_says_so(robofy, context, tmp_path):
    fetch_sessions(context, tmp_path / "sessions.jsonl")
    task = RobofyFetchMessagesOperator(
        task_id="messages",
        sessions=f"{tmp_path}/{{{{ params.name }}}}.jsonl",
        output_path=f"{tmp_path}/{{{{ params.name }}}}-messages.jsonl",
        shard=(0, 1),
    )
    context["params"] = {"name": "sessions"}
    task.render_template_fields(context)
    assert task.execute(context)["uri"] == f"{tmp_path}/sessions-messages.jsonl"
    assert set(task.template_fields) == {"sessions", "output_path", "shard", "robofy_conn_id"}


# ------------------------------------------------------------------------------------------------- the end


class Terminated(BaseException):
    """What Airflow 2 raises out of its signal handler."""


@pytest.mark.serial
@pytest.mark.parametrize("how", ["raises", "goes on"])
def test_a_killed_task_ends_within_a_second_and_leaves_no_half_file(robofy, context, tmp_path, how):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    robofy.configure(latency=0.2)
    robofy.fault("delay", seconds=60, endpoint="list_session_messages", after=10, times=0)
    before = {path.name for path in tmp_path.iterdir()}
    task = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions, output_path=str(tmp_path / "m.jsonl"))
    killed_at: list[float] = []

    def terminate(number, frame) -> None:
        killed_at.append(time.monotonic())
        task.on_kill()
        if how == "raises":
            raise Terminated

    earlier = signal.signal(signal.SIGUSR1, terminate)
    try:
        threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(Terminated if how == "raises" else RobofyCancelledError):
            task.execute(context)
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert time.monotonic() - killed_at[0] < 1
    assert {path.name for path in tmp_path.iterdir()} == before
    count = robofy.count()
    time.sleep(0.3)
    assert robofy.count() == count, "it goes on asking"


def test_a_task_killed_before_it_began_asks_nobody(robofy, context, tmp_path):
    sessions = fetch_sessions(context, tmp_path / "sessions.jsonl")
    task = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions, output_path=str(tmp_path / "m.jsonl"))
    task.on_kill()
    with pytest.raises(RobofyCancelledError):
        task.execute(context)
    assert robofy.count("list_session_messages") == 0
