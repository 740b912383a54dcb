"""Sessions and messages through the hook."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_robofy.api.errors import RobofyNotFoundError
from airflow_provider_robofy.hooks.robofy import RobofyHook

AWKWARD = "guest/7 a+b=c%41?ü太&#"


def test_iter_sessions_yields_every_session_typed(robofy_emulator):
    robofy_emulator.configure(sessions_page_size=7)
    sessions = list(RobofyHook().iter_sessions())
    assert len({one.session_id for one in sessions}) == 40
    assert sessions[0].last_message_time == datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
    assert sessions[0].last_message_direction in {"incoming", "outgoing"}
    assert robofy_emulator.count("list_sessions") >= 6


def test_null_fields_and_an_id_that_is_a_number_are_no_error(robofy_emulator):
    names = ["last_message_time", "last_message", "user_profile_name", "last_message_direction", "website_url"]
    robofy_emulator.add_session("5", **dict.fromkeys(names), extra_field=[1])
    [found] = [one for one in RobofyHook().iter_sessions() if one.session_id == "5"]
    assert all(getattr(found, name) is None for name in names)
    assert found.model_extra == {"extra_field": [1]}


@pytest.mark.parametrize("session_id", [AWKWARD, "+4915112353597"])
def test_iter_messages_yields_what_was_said_whatever_the_id(robofy_emulator, session_id):
    robofy_emulator.configure(messages_page_size=2)
    robofy_emulator.add_message(session_id, "Hello?", at="2025-02-01 09:00:00")
    messages = list(RobofyHook().iter_messages(session_id))
    assert (messages[-1].text, messages[-1].created_at) == ("Hello?", datetime(2025, 2, 1, 9, tzinfo=UTC))
    assert messages[-1].model_extra == {"direction": "incoming", "sender": "user"}
    assert robofy_emulator.count("list_session_messages") == -(-len(messages) // 2)


def test_an_empty_session_yields_nothing_and_an_unknown_one_is_an_error_without_its_id(robofy_emulator):
    robofy_emulator.add_session("empty")
    assert list(RobofyHook().iter_messages("empty")) == []
    with pytest.raises(RobofyNotFoundError) as caught:
        next(RobofyHook().iter_messages("+4915100099887"))
    assert "4915100099887" not in str(caught.value)


def test_another_agent_is_read_when_given(robofy_emulator):
    other = robofy_emulator.chatbot_ids[2]
    first = next(RobofyHook().iter_sessions(chatbot_id=other))
    assert next(RobofyHook().iter_messages(first.session_id, chatbot_id=other)).text
