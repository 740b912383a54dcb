"""Knowing a row again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from airflow_provider_robofy.extract.rows import Seen


@pytest.mark.parametrize(
    "row_id", ["\ud83d", "\ud83d\ude00", "\U0001f600", "naïve", "日本", "a" * 100_000, "", "a\0", "\0a", 0, -1, 10**30]
)
def test_an_id_with_other_content_and_another_id_with_the_same_are_new_and_all_are_remembered(row_id):
    seen = Seen()

    rows = [(row_id, b"1"), (row_id, b"2"), (f"{row_id}x", b"1"), ("a", b"1"), ("?", b"1")]
    assert [seen.is_new(*row) for row in rows] == [True] * 5
    assert [seen.is_new(*row) for row in rows] == [False] * 5
    assert len(seen) == 5


def test_a_hundred_thousand_ids_are_kept_whole():
    seen = Seen()

    assert all(seen.is_new(f"lead-{number}", b"the same for all") for number in range(100_000))
    assert not any(seen.is_new(f"lead-{number}", b"the same for all") for number in range(100_000))
    assert len(seen) == 100_000


_MEASURE = """
import json, sys, tracemalloc
from airflow_provider_robofy.extract.rows import Seen
count, length = 200_000, int(sys.argv[1])
tracemalloc.start()
seen = Seen()
for number in range(count):
    seen.is_new(str(number).rjust(length, "x"), b"%d" % number)
assert len(seen) == count
now, peak = tracemalloc.get_traced_memory()
print(json.dumps([now / count, peak / count]))
"""


@pytest.mark.serial
@pytest.mark.parametrize("length", [10, 36])
def test_an_id_costs_at_most_130_bytes(length):
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(length)], capture_output=True, text=True, check=True)

    held, peak = json.loads(done.stdout)

    assert held <= 130
    assert peak <= 130
