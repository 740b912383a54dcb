import http.client
import socket
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import pytest
import requests

AGENTS = "/v1/ai-agent/chatbot/24017"


def test_a_fault_strikes_only_what_it_is_aimed_at(wire):
    first, second, _ = wire.emulator.chatbot_ids
    wire.emulator.fault("status", status=500, endpoint="list_leads", times=0, chatbot=second)
    wire.emulator.fault("status", status=502, endpoint="list_leads", times=0, page=2)
    wire.emulator.fault("status", status=504, times=0, session="+49151")
    assert wire.get(AGENTS).status_code == 200
    assert wire.get(f"/v1/ai-agent/leads/24017/{second}").status_code == 500
    path = f"/v1/ai-agent/leads/24017/{first}"
    assert wire.get(path).status_code == 200
    assert wire.get(path, params={"nextPageToken": "eyJwYWdlIjoyfQ=="}).status_code == 502
    assert wire.get(path, params={"sessionId": "+49151"}).status_code == 504
    assert wire.get(f"/v1/ai-agent/inbox/chats/{first}/%2B49151").status_code == 504


def test_a_rate_limit_has_retry_after_in_seconds_as_a_date_or_not_at_all(wire):
    wire.emulator.fault("rate_limit", retry_after=1)
    wire.emulator.fault("rate_limit", retry_after_date=2)
    wire.emulator.fault("rate_limit")
    seconds, date, neither = (wire.get(AGENTS) for _ in range(3))
    assert [each.status_code for each in (seconds, date, neither)] == [429, 429, 429]
    assert seconds.headers["Retry-After"] == "1"
    ahead = parsedate_to_datetime(date.headers["Retry-After"]).timestamp() - time.time()
    assert 1 <= ahead <= 3
    assert "Retry-After" not in neither.headers
    assert neither.json()["error"]["code"] == "TOO_MANY_REQUESTS"


@pytest.mark.parametrize("reset", [False, True])
def test_a_drop_closes_the_connection_before_any_answer(wire, reset):
    wire.emulator.fault("drop", reset=reset)
    with pytest.raises(requests.ConnectionError):
        wire.get(AGENTS)
    assert wire.emulator.requests[-1].status == 0
    assert wire.get(AGENTS).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_trickle_sends_the_whole_answer_slowly(wire, chunked):
    whole = wire.get("/v1/projects").content
    step = len(whole) // 4
    wire.emulator.fault("trickle", bytes=step, delay=0.05, chunked=chunked)
    began = time.monotonic()
    answer = wire.get("/v1/projects")
    assert time.monotonic() - began >= 0.15
    assert answer.content == whole
    assert ("Content-Length" in answer.headers) is not chunked


def test_an_endless_answer_goes_on_until_the_client_leaves(wire):
    wire.emulator.fault("endless", delay=0, bytes=100_000)
    answer = wire.get(AGENTS, stream=True)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    received = 0
    for chunk in answer.iter_content(100_000):
        received += len(chunk)
        if received > 5_000_000:
            break
    answer.close()
    assert wire.get(AGENTS).status_code == 200


@pytest.mark.serial
def test_a_delay_holds_one_answer_and_no_other(wire):
    wire.emulator.fault("delay", seconds=0.8, endpoint="list_agents")
    began = time.monotonic()
    assert wire.get("/v1/projects").status_code == 200
    assert time.monotonic() - began < 0.7
    began = time.monotonic()
    assert wire.get(AGENTS).status_code == 200
    assert time.monotonic() - began >= 0.8


@pytest.mark.serial
def test_latency_holds_every_answer_but_several_at_once(serve):
    wire = serve(latency=0.2)
    at = urlsplit(wire.emulator.url)
    began = time.monotonic()
    connections = []
    for _ in range(10):
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
        connection.request("GET", AGENTS, headers={"Authorization": "Bearer demo-key"})
        connections.append(connection)
    for connection in connections:
        assert connection.getresponse().status == 200
        connection.close()
    assert 0.2 <= time.monotonic() - began < 1.8
    assert wire.emulator.state()["peak_in_flight"] == 10
    assert wire.emulator.state()["in_flight"] == 0


def test_a_clock_that_is_wrong_shows_in_the_date_header_and_in_new_leads(serve):
    wire = serve(clock_offset=3600)
    answer = wire.get(AGENTS)
    assert 3590 < parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time() < 3610
    wire.emulator.configure(time_format="epoch")
    assert 3590 < wire.emulator.add_leads()[0]["created_at"] - time.time() < 3610


@pytest.mark.serial
def test_stopping_does_not_wait_for_hanging_answers(serve):
    wire = serve()
    wire.emulator.fault("delay", seconds=3600)
    with pytest.raises(requests.Timeout):
        wire.get(AGENTS, timeout=0.2)
    began = time.monotonic()
    wire.emulator.stop()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("fault", "status", "header", "body"),
    [
        ("status:status=503", 503, ("Content-Type", "application/json"), '"INTERNAL_SERVER_ERROR"'),
        ("html", 200, ("Content-Type", "text/html"), "<!doctype html>"),
        ("html:status=502", 502, ("Content-Type", "text/html"), "<!doctype html>"),
        ("not_json", 200, ("Content-Type", "application/json"), '{"message": "Leads retri'),
        ("wrong_shape", 200, ("Content-Type", "application/json"), '{"data":"soon"}'),
        ("redirect:to=http://elsewhere.example/x", 302, ("Location", "http://elsewhere.example/x"), ""),
    ],
)
def test_another_answer_comes_once_in_place_of_the_usual_one(serve, fault, status, header, body):
    wire = serve(faults=[fault])
    answer = wire.get(AGENTS)
    assert answer.status_code == status
    assert answer.headers[header[0]].startswith(header[1])
    assert body in answer.text
    assert wire.get(AGENTS).json()["data"]


@pytest.mark.parametrize(
    ("faults", "statuses"),
    [
        (["status:times=2,after=1"], [200, 500, 500, 200, 200]),
        (["rate_limit", "status:status=502", "html"], [429, 502, 200, 200]),
        (["status:times=0"], [500] * 5),
        (["status:times=none"], [500] * 5),
    ],
)
def test_faults_take_their_turn_and_obey_times_and_after_until_they_are_cleared(serve, faults, statuses):
    wire = serve(faults=faults)
    assert [wire.get(AGENTS).status_code for _ in statuses] == statuses
    if statuses[-1] == 500:
        wire.emulator.clear_faults("html")
        assert wire.get(AGENTS).status_code == 500
        wire.emulator.clear_faults("status")
        assert wire.get(AGENTS).status_code == 200


@pytest.mark.parametrize(
    ("options", "promised", "sent"),
    [({}, "content-length: {length}", None), ({"chunked": True, "bytes": 10}, "chunked", b'a\r\n{"message"\r\n')],
)
def test_a_truncated_answer_promises_more_than_it_sends(wire, options, promised, sent):
    whole = wire.get(AGENTS).content
    wire.emulator.fault("truncate", times=2, **options)
    at = urlsplit(wire.emulator.url)
    with socket.create_connection((at.hostname, at.port), timeout=10) as raw:
        raw.sendall(f"GET {AGENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-key\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: raw.recv(65536), b"")).partition(b"\r\n\r\n")
    assert promised.format(length=len(whole)).encode() in head.lower()
    assert body == (whole[: len(whole) // 2] if sent is None else sent)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire.get(AGENTS)
