"""The emulator answers from the texts that an agent was taught."""

from __future__ import annotations

TEXT = "/v1/ai-agent/link_content/24017"


def teach(wire, content: str, agent: int = 0) -> dict:
    body = {"chatbot_id": wire.emulator.chatbot_ids[agent], "content": content}
    return wire.call("POST", TEXT, json=body).json()


def ask(wire, query: str) -> str:
    body = {"query": query, "pid": "24017", "chatbot_id": wire.emulator.chatbot_ids[0], "user_context": {}}
    return wire.call("POST", "/v1/ai-agent/chat", json=body).json()["data"]["answer"]


def test_it_answers_with_the_text_that_shares_most_words_with_the_question(wire):
    assert ask(wire, "When do you open?") == "I do not know."
    teach(wire, "We OPEN at nine.")
    teach(wire, "Parcels are returned within 30 days.")
    assert ask(wire, "When do you open?") == "We OPEN at nine."
    assert ask(wire, "Can parcels be returned when we open?") == "Parcels are returned within 30 days."
    assert ask(wire, "How much is it?") == "I do not know."


def test_it_answers_from_the_later_of_two_texts_and_not_from_what_is_delinked_or_of_another_agent(wire):
    teach(wire, "We open at nine.")
    link = teach(wire, "We open at ten.")
    teach(wire, "We open at eleven.", agent=1)
    assert ask(wire, "When do you open?") == "We open at ten."
    wire.call("DELETE", "/v1/ai-agent/chatbot_asset_delink", json={"linkage_id": link["linkage_id"]})
    assert ask(wire, "When do you open?") == "We open at nine."


def test_it_answers_from_a_text_once_it_is_processed(wire):
    wire.emulator.configure(processing_seconds=3600)
    teach(wire, "We open at nine.")
    assert ask(wire, "When do you open?") == "I do not know."
    wire.emulator.configure(processing_seconds=0)
    assert ask(wire, "When do you open?") == "We open at nine."
