"""Whatever a row holds: it comes back from every format exactly as it comes back from lines of JSON."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.extract.columns import table_of
from airflow_provider_robofy.extract.formats import FORMATS, Format
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.extract.transcript import Transcript, blocks

WITH_COLUMNS = [("csv", True), ("csv", False), ("parquet", True)]

# Everything that JSON may say, and what breaks quoting, encodings, formulas and number types with preference.
texts = st.one_of(
    st.text(),
    st.text(alphabet="=+-@\t\r\n'\",;\uff1d \ufeff\u200b\0\ud83d\udc00😀ä0", max_size=8),
    st.sampled_from(["", "null", "NULL", '""', "'", "''=1", "\\N", "\\u0000", "2025-01-15T10:30:00+00:00", "1e999"]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40, 0, -5, 12345678901234567890]),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
times = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.sampled_from(["2025-01-15T10:30:00Z", "2025-01-15T10:30:00+01:00", "0001-01-01T00:00:00+14:00", "soon", ""]),
    values,
)


def rows_of(resource: str) -> st.SearchStrategy[dict[str, Any]]:
    """Make rows with some of the fields that have a column, some that have none, and some under our own names."""
    names = table_of(resource).names
    field = st.sampled_from([*names, "score", "_extra", "_absent", "message"]) | texts
    known = st.fixed_dictionaries({}, optional=dict.fromkeys(names, values) | {names[8]: times})
    return st.builds(lambda known, more: {**more, **known}, known, st.dictionaries(field, values, max_size=3))


def encoded(format_: Format, pages: list[list[bytes]]) -> bytes:
    """Return a file's content before compression, which is nobody's business here."""
    sink = io.BytesIO()
    writer = format_.writer(sink)
    for page in pages:
        writer.write(b"".join(page), map(codec.loads, page))
    writer.finish()
    return sink.getvalue()


def check_all_formats(resource: str, pages: list[list[bytes]]) -> None:
    lines = [line for page in pages for line in page]
    # Encoded, because for Python 1, 1.0 and True are equal.
    expected = [codec.dump_line(codec.loads(line)) for line in lines]
    for name, defuse in WITH_COLUMNS:
        format_ = Format(name, resource, defuse_formulas=defuse)
        content = encoded(format_, pages)
        assert [codec.dump_line(row) for row in format_.rows(io.BytesIO(content))] == expected, name
        assert encoded(format_, [[line] for line in lines]) == content, name


quietly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("resource", ["leads", "sessions"])
@quietly
@given(st.data())
def test_any_rows_come_back_the_same(resource: str, data: st.DataObject) -> None:
    pages = data.draw(st.lists(st.lists(rows_of(resource), max_size=3), max_size=3))
    check_all_formats(resource, [[codec.dump_line(row) for row in page] for page in pages])


@quietly
@given(texts, st.none() | texts, st.lists(st.dictionaries(texts | st.just("message"), values, max_size=4), max_size=4))
def test_any_messages_come_back_the_same(session: str, project: str | None, rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        transcript = Transcript(session, stamp={"_project_id": project, "_chatbot_id": "agent-a"}, folder=Path(folder))
        transcript.add(rows)
        pages = [block.splitlines(keepends=True) for block in blocks(transcript.landing)]
        transcript.close()
    check_all_formats("messages", pages)


def landed(path: Path, format_: Format, lines: list[bytes]) -> list[Any]:
    """Write through a spool, and read back from the disk."""
    with Spool(path, compress=format_.compressed, writer=format_.writer) as spool:
        for start in range(0, len(lines), 100):
            spool.append(b"".join(lines[start : start + 100]))
        spool.finish()
        assert (spool.rows, spool.bytes) == (len(lines), path.stat().st_size)
        with path.open("rb") as raw:
            return list(format_.rows(raw))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("resource", ["leads", "sessions", "messages"])
def test_a_file_without_a_row_comes_back_empty(tmp_path: Path, name: str, resource: str) -> None:
    assert landed(tmp_path / "x", Format(name, resource, defuse_formulas=True), []) == []


@pytest.mark.parametrize("name", FORMATS)
def test_more_rows_than_a_batch_holds_come_back_in_order(tmp_path: Path, name: str) -> None:
    rows = [{"id": f"lead {number}", "created_at": "x" * (number % 7)} for number in range(2_501)]

    back = landed(tmp_path / "x", Format(name, "leads", defuse_formulas=True), list(map(codec.dump_line, rows)))

    assert back == rows
