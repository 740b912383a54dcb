"""Rows as Parquet, in row groups that are bounded in rows and bytes. Needs pyarrow, imported where it is used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.columns import ESCAPE, Writer
from airflow_provider_robofy.resources import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airflow_provider_robofy.extract.columns import Cell, Sink, Table

#: Rows become columns after so many of them, or so many bytes of lines. Python's objects take more memory than Arrow's.
BATCH_ROWS: Final = 1_000
BATCH_BYTES: Final = 1 << 20
#: A row group is written when it contains so much. It is what waits in memory.
GROUP_ROWS: Final = 20_000
GROUP_BYTES: Final = 8 << 20

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def check_pyarrow() -> None:
    """Refuse Parquet where pyarrow is missing, before anything is asked of Robofy.

    :raises RobofyConfigError: It is missing; the message names the remedy.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise RobofyConfigError(
            "Parquet needs pyarrow, which is not installed here. Install the extra parquet on every worker, from a "
            "checkout with pip install '.[parquet]' and after the release with pip install "
            "'airflow-provider-robofy[parquet]'; or let output_path end in .jsonl.gz or .csv.gz."
        ) from None


class ParquetWriter(Writer):
    """Write rows as Parquet.

    The same rows give the same bytes with the same version of pyarrow, however they are split over calls: the file
    contains no time, and where row groups end depends on the rows alone.

    :param sink: Where to write.
    :param table: The columns.
    """

    def __init__(self, sink: Sink, table: Table) -> None:
        self._sink = sink
        self._table = table
        self._schema = _schema(table)
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._plain = True
        self._batches: list[Any] = []
        self._group_rows = self._group_bytes = 0
        self._writer: Any = None

    def write(self, lines: bytes | bytearray, rows: Iterable[dict[str, Any]]) -> None:
        """Write some rows; see :meth:`Writer.write`."""
        plain = ESCAPE not in lines
        if self._bytes + len(lines) < BATCH_BYTES and len(self._rows) + lines.count(b"\n") < BATCH_ROWS:
            # No batch ends among these rows, so their lines need not be measured one by one.
            self._rows.extend(rows)
            self._bytes += len(lines)
            self._plain = self._plain and plain
            return
        for line, row in zip(BytesIO(lines), rows, strict=True):
            self._rows.append(row)
            self._bytes += len(line)
            self._plain = self._plain and plain
            if len(self._rows) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
                self._end_batch()
                if self._group_rows >= GROUP_ROWS or self._group_bytes >= GROUP_BYTES:
                    self._end_group()

    def finish(self) -> None:
        """Write the last row group and the footer."""
        self._end_batch()
        self._end_group()
        self._open().close()

    def _end_batch(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        columns = self._table.columns(self._rows, plain=self._plain)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._batches.append(batch)
        self._group_rows += batch.num_rows
        self._group_bytes += batch.nbytes
        self._rows, self._bytes, self._plain = [], 0, True

    def _end_group(self) -> None:
        import pyarrow as pa

        if not self._batches:
            return
        self._open().write_table(pa.Table.from_batches(self._batches, self._schema))
        self._batches, self._group_rows, self._group_bytes = [], 0, 0

    def _open(self) -> Any:
        from pyarrow import parquet

        if self._writer is None:
            self._writer = parquet.ParquetWriter(
                self._sink,
                self._schema,
                compression="zstd",
                # zstd finds repeated values as well; dictionaries of ids and texts cost a third of the time to write.
                use_dictionary=False,
                write_page_checksum=True,
                # Types that Parquet knows itself say everything; a second schema would only be Arrow's own copy.
                store_schema=False,
            )
        return self._writer


def read_parquet(file: IO[bytes], table: Table) -> Iterator[dict[str, Any]]:
    """Read what :class:`ParquetWriter` wrote; no more than a row group is in memory.

    :param file: Opened for bytes, and able to seek.
    :param table: The columns. Those that the file lacks are left out.
    :raises RobofyConfigError: There is no pyarrow.
    :raises ValueError: It is a different file, or cut.
    """
    check_pyarrow()
    for batch in _batches(file, table):
        columns = [_cells(column) for column in batch.columns]
        for cells in zip(*columns, strict=True):
            yield table.row(batch.schema.names, cells)


def _batches(file: IO[bytes], table: Table) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    expected = {field.name: field.type for field in _schema(table)}
    try:
        with parquet.ParquetFile(file, pre_buffer=False, page_checksum_verification=True) as opened:
            if any(expected.get(field.name) != field.type for field in opened.schema_arrow):
                raise _not_ours()
            if opened.num_row_groups:  # pyarrow 18 raises where there is none
                yield from opened.iter_batches(BATCH_ROWS, use_threads=False)
    except pa.ArrowException:
        raise _not_ours() from None
    except OSError as error:
        # A page that cannot be read is an OSError of pyarrow's own; one of the store's has a number or another type.
        if type(error) is OSError and error.errno is None:
            raise _not_ours() from None
        raise


def _schema(table: Table) -> Any:
    import pyarrow as pa

    types = {
        Kind.TEXT: pa.string(),
        Kind.JSON: pa.string(),
        Kind.INTEGER: pa.int64(),
        Kind.TIME: pa.timestamp("us", "UTC"),
    }
    return pa.schema([(name, types[kind]) for name, kind in table.kinds.items()])


def _cells(column: Any) -> list[Cell]:
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        found: list[Cell] = column.to_pylist()
        return found
    # By way of numbers: which class stands for UTC in Python depends on what else is installed.
    numbers: list[int | None] = column.cast(pa.int64()).to_pylist()
    try:
        return [None if number is None else (_EPOCH + timedelta(microseconds=number)).isoformat() for number in numbers]
    except OverflowError:  # later than Python knows times, so not written by Python
        raise _not_ours() from None


def _not_ours() -> ValueError:
    return ValueError("not a Parquet file of this provider")
