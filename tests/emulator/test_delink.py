"""Delinking at the emulator: a body of any form, what a body of another form does, and what is linked then."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.emulator import Emulator
from airflow_provider_robofy.emulator.settings import SettingsError

TEXT = "/v1/ai-agent/link_content/24017"
DELINK = "/v1/ai-agent/chatbot_asset_delink"
BODY = {"bot": "{chatbot_id}", "links": [{"id": "{linkage_id}", "kind": "file"}]}


@pytest.fixture
def wire(serve):
    wire = serve(delink_body=BODY)
    for name in ("a.md", "b.md"):
        body = {"chatbot_id": wire.emulator.chatbot_ids[0], "content": name, "file_name": name}
        assert wire.call("POST", TEXT, json=body).status_code == 200
    return wire


def body_of(wire, linkage_id):
    return {"bot": wire.emulator.chatbot_ids[0], "links": [{"id": linkage_id, "kind": "file"}]}


def linked(wire) -> list[str]:
    return [asset["name"] for asset in wire.emulator.linked()]


@pytest.mark.parametrize("as_", [int, str])
def test_a_body_of_the_form_that_is_set_delinks_its_asset(wire, as_):
    first = wire.emulator.linked()[0]["linkage_id"]
    assert wire.call("DELETE", DELINK, json=body_of(wire, as_(first))).status_code == 200
    assert linked(wire) == ["b.md"]
    assert wire.call("DELETE", DELINK, json=body_of(wire, first)).status_code == 404
    assert [delink["names"] for delink in wire.emulator.delinks()] == [["a.md"], []]
    assert wire.emulator.delinks()[0]["body"] == body_of(wire, as_(first))
    wire.emulator.reset()
    assert wire.emulator.delinks() == []


def other_forms(wire):
    first = wire.emulator.linked()[0]["linkage_id"]
    right = body_of(wire, first)
    yield {"linkage_id": first}
    yield {**right, "more": 1}
    yield {"bot": right["bot"]}
    yield {**right, "links": []}
    yield {**right, "links": [{"id": first, "kind": "text"}]}
    yield {**right, "links": [{"id": [first], "kind": "file"}]}
    yield {**right, "links": {"id": first, "kind": "file"}}


def test_a_body_of_another_form_is_refused(wire):
    for body in other_forms(wire):
        answer = wire.call("DELETE", DELINK, json=body)
        assert answer.status_code == 400, body
    assert linked(wire) == ["a.md", "b.md"]
    assert wire.emulator.delinks() == []


@pytest.mark.parametrize(("otherwise", "left"), [("all", []), ("ignore", ["a.md", "b.md"])])
def test_a_body_of_another_form_delinks_everything_or_nothing_where_that_is_set(wire, otherwise, left):
    wire.emulator.configure(delink_otherwise=otherwise)
    assert wire.call("DELETE", DELINK, json={"link": 1}).status_code == 200
    assert linked(wire) == left


def test_another_agent_in_the_body_finds_no_link(wire):
    link = wire.emulator.linked()[0]["linkage_id"]
    body = {**body_of(wire, link), "bot": wire.emulator.chatbot_ids[1]}
    assert wire.call("DELETE", DELINK, json=body).status_code == 404
    assert linked(wire) == ["a.md", "b.md"]


@pytest.mark.parametrize("value", ["{", "[]", "{}", [], {}, 5, '"x"'])
def test_a_delink_body_that_is_no_object_is_refused(value):
    with pytest.raises(SettingsError, match="delink_body must be a JSON object"):
        Emulator(delink_body=value)


def test_a_delink_body_may_be_json_as_on_the_command_line(serve):
    assert serve(delink_body='{"id": "{asset_id}"}').emulator.state()["settings"]["delink_body"] == {"id": "{asset_id}"}
