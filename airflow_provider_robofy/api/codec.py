"""JSON in and out: orjson where it can, the standard library where orjson is stricter than the world."""

from __future__ import annotations

import json
from datetime import datetime
from math import isfinite
from typing import Any, NoReturn

import orjson

# Sorted keys: the same row gives the same bytes however the API orders its fields.
_LINE = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE

# An integer beyond 64 bits has at least 19 digits. Looking for them costs about a tenth of decoding.
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _number(text: str) -> float | str:
    """Return a number, or its text where no float is so large."""
    number = float(text)
    return number if isfinite(number) else text


def loads(body: bytes | str) -> Any:
    """Decode a JSON document.

    orjson refuses half a surrogate pair, which is what is left of an emoji that somebody's server cut in two. One
    such character must not make a page unreadable, so the standard library has a second look. It also reads pages
    with so many digits in a row that an id might be among them which orjson would round to a float.

    :param body: The document.
    :return: The decoded value.
    :raises ValueError: The text is not JSON.
    """
    try:
        if isinstance(body, str) or _LONG_NUMBER not in body.translate(_DIGITS):
            return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    return _loads_any(body, parse_constant=_refuse_constant)


def loads_answer(body: bytes, charset: str = "") -> Any:
    """Decode the body of an answer, whatever is wrong with a single value in it.

    One bad value must not make a page of good rows unreadable. Beyond what :func:`loads` reads, NaN and infinities
    become their text (``"NaN"``), control characters may stand in texts, and a body that is not UTF-8 is read in its
    declared charset, or else with U+FFFD for each byte that is no character.

    :param body: The body.
    :param charset: What the Content-Type header declares. Default: UTF-8.
    :return: The decoded value.
    :raises ValueError: The body is not JSON. The message says from where on, and repeats nothing of it.
    """
    try:
        return loads(body)
    except ValueError:
        pass
    try:
        text = body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        try:
            text = body.decode(charset or "utf-8", errors="replace")
        except LookupError:  # no such charset
            text = body.decode(errors="replace")
    try:
        return _loads_any(text.removeprefix("\ufeff"), strict=False, parse_constant=str)
    except json.JSONDecodeError as error:
        msg = f"not JSON from character {error.pos} on"
        raise ValueError(msg) from None


def _loads_any(text: bytes | str, **options: Any) -> Any:
    """Decode by the standard library, and refuse what could be read but not written."""
    try:
        value = json.loads(text, parse_float=_number, **options)
        json.dumps(value)
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None
    return value


def dump_line(value: Any) -> bytes:
    """Encode a value as one line of JSON with sorted keys.

    :param value: Anything :func:`loads` can return, and datetimes.
    :return: UTF-8 bytes that end in a newline.
    :raises ValueError: The value is nested too deeply.
    """
    try:
        return orjson.dumps(value, option=_LINE)
    except TypeError:
        pass
    try:
        # Half surrogate pairs and integers beyond 64 bits: orjson does not write them, ASCII escapes do.
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=datetime.isoformat).encode() + b"\n"
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None


def dump_pretty(value: Any) -> bytes:
    """Encode a value for people to read: indented, in its own order."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
