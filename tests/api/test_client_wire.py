"""The client against servers that no framework would write: broken, endless and hostile answers."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import zlib

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.errors import (
    RobofyCallError,
    RobofyNotFoundError,
    RobofyResponseError,
)

LEADS = endpoints.list_leads(24017, "agent")
GOOD = {"data": {"report": {"rows": [{"id": "lead_1"}]}}}


def pieces(*parts, pause=0.0, forever=b""):
    """A step of a script that sends parts with pauses between, then the last one for ever, and closes."""

    def send(connection, server):
        for part in parts:
            connection.sendall(part)
            if server.over.wait(pause):
                return
        while forever:
            connection.sendall(forever)
            if server.over.wait(pause):
                return

    return send


def reset(connection, server):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# --------------------------------------------------------------------------------------------- time and size
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
#: What comes first, and what comes again and again.
TRICKLES = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": (OK, b"X-More: and more\r\n"),
    "one header": (OK + b"X-Slow: ", b"a"),
    "body with length": (OK + b"Content-Length: 9999\r\n\r\n[", b" "),
    "body until close": (OK + b"Connection: close\r\n\r\n[", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "a chunk's header": (CHUNKED + b"1;", b"x"),
    "trailers": (CHUNKED + b"2\r\n[]\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.serial
@pytest.mark.parametrize(("first", "forever"), TRICKLES.values(), ids=TRICKLES)
def test_whatever_trickles_ends_within_the_total_timeout(connect, raw_server, first, forever):
    server = raw_server(pieces(first, forever=forever, pause=0.05))
    client = connect(server.url, real_time=True, total_timeout=0.3, read_timeout=5, backoff=0.01)
    began = time.monotonic()
    with pytest.raises(RobofyCallError, match=r"no complete answer within 0\.3 s.*total_timeout"):
        client.call(LEADS)
    assert time.monotonic() - began < 2
    assert client.requests == 1


@pytest.mark.serial
def test_the_total_timeout_covers_attempts_and_pauses_together(connect, raw_server):
    server = raw_server(pieces(b"HTTP/1.1 200 OK\r\n", pause=0.2))
    client = connect(server.url, real_time=True, total_timeout=0.7, read_timeout=0.15, backoff=0.05, max_attempts=100)
    began = time.monotonic()
    with pytest.raises(RobofyCallError) as caught:
        client.call(LEADS)
    assert time.monotonic() - began < 2
    assert caught.value.attempts > 1


@pytest.mark.parametrize(
    ("head", "block"),
    [
        pytest.param(b"Content-Length: 99999999\r\n", b" " * 65536, id="length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n", id="chunked"),
        pytest.param(b"Connection: close\r\n", b" " * 65536, id="until close"),
    ],
)
def test_a_body_beyond_the_largest_size_is_refused(connect, raw_server, head, block):
    server = raw_server(pieces(OK + b"Content-Type: application/json\r\n" + head + b"\r\n", forever=block))
    client = connect(server.url, max_response_mb=0.5)
    with pytest.raises(RobofyResponseError, match=r"the answer is larger than 0\.5 MB.*max_response_mb") as caught:
        client.call(LEADS)
    assert (caught.value.status, caught.value.content_type) == (200, "application/json")
    assert client.requests == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_small_body_that_unpacks_to_a_large_one_is_refused(*, connect, raw_server, answer, coding, pack, framing):
    packed = pack(b"[" + b" " * (40 << 20) + b"]", 9)
    assert len(packed) < 100_000
    headers = {"Content_Encoding": coding}
    if framing == "chunked":
        packed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
        headers |= {"Content_Length": None, "Transfer_Encoding": "chunked"}
    with pytest.raises(RobofyResponseError, match="larger than 1 MB"):
        connect(raw_server(answer(packed, **headers)).url, max_response_mb=1).call(LEADS)


def test_an_answer_as_large_as_is_allowed_is_taken(connect, raw_server, answer):
    body = json.dumps(GOOD).encode()
    body += b" " * ((1 << 20) - len(body))
    assert connect(raw_server(answer(body)).url, max_response_mb=1).call(LEADS).items == [{"id": "lead_1"}]
    with pytest.raises(RobofyResponseError, match="larger than 1 MB"):
        connect(raw_server(answer(body + b" ")).url, max_response_mb=1).call(LEADS)


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_answer_is_read(connect, raw_server, answer, coding, pack):
    server = raw_server(answer(pack(json.dumps(GOOD).encode()), Content_Encoding=coding))
    assert connect(server.url).call(LEADS).items == [{"id": "lead_1"}]
    assert "accept-encoding: gzip, deflate" in server.heads[0].lower()


# --------------------------------------------------------------------------------------- answers that break off
HEAD = OK + b"Content-Type: application/json\r\n"
PACKED = HEAD + b"Connection: close\r\nContent-Encoding: gzip\r\n"
BROKEN = {
    "nothing": b"",
    "no HTTP": b"GARBAGE\r\n\r\n",
    "reset": reset,
    "within the status line": b"HTTP/1.1 20",
    "after the status": b"HTTP/1.1 200 OK",
    "after the status line": OK,
    "after a header": HEAD,
    "within a header's name": HEAD + b"Content-Le",
    "before the end of the headers": HEAD + b"Content-Length: 50\r\n",
    "before the body": HEAD + b"Content-Length: 50\r\n\r\n",
    "within the body": HEAD + b'Content-Length: 50\r\n\r\n{"data": []}',
    "before the first chunk": CHUNKED,
    "within a chunk's length": CHUNKED + b"2",
    "within a chunk": CHUNKED + b"9\r\n{",
    "before the last chunk": CHUNKED + b"2\r\n[]\r\n",
    "a chunk's length is no number": CHUNKED + b"zz\r\n[]\r\n",
    "a body until close": HEAD + b'Connection: close\r\n\r\n{"data": [',
    "within a packed body": PACKED + b"Content-Length: 20\r\n\r\n" + gzip.compress(b'{"data": []}')[:20],
    "a body that is not packed at all": PACKED + b"Content-Length: 9\r\n\r\nnot gzip!",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_anywhere_is_asked_for_again(connect, raw_server, answer, broken):
    server = raw_server(broken, broken, answer(GOOD))
    client = connect(server.url)
    assert client.call(LEADS).items == [{"id": "lead_1"}]
    assert client.requests == len(server.requests) == 3


@pytest.mark.parametrize("broken", [b"", HEAD, HEAD + b"Content-Length: 50\r\n\r\n{"])
def test_a_change_whose_answer_breaks_off_is_not_done_twice_and_not_taken_for_done(connect, raw_server, broken):
    server = raw_server(broken)
    with pytest.raises(RobofyCallError, match="look before you repeat"):
        connect(server.url).call(endpoints.delete_agent(1, "a"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["204 No Content", "200 OK"])
def test_an_answer_without_a_body_is_none(connect, raw_server, answer, status):
    server = raw_server(answer(b"", status, Content_Length=None if status[:3] == "204" else 0, Content_Type=None))
    assert connect(server.url).call(endpoints.delete_agent(1, "a")) is None


def test_an_empty_answer_is_not_an_empty_listing(connect, raw_server, answer):
    with pytest.raises(RobofyResponseError, match="HTTP 200 with no content type, but no list of rows"):
        connect(raw_server(answer(b"", Content_Type=None)).url).call(LEADS)


@pytest.mark.parametrize("body", [b"null", b'"rows"', b'{"data": {"report": {"rows": {"id": 1}}}}', b"NaN"])
def test_foreign_answers_are_named_without_their_body(connect, raw_server, answer, body):
    server = raw_server(answer(body, Content_Type="Application/Problem+JSON; charset=x"))
    with pytest.raises(RobofyResponseError, match=r"HTTP 200 with application/problem\+json, but no list of rows"):
        connect(server.url).call(LEADS)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b"\xff\xfe\xfd", b""])
def test_a_page_in_place_of_an_answer_is_asked_again_and_not_repeated_in_the_error(connect, raw_server, answer, body):
    server = raw_server(answer(body))
    with pytest.raises(RobofyResponseError, match="attempt 3") as caught:
        connect(server.url, max_attempts=3).call(LEADS)
    assert "aintenance" not in str(caught.value)
    assert len(server.requests) == 3


@pytest.mark.parametrize(("good", "where"), [(1, "page 2, requested at"), (0, "requested at")])
def test_an_error_names_the_page_that_could_not_be_read_after_the_first(connect, raw_server, answer, good, where):
    server = raw_server(*[answer({"rows": [1], "next_page_token": "2"})] * good, answer(b"[1"))
    with pytest.raises(RobofyResponseError, match=rf"not JSON from character 2 on\) \({where}"):
        list(connect(server.url, max_attempts=1).pages(LEADS))


def test_a_nest_too_deep_to_read_is_an_error_and_no_crash(connect, raw_server, answer):
    server = raw_server(answer(b"[" * 500_000 + b"]" * 500_000))
    with pytest.raises(RobofyResponseError, match="the answer is not JSON"):
        connect(server.url, max_attempts=2).call(LEADS)


def test_an_error_page_is_told_by_its_status_and_without_its_text(connect, raw_server, answer):
    page = b"<html>404 /v1/ai-agent/leads/24017/agent</html>"
    with pytest.raises(RobofyNotFoundError) as caught:
        connect(raw_server(answer(page, "404 Not Found", Content_Type="text/html")).url).call(LEADS)
    assert "html" not in str(caught.value)
    assert "HTTP 404. " not in str(caught.value)
    assert caught.value.detail == ""


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"error": "Too many cooks"}, "Too many cooks"),
        ({"error": {"code": 7, "message": ["x"], "detail": {"a": 1}}, "message": "Outer"}, "Outer"),
        ({"error": True, "message": "It\x00 broke\n\n badly\u202e."}, "It broke badly ."),
        ({"message": "x" * 1000}, "x" * 300 + "..."),
        ([1, 2], ""),
        ({"error": {"detail": ""}, "message": None}, ""),
    ],
)
def test_errors_of_any_shape_are_read_as_far_as_they_go(connect, raw_server, answer, body, detail):
    with pytest.raises(RobofyNotFoundError) as caught:
        connect(raw_server(answer(body, "404 Not Found")).url).call(LEADS)
    assert caught.value.detail == detail
    assert len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------------------------------------- redirects
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_redirect_to_the_same_server_is_followed_with_the_key(connect, raw_server, answer, status, relative):
    server = raw_server(answer(GOOD))
    to = f"{'' if relative else server.url}/v2/leads?page=1#part"
    server.script = (answer(b"", status, Location=to), answer(GOOD))
    client = connect(server.url)
    assert client.call(LEADS).items == [{"id": "lead_1"}]
    assert server.heads[1].startswith("GET /v2/leads?page=1 HTTP/1.1\r\n")
    assert "authorization: bearer rk_test-" in server.heads[1].lower()
    assert client.requests == 2


def test_the_key_never_reaches_another_origin(connect, raw_server, answer):
    other = raw_server(answer(GOOD))
    server = raw_server(answer(b"", "302 Found", Location=f"{other.url}/v1/leads"))
    with pytest.raises(RobofyResponseError, match=r"HTTP 302, a redirect to \w+://.*The key is not sent elsewhere"):
        connect(server.url).call(LEADS)
    assert other.connections == 0


# ------------------------------------------------------------------------------------------------ what is sent
def test_ids_are_percent_encoded_once_on_the_wire(connect, raw_server, answer):
    server = raw_server(answer(GOOD))
    client = connect(server.url)
    client.call(endpoints.list_leads(24017, "a/b+c=d%2F e?#ü", session_id="+49 1&x=y/%"))
    client.call(endpoints.anything("GET", "/v1/x/a%2Fb%2bc/ok", params={"q": "a b/ü", "none": None}))
    first, second = (head.split()[1] for head in server.heads)
    assert first == "/v1/ai-agent/leads/24017/a%2Fb%2Bc%3Dd%252F%20e%3F%23%C3%BC?sessionId=%2B49+1%26x%3Dy%2F%25"
    assert second == "/v1/x/a%2Fb%2Bc/ok?q=a+b%2F%C3%BC"


def test_headers_larger_than_usual_are_read(connect, raw_server, answer):
    server = raw_server(answer(GOOD, X_Policy="p" * 20_000))
    assert connect(server.url).call(LEADS).items == [{"id": "lead_1"}]
