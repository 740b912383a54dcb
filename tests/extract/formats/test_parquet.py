"""Parquet that other programs read as a table of fixed types, in pieces that fit into memory."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.extract import parquet as parquet_module
from airflow_provider_robofy.extract.columns import table_of
from airflow_provider_robofy.extract.parquet import ParquetWriter, read_parquet
from airflow_provider_robofy.extract.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

LEADS = table_of("leads")


def lead(row_id: Any, **fields: Any) -> dict[str, Any]:
    return {**dict.fromkeys(LEADS.names[:9]), "id": row_id, **fields}


def written(*pages: list[dict[str, Any]], resource: str = "leads") -> bytes:
    sink = io.BytesIO()
    writer = ParquetWriter(sink, table_of(resource))
    for page in pages:
        writer.write(b"".join(map(codec.dump_line, page)), page)
    writer.finish()
    return sink.getvalue()


def test_another_program_finds_the_columns_with_their_types_and_values() -> None:
    content = written([
        lead("a", lead_data=[1], _created_at="2025-01-15T10:30:00.000001+00:00", score=5),
        lead("", _created_at="1969-12-31T23:59:59+00:00"),
        lead(None, _created_at="soon"),
    ])  # fmt: skip

    table = parquet.read_table(io.BytesIO(content))

    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string", "created_at": "string", "source": "string", "page_url": "string", "ip_address": "string",
        "lead_data": "string", "_project_id": "string", "_chatbot_id": "string",
        "_created_at": "timestamp[us, tz=UTC]", "_extra": "string", "_absent": "string",
    }  # fmt: skip
    assert all(field.nullable for field in table.schema)
    assert table["id"].to_pylist() == ["a", "", None]
    assert table["lead_data"].to_pylist() == ["[1]", None, None]
    assert table["_extra"].to_pylist() == ['{"score":5}', None, '{"_created_at":"soon"}']
    assert table["_created_at"].to_pylist() == [
        datetime(2025, 1, 15, 10, 30, 0, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), None,
    ]  # fmt: skip


@pytest.mark.parametrize("resource", ["leads", "sessions", "messages"])
def test_the_types_are_the_same_whatever_the_rows_hold(resource: str) -> None:
    table = table_of(resource)
    stamps = {"_message_key": "k", "_session_id": "s", "_position": 0, "_project_id": None, "_chatbot_id": "a"}
    odd: dict[str, Any] = {name: [1.5, {"a": None}] for name in table.names}
    files = [written([], resource=resource), written([stamps], resource=resource), written([odd], resource=resource)]

    schemas = [parquet.read_schema(io.BytesIO(content)) for content in files]

    assert schemas[0] == schemas[1] == schemas[2]
    assert schemas[0].names == list(table.names)
    assert resource != "messages" or str(schemas[0].field("_position").type) == "int64"


def test_the_same_rows_give_the_same_bytes_however_they_arrive() -> None:
    rows = [lead(f"lead {number}", lead_data=["x" * (number % 50)]) for number in range(2_300)]

    whole = written(rows)

    assert written(*([row] for row in rows)) == whole
    assert written(*(rows[start : start + 999] for start in range(0, 2_300, 999))) == whole


def test_the_file_says_who_made_it_and_neither_when_nor_for_whom() -> None:
    metadata = parquet.ParquetFile(io.BytesIO(written([lead("a")]))).metadata
    assert metadata.metadata is None
    # 18.0.0 calls itself 18.0.0-SNAPSHOT here.
    assert metadata.created_by.startswith(f"parquet-cpp-arrow version {pa.__version__}")


def groups(content: bytes) -> list[tuple[int, int]]:
    """Return rows and bytes of each row group, before compression."""
    metadata = parquet.ParquetFile(io.BytesIO(content)).metadata
    found = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return [(group.num_rows, group.total_byte_size) for group in found]


def test_row_groups_are_bounded_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_module, "BATCH_ROWS", 10)
    monkeypatch.setattr(parquet_module, "GROUP_ROWS", 40)
    assert [rows for rows, _ in groups(written([lead(str(number)) for number in range(95)]))] == [40, 40, 15]


def test_row_groups_are_bounded_in_bytes() -> None:
    rows = [lead(str(number), lead_data=os.urandom(50_000).hex()) for number in range(200)]

    found = groups(written(rows))

    assert sum(rows for rows, _ in found) == 200
    assert len(found) > 2
    # By how much it may be more: what came with the last batch.
    assert max(size for _, size in found) < parquet_module.GROUP_BYTES + 2 * parquet_module.BATCH_BYTES


def test_a_row_that_is_larger_than_a_row_group_is_one_by_itself() -> None:
    big = "x" * (parquet_module.GROUP_BYTES + 1)
    content = written([lead("a"), lead("b", source=big), lead("c")])

    assert [rows for rows, _ in groups(content)] == [2, 1]
    assert [row["id"] for row in read_parquet(io.BytesIO(content), LEADS)] == ["a", "b", "c"]


# ---------------------------------------------------------------------------------------------------------- reading
def test_a_column_that_a_file_lacks_is_left_out() -> None:
    sink = io.BytesIO()
    parquet.write_table(pa.table({"id": ["a"], "_extra": pa.array([None], pa.string())}), sink)
    assert list(read_parquet(io.BytesIO(sink.getvalue()), LEADS)) == [{"id": "a"}]


REFUSED = pytest.raises(ValueError, match="not a Parquet file of this provider")


@pytest.mark.parametrize(
    "table",
    [
        *({"score": ["a"]}, {"id": [1]}, {"_created_at": ["2025-01-15"]}, {"id": [["a"]]}),
        {"_created_at": pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))},  # beyond the calendar
    ],
)
def test_a_table_of_somebody_else_is_refused(table: dict[str, Any]) -> None:
    sink = io.BytesIO()
    parquet.write_table(pa.table(table), sink)
    with REFUSED:
        list(read_parquet(io.BytesIO(sink.getvalue()), LEADS))


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -1, -8, None], ids=lambda keep: "a bit" if keep is None else str(keep))
def test_a_file_that_was_cut_or_of_which_a_bit_tipped_over_is_refused(keep: int | None) -> None:
    content = bytearray(written([lead(os.urandom(500).hex()) for _ in range(20)]))
    content[5_000] ^= keep is None
    with REFUSED:
        list(read_parquet(io.BytesIO(bytes(content[:keep])), LEADS))


class Failing(io.BytesIO):
    """A store that fails in the middle."""

    def read(self, *args: Any) -> bytes:
        if self.tell() < 100:
            raise PermissionError(13, "Access Denied")
        return super().read(*args)


def test_a_store_that_fails_is_not_taken_for_a_file_that_was_cut() -> None:
    with pytest.raises(PermissionError, match="Access Denied"):
        list(read_parquet(Failing(written([lead("a" * 1000)])), LEADS))


# ---------------------------------------------------------------------------------------------------------- pyarrow
def test_pyarrow_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, airflow_provider_robofy.extract.landing; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def spool_of(path: Path) -> Spool:
    return Spool(path, compress=False, writer=lambda sink: ParquetWriter(sink, LEADS))


def test_a_full_disk_is_told_of_and_nothing_complains_afterwards(
    small_disk: Path, recwarn: pytest.WarningsRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    gc.collect()
    recwarn.clear()  # what earlier tests have left unclosed

    def write() -> None:
        with spool_of(small_disk / "x") as spool:
            for _ in range(100):
                spool.append(codec.dump_line(lead(os.urandom(100_000).hex())))
            spool.finish()

    with pytest.raises(OSError, match="No space left"):
        write()
    gc.collect()  # pyarrow closes its file when it is collected

    assert list(small_disk.iterdir()) == []
    assert not [str(one.message) for one in recwarn]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("groups_written", [False, True])
def test_leaving_a_half_written_file_removes_it_and_writes_no_footer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups_written: bool
) -> None:
    if groups_written:
        monkeypatch.setattr(parquet_module, "BATCH_ROWS", 1)
        monkeypatch.setattr(parquet_module, "GROUP_ROWS", 1)

    with spool_of(tmp_path / "x") as spool:
        spool.append(codec.dump_line(lead("a")) * 3)
        size = spool.bytes
        assert bool(size) == groups_written
    del spool._writer  # pyarrow closes its file when it is collected
    gc.collect()

    assert spool.bytes == size
    assert list(tmp_path.iterdir()) == []
