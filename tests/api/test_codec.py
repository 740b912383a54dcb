"""JSON that the world writes and orjson does not."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_what_is_written_is_read_back_as_it_was(value):
    line = codec.dump_line(value)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert codec.loads(line) == value
    assert codec.loads(json.dumps(value).encode()) == value


@given(st.dictionaries(st.text(), st.integers() | st.text(), min_size=2))
def test_the_order_of_fields_does_not_change_the_bytes(row):
    backwards = dict(reversed(row.items()))
    assert codec.dump_line(row) == codec.dump_line(backwards)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'"\ud83d"', "\ud83d"),
        (rb'{"a": "\udc00 b", "b": 1}', {"a": "\udc00 b", "b": 1}),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (b"\xef\xbb\xbf[1]", [1]),
        (b" [1] \n", [1]),
    ],
)
def test_half_a_character_and_a_byte_order_mark_are_read(text, value):
    assert codec.loads(text) == value
    assert codec.loads(codec.dump_line(value)) == value


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**20 + 1, 123456789012345678901, -(10**40) + 7],
)
def test_no_digit_of_an_integer_is_lost(number):
    """An id beyond 64 bits would become a float, and so another id."""
    for text in (f"{number}", f'{{"id": {number}}}', f"[{number},1]"):
        value = codec.loads(text.encode())
        assert str(number) in codec.dump_line(value).decode()
    assert codec.loads(f"[{number}, 0.5]".encode()) == [number, 0.5]


def test_many_digits_in_a_text_change_nothing():
    text = b'{"id": "123456789012345678901234567890", "n": 0.1, "e": 1e5}'
    assert codec.loads(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"{", b"[1,]", b'{"a": 1,}', b"'a'", b"{a: 1}", b"[1] 2", b"\xff", b'"\xc3"', b"01", b'"a\nb"'),
        *(b"NaN", b"[Infinity]", b'{"a": -Infinity}', rb'["\ud83d", NaN]', b"[12345678901234567890, NaN]", b"9" * 5000),
    ],
)
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        codec.loads(text)


def test_a_number_too_large_for_a_float_is_never_written_as_something_that_is_no_json():
    for text in (b"1e400", rb'["\ud83d", -1e400]', b"[12345678901234567890, 1e400]"):
        line = codec.dump_line(codec.loads(text))
        assert b"nfinity" not in line
        assert b'1e400"' in line, "its digits are kept, as text"


@pytest.mark.parametrize(
    ("body", "charset", "value"),
    [
        (b"[NaN, 1]", "", ["NaN", 1]),
        (b'{"a": -Infinity, "b": Infinity}', "", {"a": "-Infinity", "b": "Infinity"}),
        (b'["a\tb\x01c"]', "", ["a\tb\x01c"]),
        (b'["caf\xe9"]', "iso-8859-1", ["caf\u00e9"]),
        (b'["caf\xe9"]', "", ["caf\ufffd"]),
        (b'["caf\xe9"]', "no-such-charset", ["caf\ufffd"]),
        (b'["caf\xc3\xa9"]', "iso-8859-1", ["caf\u00e9"]),
        ('["\u00e9"]'.encode("utf-16"), "", ["\u00e9"]),
        (b'\xef\xbb\xbf["a\tb"]', "", ["a\tb"]),
        (b"[12345678901234567890123, NaN]", "", [12345678901234567890123, "NaN"]),
    ],
)
def test_one_bad_value_does_not_make_an_answer_unreadable(body, charset, value):
    assert codec.loads_answer(body, charset) == value


@pytest.mark.parametrize("body", [b"<html>secret</html>", b"", b"[1", b'{"a": secret}', b"\xff\xfe\xfd", b"[1] secret"])
def test_an_answer_that_is_not_json_is_refused_with_its_place_and_nothing_of_it(body):
    with pytest.raises(ValueError, match=r"^not JSON from character \d+ on$"):
        codec.loads_answer(body)


def test_a_nest_that_cannot_be_read_or_written_is_refused():
    deep = 200_000
    with pytest.raises(ValueError, match="nested too deeply"):
        codec.loads_answer(b"[" * deep + b"]" * deep)
    value: list = []
    for _ in range(deep):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        codec.dump_line(value)


@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_a_deep_nest_is_refused_or_can_be_written_again_and_no_crash(depth, left, right):
    """How deep the standard library goes depends on the Python."""
    document = (left * depth + "1" * (left != "[") + right * depth).encode()
    written = document + b"\n"
    with contextlib.suppress(ValueError):
        written = codec.dump_line(codec.loads(document))
    assert written == document + b"\n"


@given(st.binary())
def test_any_bytes_are_json_or_a_value_error(body):
    with contextlib.suppress(ValueError):
        assert isinstance(codec.loads(body), dict | list | str | int | float | None)


def test_datetimes_are_written_alike_on_both_ways():
    moment, written = datetime(2025, 1, 15, 10, 30, 0, 250000, UTC), b'"2025-01-15T10:30:00.250000+00:00"'
    assert codec.dump_line({"at": moment}) == b'{"at":%b}\n' % written
    assert codec.dump_line({"at": moment, "b": "\ud83d"}) == b'{"at":%b,"b":"\\ud83d"}\n' % written


def test_lines_are_compact_sorted_and_in_utf8():
    assert codec.dump_line({"b": [1, 2.5], "a": "ü\u2028"}) == '{"a":"ü\u2028","b":[1,2.5]}\n'.encode()


def test_what_people_read_keeps_its_order():
    assert codec.dump_pretty({"b": 1, "a": [2]}) == b'{\n  "b": 1,\n  "a": [\n    2\n  ]\n}\n'
