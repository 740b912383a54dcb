"""What an answer is wrapped in: where its rows stand, and its token, seen without looking at values."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from airflow_provider_robofy.api.envelopes import TOKEN_LIKE, TOKEN_NAMES, Rows
from airflow_provider_robofy.probe.finding import kind_of
from airflow_provider_robofy.probe.words import STATUSES, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.api.call import Call

NO_ROWS = "no rows"
UNKNOWN_TOKEN = "unknown token"  # noqa: S105 (what is wrong with it)

_TOTALS = frozenset({"total", "totals", "count", "total_count", "totalcount", "total_rows", "total_records", "found"})
_ZONE_NAME = re.compile(r"(?:\w+_)?(?:time_?zone|tz)(?:_name)?", re.IGNORECASE)
_DEEPEST = 6

Way = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Envelope:
    """Hold what stands around the rows of an answer: names and places, no value.

    :param kind: JSON type of the whole answer.
    :param rows_at: The way to the rows; empty for a bare array, None where they were not found.
    :param token_at: The way to the token of the next page, None where there is none.
    :param pointers_at: Ways to what seems to point to a next page under a name that is not known.
    :param totals_at: Ways to numbers that seem to count the whole listing.
    :param beside: Names that stand beside the rows.
    :param columns: Names that the answer declares as its columns, None where it declares none.
    """

    kind: str
    rows_at: Way | None = None
    token_at: Way | None = None
    pointers_at: tuple[Way, ...] = ()
    totals_at: tuple[Way, ...] = ()
    beside: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Sight(Rows):
    """Hold one page, and what it was wrapped in.

    :param trouble: Empty, :data:`NO_ROWS` or :data:`UNKNOWN_TOKEN`: what the provider would have failed with.
    """

    envelope: Envelope
    trouble: str = ""


def sighted(call: Call[Rows]) -> Call[Rows]:
    """Return the call of a listing that tells its envelope too, and does not fail where rows cannot be found."""
    read = call.read
    return replace(call, read=lambda payload: see(payload, read))


def see(payload: Any, read: Callable[[Any], Rows]) -> Sight:
    """Read one page as the provider does, and look at what it came in.

    :param payload: The decoded answer.
    :param read: How the provider reads it; raises ValueError.
    """
    pointers = tuple(way for way, value in _fields(payload) if _points(way[-1], value))
    trouble = ""
    try:
        rows = read(payload)
    except ValueError:
        try:
            # Without what seems to point somewhere: are there rows at least?
            bare = _without(payload, {way[-1] for way in pointers}, _DEEPEST)
            rows, trouble, payload = read(bare), UNKNOWN_TOKEN, bare
        except ValueError:
            return Sight([], None, None, Envelope(kind_of(payload), pointers_at=pointers), NO_ROWS)
    return Sight(rows.items, rows.token, rows.end_marker, _envelope(payload, rows.items, pointers), trouble)


def _envelope(payload: Any, items: list[Any], pointers: tuple[Way, ...]) -> Envelope:
    fields = list(_fields(payload))
    at = () if payload is items else next((way for way, value in fields if value is items), None)
    around: Any = payload
    for name in (at or ())[:-1]:
        around = around[name]
    columns = around.get("columns") if isinstance(around, dict) else None
    return Envelope(
        kind=kind_of(payload),
        rows_at=at,
        token_at=next((way for way, value in fields if way[-1] in TOKEN_NAMES and value not in (None, "")), None),
        pointers_at=pointers,
        totals_at=tuple(way for way, value in fields if way[-1].lower() in _TOTALS and kind_of(value) == "number"),
        beside=tuple(around) if at and isinstance(around, dict) else (),
        columns=tuple(map(str, columns)) if isinstance(columns, list) else None,
    )


def _points(name: str, value: Any) -> bool:
    return name not in TOKEN_NAMES and bool(value) and TOKEN_LIKE.search(name) is not None


def _fields(payload: Any) -> Iterator[tuple[Way, Any]]:
    """Yield every field outside of arrays with the way to it, outermost first."""
    pending: list[tuple[Way, Any]] = [((), payload)]
    while pending:
        way, layer = pending.pop(0)
        if isinstance(layer, dict) and len(way) < _DEEPEST:
            inner = [((*way, str(name)), value) for name, value in layer.items()]
            yield from inner
            pending.extend(inner)


def _without(payload: Any, names: set[str], depth: int) -> Any:
    if isinstance(payload, dict) and depth:
        return {name: _without(value, names, depth - 1) for name, value in payload.items() if name not in names}
    return payload


@dataclass(frozen=True, slots=True)
class Glance:
    """Hold what an answer that is no listing looks like: names and types, and no value.

    :param kind: JSON type of the answer.
    :param wraps: Names around the content, such as ``message`` and ``data``; empty where nothing wraps it.
    :param content: JSON type of the content.
    :param names: Names of the content's fields; of its first object if it is an array.
    :param rows: Length of the content if it is an array.
    :param status: The word under ``status`` or ``state``, if it is one that the probe knows.
    :param has_status: Is there such a field?
    :param zones: IANA names that stand under a name such as ``timezone``.
    """

    kind: str
    wraps: tuple[str, ...]
    content: str
    names: tuple[str, ...]
    rows: int | None = None
    status: str | None = None
    has_status: bool = False
    zones: tuple[str, ...] = ()


def glance(payload: Any) -> Glance:
    """Look at an answer. Its values, secrets among them, are gone when this returns."""
    content: Any = payload
    wraps: Way = ()
    if isinstance(payload, dict) and "data" in payload:
        content, wraps = payload["data"], tuple(map(str, payload))
    first = next((one for one in content if isinstance(one, dict)), None) if isinstance(content, list) else content
    names = tuple(map(str, first)) if isinstance(first, dict) else ()
    found = (
        next((first[name] for name in ("status", "state") if name in first), None) if isinstance(first, dict) else None
    )
    return Glance(
        kind=kind_of(payload),
        wraps=wraps,
        content=kind_of(content),
        names=names,
        rows=len(content) if isinstance(content, list) else None,
        status=word(found, STATUSES),
        has_status=found is not None,
        zones=tuple(sorted(set(_zones(payload)))),
    )


def _zones(payload: Any) -> Iterator[str]:
    for way, value in _fields(payload):
        if _ZONE_NAME.fullmatch(way[-1]) and isinstance(value, str) and value in available_timezones():
            yield value


def error_shape(payload: Any) -> str:
    """Say which of the documented shapes an error has, by its names alone."""
    if not isinstance(payload, dict):
        return f"no object but {kind_of(payload)}"
    error = payload.get("error")
    if not isinstance(error, dict):
        return "an object without the object error"
    if "message" in payload and "detail" in error:
        return "documented shape 1"
    if "message" in error:
        return "documented shape 2"
    return "an object with the object error, of neither documented shape"
