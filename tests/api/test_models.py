"""Typed views of rows: nothing that came is lost, and no error shows what a row holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.errors import RobofyResponseError
from airflow_provider_robofy.api.models import Agent, InboxSession, KnowledgeLink, Lead, LeadField, Project, parse
from airflow_provider_robofy.api.times import TimeReader

LEADS = endpoints.list_leads(7, "secret-agent")


def lead(row, zone="UTC"):
    return parse(Lead, row, LEADS, TimeReader(zone))


def test_the_documented_lead_is_read(sample):
    row = sample("list_leads")["data"]["report"]["rows"][0]
    read = lead(row, "Europe/Berlin")
    assert read.id == "lead_12345"
    assert read.created_at == datetime(2025, 1, 15, 9, 30, tzinfo=UTC)
    assert (read.source, read.page_url, read.ip_address) == ("chatbot", "https://example.com/contact", "192.168.1.1")
    assert read.lead_data == [
        LeadField(field_name="name", field_type="text", field_value="John Doe"),
        LeadField(field_name="email", field_type="email", field_value="john@example.com"),
    ]
    assert read.field("email") == "john@example.com"
    assert read.field("phone") is None
    assert read.field("phone", "none") == "none"


def test_fields_that_nobody_knows_are_kept():
    read = lead(
        {"id": 7, "score": 0.5, "lead_data": [{"field_name": "a", "field_value": 1, "label": "A"}], "utm": {"x": [1]}}
    )
    assert read.id == "7"
    assert read.model_extra == {"score": 0.5, "utm": {"x": [1]}}
    assert read.lead_data[0].model_extra == {"label": "A"}
    assert read.model_dump()["utm"] == {"x": [1]}


@pytest.mark.parametrize("value", ["soon", "", None, [], {"a": 1}, True])
def test_an_unreadable_time_is_none(value):
    assert lead({"id": "a", "created_at": value}).created_at is None


def test_the_first_of_fields_with_one_name_is_given():
    data = [{"field_name": "n", "field_value": [1]}, {"field_name": "n", "field_value": 2}]
    assert lead({"id": "a", "lead_data": data}).field("n") == [1]


@pytest.mark.parametrize(
    "odd",
    [{"field_name": None}, {"field_name": 7}, {"field_name": {"de": "x"}}, {}, "text", None, 7],
)
def test_one_odd_field_does_not_hide_the_others(odd):
    read = lead({"id": "a", "lead_data": [odd, {"field_name": "email", "field_value": "x@example.com"}]})
    assert read.field("email") == "x@example.com"
    assert len(read.lead_data) == 2


@pytest.mark.parametrize("data", [None, {}, "text", 7, {"email": "x@example.com"}])
def test_lead_data_of_any_shape_is_kept(data):
    read = lead({"id": "a", "lead_data": data})
    assert read.lead_data == data
    assert read.field("email", "none") == "none"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"created_at": "2025-01-15", "email": "secret@x.example"}, "(id: Field required); it has: created_at, email"),
        ({"id": None, "name": "secret"}, "(id: Input should be a valid string)"),
        ({"id": ["secret"]}, "(id: Input should be a valid string); it has: id"),
        *(("secret", "it has: str"), (None, "it has: NoneType"), (["secret"], "it has: list")),
    ],
)
def test_an_error_names_fields_and_never_values(row, said, secretless):
    with pytest.raises(RobofyResponseError, match="a row is not a Lead") as caught:
        lead(row)
    assert said in str(caught.value)
    assert caught.value.endpoint == LEADS.title
    secretless(caught.value, "secret", "2025-01-15")


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=4)
FIELDS = st.dictionaries(st.sampled_from(["field_name", "field_value", "x"]), VALUES, max_size=2)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": VALUES,
            "created_at": VALUES,
            "source": VALUES,
            "x": VALUES,
            "lead_data": VALUES | FIELDS | st.lists(VALUES | FIELDS, max_size=3),
        },
    )
)
def test_any_row_is_a_lead_or_an_error_of_ours(row):
    try:
        read = lead(row)
    except RobofyResponseError:
        return
    assert read.id == str(row["id"])
    assert set(read.model_dump()) >= set(row)


@pytest.mark.parametrize("key", ["chatbot_id", "chatbotId", "agent_id", "id"])
@pytest.mark.parametrize("name", ["name", "chatbot_name", "agent_name", "title"])
def test_an_agent_is_found_under_any_likely_name(key, name):
    agent = parse(Agent, {key: "UOmf", name: "Support", "type": "website"}, LEADS, TimeReader())
    assert (agent.chatbot_id, agent.name) == ("UOmf", "Support")
    assert agent.model_extra == {"type": "website"}


def test_the_surest_name_goes_first_and_the_others_are_kept():
    agent = parse(Agent, {"id": 7, "chatbot_id": "UOmf"}, LEADS, TimeReader())
    assert agent.chatbot_id == "UOmf"
    assert agent.model_extra == {"id": 7}
    project = parse(Project, {"id": 24017, "project_name": "P"}, LEADS, TimeReader())
    assert (project.project_id, project.name) == ("24017", "P")


def test_models_can_be_made_by_their_own_names():
    assert Agent(chatbot_id="a", name="n").name == "n"
    assert Project(project_id="1").name is None


@pytest.mark.parametrize("value", [5, 1.5, True, ["a"], {"b": 1}])
def test_a_text_of_another_kind_is_written_out_and_ends_no_listing(value):
    text = json.dumps(value, separators=(",", ":"))
    assert lead({"id": "1", "source": value}).source == text
    assert InboxSession.model_validate({"session_id": "s", "user_profile_name": value}).user_profile_name == text
    assert Agent.model_validate({"chatbot_id": "a", "name": value}).name == text
    link = KnowledgeLink.model_validate({"asset_id": 7, "status": value})
    assert (link.asset_id, link.status) == (7, text)


def test_an_id_of_another_kind_is_none():
    assert KnowledgeLink.model_validate({"asset_id": [1], "linkage_id": ""}).asset_id is None
