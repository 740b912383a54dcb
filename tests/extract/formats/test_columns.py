"""Which columns there are, what stands in them, and where stands what does not fit."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.columns import ESCAPE, table_of
from airflow_provider_robofy.extract.transcript import Transcript, blocks
from airflow_provider_robofy.resources import Kind

AGENT = {"_project_id": "24017", "_chatbot_id": "agent-a"}
LEAD = {
    "id": "lead_1",
    "created_at": "2025-01-15 10:30:00",
    "source": "chatbot",
    "page_url": "https://example.com/contact",
    "ip_address": "192.168.1.1",
    "lead_data": [{"field_name": "name", "field_type": "text", "field_value": "Jo"}],
    **AGENT,
    "_created_at": "2025-01-15T10:30:00+00:00",
}


def cells(resource: str, row: dict[str, Any]) -> dict[str, Any]:
    table = table_of(resource)
    plain = ESCAPE not in codec.dump_line(row)
    found = dict[str, Any](zip(table.names, (cell for (cell,) in table.columns([row], plain=plain)), strict=True))
    return {name: cell.isoformat() if isinstance(cell, datetime) else cell for name, cell in found.items()}


def test_the_columns_are_these_and_no_others() -> None:
    """Tables in lakes and warehouses stand on them: a change here breaks somebody's load."""
    text, time = Kind.TEXT, Kind.TIME
    assert table_of("leads").kinds == {
        "id": text, "created_at": text, "source": text, "page_url": text, "ip_address": text, "lead_data": Kind.JSON,
        "_project_id": text, "_chatbot_id": text, "_created_at": time, "_extra": Kind.JSON, "_absent": Kind.JSON,
    }  # fmt: skip
    assert table_of("sessions").kinds == {
        "session_id": text, "last_message_time": text, "last_message": text, "user_profile_name": text,
        "last_message_direction": text, "website_url": text, "_project_id": text, "_chatbot_id": text,
        "_last_message_time": time, "_session_key": text, "_extra": Kind.JSON, "_absent": Kind.JSON,
    }  # fmt: skip
    assert table_of("messages").kinds == {
        "_message_key": text, "_session_id": text, "_position": Kind.INTEGER, "_project_id": text, "_chatbot_id": text,
        "message": Kind.JSON,
    }  # fmt: skip
    assert table_of("conversations").kinds == {
        "_session_id": text, "_project_id": text, "_chatbot_id": text, "_message_count": Kind.INTEGER,
        "_transcript": Kind.JSON, "_extra": Kind.JSON,
    }  # fmt: skip


def test_a_documented_lead_fills_its_columns_and_leaves_nothing_over() -> None:
    found = cells("leads", LEAD)

    assert found.pop("lead_data") == '[{"field_name":"name","field_type":"text","field_value":"Jo"}]'
    assert found == {name: LEAD.get(name) for name in table_of("leads").names if name != "lead_data"}
    assert (found["_extra"], found["_absent"]) == (None, None)


def test_a_field_without_a_column_is_kept_in_extra() -> None:
    found = cells("leads", {**LEAD, "score": 7, "_extra": 1, "_absent": ["id"]})

    assert json.loads(found["_extra"]) == {"score": 7, "_extra": 1, "_absent": ["id"]}
    assert found["_absent"] is None


def test_null_is_null_and_a_field_that_is_not_there_is_named() -> None:
    lead = {**LEAD, "page_url": None, "_project_id": None, "_created_at": None}
    del lead["ip_address"], lead["lead_data"]

    found = cells("leads", lead)

    assert [name for name, cell in found.items() if cell is None] == [
        "page_url", "ip_address", "lead_data", "_project_id", "_created_at", "_extra",
    ]  # fmt: skip
    assert json.loads(found["_absent"]) == ["ip_address", "lead_data"]


def test_the_key_that_only_a_privacy_policy_adds_is_not_named_where_there_is_none() -> None:
    session = dict.fromkeys(table_of("sessions").names[:9])

    assert cells("sessions", session)["_absent"] is None
    assert cells("sessions", {**session, "_session_key": "5f"})["_session_key"] == "5f"
    assert json.loads(cells("sessions", {**session, "_session_key": None})["_extra"]) == {"_session_key": None}


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        *(("id", 5, "5"), ("id", 10**30, str(10**30)), ("id", 1.5, "1.5"), ("id", True, "true")),
        *(("id", "a\0b", "a\ufffdb"), ("id", "\ud83d!", "\ufffd!")),
        *(("source", nested, None) for nested in ([], {}, ["x"], {"a": 1})),
        ("_created_at", "2025-01-15T10:30:00Z", "2025-01-15T10:30:00+00:00"),
        ("_created_at", "2025-01-15T10:30:00+01:00", "2025-01-15T09:30:00+00:00"),
        ("_created_at", "2025-01-15T10:30:00.5+00:00", "2025-01-15T10:30:00.500000+00:00"),
        *(("_created_at", odd, None) for odd in ("2025-01-15T10:30:00", "0001-01-01T00:00:00+14:00", "soon", 17369370)),
        *(("_position", odd, None) for odd in ("0", 0.0, True, 2**63)),
    ],
)
def test_what_a_column_cannot_hold_is_shown_as_near_as_can_be_and_kept_exactly(field, value, shown) -> None:
    if field == "_position":
        found = cells("messages", {"_message_key": "k", "_session_id": "s", **AGENT, field: value})
    else:
        found = cells("leads", {**LEAD, field: value})
    rest = found["message" if field == "_position" else "_extra"]

    assert (found[field], json.loads(rest)) == (shown, {field: value})
    assert rest.isascii()


@pytest.mark.parametrize("value", ["text", "", 5, None, True, {"a": "\ud83d"}, [[]]])
def test_lead_data_is_always_json_or_null(value: Any) -> None:
    found = cells("leads", {**LEAD, "lead_data": value})

    assert (None if found["lead_data"] is None else json.loads(found["lead_data"])) == value
    assert (found["lead_data"] is None) == (value is None)
    assert found["_extra"] is None


def test_a_message_is_one_column_with_all_that_the_api_said(tmp_path: Any) -> None:
    transcript = Transcript("s1", stamp=AGENT, folder=tmp_path)
    transcript.add([{"text": "Hi", "message": None}, {}])
    (block,) = blocks(transcript.landing)
    first, second = block.splitlines()

    one, two = (cells("messages", codec.loads(line)) for line in (first, second))

    assert (one["_position"], two["_position"]) == (0, 1)
    assert (one["_session_id"], one["_project_id"], one["_chatbot_id"]) == ("s1", "24017", "agent-a")
    assert json.loads(one["message"]) == {"text": "Hi", "message": None}
    assert two["message"] == "{}"


def test_a_message_without_what_this_provider_adds_is_refused_without_its_content() -> None:
    with pytest.raises(RobofyLandingError, match="lacks _message_key, _session_id, _position, _chatbot_id") as raised:
        cells("messages", {"text": "secret", "_project_id": None})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("resource", ["agents", "", None, ["leads"]])
def test_a_resource_without_columns_is_refused_with_those_that_have(resource: Any) -> None:
    with pytest.raises(RobofyConfigError, match="leads, sessions, messages"):
        table_of(resource)


@pytest.mark.parametrize(("extra", "absent"), [("5", None), ("[1]", None), (None, '{"id": 1}'), ("{", None)])
def test_cells_that_somebody_else_wrote_are_refused(extra: Any, absent: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (who reads the file says which)
        table_of("leads").row(["_extra", "_absent"], [extra, absent])
