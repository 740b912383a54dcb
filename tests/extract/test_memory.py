"""How much memory a read takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc"),
]
ROOT = Path(__file__).parents[2]
MB = 1024 * 1024


def measured(*arguments) -> tuple[int, int, int]:
    """Return rows, rejected rows, and by how many bytes a process of its own grew."""
    command = [sys.executable, "-m", "tests.extract.memory_run", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["rows"], found["rejected"], found["grown"]


@pytest.mark.parametrize("name", ["leads.jsonl", "leads.jsonl.gz", "leads.csv.gz", "leads.parquet"])
def test_a_hundred_thousand_rows_grow_resident_memory_by_less_than_40_mb(tmp_path, name):
    rows, _, grown = measured(100_000, tmp_path, name)
    assert rows == 100_000
    assert grown < 40 * MB


@pytest.mark.parametrize("name", ["leads.jsonl", "leads.csv"])
def test_one_page_of_fifty_thousand_rows_costs_no_4_kb_a_row_beside_the_page(tmp_path, name):
    rows, _, grown = measured(50_000, tmp_path, name, 50_000)
    assert rows == 50_000
    assert grown < 220 * MB


@pytest.mark.parametrize("row", ["1", "null", '"x"', "1.5"])
@pytest.mark.parametrize("name", ["leads.jsonl", "leads.csv"])
def test_a_page_of_rejected_rows_costs_ten_times_its_body_and_no_more(tmp_path, name, row):
    body = 3_200_000
    sent = body // (len(row) + 1)
    rows, rejected, grown = measured(sent, tmp_path, name, sent, row)
    assert (rows, rejected) == (0, sent)
    assert grown <= 10 * body + 60 * MB
