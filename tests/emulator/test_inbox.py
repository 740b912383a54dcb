import re
from urllib.parse import quote

import pytest

FIELDS = [
    "session_id",
    "last_message_time",
    "last_message",
    "user_profile_name",
    "last_message_direction",
    "website_url",
]


def sessions_of(wire, **query):
    return wire.json(f"/v1/ai-agent/inbox/sessions/{wire.agent}", params=query)


def chat_path(wire, session_id):
    return f"/v1/ai-agent/inbox/chats/{wire.agent}/{quote(session_id, safe='')}"


def test_sessions_have_the_fields_that_third_parties_saw(wire):
    items = sessions_of(wire)["sessions"]
    assert len(items) == 8
    assert all(list(item) == FIELDS for item in items)
    times = [item["last_message_time"] for item in items]
    assert times == sorted(times, reverse=True)
    assert {item["last_message_direction"] for item in items} <= {"incoming", "outgoing"}


def test_one_listing_may_have_an_envelope_of_its_own(serve):
    wire = serve(envelope="named", envelopes={"list_sessions": "bare"})
    assert sessions_of(wire) == sessions_of(serve())["sessions"]
    assert list(wire.json("/v1/ai-agent/chatbot/24017")) == ["agents"]


@pytest.mark.parametrize("key", ["next_page_token", "nextPageToken"])
@pytest.mark.parametrize(("envelope", "inside"), [("named", False), ("data", True), ("data_list", False)])
def test_sessions_are_paged_under_either_spelling_of_the_token(serve, key, envelope, inside):
    wire = serve(sessions_page_size=3, token_key=key, envelope=envelope)
    seen, token = [], ""
    while token is not None:
        content = sessions_of(wire, **({key: token} if token else {}))
        holder = content["data"] if inside else content
        rows = content["data"] if envelope == "data_list" else holder["sessions"]
        seen.append([row["session_id"] for row in rows])
        token = holder.get(key)
    assert [len(page) for page in seen] == [3, 3, 2]
    assert [each for page in seen for each in page] == [item["session_id"] for item in sessions_of(serve())["sessions"]]


def test_messages_are_listed_in_the_order_asked_for(serve):
    wire = serve(messages=9)
    path = chat_path(wire, sessions_of(wire)["sessions"][0]["session_id"])
    oldest = wire.json(path)["data"]
    assert [m["created_at"] for m in oldest] == sorted(m["created_at"] for m in oldest)
    wire.emulator.configure(messages_order="newest_first")
    assert wire.json(path)["data"] == oldest[::-1]
    wire.emulator.configure(messages_order="none")
    scattered = wire.json(path)["data"]
    assert scattered not in (oldest, oldest[::-1])
    assert sorted(scattered, key=lambda m: m["created_at"]) == oldest


def test_a_new_message_moves_its_session_to_the_top(wire):
    last = sessions_of(wire)["sessions"][-1]["session_id"]
    shown = wire.emulator.add_message(last, "Are you still there?")
    top = sessions_of(wire)["sessions"][0]
    assert (top["session_id"], top["last_message"]) == (last, "Are you still there?")
    assert wire.json(chat_path(wire, last))["data"][-1] == shown


def test_sessions_may_be_empty_or_long_and_may_vanish(wire):
    wire.emulator.add_session("empty", at="2025-02-01")
    wire.emulator.add_session("twice")
    for _ in range(2):
        wire.emulator.add_message("twice", "Hello?", at="2025-02-01 09:00:00")
    first, second = wire.json(chat_path(wire, "twice"))["data"]
    assert first == second
    wire.emulator.add_session("long", messages=10_000, user_profile_name=None, website_url=None)
    assert wire.json(chat_path(wire, "empty"))["data"] == []
    assert len(wire.json(chat_path(wire, "long"))["data"]) == 10_000
    rows = {row["session_id"]: row for row in sessions_of(wire)["sessions"]}
    assert rows["empty"]["last_message"] is None
    assert rows["long"]["user_profile_name"] is None
    wire.emulator.delete_session("long")
    gone = wire.get(chat_path(wire, "long"))
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "SESSION_NOT_FOUND")
    assert "long" not in [row["session_id"] for row in sessions_of(wire)["sessions"]]


@pytest.mark.serial
def test_twenty_thousand_sessions_are_listed_quickly(serve):
    wire = serve(sessions=20_000, messages=50, sessions_page_size=100)
    answer = wire.get(f"/v1/ai-agent/inbox/sessions/{wire.agent}")
    assert answer.elapsed.total_seconds() < 3
    assert len(answer.json()["sessions"]) == 100


def test_a_page_of_messages_is_made_once_and_never_stale(wire):
    top = sessions_of(wire)["sessions"][0]["session_id"]
    before = wire.json(chat_path(wire, top))
    assert wire.json(chat_path(wire, top)) == before
    wire.emulator.add_message(top, "One more")
    assert wire.json(chat_path(wire, top))["data"][:-1] == before["data"]
    wire.emulator.configure(messages_order="newest_first")
    assert wire.json(chat_path(wire, top))["data"][0]["message"] == "One more"
    wire.emulator.delete_session(top)
    assert wire.get(chat_path(wire, top)).status_code == 404


def test_messages_have_a_fixed_number_and_sessions_and_messages_the_ids_that_are_set(serve):
    wire = serve(messages=50, message_ids=True, session_ids="uuid")
    ids = [item["session_id"] for item in sessions_of(wire)["sessions"]]
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", each) for each in ids)
    messages = wire.json(chat_path(wire, ids[0]))["data"]
    assert len(messages) == len({message["id"] for message in messages}) == 50


def test_every_session_can_be_read_by_its_encoded_id_be_it_a_phone_number_or_awkward(serve):
    items = sessions_of(wire := serve(sessions=40))["sessions"]
    ids = [item["session_id"] for item in items]
    assert len(set(ids)) == 40
    assert sum(bool(re.fullmatch(r"\+49\d{11}", each)) for each in ids) == 10
    assert sum(set("/+=%?&# ") < set(each) and not each.isascii() for each in ids) == 2
    for item in items:
        messages = wire.json(chat_path(wire, item["session_id"]))["data"]
        assert 1 <= len(messages) <= 12
        last = messages[-1]
        assert (last["message"], last["created_at"]) == (item["last_message"], item["last_message_time"])
        assert last["direction"] == item["last_message_direction"]
