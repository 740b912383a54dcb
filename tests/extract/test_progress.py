"""Saying now and then how a long read goes."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_robofy.extract.listing import Progress

LONG = [f"Reading leads: {pages} pages, {pages}00 rows, 200 rows/s" for pages in (20, 40, 60)]


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([(9.99, 5)], []),
        ([(100, 5), (0, 6)], ["Reading leads: 5 pages, 500 rows, 5 rows/s"]),
        ([(0.5, tick) for tick in range(1, 70)], LONG),
    ],
    ids=["a short read", "after a long silence", "a long read"],
)
def test_it_speaks_at_most_every_ten_seconds(caplog, reports, said):
    caplog.set_level(logging.INFO)
    clock = [1000.0]
    progress = Progress(logging.getLogger("test"), "leads", lambda: clock[-1])
    for seconds, pages in reports:
        clock.append(clock[-1] + seconds)
        progress.report(pages, pages * 100)
    assert caplog.messages == said
    assert progress.seconds == pytest.approx(clock[-1] - 1000)
