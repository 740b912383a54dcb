"""The request budget of this process: how fast calls may follow each other."""

from __future__ import annotations

import threading
from functools import cache


class Pace:
    """Space calls evenly and let all of them wait when one was told to.

    Even spacing, rather than a bucket that fills up, keeps every stretch of sixty seconds inside the budget. One
    instance serves every client of a process that uses the same account: see :func:`pace_of`.

    :param per_minute: Calls per minute, or None for no limit.
    """

    def __init__(self, per_minute: float | None = None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next_at = 0.0
        self._held_until = 0.0
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take the next free place and return the seconds until it comes.

        :param now: Monotonic seconds, from the same clock for every caller.
        """
        with self._lock:
            at = max(now, self._next_at, self._held_until)
            self._next_at = at + self._gap
            return at - now

    def held(self, now: float) -> bool:
        """Tell whether all calls are to wait at a moment; a place that was reserved for it is then void.

        :param now: Monotonic seconds.
        """
        with self._lock:
            return now < self._held_until

    def hold(self, until: float) -> None:
        """Let nobody start before a moment: Robofy answered 429 and said how long.

        :param until: Monotonic seconds.
        """
        with self._lock:
            self._held_until = max(self._held_until, until)


@cache
def pace_of(base_url: str, api_key: str, per_minute: float | None) -> Pace:
    """Return the one pace of this process for an account and its budget."""
    del base_url, api_key  # they only tell accounts apart
    return Pace(per_minute)
