"""Rows as columns: which a resource has, how rows are turned into cells, and how they come out again, the same."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.resources import RESOURCES, Kind, Resource, resource_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Text (JSON is text too), a whole number, a time in UTC, or null.
Cell = str | int | datetime | None


class Sink(Protocol):
    """Something that takes bytes, such as a spool."""

    def write(self, content: bytes | bytearray, /) -> int: ...


class Writer(ABC):
    """Write rows to a file in one format. Base of all formats."""

    @abstractmethod
    def write(self, lines: bytes | bytearray, rows: Iterable[dict[str, Any]]) -> None:
        """Write some rows.

        :param lines: The rows as lines of JSON, since they were encoded to tell duplicates.
        :param rows: The same rows. JSON lines do not iterate over them, so an iterator that decodes costs nothing then.
        """

    def finish(self) -> None:  # noqa: B027 (often there is nothing to do)
        """Write what is still buffered, and what ends a file."""


_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 63) - 1
#: How a line of JSON writes what text in a column may not contain, among other characters.
ESCAPE: Final = b"\\u"
#: Half a surrogate pair is not UTF-8, and databases take no NUL in text.
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"
#: The value of a field that a row does not have. No value of a row is of its type.
_ABSENT: Final = object()
#: Types of the values that are cells as they are.
_AS_IT_IS: Final = {Kind.TEXT: {str, type(None)}, Kind.TIME: {datetime, type(None)}}


class Table:
    """Turn the rows of one resource into cells, and back.

    The columns are the same whatever the rows contain, so that many files make one table. What a column cannot hold
    exactly goes to the column :attr:`rest`, as JSON, together with the fields that have no column; on the way back it
    overrides the columns. So the rows come back the same.

    Usage::

        table = table_of("leads")
        columns = table.columns(rows, plain=False)
        row = table.row(table.names, [column[0] for column in columns])

    :param resource: What the rows are.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        #: Column for everything that has no column of its own.
        self.rest = resource.rest
        #: Column that lists the fields a row did not have. None for a resource whose columns are all this provider's
        #: own: its rows have them always.
        self.absent = "_absent" if resource.sent else None
        #: What the columns hold, by their names and in their order.
        self.kinds = {field.name: field.kind for field in resource.fields} | {self.rest: Kind.JSON}
        if self.absent:
            self.kinds[self.absent] = Kind.JSON
        self.names = tuple(self.kinds)
        self._known = dict.fromkeys(field.name for field in resource.fields)
        self._values = itemgetter(*self._known)
        self._no_rest = None if resource.sent else "{}"
        self._json_and_rare = {field.name: (field.kind is Kind.JSON, field.rare) for field in resource.fields}

    def columns(self, rows: Sequence[dict[str, Any]], *, plain: bool) -> list[Sequence[Cell]]:
        r"""Return the cells of some rows, column by column.

        :param rows: At least one row.
        :param plain: Is no text of the rows written with a ``\u`` escape in JSON? Then no text has to be searched for
            characters that a column may not contain.
        :raises RobofyLandingError: A row lacks a field that rows of this resource have always.
        """
        unfit: dict[int, dict[str, Any]] = {}
        absent: dict[int, list[str]] = {}
        columns: list[Sequence[Cell]] = []
        for field, values in zip(self.resource.fields, zip(*map(self._pick, rows), strict=True), strict=True):
            types = set(map(type, values))
            as_it_is = types <= _AS_IT_IS.get(field.kind, set()) and (plain or field.kind is not Kind.TEXT)
            if as_it_is and not (field.rare and None in values):
                columns.append(values)
                continue
            if field.kind is Kind.JSON and type(_ABSENT) not in types:
                columns.append([None if value is None else _dump(value) for value in values])
                continue
            convert, cells = _CONVERT[field.kind], list[Cell]()
            for index, value in enumerate(values):
                cell, fits = (None, True) if value is None or value is _ABSENT else convert(value)
                cells.append(cell)
                if not fits or (value is None and field.rare):
                    unfit.setdefault(index, {})[field.name] = value
                elif value is _ABSENT and not field.rare:
                    absent.setdefault(index, []).append(field.name)
            columns.append(cells)
        if not unfit and not absent and set(map(len, rows)) == {len(self._known)}:
            columns.append([self._no_rest] * len(rows))  # all rows have the fields of the columns and no others
        else:
            columns.append([self._rest_of(row, unfit.get(index)) for index, row in enumerate(rows)])
        if self.absent:
            columns.append([_dump(absent[index]) if index in absent else None for index in range(len(rows))])
        elif absent:
            raise RobofyLandingError(
                f"A row of {self.resource.name} lacks {', '.join(next(iter(absent.values())))}, which this provider "
                "adds to each. Nothing was published; please report this to the provider's maintainers."
            )
        return columns

    def row(self, names: Sequence[str], cells: Sequence[Any]) -> dict[str, Any]:
        """Return the row that some cells were made of.

        :param names: The cells' columns.
        :param cells: Text, whole numbers and null; times as text.
        :raises ValueError: The cells were not made by this class.
        """
        row: dict[str, Any] = {}
        rest: Any = None
        absent: Any = None
        known = self._json_and_rare
        for name, cell in zip(names, cells, strict=True):
            if name in known:
                is_json, rare = known[name]
                if cell is not None:
                    row[name] = _load(cell) if is_json else cell
                elif not rare:
                    row[name] = None
            elif cell is not None:
                if name == self.rest:
                    rest = _load(cell)
                else:
                    absent = _load(cell)
        if not isinstance(rest, dict | None) or not isinstance(absent, list | None):
            msg = f"{self.rest} or {self.absent} was not written by this provider"
            raise ValueError(msg)  # noqa: TRY004 (it is a file's value that is wrong, and no argument)
        for name in absent or ():
            row.pop(str(name), None)
        row.update(rest or {})
        return row

    def _pick(self, row: dict[str, Any]) -> tuple[Any, ...]:
        try:
            return self._values(row)  # type: ignore[no-any-return]
        except KeyError:
            return tuple([row.get(name, _ABSENT) for name in self._known])

    def _rest_of(self, row: dict[str, Any], unfit: dict[str, Any] | None) -> str | None:
        known = self._known
        if unfit is None and row.keys() <= known.keys():
            return self._no_rest
        rest = {name: value for name, value in row.items() if name not in known}
        return _dump(rest | unfit if unfit else rest)


def table_of(resource: Any) -> Table:
    """Return the table of a resource.

    :param resource: Its name.
    :raises RobofyConfigError: There is none.
    """
    found = resource_named(resource)
    if found is None:
        raise RobofyConfigError(
            f"The resource {str(resource)[:40]!r} has no columns; those that have are {', '.join(RESOURCES)}."
        )
    return Table(found)


def _text(value: Any) -> tuple[Cell, bool]:
    if type(value) is str:
        if value.isascii() and "\0" not in value:
            return value, True
        text = _UNFIT.sub(_REPLACEMENT, value)
        return text, text == value
    if isinstance(value, int | float):
        # Readable in the column, so that an id can be searched for; what it was exactly is in the rest.
        return _dump(value), False
    return None, False


def _json(value: Any) -> tuple[Cell, bool]:
    return _dump(value), True


def _integer(value: Any) -> tuple[Cell, bool]:
    fits = type(value) is int and _SMALLEST <= value <= _LARGEST
    return (value if fits else None), fits


def _time(value: Any) -> tuple[Cell, bool]:
    if isinstance(value, datetime):
        return value, True
    try:
        time = datetime.fromisoformat(value)
        utc = None if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None, False
    return utc, utc is not None and utc.isoformat() == value


_CONVERT: Final = {Kind.TEXT: _text, Kind.JSON: _json, Kind.INTEGER: _integer, Kind.TIME: _time}


def _dump(value: Any) -> str:
    return codec.dump_line(value).decode()[:-1]


def _load(cell: Any) -> Any:
    # As bytes: only then are long numbers searched for.
    return codec.loads(str(cell).encode())
