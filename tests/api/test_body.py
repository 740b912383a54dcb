"""Bodies with a document in them, sent over a real socket."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from airflow_provider_robofy.api.body import Body, json_text, multipart
from airflow_provider_robofy.api.endpoints import add_file, add_text_content
from airflow_provider_robofy.api.errors import (
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyConnectionError,
)


def form(content: bytes, *, name: str = "prices.pdf", **fields: str) -> Body:
    return multipart(fields=fields, file_name=name, media_type="application/pdf", content=content)


def text(content: bytes, **fields: str) -> Body:
    return json_text(fields=fields, name="content", content=content)


def test_a_file_arrives_byte_for_byte_with_its_fields(robofy_emulator, connect):
    agent = robofy_emulator.chatbot_ids[2]
    content = os.urandom(300_000)
    body = form(content, chatbot_id=agent, metadata='{"team": "ü"}')

    answer = connect(robofy_emulator).call(add_file(24017, body))

    [asset] = robofy_emulator.assets()
    assert asset["sha256"] == hashlib.sha256(content).hexdigest()
    assert (asset["size"], asset["name"], asset["chatbot_id"]) == (300_000, "prices.pdf", agent)
    assert asset["metadata"] == '{"team": "ü"}'
    assert (answer["asset_id"], answer["linkage_id"]) == (asset["asset_id"], asset["linkage_id"])


@pytest.mark.parametrize("name", ["plain.pdf", "prices ü.pdf", "日本.pdf", 'a"b.pdf', "a'b;c=d.pdf"])
def test_any_name_can_be_sent(robofy_emulator, connect, name):
    connect(robofy_emulator).call(add_file(24017, form(b"x", name=name)))
    [asset] = robofy_emulator.assets()
    assert asset["name"].replace("%22", '"') == name


def test_a_form_has_the_bytes_that_a_browser_sends_and_a_name_cannot_add_a_header():
    body = form(b"%PDF", name='Preise "ü" a\\b\r\nX-Evil: 1.pdf', chatbot_id="UOmf", metadata='{"team": "ü"}')
    boundary = body.content_type.removeprefix("multipart/form-data; boundary=")
    name = "Preise %22ü%22 a\\b%0D%0AX-Evil: 1.pdf"
    assert b"".join(body).decode() == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="chatbot_id"\r\n\r\nUOmf\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{{"team": "ü"}}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: application/pdf\r\n\r\n%PDF\r\n--{boundary}--\r\n"
    )


@pytest.mark.parametrize(
    "content",
    ['Größe "x" \\ \n\t\x00 \u2028 😀', "x", "a" * 200_000, "x" + "\u00e9" * 70_001, "xyz" + "😀" * 40_000],
    ids=["special", "one", "long", "two-byte letters cut between pieces", "emoji cut between pieces"],
)
def test_a_text_arrives_as_it_was(robofy_emulator, connect, content):
    raw = content.encode()
    agent = robofy_emulator.chatbot_ids[0]

    connect(robofy_emulator).call(add_text_content(24017, text(raw, chatbot_id=agent, file_name="a.md")))

    [asset] = robofy_emulator.assets()
    assert asset["sha256"] == hashlib.sha256(raw).hexdigest()
    assert (asset["name"], asset["kind"]) == ("a.md", "text")


def test_a_text_is_the_json_that_it_should_be():
    body = text('\ufeffGröße "x"\n'.encode(), chatbot_id="UOmf", file_name="a.md")
    sent = b"".join(body)
    assert json.loads(sent) == {"chatbot_id": "UOmf", "file_name": "a.md", "content": 'Größe "x"\n'}
    assert len(sent) == len(body)


@pytest.mark.parametrize("content", [b"abc\xc3", b"a" * 65_535 + b"\xc3", b"caf\xe9 au lait", b"\xed\xa0\x80"])
def test_what_is_no_utf8_is_no_text(content):
    with pytest.raises(UnicodeDecodeError):
        text(content)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 65_535, 65_536, 65_537, 65_600, 65_601, 200_000])
def test_a_body_is_whole_only_when_its_last_piece_is_handed_over(size):
    content = os.urandom(size)
    body = Body(content, content_type="x/y", fields={})
    for _ in range(2):  # each attempt starts anew
        sent, states = b"", []
        for piece in body:
            assert body.whole == (len(sent) + len(piece) == size)
            states.append(body.whole)
            sent += piece
        assert sent == content
        assert len(body) == size
        assert states.count(True) == 1


@pytest.mark.parametrize("make", [form, text])
def test_what_ends_a_form_or_an_object_is_in_the_last_piece(make):
    *before, last = make(b"")
    end = b"--\r\n" if make is form else b'"}'
    assert last.endswith(end)
    *before, last = make(b"x" * 1000, chatbot_id="UOmf")
    assert before, "even a short body is sent in two pieces, so that one which breaks off early is known"
    if make is form:
        assert b"\r\n--" not in b"".join(before).rpartition(b"x")[2], "the closing delimiter is in the last piece"


def test_a_rate_limit_sends_the_file_again_from_its_start(robofy_emulator, connect):
    robofy_emulator.fault("rate_limit", retry_after=1, endpoint="add_file", times=2)
    connect(robofy_emulator).call(add_file(24017, form(b"abcdef")))
    assert robofy_emulator.count("add_file") == 3
    assert [asset["sha256"] for asset in robofy_emulator.assets()] == [hashlib.sha256(b"abcdef").hexdigest()]


def test_a_lost_answer_is_not_asked_for_with_a_second_upload(robofy_emulator, connect):
    robofy_emulator.fault("drop", endpoint="add_file")
    with pytest.raises(RobofyConnectionError) as caught:
        connect(robofy_emulator).call(add_file(24017, form(b"abc")))
    assert not caught.value.refused
    assert "may have carried it out" in str(caught.value)
    assert robofy_emulator.count("add_file") == 1


def test_a_server_that_hangs_up_in_the_middle_has_taken_nothing(raw_server, connect):
    server = raw_server(on_accept=lambda connection, _: connection.close())
    with pytest.raises(RobofyConnectionError) as caught:
        connect(server.url).call(add_file(24017, form(b"x" * 65_536 * 160)))
    assert caught.value.refused
    assert "may have carried it out" not in str(caught.value)


def test_a_wrong_key_is_an_answer_also_in_the_middle_of_ten_megabytes(robofy_emulator, connect):
    body = form(os.urandom(65_536) * 160)
    with pytest.raises(RobofyAuthError):
        connect(robofy_emulator, api_key="wrong-key").call(add_file(24017, body))


def test_a_refused_file_is_a_bad_request_that_names_the_fields_and_not_their_values(robofy_emulator, connect):
    with pytest.raises(RobofyBadRequestError) as caught:
        connect(robofy_emulator).call(add_file(24017, form(b"x", name="x.exe", metadata="secret words")))
    assert "metadata" in str(caught.value)
    assert "secret words" not in str(caught.value)
