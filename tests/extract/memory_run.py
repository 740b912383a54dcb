"""Sift and spool many rows, and print by how much resident memory grew. Started by test_memory.py.

Usage: python -m tests.extract.memory_run <rows> <folder> <file name> [<rows a page> [<row>]]

With a row, which is JSON, the page consists of nothing else.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.pages import Page
from airflow_provider_robofy.extract.files import Store
from tests.extract.runs import make_listing_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_robofy.extract.manifest import Manifest

START = datetime(2025, 1, 1)


def pages(rows: int, size: int) -> Iterator[Page]:
    """Yield leads as they look on the wire, decoded a page at a time."""
    for number in range(1, rows // size + 1):
        body = orjson.dumps(
            [
                {
                    "id": f"{number:012x}-{position:04x}-4abc-8def-0123",
                    "created_at": (START + timedelta(seconds=number * size - position)).isoformat(" "),
                    "source": "chatbot",
                    "lead_data": [
                        {"field_name": "name", "field_type": "text", "field_value": f"Lead {number} {position}"},
                        {"field_name": "email", "field_type": "email", "field_value": f"l{number}@example.org"},
                    ],
                }
                for position in range(size)
            ]
        )
        yield Page(number, codec.loads(body), None if number < rows // size else "absent", None)


def page_of(row: str, rows: int) -> Iterator[Page]:
    """Yield one page of equal rows."""
    # Multiplied and not joined: joining takes a hundred bytes a row.
    yield Page(1, codec.loads(f"[{f'{row},' * (rows - 1)}{row}]".encode()), "absent", None)


def run(rows: int, folder: str, name: str, size: int = 100, row: str = "") -> Manifest:
    """Land so many rows."""
    path = f"{folder}/{rows}-{name}"
    listing = make_listing_run(Store(LocalFileSystem(), path, path), lag=timedelta(), max_rejected=rows)
    return listing.land(page_of(row, rows) if row else pages(rows, size), lambda: 0)


def resident(field: str) -> int:
    """Return a figure of the kernel's about this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def main() -> None:
    rows, folder, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    run(2_000, folder, name)
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest mark so far
    before = resident("VmRSS")
    size, row = map(str, (sys.argv[4:] + ["100", ""][len(sys.argv) - 4 :])[:2])
    manifest = run(rows, folder, name, int(size), row)
    grown = resident("VmHWM") - before
    print(json.dumps({"rows": manifest.rows, "rejected": manifest.rejected, "grown": grown, "before": before}))  # noqa: T201 (that is its answer)


if __name__ == "__main__":
    main()
