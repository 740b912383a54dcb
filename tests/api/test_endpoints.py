"""Every endpoint as a call: method, path, encoding, overrides, and titles without ids."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.call import Call
from airflow_provider_robofy.api.endpoints import ENDPOINTS, anything
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.overrides import check_override
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.emulator import routes

#: The body of a call whose target alone is looked at.
UNREAD: Any = None

#: The table of what is known of the API, with the calls that make it.
TABLE: list[tuple[Call[Any], str, str]] = [
    (endpoints.list_leads(7, "c"), "GET", "/v1/ai-agent/leads/7/c"),
    (endpoints.list_leads(7, "c", session_id="s"), "GET", "/v1/ai-agent/leads/7/c?sessionId=s"),
    (endpoints.list_sessions("c"), "GET", "/v1/ai-agent/inbox/sessions/c"),
    (endpoints.list_session_messages("c", "s"), "GET", "/v1/ai-agent/inbox/chats/c/s"),
    (endpoints.list_agents("7"), "GET", "/v1/ai-agent/chatbot/7"),
    (endpoints.create_agent(7, {"name": "n"}), "POST", "/v1/ai-agent/chatbot/7"),
    (endpoints.retrieve_agent(7, "c"), "GET", "/v1/ai-agent/chatbot/7/c"),
    (endpoints.update_agent(7, "c", {"name": "n"}), "PUT", "/v1/ai-agent/chatbot/7/c"),
    (endpoints.delete_agent(7, "c"), "DELETE", "/v1/ai-agent/chatbot/7/c"),
    (endpoints.retrieve_agent_settings(7, "c"), "GET", "/v1/ai-agent/chatbot_ai_settings/7/c"),
    (endpoints.list_linked_assets(7, "c"), "GET", "/v1/ai-agent/chatbot_asset_link/7/c"),
    (endpoints.delink_asset({"linkage_id": 1}), "DELETE", "/v1/ai-agent/chatbot_asset_delink"),
    (endpoints.add_text_content(7, {"content": "x"}), "POST", "/v1/ai-agent/link_content/7"),
    (endpoints.add_file(7, UNREAD), "POST", "/v1/ai-agent/upload_file/7"),
    (endpoints.add_website({"start_urls": []}), "POST", "/v1/ai-agent/crawl_website"),
    (endpoints.get_crawl_status(7, "c"), "GET", "/v1/ai-agent/crawl_status/7/c"),
    (endpoints.send_message({"query": "q"}), "POST", "/v1/ai-agent/chat"),
    (endpoints.message_stats(), "GET", "/v1/ai-agent/message_stats"),
    (endpoints.message_stats({"from": "a b", "to": None}), "GET", "/v1/ai-agent/message_stats?from=a+b"),
    (endpoints.list_projects(), "GET", "/v1/projects"),
    (endpoints.retrieve_project(7), "GET", "/v1/projects/7"),
    (endpoints.account_details(), "GET", "/v1/account/details"),
    (endpoints.account_limit(), "GET", "/v1/account/limit"),
]


@pytest.mark.parametrize(("call", "method", "target"), TABLE, ids=[str(row[0].endpoint) for row in TABLE])
def test_the_call_goes_where_the_table_says(call: Call, method: str, target: str):
    assert (call.method, call.target()) == (method, target)
    assert ENDPOINTS[call.endpoint] == (method, call.template)
    assert call.repeatable == (method == "GET")
    assert call.title == f"{call.endpoint} ({method} {call.template})"


def test_the_table_holds_every_endpoint():
    assert {call.endpoint for call, _, _ in TABLE} == set(ENDPOINTS)


def test_the_emulator_serves_the_same_paths():
    """It names its placeholders otherwise, as Robofy's documentation does."""
    for name, (method, template) in ENDPOINTS.items():
        assert routes.ENDPOINTS[name][0] == method
        assert re.sub(r"\{\w+\}", "{}", routes.ENDPOINTS[name][1]) == re.sub(r"\{\w+\}", "{}", template)


# ------------------------------------------------------------------------------------------------------ encoding
@given(agent=st.text(min_size=1).filter(lambda text: text.strip() and text not in {".", ".."}), token=st.text())
def test_any_id_stays_one_segment_and_is_read_back(agent, token):
    call = endpoints.list_leads(7, agent, session_id=token)
    try:
        path, _, query = call.target().partition("?")
    except RobofyConfigError as refused:
        assert any("\ud800" <= char <= "\udfff" for char in agent + token), refused  # noqa: PT017
        return
    assert path.isascii()
    assert query.isascii()
    assert path.count("/") == 5
    assert unquote(path.rpartition("/")[2]) == agent
    assert parse_qsl(query, keep_blank_values=True) == [("sessionId", token)]


@pytest.mark.parametrize("value", [".", ".."])
def test_an_id_that_means_another_path_is_refused(value):
    with pytest.raises(RobofyConfigError, match=f"session_id is '{re.escape(value)}'"):
        endpoints.list_session_messages("c", value).target()


@pytest.mark.parametrize("empty", [None, "", " ", "\t\n"])
def test_an_empty_id_is_refused_by_name(empty):
    with pytest.raises(RobofyConfigError, match=r"^project_id is empty: .* extra 'project_id'\.$"):
        endpoints.list_leads(empty, "c").target()
    with pytest.raises(RobofyConfigError, match=r"^chatbot_id is empty: .* extra 'chatbot_id'\.$"):
        endpoints.list_sessions(empty).target()
    with pytest.raises(RobofyConfigError, match=r"^session_id is empty: give it to the operator or hook\.$"):
        endpoints.list_session_messages("c", empty).target()


def test_half_a_character_in_an_id_is_refused():
    with pytest.raises(RobofyConfigError, match="half a character") as caught:
        endpoints.list_sessions("agent\ud83d").target()
    assert caught.value.__suppress_context__


def test_a_call_shows_neither_ids_nor_body():
    call = endpoints.list_session_messages("secret-agent", "+491701234567")
    assert "secret" not in repr(call) + call.title
    assert "4917" not in repr(call) + call.title
    assert "hello" not in repr(endpoints.send_message({"query": "hello"}))


def test_the_body_of_a_call_is_a_copy():
    body = {"query": "hello"}
    call = endpoints.send_message(body)
    body["query"] = "changed"
    assert call.json == {"query": "hello"}


# --------------------------------------------------------------------------------------------------------- scrub
@pytest.mark.parametrize(
    "text",
    [
        *("no session +49170/7 of a/g=1", "GET /chats/a%2Fg%3D1/%2B49170%2F7", "GET /chats/a%2fg%3d1/%2b49170%2f7"),
        *("GET /chats/a/g%3D1/%2B49170/7", "no session 49170/7", "A/G=1"),
    ],
)
def test_ids_are_taken_out_of_a_foreign_text_however_it_writes_them(text):
    scrubbed = endpoints.list_session_messages("a/g=1", "+49170/7").scrub(text)
    assert "..." in scrubbed
    assert not any(part in scrubbed.lower() for part in ("49170", "g=1", "g%3d1"))


def test_an_id_within_another_leaves_nothing_of_it():
    call = endpoints.list_leads(24017, "x24017y", session_id="+4924017")
    assert call.scrub("x24017y +4924017 24017") == "... ... ..."


def test_short_words_of_a_body_stay_readable():
    call = endpoints.send_message({"query": "Where are you?", "user_context": {"platform": "web", "ids": ["abcd"]}})
    assert call.scrub("web: 'Where are you?' from abcd") == "web: '...' from ..."


WORDS = st.text("abAB01+/%= \u00fc", min_size=1)


@given(st.text(), WORDS, WORDS)
def test_no_id_survives_in_any_text(text, agent, session):
    scrubbed = endpoints.list_session_messages(agent, session).scrub(f"{text}{agent}{session}{text}")
    assert agent not in scrubbed
    assert session not in scrubbed


# ----------------------------------------------------------------------------------------------------- overrides
@pytest.mark.parametrize(
    "template",
    [
        *("/", "/v2/leads", "/v2/leads/{chatbot_id}", "/v2/{project_id}/leads/{chatbot_id}/"),
        *("/v2/leads/{project_id}:{chatbot_id};x=1,2", "/v2/%7Bnot%7D/{chatbot_id}"),
        "/a.b/~c/{project_id}.{chatbot_id}",
    ],
)
def test_a_good_override_is_taken(template):
    Settings(api_key="k", endpoints={"list_leads": template})
    call = endpoints.list_leads(7, "a/b")
    assert call.target(template) == template.format(project_id=7, chatbot_id="a%2Fb")


@pytest.mark.parametrize(
    "template",
    [
        *(None, 7, ["/v1"], "", "v1/leads", "//evil.example/leads", "https://evil.example/leads", "/v1\\leads"),
        *("/v1/../admin", "/v1/..", "/v1/%2e%2E/admin", "/v1/.%2e/admin"),
        *("/v1/leads?x=1", "/v1/leads#x", "/v1/le ads", "/v1/leads\n", "/v1/lëads", "/v1/%zz"),
        *("/v1/{project_id", "/v1/project_id}", "/v1/{project_id!r}", "/v1/{project_id:>20}", "/v1/{}"),
        "/v1/{project_id.__class__}",
    ],
)
def test_a_bad_override_is_refused_by_its_endpoint(template):
    with pytest.raises(RobofyConfigError, match="Connection extra endpoints, 'list_leads'"):
        Settings(api_key="k", endpoints={"list_leads": template})


def test_an_override_may_use_its_own_placeholders_only():
    with pytest.raises(RobofyConfigError, match="unknown placeholder session_id; this endpoint fills in chatbot_id"):
        check_override("list_sessions", "/v1/{chatbot_id}/{session_id}")
    with pytest.raises(RobofyConfigError, match="fills in none"):
        check_override("list_projects", "/v1/{chatbot_id}")


def test_an_override_of_an_unknown_endpoint_names_those_that_are_known():
    with pytest.raises(RobofyConfigError, match=r"'list_lead': no such endpoint\. Known are account_details, "):
        Settings(api_key="k", endpoints={"list_lead": "/x"})


# ------------------------------------------------------------------------------------------------------ anything
@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/projects", "/v1/projects"),
        ("/v1/ai-agent/leads/24017/UOmf_vR", "/v1/ai-agent/leads/{id1}/{id2}"),
        ("/v1/ai-agent/chats/a%2Fb/%2B491701234567/", "/v1/ai-agent/chats/{id1}/{id2}/"),
        ("/v1/6ff922ed-9884-4430-83c9-7ac83a7b0574", "/v1/{id1}"),
        ("/", "/"),
    ],
)
def test_a_call_of_any_path_masks_what_may_be_an_id(path, template):
    call = anything("get", path, params={"sessionId": "+49170", "none": None})
    assert call.title == f"request (GET {template})"
    assert "4917" not in repr(call)
    assert call.target() == f"{path}?sessionId=%2B49170"


@given(st.lists(st.text(min_size=1).filter(lambda t: t.strip() and "." not in t), min_size=1, max_size=4))
def test_a_call_of_any_path_reaches_that_path(words):
    try:
        path = "/v1/x/" + "/".join(
            Call(endpoint="", method="", template="{w}", path={"w": w}, read=id).target() for w in words
        )
    except RobofyConfigError:
        return
    assert [unquote(word) for word in anything("GET", path).target().split("/")[3:]] == words


@pytest.mark.parametrize(
    "path",
    [
        *("v1", "", "//evil.example/", "https://evil.example/", "/v1/../x", "/v1/%2e%2e/x"),
        *("/v1?x=1", "/v1#x", "/{id1}", "/a b", "/\u00e4", "/a\r\nHost: x"),
    ],
)
def test_a_path_that_might_lead_elsewhere_is_refused(path):
    with pytest.raises(RobofyConfigError, match="path must start with a single '/'"):
        anything("GET", path)


@pytest.mark.parametrize("method", ["GET", "head", "Options", "POST", "PUT", "PATCH", "DELETE"])
def test_only_what_reads_may_be_sent_twice(method):
    call = anything(method, "/v1/x", json={"a": 1})
    assert call.repeatable is (method in {"GET", "head", "Options"})
    assert call.method == method.upper()
    assert call.read({"error": "x"}) == {"error": "x"}


def test_the_target_is_behind_the_base_url():
    url = urlsplit("https://agents.robofy.ai" + endpoints.list_sessions("@evil.example/").target())
    assert url.hostname == "agents.robofy.ai"


# ------------------------------------------------------------------------------------------------------- reading
@pytest.mark.parametrize(
    "payload",
    [
        {"data": {"llm_model": "m", "llm_api_key": "sk-secret"}},
        {"llm_model": "m", "llm_api_key": "sk-secret"},
        {"data": {"llm_model": "m", "settings": {"llm_api_key": "sk-secret"}, "all": [{"llm_api_key": "sk-secret"}]}},
    ],
)
def test_the_secret_of_the_settings_is_dropped_wherever_it_stands(payload):
    read = endpoints.retrieve_agent_settings(7, "c").read(payload)
    assert read["llm_model"] == "m"
    assert "sk-secret" not in str(read)


def test_the_documented_answers_are_read(sample):
    assert endpoints.add_text_content(7, {}).read(sample("add_text_content"))["asset_id"] == 98765
    assert endpoints.add_website({}).read(sample("add_website"))["run_id"] == "crawl_run_12345"
    assert endpoints.send_message({}).read(sample("send_message"))["answer"] == "Our office opens at nine."
    rows = endpoints.list_leads(7, "c").read(sample("list_leads"))
    assert rows.items[0]["id"] == "lead_12345"
    assert (rows.token, rows.end_marker) == ("eyJwYWdlIjoyfQ==", None)
