"""Saying now and then how a long read goes."""

from __future__ import annotations

import itertools
import logging

import pytest

from airflow_provider_robofy.extract.listing import Progress


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_it_speaks_at_most_every_ten_seconds(caplog):
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = Progress(logging.getLogger("test"), "leads", clock)

    said: list[float] = []
    for tick in range(1, 401):
        clock.time += 0.1
        progress.report(tick, tick * 100)
        if len(caplog.messages) > len(said):
            said.append(clock.time)

    assert len(said) == 3
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(said))
    assert caplog.messages[0] in {
        "Reading leads: 100 pages, 10000 rows, 1000 rows/s",
        "Reading leads: 101 pages, 10100 rows, 1000 rows/s",
    }


def test_a_short_read_says_nothing(caplog):
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = Progress(logging.getLogger("test"), "leads", clock)
    clock.time += 9.99
    progress.report(5, 500)
    assert caplog.messages == []
    assert progress.seconds == pytest.approx(9.99)


def test_after_a_long_silence_it_speaks_once(caplog):
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    progress = Progress(logging.getLogger("test"), "leads", clock)
    clock.time += 100
    progress.report(5, 500)
    progress.report(6, 600)
    assert caplog.messages == ["Reading leads: 5 pages, 500 rows, 5 rows/s"]
