"""Values on their way into columns: converted where nothing is lost by it, refused where something would be.

What a column holds is its SQLAlchemy type; this module knows how a value of a row becomes what is bound for it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import types

from airflow_provider_robofy.api import codec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.types import TypeEngine

#: What is bound: every driver and JSON can carry it.
Bound = str | int | bool | None

#: MariaDB takes JSON of 32 levels, MySQL of 100.
MAX_DEPTH: Final = 30
#: Bounds of an integer of 64 bits.
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1

# No database takes half a surrogate pair, and PostgreSQL takes no NUL.
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
_UNFIT_ESCAPES: Final = re.compile(r"\\u(?:0000|[dD][89abAB])")
_REPLACEMENT: Final = "\ufffd"
_LONG_INTEGER: Final = re.compile(r"(?<![\d.])\d{19}")
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class MisfitError(ValueError):
    """A column cannot hold a value; the text does not repeat the value."""


def fits_text(text: str) -> bool:
    """Return whether every database takes a text as it is.

    :param text: The text. It does not fit where it has a NUL or half a surrogate pair.
    """
    return (text.isascii() and "\0" not in text) or _UNFIT.search(text) is None


def text_of(value: Any) -> str | None:
    """Return a value as text: text as it is, with U+FFFD for NUL and half surrogate pairs, all else as JSON.

    :param value: Anything decoded from JSON.
    """
    if type(value) is str:
        return value if fits_text(value) else _UNFIT.sub(_REPLACEMENT, value)
    return None if value is None else json_of(value)


def json_of(value: Any, *, wide_integers: bool = True) -> str:
    """Return a value as JSON that every database takes.

    What is nested more than :data:`MAX_DEPTH` levels becomes a JSON string that holds the JSON.

    :param value: Anything decoded from JSON.
    :param wide_integers: Does the database keep integers beyond 64 bits? Otherwise they become strings, since it would
        round them. Default True.
    """
    text = _dump(value)
    # Looked for in the text: hardly any value has to be walked through.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        return _dump(text)
    if ("\\u" in text and _UNFIT_ESCAPES.search(text)) or (not wide_integers and _LONG_INTEGER.search(text)):
        return _dump(_fitted(value, wide_integers=wide_integers))
    return text


def instant(value: Any) -> datetime:
    """Return a time in UTC.

    :param value: A datetime, or a time in ISO 8601; one without a zone is in UTC.
    :raises MisfitError: It is no time.
    """
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise MisfitError("no time") from None


def time_text(time: datetime) -> str:
    """Return a time as the text that is bound, such as ``2025-01-15 10:30:00.000000``.

    :param time: A time in UTC.
    """
    return time.replace(tzinfo=None).isoformat(" ", "microseconds")


def binder(type_: TypeEngine[Any], *, as_json: bool = False, wide_integers: bool = True) -> Callable[[Any], Bound]:
    """Return the function that converts a value for a column, and raises :class:`MisfitError` where it cannot.

    :param type_: The column's type: text, JSON, a number, a boolean, or a time with a date.
    :param as_json: Does a text column hold JSON? Default False.
    :param wide_integers: As for :func:`json_of`. Default True.
    :raises MisfitError: Nothing is loaded into columns of that type.
    """
    if isinstance(type_, types.JSON) or (as_json and isinstance(type_, types.String)):
        return lambda value: None if value is None else json_of(value, wide_integers=wide_integers)
    if isinstance(type_, types.String):
        return text_of if type_.length is None else _short_text(type_.length)
    for class_, bind in _BINDERS:
        if isinstance(type_, class_):
            return bind
    raise MisfitError("a type that nothing can be loaded into")


def _short_text(length: int) -> Callable[[Any], Bound]:
    def bind(value: Any) -> str | None:
        text = text_of(value)
        if text is not None and len(text) > length:
            raise MisfitError(f"{len(text)} characters, and it takes {length}")
        return text

    return bind


def _integer(value: Any) -> int | None:
    if value is None:
        return None
    try:
        number = int(value) if isinstance(value, int | str) else None
    except ValueError:
        number = None
    if number is None or not _SMALLEST <= number <= _LARGEST:
        raise MisfitError("no whole number of 64 bits")
    return number


def _number(value: Any) -> str | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite():
        raise MisfitError("no number")
    return str(number)


def _boolean(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if type(value) is str and value in {"true", "false"}:
        return value == "true"
    raise MisfitError("neither true nor false")


def _time(value: Any) -> str | None:
    if value is None:
        return None
    time = instant(value)
    if type(value) is str and len(value) == 25 and value[19:] == "+00:00" and value[4:14:3] == "--T:":
        # As rows land, 2025-01-15T10:30:00+00:00: put together from its parts in a fraction of the time.
        return f"{value[:10]} {value[11:19]}.000000"
    return time_text(time)


_BINDERS: Final[tuple[tuple[tuple[type, ...], Callable[[Any], Bound]], ...]] = (
    ((types.Boolean,), _boolean),
    ((types.Integer,), _integer),
    # From SQLAlchemy 2.1 on, Float is not a Numeric.
    ((types.Numeric, types.Float), _number),
    ((types.DateTime,), _time),
)


def _dump(value: Any) -> str:
    return codec.dump_line(value).decode()[:-1]


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in _STRINGS.sub("", text):
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _fitted(value: Any, *, wide_integers: bool) -> Any:
    # Not deep: what is nested deeply is a string by now.
    if type(value) is str:
        return _UNFIT.sub(_REPLACEMENT, value)
    if type(value) is dict:
        return {text_of(name): _fitted(of, wide_integers=wide_integers) for name, of in value.items()}
    if type(value) is list:
        return [_fitted(one, wide_integers=wide_integers) for one in value]
    if type(value) is int and not wide_integers and not _SMALLEST <= value <= _LARGEST:
        return str(value)
    return value
