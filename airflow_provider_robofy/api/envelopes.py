"""Find the rows and the next page's token in an answer, whatever objects are around them.

An answer without a list of rows is an error and never an empty listing. A page token under an unknown name is an error
and never the last page.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: Known names of the field with the next page's token.
TOKEN_NAMES = ("next_page_token", "nextPageToken")
_LAYERS = ("data", "report", "result")
#: Names of fields that may point to a next page.
TOKEN_LIKE = re.compile(r"^next|cursor|page_?token|continuation|^has_?(more|next)|^more$", re.IGNORECASE)


class NoRowsError(ValueError):
    """An answer has no list of rows."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one page, and the token of the next one.

    :param items: The rows as decoded from JSON, of any type.
    :param token: Token of the next page, or None on the last page.
    :param end_marker: Form of the last page's token: ``absent``, ``null`` or ``empty``. None on other pages.
    """

    items: list[Any]
    token: str | None
    end_marker: str | None


def read_rows(payload: Any, names: Collection[str], *, guess: bool = False) -> Rows:
    """Parse one page of a listing.

    These are pages::

        {"data": {"report": {"rows": [{"id": "9231"}]}, "next_page_token": "eyJwYWdlIjoyfQ=="}}
        {"sessions": [{"session_id": "8f1c..."}]}
        [{"id": "9231"}]

    :param payload: The decoded JSON of the answer: an array, or objects around one.
    :param names: Names of the field with the array, such as ``rows``.
    :param guess: Whether to take the answer's only array under any name, for listings whose answer is not documented.
        Default False.
    :return: The rows, and the token of the next page.
    :raises ValueError: There is no such array, or a field of an unknown name points to a next page.
    """
    items: list[Any] | None = None
    layers = list(_layers(payload, _LAYERS))
    for layer in layers:
        if isinstance(layer, list):
            items = layer
            break
        items = next((layer[name] for name in names if isinstance(layer.get(name), list)), None)
        if items is not None:
            break
    if items is None and guess:
        arrays = [value for layer in layers for value in layer.values() if isinstance(value, list)]
        items = arrays[0] if len(arrays) == 1 else None
    if items is None:
        msg = f"no list of rows was found in the answer (looked for {', '.join(sorted(names))})"
        raise NoRowsError(msg)
    token, end_marker = _token(layer for layer in _layers(payload) if isinstance(layer, dict))
    return Rows(items, token, end_marker)


def read_object(payload: Any) -> dict[str, Any]:
    """Parse an answer that is one object, bare or in ``{"message": "...", "data": {...}}``.

    :param payload: The decoded JSON of the answer.
    :return: The object.
    :raises ValueError: The answer is not such an object.
    """
    if isinstance(payload, dict):
        inner = payload.get("data")
        if isinstance(inner, dict):
            return inner
        if "data" not in payload:
            return payload
    msg = "the answer is not an object"
    raise ValueError(msg)


def _layers(payload: Any, names: Collection[str] | None = None) -> Iterator[Any]:
    """Yield the answer and what it wraps, outermost first, but nothing in lists.

    :param payload: The decoded JSON of the answer.
    :param names: Names of the fields that wrap something. Default None: any.
    """
    pending = deque([payload])
    while pending:
        layer = pending.popleft()
        if isinstance(layer, dict):
            pending.extend(layer.values() if names is None else (layer[name] for name in names if name in layer))
        if isinstance(layer, dict | list):
            yield layer


def _sendable(token: str) -> str:
    try:
        token.encode()
    except UnicodeEncodeError:
        msg = "the token of the next page holds half a character and cannot be sent back"
        raise ValueError(msg) from None
    return token


def _token(layers: Iterator[dict[str, Any]]) -> tuple[str | None, str | None]:
    marker = "absent"
    stranger = None
    for layer in layers:
        for name, value in layer.items():
            known = name in TOKEN_NAMES
            if not known and not TOKEN_LIKE.search(name):
                continue
            if known and isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return _sendable(str(value)), None
            if known and not value:
                marker = "null" if value is None else "empty"
            elif value:
                stranger = name
    if stranger is not None:
        msg = f"the answer's field {stranger!r} seems to point to a next page in a way this provider does not know"
        raise ValueError(msg)
    return None, marker
