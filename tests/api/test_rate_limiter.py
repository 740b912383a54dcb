"""Calls are spaced evenly, and all wait while a 429 holds the account."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.settings import RateLimiter, rate_limiter


def test_without_a_budget_nobody_waits():
    limiter = RateLimiter()
    assert [limiter.reserve(5.0) for _ in range(100)] == [0.0] * 100


def test_turns_are_given_out_one_gap_apart():
    limiter = RateLimiter(30)
    assert [limiter.reserve(100.0) for _ in range(4)] == [0, 2, 4, 6]
    assert limiter.reserve(107.0) == 1
    assert limiter.reserve(200.0) == 0
    assert limiter.reserve(200.0) == 2


@given(st.lists(st.floats(0, 300), min_size=1, max_size=60), st.integers(1, 600))
def test_no_sixty_seconds_hold_more_than_the_budget(arrivals, per_minute):
    limiter = RateLimiter(per_minute)
    starts = [now + limiter.reserve(now) for now in sorted(arrivals)]
    assert starts == sorted(starts)
    for at, start in enumerate(starts):
        assert sum(1 for other in starts[at:] if other < start + 60 - 1e-6) <= per_minute


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=20))
def test_nobody_starts_while_all_are_held_and_no_wait_is_negative(steps):
    limiter, held = RateLimiter(), 0.0
    for now, until in steps:
        limiter.hold(until)
        held = max(held, until)
        wait = limiter.reserve(now)
        assert wait >= 0
        assert now + wait >= held or abs(now + wait - held) < 1e-9
        assert limiter.held(now) == (now < held)


def test_turns_behind_a_hold_keep_their_gap():
    limiter = RateLimiter(60)
    limiter.hold(10.0)
    assert [limiter.reserve(0.0) for _ in range(3)] == [10, 11, 12]


def test_threads_share_the_turns():
    limiter = RateLimiter(60)
    waits: list[float] = []

    def reserve():
        waits.extend(limiter.reserve(0.0) for _ in range(200))

    threads = [threading.Thread(target=reserve) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([float(number) for number in range(800)])


def test_one_account_and_budget_has_one_rate_limiter():
    limiter = rate_limiter("https://a.example", "k", 10)
    assert limiter is rate_limiter("https://a.example", "k", 10)
    assert limiter is not rate_limiter("https://b.example", "k", 10)
    assert limiter is not rate_limiter("https://a.example", "other", 10)
