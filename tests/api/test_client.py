"""The client against the emulator over a real socket: what bad input gets, and what is asked again."""

# ruff: noqa: PLR0917 (fixtures are asked for by name, never by place)

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyCallError,
    RobofyConfigError,
    RobofyConnectionError,
    RobofyNotFoundError,
    RobofyRateLimitError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.api.settings import Settings, user_agent
from airflow_provider_robofy.api.workers import Workers

TITLE = "list_leads (GET /v1/ai-agent/leads/{project_id}/{chatbot_id})"


@pytest.fixture
def emulator(robofy_emulator_factory):
    return robofy_emulator_factory(leads=50, page_size=10, agents=3, sessions=2)


@pytest.fixture
def leads(emulator):
    """The call for the first agent's leads."""
    return endpoints.list_leads(emulator.project_id, emulator.chatbot_ids[0])


def text_body(emulator):
    return {"chatbot_id": emulator.chatbot_ids[0], "content": "We open at nine.", "file_name": "hours.txt"}


def chat_body(emulator):
    return {
        "query": "When do you open?",
        "pid": emulator.project_id,
        "chatbot_id": emulator.chatbot_ids[0],
        "user_context": {"session_id": "6ff922ed-9884-4430-83c9-7ac83a7b0574", "platform": "web"},
    }


# -------------------------------------------------------------------------------------------------- what works
def test_a_listing_is_read_whole_and_in_order(connect, emulator, leads):
    face = connect(emulator)
    pages = face.pages(leads)
    assert [row for page in pages for row in page.rows] == emulator.leads()
    assert [page.number for page in pages] == [1, 2, 3, 4, 5]
    assert [page.end_marker for page in pages] == [None, None, None, None, "absent"]
    assert face.requests == emulator.count() == 5
    assert all(abs((page.date - datetime.now(UTC)).total_seconds()) < 60 for page in pages)


@pytest.mark.parametrize("marker", ["absent", "null", "empty"])
def test_every_way_of_saying_that_was_the_last_page_is_understood(connect, emulator, leads, marker):
    emulator.configure(end_marker=marker, trailing_empty_page=True)
    pages = connect(emulator).pages(leads)
    assert [len(page.rows) for page in pages] == [10, 10, 10, 10, 10, 0]
    assert pages[-1].end_marker == marker


@pytest.mark.parametrize("envelope", ["bare", "named", "data", "data_list"])
@pytest.mark.parametrize("token_key", ["next_page_token", "nextPageToken"])
def test_every_known_wrapping_of_a_listing_gives_its_rows(connect, emulator, envelope, token_key):
    emulator.configure(envelope=envelope, token_key=token_key, agents_page_size=2)
    face = connect(emulator)
    agents = [row for page in face.pages(endpoints.list_agents(emulator.project_id)) for row in page.rows]
    assert [agent["chatbot_id"] for agent in agents] == emulator.chatbot_ids
    sessions = [row for page in face.pages(endpoints.list_sessions(emulator.chatbot_ids[0])) for row in page.rows]
    assert len(sessions) == 2
    messages = face.pages(endpoints.list_session_messages(emulator.chatbot_ids[0], sessions[0]["session_id"]))
    assert messages[0].rows
    (project,) = face.call(endpoints.list_projects()).items
    assert project["project_id"] == emulator.project_id


def test_every_endpoint_that_the_client_knows_is_served_by_the_emulator(connect, emulator):
    face, project, agent = connect(emulator), emulator.project_id, emulator.chatbot_ids[0]
    made = face.call(endpoints.create_agent(project, {"name": "New"}))
    assert made["name"] == "New"
    changed = face.call(endpoints.update_agent(project, made["chatbot_id"], {"name": "Newer"}))
    assert changed["name"] == "Newer"
    assert face.call(endpoints.retrieve_agent(project, made["chatbot_id"]))["name"] == "Newer"
    face.call(endpoints.delete_agent(project, made["chatbot_id"]))
    assert emulator.chatbot_ids.count(made["chatbot_id"]) == 0
    link = face.call(endpoints.add_text_content(project, text_body(emulator)))
    assert link["status"] == "active"
    (asset,) = face.call(endpoints.list_linked_assets(project, agent)).items
    assert asset["linkage_id"] == link["linkage_id"]
    face.call(endpoints.delink_asset({"linkage_id": link["linkage_id"]}))
    assert face.call(endpoints.list_linked_assets(project, agent)).items == []
    crawl = face.call(endpoints.add_website({"start_urls": [{"url": "https://example.com"}], "chatbot_id": agent}))
    assert crawl["status"] == "crawling"
    assert face.call(endpoints.get_crawl_status(project, agent))["data"]["run_id"] == crawl["run_id"]
    assert face.call(endpoints.send_message(chat_body(emulator)))["answer"]
    assert "total_leads" in face.call(endpoints.message_stats({"chatbot_id": agent}))["data"]
    assert face.call(endpoints.retrieve_project(project))["project_id"] == project
    assert face.call(endpoints.account_details())["plan"]
    assert "agents" in face.call(endpoints.account_limit())


def test_the_secret_among_an_agents_settings_is_dropped_on_receipt(connect, emulator):
    settings = connect(emulator).call(endpoints.retrieve_agent_settings(emulator.project_id, emulator.chatbot_ids[0]))
    assert settings["llm_model"]
    assert "llm_api_key" not in settings
    assert "sk-emulated" not in str(settings)


def test_an_agent_id_with_slash_plus_and_equals_sign_arrives_as_it_is(connect, emulator):
    (odd,) = [each for each in emulator.chatbot_ids if "/" in each]
    assert {"/", "+", "="} <= set(odd)
    face = connect(emulator)
    assert face.call(endpoints.retrieve_agent(emulator.project_id, odd))["chatbot_id"] == odd
    assert len(face.pages(endpoints.list_leads(emulator.project_id, odd))) == 5
    assert "%2F" in emulator.requests[0].path


@pytest.mark.parametrize("session", ["+49 170/123=4?5#6%2F", "besucher-ü-訪客", "a.b~c", "100%", "a&b;c"])
def test_any_session_id_arrives_as_it_is_in_path_and_query(connect, emulator, session):
    agent = emulator.chatbot_ids[0]
    emulator.add_session(session, messages=3)
    emulator.add_leads(1, session_id=session, source="this one")
    face = connect(emulator)
    assert len(face.call(endpoints.list_session_messages(agent, session)).items) == 3
    (page,) = face.pages(endpoints.list_leads(emulator.project_id, agent, session_id=session))
    assert [row["source"] for row in page.rows] == ["this one"]


def test_an_endpoints_path_can_be_replaced(connect, robofy_emulator_factory):
    path = "/v2/leads-of/{chatbotId}/in/{projectId}"
    emulator = robofy_emulator_factory(leads=1, paths={"list_leads": path})
    call = endpoints.list_leads(emulator.project_id, emulator.chatbot_ids[0])
    with pytest.raises(RobofyNotFoundError, match="extra 'endpoints' under 'list_leads'"):
        connect(emulator).call(call)
    face = connect(emulator, endpoints={"list_leads": "/v2/leads-of/{chatbot_id}/in/{project_id}"})
    assert len(face.call(call).items) == 1


def test_key_and_user_agent_stand_on_the_wire_and_no_cookie_does(connect, raw_server, answer):
    server = raw_server(answer({"data": []}, Set_Cookie="a=b; Path=/"), answer({"status": "crawling"}))
    face = connect(server.url, api_key="rk_wire", user_agent=user_agent("apache-airflow/9.9"))
    face.call(endpoints.list_agents(1))
    face.call(endpoints.add_website({"start_urls": [{"url": "https://example.com/ü"}], "b": 1, "a": None}))
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
def test_a_wrong_key_is_refused_at_once_and_names_the_password_field(connect, emulator, leads, shape, secretless):
    emulator.configure(error_shape=shape)
    face = connect(emulator, api_key="rk_wrong-key")
    with pytest.raises(RobofyAuthError) as caught:
        face.call(leads)
    error = caught.value
    assert (error.status, error.code) == (401, "UNAUTHORIZED")
    assert error.detail == "Authentication token is missing or invalid."
    assert error.permanent
    assert error.endpoint == TITLE
    assert str(error).startswith(f"{TITLE}: Robofy refused the API key, HTTP 401 UNAUTHORIZED: Authentication token")
    assert "connection's password field" in str(error)
    assert "Robofy's support" in str(error)
    assert "(requested at 20" in str(error)
    assert face.requests == 1
    secretless(error, "rk_wrong-key", emulator.chatbot_ids[0], emulator.url)


def test_no_key_is_refused_before_anything_is_sent(connect, emulator):
    with pytest.raises(RobofyConfigError, match="Connection field password is empty"):
        connect(emulator, api_key="")
    assert emulator.count() == 0


@pytest.mark.parametrize("shape", ["1", "2"])
@pytest.mark.parametrize(
    ("project", "agent", "code"),
    [("999", None, "PROJECT_NOT_FOUND"), (None, "no-such-agent", "CHATBOT_NOT_FOUND")],
)
def test_an_unknown_project_or_agent_is_named_by_its_field(connect, emulator, shape, project, agent, code, secretless):
    emulator.configure(error_shape=shape)
    face = connect(emulator)
    with pytest.raises(RobofyNotFoundError) as caught:
        face.call(endpoints.list_leads(project or emulator.project_id, agent or emulator.chatbot_ids[0]))
    error = caught.value
    assert (error.status, error.code, error.permanent, error.attempts) == (404, code, True, 1)
    assert "Check project_id and chatbot_id" in str(error)
    assert face.requests == 1
    secretless(error, emulator.api_key, emulator.chatbot_ids[0], "no-such-agent")


def test_a_parameter_that_robofy_does_not_take_is_a_bad_request(connect, emulator):
    with pytest.raises(RobofyBadRequestError) as caught:
        connect(emulator).call(endpoints.list_agents("not-a-number"))
    assert caught.value.status == 400
    assert caught.value.code == "BAD_REQUEST"
    assert "Check the values of project_id" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("UNAUTHORIZED", RobofyAuthError),
        ("forbidden", RobofyAuthError),
        ("PROJECT_NOT_FOUND", RobofyNotFoundError),
        ("BAD_REQUEST", RobofyBadRequestError),
    ],
)
@pytest.mark.parametrize("shape", ["1", "2"])
def test_an_error_under_http_200_is_an_error(connect, emulator, leads, code, kind, shape):
    emulator.configure(error_shape=shape)
    emulator.fault("status", status=200, code=code, message="So it is.", times=0)
    face = connect(emulator)
    with pytest.raises(kind) as caught:
        face.call(leads)
    assert caught.value.status == 200
    assert caught.value.detail == "So it is."
    assert face.requests == 1


def test_a_refusal_does_not_show_the_ids_that_it_repeats(connect, raw_server, answer, secretless):
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


def test_a_refusal_does_not_show_what_was_sent(connect, raw_server, answer, secretless):
    body = {"query": "my number is 0170 1234567", "pid": 1, "user_context": {"session_id": "+491701234567"}}
    detail = "session +491701234567: cannot answer 'my number is 0170 1234567'"
    server = raw_server(answer({"error": {"code": "BAD_REQUEST", "detail": detail}}, "400 Bad Request"))
    with pytest.raises(RobofyBadRequestError) as caught:
        connect(server.url).call(endpoints.send_message(body))
    secretless(caught.value, "1234567")


# ------------------------------------------------------------------------------------- what is asked for again
HICCUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "500": ("status", {"status": 500}),
    "502": ("html", {"status": 502}),
    "503": ("status", {"status": 503, "code": "SERVICE_UNAVAILABLE"}),
    "504": ("html", {"status": 504}),
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
    face = connect(emulator)
    pages = face.pages(leads)
    assert [row for each in pages for row in each.rows] == emulator.leads()
    asked = [request.page for request in emulator.requests]
    assert asked == sorted([1, 2, 3, 4, 5, page, page])
    assert face.requests == 7
    if hiccup == "429 seconds":
        assert clock.slept == pytest.approx([7, 7], abs=0.5)
    elif hiccup == "429 date":
        assert all(4 <= each <= 6.1 for each in clock.slept)
    else:
        assert clock.slept == [1.0, 2.0]


def test_a_dropped_connection_that_was_kept_open_is_asked_again_by_nobody_else(connect, emulator, leads):
    """An HTTP library may repeat a GET on its own, uncounted, when a kept connection turns out to be dead."""
    face = connect(emulator, max_attempts=1)
    face.call(leads)
    emulator.fault("drop")
    with pytest.raises(RobofyConnectionError):
        face.call(leads)
    assert face.requests == emulator.count() == 2


@pytest.mark.parametrize("name", ["update_agent", "delete_agent"])
def test_a_change_is_not_repeated_on_a_kept_connection_either(connect, emulator, name):
    face, agent = connect(emulator), emulator.chatbot_ids[1]
    face.call(endpoints.list_projects())
    emulator.fault("drop", endpoint=name)
    body = ({"name": "x"},) if name == "update_agent" else ()
    with pytest.raises(RobofyConnectionError, match="Robofy may have carried it out all the same"):
        face.call(getattr(endpoints, name)(emulator.project_id, agent, *body))
    assert emulator.count(name) == 1


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
def test_the_attempts_end_and_are_counted(connect, emulator, leads, hiccup, kind, said):
    fault, options = HICCUPS[hiccup]
    emulator.fault(fault, page=2, times=0, **options)
    face, pages = connect(emulator, max_attempts=3, total_timeout=500), list[Any]()
    with pytest.raises(kind) as caught:
        face.pages(leads, pages)
    assert said in str(caught.value)
    assert ", attempt 3)" in str(caught.value)
    assert caught.value.attempts == 3
    assert not caught.value.permanent
    assert face.requests == emulator.count() == 4
    assert len(pages) == 1


def test_what_the_last_answer_asked_to_wait_is_known_to_the_caller(connect, emulator, leads):
    emulator.fault("rate_limit", retry_after=9)
    with pytest.raises(RobofyRateLimitError) as caught:
        connect(emulator, max_attempts=1).call(leads)
    assert caught.value.retry_after == 9
    assert "requests_per_minute" in str(caught.value)


def test_a_pause_that_the_time_does_not_allow_is_not_begun(connect, emulator, leads, clock):
    emulator.fault("rate_limit", retry_after=60, times=0)
    face = connect(emulator, total_timeout=50)
    with pytest.raises(RobofyRateLimitError):
        face.call(leads)
    assert face.requests == 1
    assert clock.slept == []


def test_the_attempt_number_starts_anew_with_each_page(connect, emulator, leads):
    for page in (1, 2, 3):
        emulator.fault("drop", page=page, times=2)
    face = connect(emulator, max_attempts=3)
    assert len(face.pages(leads)) == 5
    assert face.requests == 11


@pytest.mark.parametrize("make", [endpoints.add_text_content, endpoints.send_message])
@pytest.mark.parametrize("hiccup", ["500", "503", "502", "dropped", "reset", "truncated", "broken JSON"])
def test_a_post_is_not_repeated_when_its_answer_was_lost(connect, emulator, make, hiccup):
    kind, options = HICCUPS[hiccup]
    emulator.fault(kind, times=0, **options)
    face = connect(emulator)
    call = make(chat_body(emulator)) if make is endpoints.send_message else make(1, text_body(emulator))
    with pytest.raises(RobofyCallError):
        face.call(call)
    assert face.requests == emulator.count() == 1


def test_a_post_that_stalls_is_not_repeated_and_says_that_it_may_have_been_done(connect, emulator):
    emulator.fault("delay", seconds=5)
    face = connect(emulator, read_timeout=0.2)
    with pytest.raises(RobofyConnectionError, match=r"nothing came for 0\.2 s.*Robofy may have carried it out"):
        face.call(endpoints.send_message(chat_body(emulator)))
    assert face.requests == 1


def test_a_post_is_repeated_when_it_was_refused_for_its_rate(connect, emulator):
    emulator.fault("rate_limit", times=2, retry_after=3)
    face = connect(emulator)
    assert (
        face.call(endpoints.send_message(chat_body(emulator)))["session_id"] == "6ff922ed-9884-4430-83c9-7ac83a7b0574"
    )
    assert face.requests == 3


def test_a_post_is_repeated_when_no_connection_could_be_made(connect, closed_port, emulator):
    face = connect(f"http://127.0.0.1:{closed_port}", max_attempts=4)
    with pytest.raises(RobofyConnectionError, match=r"no connection to .+ could be made") as caught:
        face.call(endpoints.send_message(chat_body(emulator)))
    assert caught.value.attempts == face.requests == 4
    assert "may have carried it out" not in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)


def test_a_get_that_stalls_is_asked_again(connect, emulator, leads):
    emulator.fault("delay", seconds=5, page=2)
    face = connect(emulator, read_timeout=0.2)
    assert len(face.pages(leads)) == 5
    assert face.requests == 6


# ----------------------------------------------------------------------------------- answers that make no sense
@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("wrong_shape", {}, "HTTP 200 with application/json, but no list of rows was found"),
        ("missing_list", {}, "no list of rows was found in the answer (looked for leads, rows)"),
        ("token_unknown", {}, "the answer's field 'continuation' seems to point to a next page"),
        ("token_unknown", {"key": "has_more_pages"}, "'has_more_pages' seems to point to a next page"),
    ],
)
def test_drift_is_loud_and_not_asked_again(connect, emulator, leads, kind, options, said):
    emulator.fault(kind, page=2, times=0, **options)
    face, pages = connect(emulator), list[Any]()
    with pytest.raises(RobofyResponseError) as caught:
        face.pages(leads, pages)
    assert said in str(caught.value)
    assert caught.value.status == 200
    assert caught.value.endpoint == TITLE
    assert "extra 'endpoints' under 'list_leads'" in str(caught.value)
    assert "Maintenance" not in str(caught.value)
    assert face.requests == 2
    assert len(pages) == 1


@pytest.mark.parametrize("page", [1, 3])
def test_a_listing_that_runs_in_a_circle_is_an_error(connect, emulator, leads, page):
    emulator.fault("token_loop", page=page)
    face = connect(emulator)
    with pytest.raises(RobofyResponseError, match="the listing does not end") as caught:
        face.pages(leads)
    assert face.requests <= page + 1
    assert caught.value.endpoint == TITLE
    assert caught.value.requested_at is not None


# --------------------------------------------------------------------------------------------- time and budget
@pytest.mark.serial
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_trickles_ends_within_the_total_timeout(connect, emulator, leads, chunked):
    emulator.fault("trickle", delay=0.05, chunked=chunked, times=0)
    began = time.monotonic()
    face = connect(emulator, real_time=True, total_timeout=0.6)
    with pytest.raises(
        RobofyResponseError, match=r"HTTP 200 .* no complete answer within 0\.6 s.*total_timeout"
    ) as end:
        face.call(leads)
    assert time.monotonic() - began < 2
    assert end.value.content_type == "application/json"
    assert face.requests == 1


def test_a_body_that_never_ends_is_cut_at_the_largest_size(connect, emulator, leads):
    emulator.fault("endless", times=0)
    face = connect(emulator, max_response_mb=1)
    with pytest.raises(RobofyResponseError, match=r"larger than 1 MB.*max_response_mb"):
        face.call(leads)
    assert face.requests == 1


def test_requests_of_one_account_are_spaced_evenly(connect, emulator, leads, clock):
    face, other = (connect(emulator, requests_per_minute=30) for _ in range(2))
    face.pages(leads)
    assert clock.slept == pytest.approx([2, 2, 2, 2], abs=0.5)
    other.call(leads)
    assert clock.slept[4:] == pytest.approx([2], abs=0.5)


def test_waiting_for_the_budget_does_not_count_against_the_total_timeout(connect, emulator, leads, clock):
    emulator.fault("drop", page=2, times=2)
    face = connect(emulator, requests_per_minute=1, total_timeout=10)
    assert len(face.pages(leads)) == 5
    assert sum(clock.slept) == pytest.approx(6 * 60, abs=5)


def test_a_429_holds_the_other_clients_of_the_process_too(connect, emulator, leads, clock):
    """The second client asks while the first one is told to wait, which takes a step into the first one's sleep."""
    first, second = connect(emulator), connect(emulator)
    emulator.fault("rate_limit", retry_after=11)
    clock.meanwhile = lambda: second.client._limiter.reserve(clock.monotonic())
    first.call(leads)
    assert first.client._limiter is second.client._limiter
    assert clock.slept == pytest.approx([11], abs=0.1)
    assert clock.seen == pytest.approx([11], abs=0.1)


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
    assert (first.status, refused.status) == (200, 429)
    assert [request.status for request in later] == [200, 200, 200]
    assert later[0].time - refused.time > 0.9
    assert later[2].time - later[0].time > 0.3


# ------------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize("hiccup", ["500", "dropped", "truncated", "broken JSON"])
def test_no_error_shows_key_address_or_ids(connect, emulator, hiccup, secretless):
    kind, options = HICCUPS[hiccup]
    emulator.add_session("+491701234567")
    emulator.fault(kind, times=0, **options)
    face = connect(emulator, max_attempts=2)
    with pytest.raises(RobofyCallError) as caught:
        face.call(endpoints.list_session_messages(emulator.chatbot_ids[0], "+491701234567"))
    secretless(caught.value, emulator.api_key, emulator.url, emulator.chatbot_ids[0], "491701234567", "127.0.0.1")
    assert caught.value.__cause__ is None


def test_an_error_that_is_no_refusal_of_ours_is_retried_and_named(connect, emulator, leads):
    emulator.fault("status", status=418, code="I_AM_A_TEAPOT", message="Short and stout.")
    face = connect(emulator)
    with pytest.raises(RobofyApiError, match=r"HTTP 418 I_AM_A_TEAPOT: Short and stout\."):
        face.call(leads)
    assert face.requests == 1
