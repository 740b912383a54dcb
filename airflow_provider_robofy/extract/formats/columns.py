"""Rows as columns: which a resource has, how a row goes into them, and how it comes out again, the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Text, also for JSON and times, and a whole number where a column is for those.
Cell = str | int | None

_SMALLEST: Final = -(1 << 63)
_LARGEST: Final = (1 << 63) - 1
#: How a line of JSON writes what text in a column may not hold. Others are written so, too; these are looked at.
_ESCAPE: Final = b"\\u"
#: Half a surrogate pair is not UTF-8, and a NUL not text for databases.
_UNFIT: Final = re.compile("[\0\ud800-\udfff]")
_INSTEAD: Final = "\ufffd"
_ABSENT: Final = object()


class Kind(Enum):
    """Say what a column holds."""

    TEXT = "text"
    JSON = "json"
    INTEGER = "integer"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """Describe one column.

    :param name: The field of the row.
    :param kind: What it holds.
    :param rare: Most rows have no such field, so null means that it is not there. Otherwise null means null.
    """

    name: str
    kind: Kind = Kind.TEXT
    rare: bool = False


@dataclass(frozen=True)
class Table:
    """Turn the rows of one resource into cells, and back.

    The columns are the same whatever the rows hold, so that many files make one table. What a column cannot hold
    exactly goes to the column :attr:`rest`, as JSON, together with the fields that have no column; on the way back it
    is laid over the columns. So the rows come back the same.

    Usage::

        table = table_of("leads")
        cells = table.cells(line)
        row = table.row(table.names, cells)

    :param resource: What the rows are.
    :param columns: Fields that have a column.
    :param rest: Name of the column for everything else.
    :param absent: Name of the column that lists the fields which a row did not have; None where rows have them always.
    :param always_rest: Is there an object in :attr:`rest` even if nothing is in it?
    """

    resource: str
    columns: tuple[Column, ...]
    rest: str = "_extra"
    absent: str | None = "_absent"
    always_rest: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of all columns in their order."""
        return (*(column.name for column in self.columns), self.rest, *([self.absent] if self.absent else []))

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """Return what the columns hold, by their names and in their order."""
        return dict.fromkeys(self.names, Kind.JSON) | {column.name: column.kind for column in self.columns}

    def cells(self, line: bytes) -> list[Cell]:
        """Return the cells of an encoded row.

        :raises RobofyLandingError: The row lacks a field that rows of this resource have always.
        """
        row = codec.loads(line)
        # A cheap look at all text of the row at once; hardly any row has to be looked at more closely.
        plain = _ESCAPE not in line
        cells: list[Cell] = []
        unfit: dict[str, Any] = {}
        absent: list[str] = []
        for name, is_text, fitted, rare in self._plan:
            value = row.pop(name, _ABSENT)
            if is_text and plain and type(value) is str:
                cells.append(value)
            elif value is None or value is _ABSENT:
                cells.append(None)
                if value is None and rare:
                    unfit[name] = None
                elif value is _ABSENT and not rare:
                    absent.append(name)
            else:
                cell, fits = fitted(value)
                cells.append(cell)
                if not fits:
                    unfit[name] = value
        row.update(unfit)
        cells.append(_dump(row) if row or self.always_rest else None)
        if self.absent is not None:
            cells.append(_dump(absent) if absent else None)
        elif absent:
            raise RobofyLandingError(
                f"A row of {self.resource} lacks {', '.join(absent)}, which this provider adds to each. Nothing was "
                "published; please report this to the provider's maintainers."
            )
        return cells

    def row(self, names: Sequence[str], cells: Sequence[Cell]) -> dict[str, Any]:
        """Return the row that some cells were made of.

        :param names: The cells' columns.
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

    @cached_property
    def _plan(self) -> list[tuple[str, bool, Callable[[Any], tuple[Cell, bool]], bool]]:
        # What the loop over all cells of all rows needs, looked up once.
        return [(one.name, one.kind is Kind.TEXT, _FITTED[one.kind], one.rare) for one in self.columns]

    @cached_property
    def _json_and_rare(self) -> dict[str, tuple[bool, bool]]:
        return {one.name: (one.kind is Kind.JSON, one.rare) for one in self.columns}


def _text(value: Any) -> tuple[Cell, bool]:
    if type(value) is str:
        text = _UNFIT.sub(_INSTEAD, value)
        return text, text == value
    if isinstance(value, int | float):
        # Readable in the column, so that an id can be looked for; what it was exactly is in the rest.
        return _dump(value), False
    return None, False


def _json(value: Any) -> tuple[Cell, bool]:
    return _dump(value), True


def _integer(value: Any) -> tuple[Cell, bool]:
    fits = type(value) is int and _SMALLEST <= value <= _LARGEST
    return (value if fits else None), fits


def _time(value: Any) -> tuple[Cell, bool]:
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is UTC and time.isoformat() == value:
            return value, True
        text = time.astimezone(UTC).isoformat() if time.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None, False
    return text, text == value


_FITTED: Final[dict[Kind, Callable[[Any], tuple[Cell, bool]]]] = {
    Kind.TEXT: _text,
    Kind.JSON: _json,
    Kind.INTEGER: _integer,
    Kind.TIME: _time,
}


def _dump(value: Any) -> str:
    return codec.dump_line(value).decode()[:-1]


def _load(cell: Cell) -> Any:
    # As bytes: so long numbers are looked for.
    return codec.loads(str(cell).encode())


_AGENT = (Column("_project_id"), Column("_chatbot_id"))
_TABLES: Final = {
    table.resource: table
    for table in (
        Table(
            "leads",
            (
                Column("id"),
                Column("created_at"),
                Column("source"),
                Column("page_url"),
                Column("ip_address"),
                Column("lead_data", Kind.JSON),
                *_AGENT,
                Column("_created_at", Kind.TIME),
            ),
        ),
        Table(
            "sessions",
            (
                Column("session_id"),
                Column("last_message_time"),
                Column("last_message"),
                Column("user_profile_name"),
                Column("last_message_direction"),
                Column("website_url"),
                *_AGENT,
                Column("_last_message_time", Kind.TIME),
                Column("_session_key", rare=True),
            ),
        ),
        Table(
            "messages",
            (
                Column("_message_key"),
                Column("_session_id"),
                Column("_position", Kind.INTEGER),
                *_AGENT,
            ),
            # Nobody knows which fields a message has, so all that the API says is in one column.
            rest="message",
            absent=None,
            always_rest=True,
        ),
    )
}


def table_of(resource: Any) -> Table:
    """Return the table of a resource.

    :raises RobofyConfigError: There is none.
    """
    try:
        return _TABLES[resource]
    except (KeyError, TypeError):
        raise RobofyConfigError(
            f"The resource {str(resource)[:40]!r} has no columns; those that have are {', '.join(_TABLES)}."
        ) from None
