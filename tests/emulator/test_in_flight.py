"""The limit of requests in flight."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

AGENTS = "/v1/ai-agent/chatbot/24017"
HEADERS = {"Authorization": "Bearer demo-key"}


def ask_together(wire, count):
    """Send so many requests before reading any answer; return the answers in the order of the requests."""
    at = urlsplit(wire.emulator.url)
    connections = [http.client.HTTPConnection(at.hostname, at.port, timeout=10) for _ in range(count)]
    for connection in connections:
        connection.request("GET", AGENTS, headers=HEADERS)
    answers = [connection.getresponse() for connection in connections]
    for answer in answers:
        answer.read()
    for connection in connections:
        connection.close()
    return answers


def test_requests_beyond_the_limit_get_a_429_with_retry_after(serve):
    wire = serve(max_in_flight=3, latency=0.5)
    answers = ask_together(wire, 5)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 429, 429]
    assert [answer.headers["Retry-After"] for answer in answers if answer.status == 429] == ["1", "1"]
    state = wire.emulator.state()
    assert (state["peak_in_flight"], state["in_flight"], state["requests"]) == (3, 0, {"list_agents": 5})
    assert sorted(request.status for request in wire.emulator.requests) == [200, 200, 200, 429, 429]


def test_a_request_within_the_limit_is_answered_once_others_are_done(serve):
    wire = serve(max_in_flight=1)
    assert [wire.get(AGENTS).status_code for _ in range(5)] == [200] * 5


def test_the_limit_can_change_while_it_runs_and_does_not_count_control_calls(serve):
    wire = serve(latency=0.3, error_shape="2")
    answer = wire.control("PATCH", "settings", json={"max_in_flight": 1})
    assert answer.json()["settings"]["max_in_flight"] == 1
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(wire.get, AGENTS)
        while wire.emulator.state()["in_flight"] == 0:
            pass
        assert wire.control("GET", "state").status_code == 200
        refused = wire.get(AGENTS)
        detail = {"code": "too_many_requests", "message": "Too many requests at the same time."}
        assert (refused.status_code, refused.json()) == (429, {"error": detail})
        assert slow.result().status_code == 200
