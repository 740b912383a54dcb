"""Calls are spaced evenly, and all wait when one was told to."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.pace import Pace, pace_of


def test_without_a_budget_nobody_waits():
    pace = Pace()
    assert [pace.reserve(5.0) for _ in range(100)] == [0.0] * 100


def test_places_are_given_out_one_gap_apart():
    pace = Pace(30)
    assert [pace.reserve(100.0) for _ in range(4)] == [0, 2, 4, 6]
    assert pace.reserve(107.0) == 1
    assert pace.reserve(200.0) == 0
    assert pace.reserve(200.0) == 2


@given(st.lists(st.floats(0, 300), min_size=1, max_size=60), st.integers(1, 600))
def test_no_sixty_seconds_hold_more_than_the_budget(arrivals, per_minute):
    pace = Pace(per_minute)
    starts = [now + pace.reserve(now) for now in sorted(arrivals)]
    assert starts == sorted(starts)
    for at, start in enumerate(starts):
        assert sum(1 for other in starts[at:] if other < start + 60 - 1e-6) <= per_minute


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=20))
def test_nobody_starts_while_all_are_held_and_no_wait_is_negative(steps):
    pace, held = Pace(), 0.0
    for now, until in steps:
        pace.hold(until)
        held = max(held, until)
        wait = pace.reserve(now)
        assert wait >= 0
        assert now + wait >= held or abs(now + wait - held) < 1e-9
        assert pace.held(now) == (now < held)


def test_a_shorter_hold_does_not_end_a_longer_one():
    pace = Pace()
    pace.hold(100.0)
    pace.hold(50.0)
    assert pace.reserve(10.0) == 90


def test_places_behind_a_hold_keep_their_gap():
    pace = Pace(60)
    pace.hold(10.0)
    assert [pace.reserve(0.0) for _ in range(3)] == [10, 11, 12]


def test_threads_share_the_places():
    pace = Pace(60)
    waits: list[float] = []

    def reserve():
        waits.extend(pace.reserve(0.0) for _ in range(200))

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([float(number) for number in range(800)])


def test_one_account_and_budget_has_one_pace():
    pace = pace_of("https://a.example", "k", 10)
    assert pace is pace_of("https://a.example", "k", 10)
    assert pace is not pace_of("https://b.example", "k", 10)
    assert pace is not pace_of("https://a.example", "other", 10)
