"""Saying now and then how a long read goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

INTERVAL = 10.0


class Progress:
    """Log pages, rows and rate, at most every ten seconds.

    :param log: Where to.
    :param what: What is being read, for example ``leads``.
    :param monotonic: Clock in seconds.
    """

    def __init__(self, log: Logger, what: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._what = what
        self._monotonic = monotonic
        self._began = self._said = monotonic()

    def tick(self, pages: int, rows: int) -> None:
        """Say where the read stands, if it is time to."""
        now = self._monotonic()
        if now - self._said >= INTERVAL:
            self._said = now
            self._log.info(
                "Reading %s: %s pages, %s rows, %.0f rows/s",
                self._what,
                pages,
                rows,
                rows / (now - self._began),
            )

    @property
    def seconds(self) -> float:
        """Return the time since the beginning."""
        return self._monotonic() - self._began
