"""How much memory a read takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.serial

CHILD = Path(__file__).with_name("memory_run.py")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc")
@pytest.mark.parametrize("name", ["leads.jsonl", "leads.jsonl.gz", "leads.csv.gz", "leads.parquet"])
def test_a_hundred_thousand_rows_grow_resident_memory_by_less_than_40_mb(tmp_path, name):
    done = subprocess.run(
        [sys.executable, str(CHILD), "100000", str(tmp_path), name], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["rows"] == 100_000
    assert measured["grown"] < 40 * 1024 * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc")
@pytest.mark.parametrize("name", ["leads.jsonl", "leads.csv"])
def test_one_page_of_fifty_thousand_rows_costs_no_4_kb_a_row_beside_the_page(tmp_path, name):
    done = subprocess.run(
        [sys.executable, str(CHILD), "50000", str(tmp_path), name, "50000"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["rows"] == 50_000
    assert measured["grown"] < 220 * 1024 * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc")
@pytest.mark.parametrize("row", ["1", "null", '"x"', "1.5"])
@pytest.mark.parametrize("name", ["leads.jsonl", "leads.csv"])
def test_a_page_of_rejected_rows_costs_ten_times_its_body_and_no_more(tmp_path, name, row):
    body = 3_200_000
    rows = body // (len(row) + 1)
    done = subprocess.run(
        [sys.executable, str(CHILD), str(rows), str(tmp_path), name, str(rows), row],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert (measured["rows"], measured["rejected"]) == (0, rows)
    assert measured["grown"] <= 10 * body + 60 * 1024 * 1024
