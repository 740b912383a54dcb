"""The formats that rows land in: which ending means which, and what writes and reads it."""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import nullcontext
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.columns import ESCAPE, Writer, table_of
from airflow_provider_robofy.extract.parquet import ParquetWriter, check_pyarrow, read_parquet
from airflow_provider_robofy.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_robofy.extract.columns import Cell, Sink, Table

FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet")

#: What reading a file raises that was cut or that this provider did not write.
SPOILT: Final = (EOFError, ValueError, zlib.error, gzip.BadGzipFile)


class JsonLinesWriter(Writer):
    """Write rows as lines of JSON with sorted keys.

    :param sink: Where to write.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, lines: bytes | bytearray, rows: Iterable[dict[str, Any]]) -> None:  # noqa: ARG002
        """Write some rows; see :meth:`Writer.write`."""
        self._sink.write(lines)


_GUARD: Final = "'"
#: What begins a formula. The last four are what East Asian keyboards give, and spreadsheets take them, too.
_STARTS: Final = "=+-@\uff1d\uff0b\uff0d\uff20"
#: By themselves at the beginning of a cell, these have been used to smuggle one in.
_BREAKS: Final = "\t\r\n"
#: What a program may trim, or not show, before it reads: white space, controls, and characters without a width.
_TRIMMED: Final = "".join(
    map(chr, [*range(0x21), *range(0x7F, 0xA1), 0xAD, 0x1680, *range(0x2000, 0x2010), *range(0x2028, 0x2030)])
) + "".join(map(chr, [*range(0x205F, 0x2070), 0x3000, 0xFEFF]))
_RISKY: Final = re.compile(f"[{_GUARD}{_BREAKS}]|[{re.escape(_TRIMMED)}]*[{re.escape(_STARTS)}]")
#: Most cells begin with something else, and a set costs less than the pattern.
_FIRST: Final = frozenset(_GUARD + _STARTS + _TRIMMED)

_CELL: Final = rb'(?:"([^"]*+(?:""[^"]*+)*+)")?'
#: So many rows are converted at a time, however many a page has.
_CSV_ROWS: Final = 1_000


def defused(text: str) -> str:
    """Return text that no spreadsheet computes: an apostrophe goes before what could be a formula.

    It also goes before an apostrophe, so that removing one restores every text.
    """
    return _GUARD + text if _RISKY.match(text) else text


class CsvWriter(Writer):
    r"""Write rows as CSV in UTF-8, with a header: RFC 4180 with every cell in quotes but null.

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

    def write(self, lines: bytes | bytearray, rows: Iterable[dict[str, Any]]) -> None:
        """Write some rows; see :meth:`Writer.write`."""
        plain = ESCAPE not in lines
        rows = list(rows)
        for start in range(0, len(rows), _CSV_ROWS):
            columns = self._table.columns(rows[start : start + _CSV_ROWS], plain=plain)
            quoted = [self._quoted(column) for column in columns]
            self._sink.write("".join([f"{','.join(cells)}\n" for cells in zip(*quoted, strict=True)]).encode())

    def _quoted(self, column: Sequence[Cell]) -> list[str]:
        quoted = []
        for cell in column:
            if cell is None:
                quoted.append("")
                continue
            text = cell if type(cell) is str else cell.isoformat() if isinstance(cell, datetime) else str(cell)
            if self._defuse and text[:1] in _FIRST:
                text = defused(text)
            quoted.append('"' + text.replace('"', '""') + '"')
        return quoted


def read_csv(file: IO[bytes], table: Table, *, defuse: bool) -> Iterator[dict[str, Any]]:
    """Read what :class:`CsvWriter` wrote, a row at a time.

    Not by :mod:`csv`, which does not tell null from empty text before Python 3.12.

    :param file: Opened for bytes.
    :param table: The columns. Those that the file lacks are left out.
    :param defuse: Was it written so?
    :raises ValueError: It is a different file, or cut.
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
    """Return the next record with its end: a line, or several where a cell contains line ends."""
    record = file.readline()
    if record.count(b'"') % 2 == 0:
        return record
    lines = [record]
    while line := file.readline():
        lines.append(line)
        if line.count(b'"') % 2:
            break
    return b"".join(lines)


def _value(cell: bytes, kind: Kind, *, defuse: bool) -> str | int:
    text = cell.replace(b'""', b'"').decode()
    if defuse and text.startswith(_GUARD):
        text = text[1:]
    return int(text) if kind is Kind.INTEGER else text


def _header(names: Iterable[str]) -> bytes:
    return f"{','.join(names)}\n".encode()


def _not_ours() -> ValueError:
    return ValueError("not a CSV file of this provider")


def format_of(uri: str) -> str:
    """Return the format that a path's ending asks for.

    :param uri: The path.
    :raises RobofyConfigError: The ending is none that can be written.
    """
    for name in FORMATS:
        if uri.endswith(f".{name}"):
            return name
    *others, last = (f".{name}" for name in FORMATS)
    raise RobofyConfigError(f"output_path must end in {', '.join(others)} or {last}, but is {uri!r}.")


class Format:
    """Write and read files of one format.

    Usage::

        format = Format("csv.gz", "leads", defuse_formulas=True)
        with Spool(path, compress=format.compressed, writer=format.writer) as spool:
            ...
        with store.open() as file:
            for row in format.rows(file):
                ...

    :param name: One of :data:`FORMATS`.
    :param resource: Name of what the rows are, which decides the columns of CSV and Parquet.
    :param defuse_formulas: In CSV, put an apostrophe before what a spreadsheet could take for a formula.
    :raises RobofyConfigError: The format is unknown, or needs something that is not installed, or there are no columns
        for the resource.
    """

    def __init__(self, name: str, resource: Any, *, defuse_formulas: bool) -> None:
        if name not in FORMATS:
            raise RobofyConfigError(f"The format {str(name)[:40]!r} is none of {', '.join(FORMATS)}.")
        self.name = name
        self.compressed = name.endswith(".gz")
        self._table = None if name.startswith("jsonl") else table_of(resource)
        self.has_columns = self._table is not None
        #: For CSV, are formulas defused? None for the other formats.
        self.defused = defuse_formulas if name.startswith("csv") else None
        if name == "parquet":
            check_pyarrow()

    def writer(self, sink: Sink) -> Writer:
        """Return a writer of this format.

        :param sink: Where it writes, uncompressed.
        """
        if self._table is None:
            return JsonLinesWriter(sink)
        if self.defused is not None:
            return CsvWriter(sink, self._table, defuse=self.defused)
        return ParquetWriter(sink, self._table)

    def rows(self, raw: IO[bytes]) -> Iterator[Any]:
        """Read the rows of a file.

        :param raw: The file as it is in the store, compressed or not.
        :raises Exception: One of :data:`SPOILT`, where it is another file, or cut.
        """
        with gzip.GzipFile(fileobj=raw) if self.compressed else nullcontext(raw) as opened:
            file: Any = opened
            if self._table is None:
                yield from (codec.loads(line) for line in iter(file.readline, b""))
            elif self.defused is not None:
                yield from read_csv(file, self._table, defuse=self.defused)
            else:
                yield from read_parquet(file, self._table)
