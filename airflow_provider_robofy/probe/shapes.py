"""What one answer looks like: names, types and paths, and no value; or why there is no answer."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import available_timezones

from airflow_provider_robofy.api.envelopes import TOKEN_LIKE, TOKEN_NAMES, Rows
from airflow_provider_robofy.probe.words import STATUSES, kind_of, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: What the provider would fail with: no list of rows (or no object), or a token under a name that it does not know.
NO_ROWS: Final = "no rows"
UNKNOWN_TOKEN: Final = "unknown token"  # noqa: S105 (what is wrong with it)

_ZONE_NAME: Final = re.compile(r"(?:\w+_)?(?:time_?zone|tz)(?:_name)?", re.IGNORECASE)
_DEEPEST: Final = 6
#: An answer of millions of fields is described no further.
_MOST_FIELDS: Final = 10_000
_LATER: Final = "Try again later; if it stays so, give the endpoint to Robofy's support."

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Describe why a call came to nothing, in words of our own: Robofy's may hold anything.

    :param what: A sentence for people.
    :param advice: What to do about it.
    :param missing: Did the path answer that it, or what it names, does not exist? Default False.
    :param wrong_id: Is it the project or agent that does not exist? Default False.
    :param final: Is asking on of no use? Default False.
    :param asked: Was the call made at all? Default True.
    """

    what: str
    advice: str = _LATER
    missing: bool = False
    wrong_id: bool = False
    final: bool = False
    asked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Describe one answer.

    :param kind: JSON type of the whole answer.
    :param trouble: Empty, :data:`NO_ROWS` or :data:`UNKNOWN_TOKEN`: what the provider would have failed with.
    :param rows: The page of a listing, for counting; None for another answer, and where no rows were found.
    :param rows_at: Path to the rows; empty for a bare array, None where they were not found.
    :param fields: Path to JSON type of every field outside of arrays, outermost first.
    :param token_at: Path to the token of the next page, None where there is none.
    :param pointers_at: Paths to what seems to point to a next page under a name that is not known.
    :param columns: Names that the answer declares as its columns, None where it declares none.
    :param names: Names of the fields of the first row, or of the content.
    :param status: The word under ``status`` or ``state`` of the content: empty if the probe does not know it, None if
        there is none.
    :param zones: IANA names under a name such as ``timezone``.
    :param leads_back: Does the page's token lead back to an earlier page?
    :param template: Path template that answered in place of the one in use, None if that one did.
    """

    kind: str = "null"
    trouble: str = ""
    rows: Rows | None = field(default=None, repr=False)
    rows_at: Path | None = None
    fields: Mapping[Path, str] = field(default_factory=dict)
    token_at: Path | None = None
    pointers_at: tuple[Path, ...] = ()
    columns: Path | None = None
    names: Path = ()
    status: str | None = None
    zones: Path = ()
    leads_back: bool = False
    template: str | None = None


def shape_of(payload: Any, read: Callable[[Any], Any]) -> Shape:
    """Return what an answer looks like, and whether the provider understands it.

    Sample, an answer to List Leads::

        {"message": "...", "data": {"report": {"columns": ["id"], "rows": [{"id": "lead_1"}], "next_page_token": "x"}}}

    :param payload: The decoded answer.
    :param read: How the provider reads it; raises ValueError where it does not understand it.
    """
    fields = dict(islice(_fields(payload), _MOST_FIELDS))
    pointers = tuple(at for at, value in fields.items() if value and _points(at[-1]))
    value, trouble = None, ""
    try:
        value = read(payload)
    except ValueError:
        try:
            # Without what seems to point to a next page: are there rows at least?
            value, trouble = read(_without(payload, {at[-1] for at in pointers}, _DEEPEST)), UNKNOWN_TOKEN
        except ValueError:
            trouble = NO_ROWS
    rows = value if isinstance(value, Rows) else None
    rows_at: Path | None = None
    if rows is not None:
        places = (at for at, value in fields.items() if value is rows.items)
        rows_at = () if payload is rows.items else next(places, None)
    columns = fields.get((*rows_at[:-1], "columns")) if rows_at else None
    content = fields.get(("data",), payload)
    objects = [*(rows.items if rows else ()), *(content if isinstance(content, list) else [content])]
    first: dict[str, Any] = next((one for one in objects if isinstance(one, dict)), {})
    status = first.get("status", first.get("state")) if rows is None else None
    zones = {value for at, value in fields.items() if _ZONE_NAME.fullmatch(at[-1]) and isinstance(value, str)}
    return Shape(
        kind=kind_of(payload),
        trouble=trouble,
        rows=rows,
        rows_at=rows_at,
        fields={at: kind_of(value) for at, value in fields.items()},
        token_at=next((at for at, value in fields.items() if at[-1] in TOKEN_NAMES and value not in (None, "")), None),
        pointers_at=pointers,
        columns=tuple(map(str, columns)) if isinstance(columns, list) else None,
        names=tuple(first),
        status=None if status is None else word(status, STATUSES) or "",
        zones=tuple(sorted(zones & available_timezones() if zones else ())),
    )


def ids_of(rows: Iterable[Any], names: Iterable[str]) -> list[str]:
    """Return the ids of rows, for the calls that follow; they are not written.

    Sample::

        [{"session_id": "+4915112345678", "last_message": "Hello"}, {"session_id": 7}, "no object"]

    :param rows: Rows of a page.
    :param names: Where a row's id may stand, the likeliest first.
    """
    objects = (row for row in rows if isinstance(row, dict))
    found = (next((row[name] for name in names if name in row), None) for row in objects)
    return [str(one) for one in found if isinstance(one, str | int) and not isinstance(one, bool)]


def error_shape(payload: Any) -> str:
    """Return which of the two documented shapes an error has, by its names alone.

    Samples::

        {"message": "Unauthorized", "error": {"code": "UNAUTHORIZED", "detail": "..."}}
        {"error": {"code": "unauthorized", "message": "...", "details": {"field": "Authorization"}}}

    :param payload: The decoded answer.
    """
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


def _fields(payload: Any) -> Iterator[tuple[Path, Any]]:
    """Yield every field outside of arrays with the path to it, outermost first."""
    pending: deque[tuple[Path, Any]] = deque([((), payload)])
    while pending:
        at, layer = pending.popleft()
        if isinstance(layer, dict) and len(at) < _DEEPEST:
            for name, value in layer.items():
                yield (*at, name), value
                pending.append(((*at, name), value))


def _without(payload: Any, names: set[str], depth: int) -> Any:
    if isinstance(payload, dict) and depth:
        return {name: _without(value, names, depth - 1) for name, value in payload.items() if name not in names}
    return payload


def _points(name: str) -> bool:
    return name not in TOKEN_NAMES and TOKEN_LIKE.search(name) is not None
