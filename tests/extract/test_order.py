"""In which order a listing comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.extract.rows import RowOrder

START = datetime(2025, 1, 1, tzinfo=UTC)


def times(*minutes: int) -> list[datetime]:
    return [START + timedelta(minutes=minute) for minute in minutes]


def watched(*pages: list[datetime]) -> RowOrder:
    order = RowOrder()
    for page in pages:
        order.watch(page)
    return order


@pytest.mark.parametrize(
    ("pages", "verdict"),
    [
        ([], "unknown"),
        ([[]], "unknown"),
        ([[5]], "unknown"),
        ([[5], [5], [5, 5]], "unknown"),
        ([[5, 4, 3], [2, 1]], "newest_first"),
        ([[5, 5, 4], [4, 4]], "newest_first"),
        ([[5], [4], [], [3]], "newest_first"),
        ([[1, 2, 3], [4]], "oldest_first"),
        ([[1], [1], [2]], "oldest_first"),
        ([[5, 4, 3], [4]], "mixed"),
        ([[1, 2], [1]], "mixed"),
        ([[1], [3], [2]], "mixed"),
        ([[1, 3, 2]], "mixed"),
        # Two pages that are sorted each, but not one after the other.
        ([[3, 2, 1], [6, 5, 4]], "mixed"),
        ([[1, 2, 3], [], [0, 1]], "mixed"),
    ],
)
def test_the_verdict_covers_all_pages_and_the_seams_between_them(pages, verdict):
    assert watched(*[times(*page) for page in pages]).verdict == verdict


def test_one_later_row_is_a_rise_and_stays_one():
    order = watched(times(9, 8, 7))
    assert not order.rises
    order.watch(times(7, 7, 8))
    assert order.rises
    order.watch(times(6, 5))
    assert order.rises
    assert order.falls


@given(st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=6))
def test_rises_and_falls_are_what_comparing_every_pair_finds(pages):
    flat = [minute for page in pages for minute in page]

    order = watched(*[times(*page) for page in pages])

    assert order.rises == any(later > earlier for earlier, later in pairwise(flat))
    assert order.falls == any(later < earlier for earlier, later in pairwise(flat))


def test_watching_leaves_the_callers_list_alone():
    page = times(3, 1, 2)
    watched(times(9), page)
    assert page == times(3, 1, 2)
