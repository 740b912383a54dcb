"""JSON in and out: orjson where it can, the standard library where orjson is stricter than the world."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

import orjson

# Sorted keys: the same row gives the same bytes however the API orders its fields.
_LINE = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def loads(body: bytes | str) -> Any:
    """Decode a JSON document.

    orjson refuses half a surrogate pair, which is what is left of an emoji that somebody's server cut in two. One
    such character must not make a page unreadable, so the standard library has a second look.

    :param body: The document.
    :return: The decoded value.
    :raises ValueError: The text is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except RecursionError:
        msg = "the document is nested too deeply"
        raise ValueError(msg) from None


def dump_line(value: Any) -> bytes:
    """Encode a value as one line of JSON with sorted keys.

    :param value: Anything :func:`loads` can return, and datetimes.
    :return: UTF-8 bytes that end in a newline.
    """
    try:
        return orjson.dumps(value, option=_LINE)
    except TypeError:
        # Half surrogate pairs and integers beyond 64 bits: orjson does not write them, ASCII escapes do.
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=datetime.isoformat).encode() + b"\n"


def dump_pretty(value: Any) -> bytes:
    """Encode a value for people to read: indented, in its own order."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
