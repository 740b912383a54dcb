"""The client against servers that no framework would write: broken, endless and hostile answers."""

from __future__ import annotations

import functools
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

GOOD_BODY = {"data": {"report": {"rows": [{"id": "lead_1"}]}}}
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
@pytest.mark.serial
@pytest.mark.parametrize(
    "step",
    [
        pytest.param(pieces(b"HTTP/1.1 200 OK\r\n", forever=b"X-More: and more\r\n", pause=0.05), id="headers"),
        pytest.param(pieces(b"HTTP/1.1 200 ", forever=b"O", pause=0.05), id="status line"),
        pytest.param(pieces(b"HTTP/1.1 200 OK\r\nX-Slow: ", forever=b"a", pause=0.05), id="one header"),
        pytest.param(pieces(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.05), id="interim answers"),
        pytest.param(
            pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[", forever=b" ", pause=0.05), id="body with length"
        ),
        pytest.param(
            pieces(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[", forever=b" ", pause=0.05), id="body until close"
        ),
        pytest.param(
            pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", forever=b"1\r\n \r\n", pause=0.05),
            id="chunks",
        ),
        pytest.param(
            pieces(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", forever=b"x", pause=0.05),
            id="a chunk's header",
        ),
        pytest.param(
            pieces(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n",
                forever=b"X: y\r\n",
                pause=0.05,
            ),
            id="trailers",
        ),
    ],
)
def test_whatever_trickles_ends_within_the_total_timeout(connect, raw_server, step):
    server = raw_server(step)
    face = connect(server.url, real_time=True, total_timeout=0.3, read_timeout=5, backoff=0.01)
    began = time.monotonic()
    with pytest.raises(RobofyCallError, match=r"no complete answer within 0\.3 s"):
        face.call(LEADS)
    assert time.monotonic() - began < 2
    assert face.requests == 1


@pytest.mark.serial
def test_the_total_timeout_covers_attempts_and_pauses_together(connect, raw_server):
    server = raw_server(pieces(b"HTTP/1.1 200 OK\r\n", pause=0.2))
    face = connect(server.url, real_time=True, total_timeout=0.7, read_timeout=0.15, backoff=0.05, max_attempts=100)
    began = time.monotonic()
    with pytest.raises(RobofyCallError) as caught:
        face.call(LEADS)
    assert time.monotonic() - began < 2
    assert caught.value.attempts > 1


def test_a_pretended_clock_moves_the_deadline_of_a_body_too(connect, raw_server, clock, answer):
    clock.sleep(-1_000_000.0)
    whole = answer(GOOD)
    server = raw_server(pieces(whole[:-5], whole[-5:], pause=0.5))
    assert connect(server.url, total_timeout=5).call(LEADS).items == [{"id": "lead_1"}]


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_a_body_beyond_the_largest_size_is_refused(connect, raw_server, framing):
    block = b" " * 65536
    head = {
        "length": b"Content-Length: 99999999\r\n",
        "chunked": b"Transfer-Encoding: chunked\r\n",
        "until close": b"Connection: close\r\n",
    }[framing]
    part = b"10000\r\n" + block + b"\r\n" if framing == "chunked" else block
    server = raw_server(pieces(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head + b"\r\n", forever=part))
    face = connect(server.url, max_response_mb=0.5)
    with pytest.raises(RobofyResponseError, match=r"the answer is larger than 0\.5 MB") as caught:
        face.call(LEADS)
    assert (caught.value.status, caught.value.content_type) == (200, "application/json")
    assert face.requests == 1


@functools.cache
def bomb(coding):
    large = b"[" + b" " * (40 << 20) + b"]"
    return gzip.compress(large, 9) if coding == "gzip" else zlib.compress(large, 9)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_small_body_that_unpacks_to_a_large_one_is_refused(connect, raw_server, answer, coding, framing):
    packed = bomb(coding)
    assert len(packed) < 100_000
    if framing == "chunked":
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
        whole = answer(body, Content_Encoding=coding, Content_Length=None, Transfer_Encoding="chunked")
    else:
        whole = answer(packed, Content_Encoding=coding)
    with pytest.raises(RobofyResponseError, match="larger than 1 MB"):
        connect(raw_server(whole).url, max_response_mb=1).call(LEADS)


def test_an_answer_as_large_as_is_allowed_is_taken(connect, raw_server, answer):
    body = json.dumps(GOOD).encode()
    body += b" " * ((1 << 20) - len(body))
    assert connect(raw_server(answer(body)).url, max_response_mb=1).call(LEADS).items == [{"id": "lead_1"}]
    with pytest.raises(RobofyResponseError, match="larger than 1 MB"):
        connect(raw_server(answer(body + b" ")).url, max_response_mb=1).call(LEADS)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_packed_answer_is_read(connect, raw_server, answer, coding):
    body = json.dumps(GOOD).encode()
    packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    server = raw_server(answer(packed, Content_Encoding=coding))
    assert connect(server.url).call(LEADS).items == [{"id": "lead_1"}]
    assert "accept-encoding: gzip, deflate" in server.heads[0].lower()


# --------------------------------------------------------------------------------------- answers that break off
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 20", id="within the status line"),
        pytest.param(b"HTTP/1.1 200 OK", id="after the status"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", id="after the status line"),
        pytest.param(HEAD, id="after a header"),
        pytest.param(HEAD + b"Content-Le", id="within a header's name"),
        pytest.param(HEAD + b"Content-Length: 50\r\n", id="before the end of the headers"),
        pytest.param(HEAD + b"Content-Length: 50\r\n\r\n", id="before the body"),
        pytest.param(HEAD + b'Content-Length: 50\r\n\r\n{"data": []}', id="within the body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", id="before the first chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2", id="within a chunk's length"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{", id="within a chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", id="before the last chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n", id="a chunk's length is no number"),
        pytest.param(HEAD + b"Connection: close\r\n\r\n" + b'{"data": [', id="a body until close"),
        pytest.param(
            HEAD
            + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
            + gzip.compress(b'{"data": []}')[:20],
            id="within a packed body",
        ),
        pytest.param(
            HEAD + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",
            id="a body that is not packed at all",
        ),
        pytest.param(reset, id="reset"),
        pytest.param(b"GARBAGE\r\n\r\n", id="no HTTP"),
    ],
)
def test_an_answer_that_breaks_off_anywhere_is_asked_for_again(connect, raw_server, answer, broken):
    server = raw_server(broken, broken, answer(GOOD))
    face = connect(server.url)
    assert face.call(LEADS).items == [{"id": "lead_1"}]
    assert face.requests == len(server.requests) == 3


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


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"null", "no list of rows"),
        (b"7", "no list of rows"),
        (b'"rows"', "no list of rows"),
        (b'{"data": {"report": {"rows": {"id": 1}}}}', "no list of rows"),
        (b'{"message": "Leads retrieved successfully.", "data": null}', "no list of rows"),
        (b"NaN", "no list of rows"),
    ],
)
def test_foreign_answers_are_named_without_their_body(connect, raw_server, answer, body, said):
    server = raw_server(answer(body, Content_Type="Application/Problem+JSON; charset=x"))
    with pytest.raises(RobofyResponseError, match=r"HTTP 200 with application/problem\+json, but ") as caught:
        connect(server.url).call(LEADS)
    assert said in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b"\xff\xfe\xfd", b"garbage", b""])
def test_a_page_in_place_of_an_answer_is_asked_again_as_a_502_is(connect, raw_server, answer, body):
    server = raw_server(answer(body), answer(GOOD_BODY))
    assert connect(server.url).call(LEADS).items == [{"id": "lead_1"}]
    assert len(server.requests) == 2
    server = raw_server(answer(body))
    with pytest.raises(RobofyResponseError, match="attempt 3") as caught:
        connect(server.url, max_attempts=3).call(LEADS)
    assert "aintenance" not in str(caught.value)
    assert len(server.requests) == 3
    server = raw_server(answer(body))
    with pytest.raises(RobofyResponseError):
        connect(server.url).call(endpoints.send_message({"query": "hello"}))
    assert len(server.requests) == 1, "a change may have been made"


def test_an_error_names_the_page_that_could_not_be_read(connect, raw_server, answer):
    server = raw_server(answer({"rows": [1], "next_page_token": "2"}), answer(b"[1"))
    with pytest.raises(RobofyResponseError, match=r"not JSON from character 2 on\) \(page 2, requested at"):
        connect(server.url, max_attempts=1).pages(LEADS)


def test_a_nest_too_deep_to_read_is_an_error_and_no_crash(connect, raw_server, answer):
    server = raw_server(answer(b"[" * 500_000 + b"]" * 500_000))
    with pytest.raises(RobofyResponseError, match="the answer is not JSON"):
        connect(server.url, max_attempts=2).call(LEADS)


def test_a_token_that_cannot_be_sent_back_is_an_error_and_no_crash(connect, raw_server, answer):
    server = raw_server(answer(b'{"rows": [], "next_page_token": "\\ud83d"}'))
    with pytest.raises(RobofyResponseError, match="token"):
        connect(server.url).pages(LEADS)


def test_an_answer_with_half_a_character_is_read_all_the_same(connect, raw_server, answer):
    server = raw_server(answer(b'{"rows": [{"id": 1, "said": "\\ud83d"}]}'))
    assert connect(server.url).call(LEADS).items == [{"id": 1, "said": "\ud83d"}]


@pytest.mark.parametrize("date", ["Fri, 31 Dec 9999 23:59:59 -1400", "soon", "", "Mon, 99 Foo 2025", "-1"])
def test_a_date_that_cannot_be_read_does_no_harm(connect, raw_server, answer, date):
    server = raw_server(answer({}, "503 Unavailable", Date=date, Retry_After=date), answer(GOOD, Date=date))
    answered = connect(server.url).exchange(LEADS)
    assert answered.date is None
    assert answered.value.items == [{"id": "lead_1"}]


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
    face = connect(server.url)
    assert face.call(LEADS).items == [{"id": "lead_1"}]
    assert server.heads[1].startswith("GET /v2/leads?page=1 HTTP/1.1\r\n")
    assert "authorization: bearer rk_test-" in server.heads[1].lower()
    assert face.requests == 2


@pytest.mark.parametrize(
    "to",
    [
        "{other}/v1/leads",
        "//127.0.0.1:{other_port}/v1/leads",
        "http://localhost:{port}/v1/leads",
        "https://127.0.0.1:{port}/v1/leads",
        "http://127.0.0.1:{port}@localhost:{other_port}/v1/leads",
        "http://127.0.0.1:{port}\\@localhost:{other_port}/v1/leads",
        "ftp://127.0.0.1:{port}/",
    ],
)
def test_the_key_never_reaches_another_origin(connect, raw_server, answer, to):
    server, other = raw_server(), raw_server(answer(GOOD))
    to = to.format(other=other.url, other_port=other.port, port=server.port)
    server.script = (answer(b"", "302 Found", Location=to),)
    face = connect(server.url)
    with pytest.raises(RobofyResponseError, match=r"HTTP 302, a redirect to \w+://.*The key is not sent elsewhere"):
        face.call(LEADS)
    assert other.connections == 0
    assert face.requests == 1


@pytest.mark.parametrize(
    "to",
    [
        None,
        "",
        "/v1/ai-agent/leads/24017/agent",
        "http://user:pass@127.0.0.1:{port}/v1/leads",
        "http://[broken/",
        "http://127.0.0.1:99999/",
        "/with space",
        "/\xfc",
    ],
)
def test_a_redirect_that_leads_nowhere_is_an_error(connect, raw_server, answer, to):
    server = raw_server()
    server.script = (answer(b"", "302 Found", Location=to and to.format(port=server.port)), answer(GOOD))
    with pytest.raises(RobofyResponseError, match="HTTP 302, a redirect that cannot be followed") as caught:
        connect(server.url).call(LEADS)
    assert "pass" not in str(caught.value).replace("password", "")
    assert len(server.requests) == 1


def test_a_change_is_not_redirected(connect, raw_server, answer):
    server = raw_server(answer(b"", "307 Temporary", Location="/v2/chat"))
    with pytest.raises(RobofyResponseError, match="HTTP 307, a redirect that cannot be followed"):
        connect(server.url).call(endpoints.send_message({"query": "hello"}))
    assert len(server.requests) == 1


def test_redirects_without_end_are_an_error(connect, raw_server, answer):
    steps = [answer(b"", "302 Found", Location=f"/step/{number}") for number in range(20)]
    server = raw_server(*steps)
    with pytest.raises(RobofyResponseError, match="HTTP 302, a redirect after 3 others"):
        connect(server.url).call(LEADS)
    assert len(server.requests) == 4


def test_a_failure_behind_a_redirect_is_asked_again_where_it_failed(connect, raw_server, answer):
    server = raw_server(answer(b"", "302 Found", Location="/there"), answer({}, "500 Oops"), answer(GOOD))
    face = connect(server.url)
    assert face.call(LEADS).items == [{"id": "lead_1"}]
    assert [head.split()[1] for head in server.heads] == ["/v1/ai-agent/leads/24017/agent", "/there", "/there"]


# ------------------------------------------------------------------------------------------------ what is sent
def test_ids_are_percent_encoded_once_on_the_wire(connect, raw_server, answer):
    server = raw_server(answer(GOOD))
    face = connect(server.url)
    face.call(endpoints.list_leads(24017, "a/b+c=d%2F e?#ü", session_id="+49 1&x=y/%"))
    face.call(endpoints.anything("GET", "/v1/x/a%2Fb%2bc/ok", params={"q": "a b/ü", "none": None}))
    first, second = (head.split()[1] for head in server.heads)
    assert first == "/v1/ai-agent/leads/24017/a%2Fb%2Bc%3Dd%252F%20e%3F%23%C3%BC?sessionId=%2B49+1%26x%3Dy%2F%25"
    assert second == "/v1/x/a%2Fb%2Bc/ok?q=a+b%2F%C3%BC"


def test_headers_larger_than_usual_are_read(connect, raw_server, answer):
    server = raw_server(answer(GOOD, X_Policy="p" * 20_000))
    assert connect(server.url).call(LEADS).items == [{"id": "lead_1"}]
