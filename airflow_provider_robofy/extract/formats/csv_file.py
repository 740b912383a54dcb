"""Rows as CSV: RFC 4180 with every cell in quotes but null, and nothing that a spreadsheet would take for a formula."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_robofy.extract.formats.columns import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_robofy.extract.formats.columns import Cell, Table
    from airflow_provider_robofy.extract.formats.encoder import Sink

_GUARD: Final = "'"
#: What begins a formula. The last four are what East Asian keyboards give, and spreadsheets take them, too.
_STARTS: Final = "=+-@\uff1d\uff0b\uff0d\uff20"
#: By themselves at the beginning of a cell, these have been used to smuggle one in.
_BREAKS: Final = "\t\r\n"
#: What a program may trim, or not show, before it looks: white space, controls, and characters without a width.
_TRIMMED: Final = "".join(
    map(chr, [*range(0x21), *range(0x7F, 0xA1), 0xAD, 0x1680, *range(0x2000, 0x2010), *range(0x2028, 0x2030)])
) + "".join(map(chr, [*range(0x205F, 0x2070), 0x3000, 0xFEFF]))
_RISKY: Final = re.compile(f"[{_GUARD}{_BREAKS}]|[{re.escape(_TRIMMED)}]*[{re.escape(_STARTS)}]")
#: Most cells begin with something else, and one look into a set is cheaper than the pattern.
_FIRST: Final = frozenset(_GUARD + _STARTS + _TRIMMED)

_CELL: Final = rb'(?:"([^"]*+(?:""[^"]*+)*+)")?'


def defused(text: str) -> str:
    """Return text that no spreadsheet computes: an apostrophe goes before what could be a formula.

    It also goes before an apostrophe, so that taking one away restores every text.
    """
    return _GUARD + text if _RISKY.match(text) else text


class CsvEncoder:
    r"""Write rows as CSV in UTF-8, with a header.

    Null is nothing, and everything else is in quotes, so empty text is ``""`` and differs from null. Lines end in
    ``\\n`` alone: some loaders take the other half for a part of the last cell.

    :param sink: Where to write.
    :param table: The columns.
    :param defuse: Put an apostrophe before what a spreadsheet could take for a formula.
    """

    def __init__(self, sink: Sink, table: Table, *, defuse: bool) -> None:
        self._sink = sink
        self._table = table
        self._defuse = defuse
        sink.write(_header(table.names))

    def append(self, lines: list[bytes]) -> None:
        """Add encoded rows."""
        self._sink.write("".join([self._record(self._table.cells(line)) for line in lines]).encode())

    def finish(self) -> None:
        """Do nothing: everything has been written."""

    def abandon(self) -> None:
        """Do nothing: nothing is held."""

    def _record(self, cells: list[Cell]) -> str:
        quoted = []
        for cell in cells:
            if cell is None:
                quoted.append("")
                continue
            text = str(cell)
            if self._defuse and text[:1] in _FIRST:
                text = defused(text)
            quoted.append(f'"{text.replace(chr(34), chr(34) * 2)}"')
        return f"{','.join(quoted)}\n"


def read_csv(file: IO[bytes], table: Table, *, defuse: bool) -> Iterator[dict[str, Any]]:
    """Read back what :class:`CsvEncoder` wrote, a row at a time.

    Not by :mod:`csv`, which does not tell null from empty text before Python 3.12.

    :param file: Opened for bytes.
    :param table: The columns. Those that the file lacks are left out.
    :param defuse: Was it written so?
    :raises ValueError: The file is another one, or cut.
    """
    header = file.readline()
    names = header.decode().rstrip("\n").split(",")
    if header != _header(names) or not set(names) <= set(table.names):
        raise _not_ours()
    kinds = [table.kinds[name] for name in names]
    pattern = re.compile(b",".join([_CELL] * len(names)) + b"\n")
    while record := _next_record(file):
        match = pattern.fullmatch(record)
        if match is None:
            raise _not_ours()
        cells = zip(match.groups(), kinds, strict=True)
        yield table.row(names, [None if cell is None else _value(cell, kind, defuse=defuse) for cell, kind in cells])


def _next_record(file: IO[bytes]) -> bytes:
    """Return the next record with its end: a line, or several where a cell holds line ends."""
    record = file.readline()
    if record.count(b'"') % 2 == 0:
        return record
    lines = [record]
    while line := file.readline():
        lines.append(line)
        if line.count(b'"') % 2:
            break
    return b"".join(lines)


def _value(cell: bytes, kind: Kind, *, defuse: bool) -> Cell:
    text = cell.replace(b'""', b'"').decode()
    if defuse and text.startswith(_GUARD):
        text = text[1:]
    return int(text) if kind is Kind.INTEGER else text


def _header(names: Any) -> bytes:
    return f"{','.join(names)}\n".encode()


def _not_ours() -> ValueError:
    return ValueError("not a CSV file of this provider")
