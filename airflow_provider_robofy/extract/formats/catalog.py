"""The formats that rows land in: which ending means which, and what writes and reads it."""

from __future__ import annotations

import gzip
import zlib
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.formats.columns import table_of
from airflow_provider_robofy.extract.formats.csv_file import CsvEncoder, read_csv
from airflow_provider_robofy.extract.formats.parquet_file import ParquetEncoder, check_pyarrow, read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import IO

    from airflow_provider_robofy.extract.formats.encoder import Encoder, Sink

FORMATS: Final = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet")

#: What decoding a file raises that was cut or is none of ours.
SPOILT: Final = (EOFError, ValueError, zlib.error, gzip.BadGzipFile)


def format_of(uri: str) -> str:
    """Return the format that a path's ending asks for.

    :raises RobofyConfigError: The ending is none that can be written.
    """
    for name in FORMATS:
        if uri.endswith(f".{name}"):
            return name
    *others, last = (f".{name}" for name in FORMATS)
    raise RobofyConfigError(f"output_path must end in {', '.join(others)} or {last}, but is {uri!r}.")


class Format:
    """Write and read one format.

    Usage::

        format = Format("csv.gz", "leads", defuse_formulas=True)
        with Spool(path, compress=format.compressed, encode=format.encoder) as spool:
            ...
        with store.open() as raw, format.unpacked(raw) as file:
            for row in format.rows(file):
                ...

    :param name: One of :data:`FORMATS`.
    :param resource: What the rows are, which decides the columns of a format that has some.
    :param defuse_formulas: For CSV, does an apostrophe go before what a spreadsheet could take for a formula?
    :raises RobofyConfigError: The format is unknown, or needs something that is not installed, or there are no columns
        for the resource.
    """

    def __init__(self, name: str, resource: Any, *, defuse_formulas: bool) -> None:
        if name not in FORMATS:
            raise RobofyConfigError(f"The format {str(name)[:40]!r} is none of {', '.join(FORMATS)}.")
        self.name = name
        self.compressed = name.endswith(".gz")
        self._kind = name.removesuffix(".gz")
        self._table = table_of(resource) if self._kind != "jsonl" else None
        #: For CSV, is it defused? Otherwise None.
        self.defused = defuse_formulas if self._kind == "csv" else None
        if self._kind == "parquet":
            check_pyarrow()

    @property
    def encoder(self) -> Callable[[Sink], Encoder] | None:
        """Return what makes the writer of a file; None where rows are written as the lines that they come as."""
        if self._table is None:
            return None
        if self._kind == "csv":
            return partial(CsvEncoder, table=self._table, defuse=bool(self.defused))
        return partial(ParquetEncoder, table=self._table)

    def unpacked(self, raw: IO[bytes]) -> AbstractContextManager[Any]:
        """Return the file without its compression."""
        return gzip.GzipFile(fileobj=raw) if self.compressed else nullcontext(raw)

    def rows(self, file: IO[bytes]) -> Iterator[Any]:
        """Read the rows of a file.

        :raises Exception: One of :data:`SPOILT`, where it is another file, or cut.
        """
        if self._table is None:
            return (codec.loads(line) for line in iter(file.readline, b""))
        if self._kind == "csv":
            return read_csv(file, self._table, defuse=bool(self.defused))
        return read_parquet(file, self._table)
