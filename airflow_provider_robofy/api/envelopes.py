"""Finding the rows and the next page's token in an answer whose wrapping is not certain.

Tolerant of wrapping, strict about absence: rows that cannot be found are an error, never "no rows", and a token under
a name nobody knows is an error, never "the last page".
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: Names under which the token of the next page is known to stand.
TOKEN_NAMES = ("next_page_token", "nextPageToken")
_LAYERS = ("data", "report", "result")
#: Names that seem to point to a next page.
TOKEN_LIKE = re.compile(r"^next|cursor|page_?token|continuation|^has_?(more|next)|^more$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rows:
    """What one page of a listing says.

    :param items: The rows as they came, whatever they are.
    :param token: Token of the next page, or None on the last one.
    :param end_marker: How the last page said so: ``absent``, ``null`` or ``empty``; None while there is a token.
    """

    items: list[Any]
    token: str | None
    end_marker: str | None


def read_rows(payload: Any, names: Collection[str], *, guess: bool = False) -> Rows:
    """Read one page of a listing.

    :param payload: The decoded answer: a bare array, or objects around one.
    :param names: Keys under which the array may stand, besides the bare one.
    :param guess: Take the answer's only array, whatever its key. For listings whose answer is documented nowhere.
    :raises ValueError: There is no such array, or the answer points to a next page in a way that is not known.
    """
    items: list[Any] | None = None
    layers = list(_layers(payload))
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
        raise ValueError(msg)
    token, end_marker = _token(_objects(payload))
    return Rows(items, token, end_marker)


def read_object(payload: Any) -> dict[str, Any]:
    """Read an answer that is one object, bare or inside ``{"message": ..., "data": ...}``.

    :raises ValueError: The answer is something else.
    """
    if isinstance(payload, dict):
        inner = payload.get("data")
        if isinstance(inner, dict):
            return inner
        if "data" not in payload:
            return payload
    msg = "the answer is not an object"
    raise ValueError(msg)


def _layers(payload: Any) -> Iterator[Any]:
    """Yield the answer and what it wraps, outermost first."""
    pending = deque([payload])
    while pending:
        layer = pending.popleft()
        if isinstance(layer, dict):
            pending.extend(layer[name] for name in _LAYERS if isinstance(layer.get(name), dict | list))
        if isinstance(layer, dict | list):
            yield layer


def _sendable(token: str) -> str:
    try:
        token.encode()
    except UnicodeEncodeError:
        msg = "the token of the next page holds half a character and cannot be sent back"
        raise ValueError(msg) from None
    return token


def _objects(payload: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the answer that is not inside a list, outermost first: a token may stand in any."""
    pending = deque([payload])
    while pending:
        layer = pending.popleft()
        if isinstance(layer, dict):
            yield layer
            pending.extend(layer.values())


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
