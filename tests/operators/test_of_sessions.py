"""Leads of sessions and whole conversations, against the emulator over a real socket."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.emulator import leads as emulated_leads
from airflow_provider_robofy.extract import transcript
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.hooks.robofy import RobofyHook
from tests.operators.conftest import fetch_leads, fetch_messages, fetch_sessions, lines

AWKWARD = ["guest/7 a+b=c%41?ü太&#", "100%/+=", "😀 visitor"]
SECRET = "a secret of more than sixteen characters"


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    emulator = connect(robofy_emulator_factory(leads=30, sessions=20, sessions_page_size=8, page_size=1))
    for number, session_id in enumerate(AWKWARD[1:]):
        emulator.add_session(session_id, messages=2 * number)
        emulator.add_leads(session_id=session_id, id=f"awkward {number}")
    return emulator


@pytest.fixture
def sessions(robofy, context, tmp_path):
    return fetch_sessions(context, tmp_path / "sessions.jsonl")


def leads_of(context, path, sessions, **arguments):
    return fetch_leads(context, path, sessions=sessions, **arguments)


def fetch_conversations(context, path, sessions, **arguments):
    return fetch_messages(context, path, sessions, rows="conversations", **arguments)


def truth(sessions) -> list[tuple[str, str]]:
    """Return session and lead, as the API gives them session by session, in the order of the sessions."""
    hook = RobofyHook()
    return [
        (row["session_id"], lead.id) for row in rows(sessions) for lead in hook.iter_leads(session_id=row["session_id"])
    ]


# ------------------------------------------------------------------------------------------------- leads of sessions


@pytest.mark.parametrize("ending", ["jsonl", "csv.gz", "parquet"])
def test_leads_land_with_the_session_that_they_came_from(robofy, context, tmp_path, sessions, ending):
    expected = truth(sessions)
    robofy.fault("status", endpoint="list_leads", status=503, times=1)
    manifest = leads_of(context, tmp_path / f"leads.{ending}", sessions)
    landed = list(rows(manifest))
    assert [(row["_session_id"], row["id"]) for row in landed] == expected
    assert {session_id for session_id, _ in expected} >= set(AWKWARD[1:])
    assert (manifest["resource"], manifest["rows"], manifest["sessions_asked"]) == ("leads", len(expected), 22)
    assert manifest["sessions_read"] == 22 > len({session_id for session_id, _ in expected})
    times = sorted(row["_created_at"] for row in landed)
    assert (manifest["first_at"], manifest["last_at"]) == (times[0], times[-1])


def test_shards_together_have_the_leads_of_all_sessions(robofy, context, tmp_path, sessions):
    parts = [
        leads_of(context, tmp_path / f"{index}.jsonl", sessions, shard=(index, 3), max_concurrency=2)
        for index in range(3)
    ]
    landed = [(row["_session_id"], row["id"]) for part in parts for row in rows(part)]
    assert sorted(landed) == sorted(truth(sessions))


def test_leads_and_conversations_obey_the_policy_and_bear_the_hash_of_their_session(robofy, connect, context, tmp_path):
    connect(robofy, privacy={"ip_address": "drop", "message": "drop"}, pseudonym_secret=SECRET)
    hashed = fetch_sessions(context, tmp_path / "hashed.jsonl")
    leads = list(rows(leads_of(context, tmp_path / "leads.jsonl", hashed)))
    names = {row["_session_key"]: row["session_id"] for row in rows(hashed)}
    assert [(names[row["_session_id"]], row["id"]) for row in leads] == truth(hashed)
    assert not any("ip_address" in row for row in leads)
    landed = list(rows(fetch_conversations(context, tmp_path / "conversations.jsonl", hashed)))
    assert [row["_session_id"] for row in landed] == list(names)
    said = [message for row in landed for message in row["_transcript"]]
    assert said
    assert not any("message" in one for one in said)
    kept = leads_of(context, tmp_path / "kept.jsonl", hashed, privacy={"session_id": "keep"})
    assert [(row["_session_id"], row["id"]) for row in rows(kept)] == truth(hashed)
    kept = fetch_messages(context, tmp_path / "messages.jsonl", hashed, privacy={"session_id": "keep"})
    assert {row["_session_id"] for row in rows(kept)} <= set(names.values())


def test_a_server_that_ignores_the_filter_is_found_out(robofy, context, tmp_path, sessions, monkeypatch):
    monkeypatch.setattr(
        emulated_leads.LeadBook, "of_session", lambda book, order, *_: book.numbers(order, 0, len(book))
    )
    with pytest.raises(AirflowFailException, match="ignores the filter sessionId"):
        leads_of(context, tmp_path / "leads.jsonl", sessions)
    assert not (tmp_path / "leads.jsonl").exists()


def test_a_session_whose_leads_cannot_be_read_fails_and_is_named(robofy, context, ti, tmp_path, sessions):
    robofy.fault("status", endpoint="list_leads", status=500, times=1000)
    with pytest.raises(RobofyDataError, match="22 of 22 sessions failed"):
        leads_of(context, tmp_path / "leads.jsonl", sessions)
    assert {one["session_id"] for one in lines(tmp_path / "leads.jsonl.failed.jsonl")} == {
        row["session_id"] for row in rows(sessions)
    }
    assert ti.pushed["manifest"]["rows"] == 0


# ------------------------------------------------------------------------------------------------- conversations


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_conversation_is_one_row_with_its_messages_as_the_api_sent_them(robofy, context, tmp_path, sessions, ending):
    robofy.fault("status", endpoint="list_session_messages", status=503, times=1)
    messages = list(rows(fetch_messages(context, tmp_path / "m.jsonl", sessions)))
    manifest = fetch_conversations(context, tmp_path / f"conversations.{ending}", sessions)
    landed = list(rows(manifest))
    assert [row["_session_id"] for row in landed] == [row["session_id"] for row in rows(sessions)]
    for row in landed:
        own = [one for one in messages if one["_session_id"] == row["_session_id"]]
        expected = [{name: value for name, value in one.items() if not name.startswith("_")} for one in own]
        assert row["_transcript"] == expected
        assert row["_message_count"] == len(expected)
        assert (row["_project_id"], row["_chatbot_id"]) == ("24017", robofy.chatbot_ids[0])
    assert (manifest["resource"], manifest["rows"], manifest["received"]) == ("conversations", 22, 22)


def test_a_session_that_is_gone_has_no_conversation_and_one_without_messages_an_empty_one(
    robofy, context, tmp_path, sessions
):
    robofy.delete_session(AWKWARD[2])
    manifest = fetch_conversations(context, tmp_path / "conversations.jsonl", sessions)
    assert (manifest["rows"], manifest["sessions_gone"], manifest["sessions_failed"]) == (21, 1, 0)
    [empty] = [row for row in rows(manifest) if row["_session_id"] == AWKWARD[1]]
    assert (empty["_message_count"], empty["_transcript"]) == (0, [])


def test_a_message_that_is_no_object_is_rejected_and_counted(robofy, context, ti, tmp_path, sessions):
    robofy.fault("malformed_rows", endpoint="list_session_messages", page=1, count=2, how="not_object")
    with pytest.raises(RobofyDataError, match="rows were rejected"):
        fetch_conversations(context, tmp_path / "conversations.jsonl", sessions, max_concurrency=1)
    manifest = ti.pushed["manifest"]
    assert manifest["rows"] == 22
    assert manifest["received"] == 22 + manifest["rejected"] > 22


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_conversation_above_the_limit_has_failed_and_one_just_below_lands(  # noqa: PLR0917
    robofy, context, tmp_path, sessions, monkeypatch, ending
):
    text = "é" * 7_900_000  # 15.8 MB
    robofy.add_message(AWKWARD[1], text)
    path = tmp_path / f"conversations.{ending}"
    manifest = fetch_conversations(context, path, sessions, max_failed_sessions=1)
    assert manifest["sessions_failed"] == 0
    [long] = [row for row in rows(manifest) if row["_session_id"] == AWKWARD[1]]
    assert any(one["message"] == text for one in long["_transcript"])
    monkeypatch.setattr(transcript, "LONGEST_CONVERSATION", 15_000_000)
    manifest = fetch_conversations(context, tmp_path / f"again.{ending}", sessions, max_failed_sessions=1)
    assert (manifest["sessions_failed"], manifest["rows"]) == (1, 21)
    [failed] = lines(tmp_path / f"again.{ending}.failed.jsonl")
    assert "rows='messages'" in failed["message"]
