"""Files and a cursor that the version before this one wrote are read, and the same rows still land as the same bytes.

The files in ``landed_before`` were written by the version before, of the rows in ``rows.json``. Do not write them anew.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.extract.cursor import Cursor, CursorRun
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import Wanted, hold, rows
from tests.extract.runs import IDENTITY, STAMP, make_cursor_run, make_listing_run, make_pages

if TYPE_CHECKING:
    from airflow_provider_robofy.extract.listing import ListingRun

FOLDER = Path(__file__).parent / "landed_before"
ROWS = codec.loads((FOLDER / "rows.json").read_bytes())
#: Fields of manifests and cursors that had another name.
RENAMED = {"mark": "watermark", "mark_before": "watermark_before", "mark_after": "watermark_after"}
#: Fields of manifests that are new since then.
ADDED = {"cursor_next_uri": None, "requests_unused": 0}
NAMES = ["leads.jsonl.gz", "leads.csv", "leads.csv.gz", "leads.parquet"]
NOW = datetime(2025, 1, 15, 12, tzinfo=UTC)
WANTED = Wanted(
    argument="manifest",
    resources=("leads",),
    fields={"uri": str, "format": str, "rows": int, "bytes": int, "sha256": str},
    must_be="a manifest",
    task="task",
    landed_by="RobofyFetchLeadsOperator",
    remedy="Land again.",
)


def store(path: Path) -> Store:
    return Store(LocalFileSystem(), str(path), str(path))


def renamed(body: Any) -> Any:
    if isinstance(body, dict):
        return {RENAMED.get(name, name): renamed(value) for name, value in body.items()}
    return body


def landed(row: dict[str, Any], at: str | None) -> str:
    return json.dumps({**row, **STAMP, "_created_at": at}, sort_keys=True)


TIMES = [
    *("2025-01-15T11:58:00+00:00", "2025-01-15T11:57:00.250000+00:00", "2025-01-15T11:36:40+00:00", None),
    "2025-01-01T00:00:00+00:00",
]
EXPECTED = [landed(row, at) for row, at in zip(ROWS, TIMES, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_found_verified_and_read(name):
    manifest, file = WANTED.find(str(FOLDER / name), lambda path: store(Path(path)))

    with hold(manifest, file) as held:
        assert [json.dumps(row, sort_keys=True) for row in held.rows()] == EXPECTED
    assert [json.dumps(row, sort_keys=True) for row in rows(manifest, file)] == EXPECTED


def listing_run(path: Path, **options: Any) -> ListingRun:
    return make_listing_run(store(path), run_key="dag/run/leads", now=lambda: NOW, **options)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_land_as_the_same_bytes(tmp_path, name):
    listing_run(tmp_path / name).land(make_pages(ROWS[:3], ROWS[3:], end_marker="null", date=NOW), lambda: 2)

    ours, theirs = (tmp_path / name).read_bytes(), (FOLDER / name).read_bytes()
    if name.endswith(".gz"):
        ours, theirs = gzip.decompress(ours), gzip.decompress(theirs)  # another zlib may compress in another way
    # Parquet was written with dictionaries, and each pyarrow writes it in its own way; its rows are compared above.
    assert ours == theirs or name.endswith(".parquet")
    one, other = (json.loads((folder / f"{name}.manifest.json").read_text()) for folder in (tmp_path, FOLDER))
    by_machine = ("uri", "bytes", "sha256", "try_id")
    assert {field: value for field, value in one.items() if field not in by_machine} == {
        field: value for field, value in {**renamed(other), **ADDED}.items() if field not in by_machine
    }


def test_a_retry_lands_over_a_file_of_the_version_before(tmp_path):
    for suffix in ("", ".manifest.json"):
        (tmp_path / f"leads.csv{suffix}").write_bytes((FOLDER / f"leads.csv{suffix}").read_bytes())

    manifest = listing_run(tmp_path / "leads.csv").land(make_pages(ROWS, date=NOW), lambda: 1)

    assert manifest.rows == len(ROWS)


def cursor_run(path: Path, run_key: str) -> CursorRun:
    return make_cursor_run(store(path), run_key, now=NOW)


def test_a_cursor_is_read_and_what_it_knows_does_not_land_again(tmp_path):
    path = tmp_path / "cursor.json"
    path.write_bytes((FOLDER / "cursor.json").read_bytes())
    body = json.loads(path.read_text())
    cursor = Cursor.decode(body, IDENTITY, "here")
    new = {"id": "lead-6", "created_at": "2025-01-15 11:59:00"}

    run = cursor_run(path, "dag/next/leads")
    manifest = listing_run(tmp_path / "leads.jsonl", cursor=run).land(make_pages([new, *ROWS], date=NOW), lambda: 1)

    assert json.loads(json.dumps(cursor.encode(IDENTITY))) == {**renamed(body), "schema_version": 2}
    assert cursor.watermark == datetime(2025, 1, 15, 11, 48, tzinfo=UTC)
    assert (run.mode, manifest.rows, manifest.duplicates, manifest.outside_window) == ("cursor", 1, 3, 2)
    assert [row["id"] for row in rows(manifest.as_dict())] == ["lead-6"]


def test_a_retry_of_the_run_before_starts_where_it_started(tmp_path):
    path = tmp_path / "cursor.json"
    path.write_bytes((FOLDER / "cursor.json").read_bytes())
    assert cursor_run(path, "dag/run/leads").full
    assert not cursor_run(path, "dag/next/leads").full


def test_the_same_listing_leaves_the_same_cursor(tmp_path):
    run = cursor_run(tmp_path / "cursor.json", "dag/run/leads")
    pages = make_pages(ROWS[:3], ROWS[3:], end_marker="null", date=NOW)

    listing_run(tmp_path / "leads.jsonl", cursor=run).land(pages, lambda: 2)

    ours, theirs = (json.loads((folder / "cursor.json").read_text()) for folder in (tmp_path, FOLDER))
    assert ours == {**renamed(theirs), "schema_version": 2}
