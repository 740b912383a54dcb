"""The client against the emulator over a real socket: errors, what is asked again, and what a watcher sees."""

# ruff: noqa: PLR0917 (fixtures are asked for by name, never by place)

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import account_limit, list_agents
from airflow_provider_robofy.api.errors import (
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyConnectionError,
    RobofyNotFoundError,
    RobofyRateLimitError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.api.settings import Settings, user_agent
from airflow_provider_robofy.api.transport import Lost, Received
from airflow_provider_robofy.api.workers import Workers

TITLE = "list_leads (GET /v1/ai-agent/leads/{project_id}/{chatbot_id})"


@pytest.fixture
def emulator(robofy_emulator_factory):
    return robofy_emulator_factory(leads=50, page_size=10, agents=3, sessions=2)


@pytest.fixture
def leads(emulator):
    """The call for the first agent's leads."""
    return endpoints.list_leads(emulator.project_id, emulator.chatbot_ids[0])


# -------------------------------------------------------------------------------------------------- what works
def test_a_listing_is_read_whole_and_in_order(connect, emulator, leads):
    client = connect(emulator)
    pages = list(client.pages(leads))
    assert [row for page in pages for row in page.rows] == emulator.leads()
    assert [(page.number, page.end_marker) for page in pages] == [*((n, None) for n in range(1, 5)), (5, "absent")]
    assert client.requests == emulator.count() == 5
    assert all(abs((page.date - datetime.now(UTC)).total_seconds()) < 60 for page in pages)


def test_every_endpoint_that_the_client_knows_is_served_by_the_emulator(connect, emulator):
    client, project, agent = connect(emulator), emulator.project_id, emulator.chatbot_ids[0]
    made = client.call(endpoints.create_agent(project, {"name": "New"}))
    assert made["name"] == "New"
    assert client.call(endpoints.update_agent(project, made["chatbot_id"], {"name": "Newer"}))["name"] == "Newer"
    assert client.call(endpoints.retrieve_agent(project, made["chatbot_id"]))["name"] == "Newer"
    client.call(endpoints.delete_agent(project, made["chatbot_id"]))
    listed = [row["chatbot_id"] for page in client.pages(endpoints.list_agents(project)) for row in page.rows]
    assert listed == emulator.chatbot_ids
    assert made["chatbot_id"] not in listed
    text = {"chatbot_id": agent, "content": "We open at nine.", "file_name": "hours.txt"}
    link = client.call(endpoints.add_text_content(project, text))
    assert link["status"] == "active"
    (asset,) = client.call(endpoints.list_linked_assets(project, agent)).items
    assert asset["linkage_id"] == link["linkage_id"]
    client.call(endpoints.delink_asset({"linkage_id": link["linkage_id"]}))
    assert client.call(endpoints.list_linked_assets(project, agent)).items == []
    crawl = client.call(endpoints.add_website({"start_urls": [{"url": "https://example.com"}], "chatbot_id": agent}))
    assert crawl["status"] == "crawling"
    assert client.call(endpoints.get_crawl_status(project, agent))["data"]["run_id"] == crawl["run_id"]
    context = {"session_id": "6ff922ed-9884-4430-83c9-7ac83a7b0574", "platform": "web"}
    chat = {"query": "When do you open?", "pid": project, "chatbot_id": agent, "user_context": context}
    assert client.call(endpoints.send_message(chat))["answer"]
    assert "total_leads" in client.call(endpoints.message_stats({"chatbot_id": agent}))["data"]
    assert [one["project_id"] for one in client.call(endpoints.list_projects()).items] == [project]
    assert client.call(endpoints.retrieve_project(project))["project_id"] == project
    assert client.call(endpoints.account_details())["plan"]
    assert "agents" in client.call(endpoints.account_limit())


@pytest.mark.parametrize("session", ["+49 170/123=4?5#6%2F", "besucher-ü-訪客"])
def test_any_id_arrives_as_it_is_in_path_and_query(connect, emulator, session):
    (agent,) = [each for each in emulator.chatbot_ids if {"/", "+", "="} <= set(each)]
    emulator.add_session(session, messages=3, chatbot_id=agent)
    emulator.add_leads(1, session_id=session, source="this one", chatbot_id=agent)
    client = connect(emulator)
    assert len(client.call(endpoints.list_session_messages(agent, session)).items) == 3
    (page,) = client.pages(endpoints.list_leads(emulator.project_id, agent, session_id=session))
    assert [row["source"] for row in page.rows] == ["this one"]


def test_an_endpoints_path_can_be_replaced(connect, robofy_emulator_factory):
    path = "/v2/leads-of/{chatbotId}/in/{projectId}"
    emulator = robofy_emulator_factory(leads=1, paths={"list_leads": path})
    call = endpoints.list_leads(emulator.project_id, emulator.chatbot_ids[0])
    with pytest.raises(RobofyNotFoundError, match="extra 'endpoints' under 'list_leads'"):
        connect(emulator).call(call)
    client = connect(emulator, endpoints={"list_leads": "/v2/leads-of/{chatbot_id}/in/{project_id}"})
    assert len(client.call(call).items) == 1


def test_key_and_user_agent_stand_on_the_wire_and_no_cookie_does(connect, raw_server, answer):
    server = raw_server(answer({"data": []}, Set_Cookie="a=b; Path=/"), answer({"status": "crawling"}))
    client = connect(server.url, api_key="rk_wire", user_agent=user_agent("apache-airflow/9.9"))
    client.call(endpoints.list_agents(1))
    client.call(endpoints.add_website({"start_urls": [{"url": "https://example.com/ü"}], "b": 1, "a": None}))
    first, second = server.heads
    assert first.startswith("GET /v1/ai-agent/chatbot/1 HTTP/1.1\r\n")
    assert second.startswith("POST /v1/ai-agent/crawl_website HTTP/1.1\r\n")
    for head in (first.lower(), second.lower()):
        assert head.count("authorization: bearer rk_wire") == 1
        assert "user-agent: airflow-provider-robofy/" in head
        assert " apache-airflow/9.9 python/3." in head
        assert "accept: application/json" in head
        assert "cookie" not in head
    assert "content-type: application/json" in second.lower()
    assert server.requests[1].endswith('{"a":null,"b":1,"start_urls":[{"url":"https://example.com/ü"}]}\n'.encode())


# ------------------------------------------------------------------------------------------ errors of the caller
@pytest.mark.parametrize("shape", ["1", "2"])
@pytest.mark.parametrize(
    ("options", "project", "agent", "kind", "status_and_code", "advice"),
    [
        ({"api_key": "rk_wrong-key"}, None, None, RobofyAuthError, (401, "UNAUTHORIZED"), "the connection's password"),
        ({}, "999", None, RobofyNotFoundError, (404, "PROJECT_NOT_FOUND"), "Check project_id and chatbot_id"),
        ({}, None, "no-such-agent", RobofyNotFoundError, (404, "CHATBOT_NOT_FOUND"), "Check project_id and chatbot_id"),
        ({}, "word", None, RobofyBadRequestError, (400, "BAD_REQUEST"), "Check the values of project_id"),
    ],
)
def test_an_error_of_the_caller_names_the_field_and_is_not_asked_again(
    *, connect, emulator, shape, options, project, agent, kind, status_and_code, advice, secretless
):
    emulator.configure(error_shape=shape)
    client = connect(emulator, **options)
    with pytest.raises(kind) as caught:
        client.call(endpoints.list_leads(project or emulator.project_id, agent or emulator.chatbot_ids[0]))
    error = caught.value
    assert ((error.status, error.code), error.permanent, error.attempts) == (status_and_code, True, 1)
    assert error.endpoint == TITLE
    assert f"HTTP {error.status} {error.code}: {error.detail}" in str(error)
    assert error.detail
    assert advice in str(error)
    assert "(requested at 20" in str(error)
    assert client.requests == 1
    secretless(error, "rk_wrong-key", emulator.api_key, emulator.url, emulator.chatbot_ids[0], "no-such-agent")


def test_a_refusal_shows_neither_the_ids_nor_the_key_that_it_repeats(connect, raw_server, answer, secretless):
    phone, agent = "+4924017123456", "agent/24017="
    detail = (
        f"Cannot GET /v1/ai-agent/inbox/chats/agent%2F24017%3D/%2B4924017123456 nor agent%2f24017%3d: "
        f"{agent} has no session {phone}; key {'rk_test-0123456789abcdef'}"
    )
    server = raw_server(answer({"error": {"code": "NOT_FOUND", "message": detail}}, "404 Not Found"))
    with pytest.raises(RobofyNotFoundError) as caught:
        connect(server.url).call(endpoints.list_session_messages(agent, phone))
    assert caught.value.detail.startswith("Cannot GET /v1/ai-agent/inbox/chats/")
    secretless(caught.value, phone, "24017", "123456", "rk_test", agent)


# ------------------------------------------------------------------------------------- what is asked for again
HICCUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "500": ("status", {"status": 500}),
    "502": ("html", {"status": 502}),
    "503": ("status", {"status": 503, "code": "SERVICE_UNAVAILABLE"}),
    "429": ("rate_limit", {}),
    "429 seconds": ("rate_limit", {"retry_after": 7}),
    "429 date": ("rate_limit", {"retry_after_date": 5}),
    "dropped": ("drop", {}),
    "reset": ("drop", {"reset": True}),
    "truncated": ("truncate", {}),
    "truncated at once": ("truncate", {"bytes": 1}),
    "truncated chunked": ("truncate", {"chunked": True}),
    "broken JSON": ("not_json", {}),
}


@pytest.mark.parametrize("hiccup", HICCUPS)
@pytest.mark.parametrize("page", [1, 3, 5])
def test_the_page_that_failed_is_asked_for_again_and_no_other(connect, emulator, leads, clock, hiccup, page):
    kind, options = HICCUPS[hiccup]
    emulator.fault(kind, page=page, times=2, **options)
    client = connect(emulator, max_attempts=3)
    pages = list(client.pages(leads))
    assert [row for each in pages for row in each.rows] == emulator.leads()
    assert [request.page for request in emulator.requests] == sorted([1, 2, 3, 4, 5, page, page])
    assert client.requests == 7
    pauses = {"429 seconds": pytest.approx([7, 7], abs=0.5), "429 date": pytest.approx([5, 5], abs=1.1)}
    assert clock.slept == pauses.get(hiccup, [1.0, 2.0])


@pytest.mark.parametrize("name", ["list_leads", "update_agent", "delete_agent"])
def test_a_call_that_is_dropped_on_a_kept_connection_is_repeated_by_nobody_else(connect, emulator, leads, name):
    """An HTTP library may repeat it on its own, uncounted, when a kept connection turns out to be dead."""
    agent = (emulator.project_id, emulator.chatbot_ids[1])
    calls = {
        "list_leads": leads,
        "update_agent": endpoints.update_agent(*agent, {"name": "x"}),
        "delete_agent": endpoints.delete_agent(*agent),
    }
    client = connect(emulator, max_attempts=1)
    client.call(endpoints.list_projects())
    emulator.fault("drop", endpoint=name)
    with pytest.raises(RobofyConnectionError) as caught:
        client.call(calls[name])
    assert ("Robofy may have carried it out all the same" in str(caught.value)) == (name != "list_leads")
    assert (client.requests, emulator.count(name)) == (2, 1)


@pytest.mark.parametrize(
    ("hiccup", "kind", "said"),
    [
        ("500", RobofyServerError, "Robofy failed, HTTP 500 INTERNAL_SERVER_ERROR"),
        ("502", RobofyServerError, "Robofy failed, HTTP 502"),
        ("429 seconds", RobofyRateLimitError, "limits the rate of requests, HTTP 429"),
        ("dropped", RobofyConnectionError, "the connection was dropped before an answer came"),
        ("truncated", RobofyResponseError, "HTTP 200 with application/json, but the answer broke off"),
        ("broken JSON", RobofyResponseError, "HTTP 200 with application/json, but the answer is not JSON"),
    ],
)
def test_the_attempts_end_and_are_counted(connect, emulator, leads, hiccup, kind, said, secretless):
    fault, options = HICCUPS[hiccup]
    emulator.fault(fault, page=2, times=0, **options)
    client, pages = connect(emulator, max_attempts=3, total_timeout=500), list[Any]()
    with pytest.raises(kind) as caught:
        pages.extend(client.pages(leads))
    assert said in str(caught.value)
    assert ", attempt 3)" in str(caught.value)
    assert ("requests_per_minute" in str(caught.value)) == (kind is RobofyRateLimitError)
    assert (caught.value.attempts, caught.value.permanent, caught.value.__cause__) == (3, False, None)
    assert client.requests == emulator.count() == 4
    assert len(pages) == 1
    secretless(caught.value, emulator.api_key, emulator.url, emulator.chatbot_ids[0], "127.0.0.1")


def test_a_post_that_stalls_is_not_repeated_and_says_that_it_may_have_been_done(connect, emulator):
    emulator.fault("delay", seconds=5)
    client = connect(emulator, read_timeout=0.2)
    with pytest.raises(RobofyConnectionError, match=r"nothing came for 0\.2 s.*Robofy may have carried it out"):
        client.call(endpoints.send_message({"query": "hello"}))
    assert client.requests == 1


def test_a_post_is_repeated_when_no_connection_could_be_made(connect, closed_port):
    client = connect(f"http://127.0.0.1:{closed_port}", max_attempts=4)
    with pytest.raises(RobofyConnectionError, match=r"no connection to .+ could be made.*HTTPS_PROXY") as caught:
        client.call(endpoints.send_message({"query": "hello"}))
    assert caught.value.attempts == client.requests == 4
    assert "may have carried it out" not in str(caught.value)


# ----------------------------------------------------------------------------------- answers that make no sense
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("wrong_shape", "HTTP 200 with application/json, but no list of rows was found"),
        ("missing_list", "no list of rows was found in the answer (looked for leads, rows)"),
        ("token_unknown", "the answer's field 'continuation' seems to point to a next page"),
    ],
)
def test_drift_is_loud_and_not_asked_again(connect, emulator, leads, kind, said):
    emulator.fault(kind, page=2, times=0)
    client, pages = connect(emulator), list[Any]()
    with pytest.raises(RobofyResponseError) as caught:
        pages.extend(client.pages(leads))
    assert said in str(caught.value)
    assert (caught.value.status, caught.value.endpoint) == (200, TITLE)
    assert "extra 'endpoints' under 'list_leads'" in str(caught.value)
    assert client.requests == 2
    assert len(pages) == 1


# ------------------------------------------------------------------------------------------------------- budget
def test_requests_of_one_account_are_spaced_evenly(connect, emulator, leads, clock):
    client, other = (connect(emulator, requests_per_minute=30) for _ in range(2))
    list(client.pages(leads))
    other.call(leads)
    assert clock.slept == pytest.approx([2, 2, 2, 2, 2], abs=0.5)


def test_many_calls_at_a_time_share_one_budget_and_one_hold(emulator, leads):
    """A call that waits for its turn when another is told to wait must wait as well."""
    emulator.fault("rate_limit", retry_after=1.0, after=1)
    settings = Settings(
        api_key=emulator.api_key, base_url=emulator.url, requests_per_minute=300, backoff=0.01, total_timeout=20
    )
    clients = [RobofyClient(settings) for _ in range(4)]
    workers = Workers(4, "test")
    for future in [workers.submit(client.call, leads) for client in clients]:
        assert future.result(20).items
    workers.stop()
    for client in clients:
        client.close()
    first, refused, *later = emulator.requests
    assert [request.status for request in (first, refused, *later)] == [200, 429, 200, 200, 200]
    assert later[0].time - refused.time > 0.9
    assert later[2].time - later[0].time > 0.3


# ------------------------------------------------------------------------------------------------------------- watching
def watching(emulator, watch) -> RobofyClient:
    return RobofyClient(Settings(api_key=emulator.api_key, base_url=emulator.url, backoff=0), watch=watch)


def test_every_outcome_is_shown_headers_and_repeated_ones_included(robofy_emulator):
    robofy_emulator.fault("rate_limit", retry_after=0)
    robofy_emulator.fault("drop", after=1)
    seen: list[Received | Lost] = []
    with watching(robofy_emulator, seen.append) as client:
        client.call(account_limit())
    assert [one.status if isinstance(one, Received) else one.how for one in seen] == [429, "dropped", 200]
    assert isinstance(seen[0], Received)
    assert seen[0].headers["retry-after"] == "0"
    assert client.requests == 3


def test_the_body_of_an_error_is_shown(robofy_emulator):
    seen: list[Received | Lost] = []
    with watching(robofy_emulator, seen.append) as client, pytest.raises(RobofyNotFoundError):
        client.call(list_agents(1))
    assert isinstance(seen[0], Received)
    assert b"PROJECT_NOT_FOUND" in seen[0].body


def test_what_the_watcher_raises_ends_the_call(robofy_emulator):
    class EnoughError(Exception):
        pass

    def watch(outcome):
        raise EnoughError

    robofy_emulator.fault("status", status=503, times=0)
    with watching(robofy_emulator, watch) as client:
        with pytest.raises(EnoughError):
            client.call(account_limit())
        assert client.requests == 1
