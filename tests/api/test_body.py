"""Streamed bodies, sent over a real socket."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from airflow_provider_robofy.api.body import escaped, json_text, multipart
from airflow_provider_robofy.api.endpoints import add_file, add_text_content
from airflow_provider_robofy.api.errors import (
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyConnectionError,
    RobofyDataError,
    RobofyNotFoundError,
)


class Bytes:
    """Content out of memory, in pieces, that counts how often it was read."""

    def __init__(self, *pieces: bytes) -> None:
        self.parts = pieces
        self.read = 0

    def pieces(self):
        self.read += 1
        yield from self.parts


class Broken(Bytes):
    def pieces(self):
        yield from super().pieces()
        raise PermissionError("13, not for you")


def form(content: Bytes, *, size: int | None = None, name: str = "prices.pdf", **fields: str):
    size = sum(map(len, content.parts)) if size is None else size
    return multipart(fields=fields, file_name=name, media_type="application/pdf", content=content, size=size)


def text(content: Bytes, **fields: str):
    size = sum(map(len, escaped(content.parts)))
    return json_text(fields=fields, name="content", content=content, size=size)


def test_a_file_arrives_byte_for_byte_with_its_fields(robofy_emulator, connect):
    agent = robofy_emulator.chatbot_ids[2]
    content = os.urandom(300_000)
    body = form(Bytes(content[:7], content[7:]), chatbot_id=agent, metadata='{"team": "ü"}')

    answer = connect(robofy_emulator).call(add_file(24017, body))

    [asset] = robofy_emulator.assets()
    assert asset["sha256"] == hashlib.sha256(content).hexdigest()
    assert (asset["size"], asset["name"], asset["chatbot_id"]) == (300_000, "prices.pdf", agent)
    assert asset["metadata"] == '{"team": "ü"}'
    assert (answer["asset_id"], answer["linkage_id"]) == (asset["asset_id"], asset["linkage_id"])


@pytest.mark.parametrize("name", ["plain.pdf", "prices ü.pdf", "日本.pdf", 'a"b.pdf', "a'b;c=d.pdf"])
def test_any_name_can_be_sent(robofy_emulator, connect, name):
    connect(robofy_emulator).call(add_file(24017, form(Bytes(b"x"), name=name)))
    [asset] = robofy_emulator.assets()
    assert asset["name"].replace("%22", '"') == name


def test_a_name_cannot_add_a_header():
    head = next(iter(form(Bytes(b"x"), name='x.pdf"\r\nX-Evil: 1\r\n\r\n')))
    assert b"\r\nX-Evil" not in head
    assert b'filename="x.pdf%22%0D%0AX-Evil: 1%0D%0A%0D%0A"' in head


@pytest.mark.parametrize(
    "content",
    ['Größe "x" \\ \n\t\x00 \u2028 😀', "x", "a" * 200_000, "\u00e9" * 70_001],
    ids=["special", "one", "long", "two-byte letters"],
)
def test_a_text_arrives_as_it_was(robofy_emulator, connect, content):
    raw = content.encode()
    pieces = [raw[at : at + 65_537] for at in range(0, len(raw), 65_537)]  # letters are cut in two between pieces
    agent = robofy_emulator.chatbot_ids[0]

    connect(robofy_emulator).call(add_text_content(24017, text(Bytes(*pieces), chatbot_id=agent, file_name="a.md")))

    [asset] = robofy_emulator.assets()
    assert asset["sha256"] == hashlib.sha256(raw).hexdigest()
    assert (asset["name"], asset["kind"]) == ("a.md", "text")


def test_a_streamed_text_is_the_json_that_a_plain_one_would_be():
    body = text(Bytes('\ufeffGröße "x"\n'.encode()), chatbot_id="UOmf", file_name="a.md")
    sent = b"".join(body)
    assert json.loads(sent) == {"chatbot_id": "UOmf", "file_name": "a.md", "content": 'Größe "x"\n'}
    assert len(sent) == len(body)


def test_half_a_letter_is_no_utf8():
    with pytest.raises(UnicodeDecodeError):
        list(escaped([b"abc\xc3"]))


def test_a_rate_limit_sends_the_file_again_from_its_start(robofy_emulator, connect):
    robofy_emulator.fault("rate_limit", retry_after=1, endpoint="add_file", times=2)
    content = Bytes(b"abc", b"def")
    connect(robofy_emulator).call(add_file(24017, form(content)))
    assert robofy_emulator.count("add_file") == 3
    assert [asset["sha256"] for asset in robofy_emulator.assets()] == [hashlib.sha256(b"abcdef").hexdigest()]


def test_a_lost_answer_is_not_asked_for_with_a_second_upload(robofy_emulator, connect):
    robofy_emulator.fault("drop", endpoint="add_file")
    with pytest.raises(RobofyConnectionError) as caught:
        connect(robofy_emulator).call(add_file(24017, form(Bytes(b"abc"))))
    assert not caught.value.refused
    assert "may have carried it out" in str(caught.value)
    assert robofy_emulator.count("add_file") == 1


def test_a_server_that_hangs_up_in_the_middle_has_taken_nothing(raw_server, connect):
    server = raw_server(on_accept=lambda connection, _: connection.close())
    with pytest.raises(RobofyConnectionError) as caught:
        connect(server.url).call(add_file(24017, form(Bytes(*[b"x" * 65_536] * 160))))
    assert caught.value.refused
    assert "may have carried it out" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "size", "kind"),
    [(Bytes(b"abc"), 5, RobofyDataError), (Bytes(b"abcdef"), 5, RobofyDataError), (Broken(b"abc"), 6, PermissionError)],
    ids=["shorter", "longer", "unreadable"],
)
def test_a_file_that_is_not_what_was_promised_is_never_sent_whole(robofy_emulator, connect, content, size, kind):
    body = form(content, size=size)
    with pytest.raises(kind):
        connect(robofy_emulator, read_timeout=3.0).call(add_file(24017, body))
    assert not body.whole
    assert robofy_emulator.assets() == []


def test_a_wrong_key_is_an_answer_also_in_the_middle_of_ten_megabytes(robofy_emulator, connect):
    body = form(Bytes(*[os.urandom(65_536)] * 160))
    with pytest.raises(RobofyAuthError):
        connect(robofy_emulator, api_key="wrong-key").call(add_file(24017, body))


def test_a_refused_file_is_a_bad_request_that_names_the_fields_and_not_their_values(robofy_emulator, connect):
    with pytest.raises(RobofyBadRequestError) as caught:
        connect(robofy_emulator).call(add_file(24017, form(Bytes(b"x"), name="x.exe", metadata="secret words")))
    assert "metadata" in str(caught.value)
    assert "secret words" not in str(caught.value)


def test_the_path_of_add_file_is_a_setting(robofy_emulator_factory, connect):
    emulator = robofy_emulator_factory(paths={"add_file": "/v2/files"})
    with pytest.raises(RobofyNotFoundError, match="'add_file'"):
        connect(emulator).call(add_file(24017, form(Bytes(b"x"))))
    connect(emulator, endpoints={"add_file": "/v2/files"}).call(add_file(24017, form(Bytes(b"x"))))
    assert len(emulator.assets()) == 1
