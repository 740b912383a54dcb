"""Values on their way into columns: made to fit where nothing is lost by it, refused where something would be."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is bound: what every driver and JSON can carry.
Bound = str | int | bool | None

#: MariaDB takes JSON of 32 levels, MySQL of 100.
MAX_DEPTH: Final = 30
_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1

_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
_UNFIT_ESCAPES: Final = re.compile(r"\\u(?:0000|[dD][89abAB])")
_STAND_IN: Final = "\ufffd"
_LONG_INTEGER: Final = re.compile(r"(?<![\d.])\d{19}")
_LANDED_LENGTH: Final = len("2025-01-15T10:30:00+00:00")
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class Kind(Enum):
    """Say what a column holds."""

    TEXT = "text"
    JSON = "json"
    INTEGER = "a whole number"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    TIME = "a time"
    OTHER = "something that nothing is loaded into"


class MisfitError(ValueError):
    """Tell that a column cannot hold a value; the text does not repeat it."""


def fits_text(text: str) -> bool:
    """Tell whether every database takes a text as it is: none takes half a surrogate pair, PostgreSQL no NUL."""
    return (text.isascii() and "\0" not in text) or _UNFIT.search(text) is None


def text_of(value: Any) -> str | None:
    """Return a value as text: text as it is, everything else as JSON.

    NUL and half surrogate pairs become U+FFFD.
    """
    if type(value) is str:
        return value if fits_text(value) else _UNFIT.sub(_STAND_IN, value)
    return None if value is None else json_of(value)


def json_of(value: Any, *, wide_integers: bool = True) -> str:
    """Return a value as JSON that every database takes.

    What is nested more than :data:`MAX_DEPTH` levels becomes a JSON string that holds the JSON.

    :param value: Anything decoded from JSON.
    :param wide_integers: May integers go beyond 64 bits? Where the database would round them they become strings.
    """
    text = _dump(value)
    # Looked for in the text: hardly any value has to be walked through.
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        return _dump(text)
    if ("\\u" in text and _UNFIT_ESCAPES.search(text)) or (not wide_integers and _LONG_INTEGER.search(text)):
        return _dump(_mended(value, wide_integers=wide_integers))
    return text


def instant(value: Any) -> datetime:
    """Return a time in UTC; one without a zone is in UTC already.

    :raises MisfitError: It is none.
    """
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise MisfitError("no time") from None


def time_text(time: datetime) -> str:
    """Return a time in UTC as the text that is bound."""
    return time.replace(tzinfo=None).isoformat(" ", "microseconds")


def binder(kind: Kind, length: int | None = None, *, wide_integers: bool = True) -> Callable[[Any], Bound]:
    """Return what makes a value fit for a column, and raises :class:`MisfitError` where it cannot be.

    :param kind: What the column holds.
    :param length: Characters that it takes, None where it does not matter.
    :param wide_integers: As for :func:`json_of`.
    """
    if kind is Kind.JSON:
        return lambda value: None if value is None else json_of(value, wide_integers=wide_integers)
    if kind is not Kind.TEXT:
        return _OTHERS[kind]
    if length is None:
        return text_of

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
    if type(value) is str and len(value) == _LANDED_LENGTH and value.endswith("+00:00"):
        # As rows land: put together from its parts in a fraction of the time.
        return f"{value[:10]} {value[11:19]}.000000"
    return time_text(time)


_OTHERS: Final[dict[Kind, Callable[[Any], Bound]]] = {
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.BOOLEAN: _boolean,
    Kind.TIME: _time,
}


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


def _mended(value: Any, *, wide_integers: bool) -> Any:
    # Not deep: what is nested deeply is a string by now.
    if type(value) is str:
        return _UNFIT.sub(_STAND_IN, value)
    if type(value) is dict:
        return {text_of(name): _mended(of, wide_integers=wide_integers) for name, of in value.items()}
    if type(value) is list:
        return [_mended(one, wide_integers=wide_integers) for one in value]
    if type(value) is int and not wide_integers and not _SMALLEST <= value <= _LARGEST:
        return str(value)
    return value
