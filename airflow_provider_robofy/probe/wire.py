"""What is seen of answers beside their content: rate limits, error shapes, clocks, and how many requests there were."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.answers import http_date
from airflow_provider_robofy.api.transport import Received
from airflow_provider_robofy.probe.shapes import error_shape
from airflow_provider_robofy.probe.words import known

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_robofy.api.transport import Lost

_LIMIT_HEADER: Final = re.compile(r"(?:x-)?(?:[a-z]+-)?rate-?limit(?:-[a-z-]+)?|retry-after")
_LIMIT_WORDS: Final = re.compile(r"x-|rate-?limit|retry-after|policy|burst|capacity|minute|daily")
_NUMBER: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,6})?")


class BudgetSpentError(Exception):
    """Tell that no further request may be sent."""


class Wire:
    """Watch what comes back. Bodies of errors are looked at for their shape; of others, nothing is.

    :param max_requests: Requests after which not even a redirect is followed.
    :param now: This machine's clock.
    """

    def __init__(self, max_requests: int, now: Callable[[], datetime]) -> None:
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.lost = 0
        self.limits: dict[str, str] = {}
        self.error_shapes: Counter[str] = Counter()
        self.retry_after: Counter[str] = Counter()
        #: Seconds that the server's clock is ahead of ours, from the latest answer that bore a date.
        self.clock_ahead: float | None = None
        self._max_requests = max_requests
        self._now = now

    def __call__(self, outcome: Received | Lost) -> None:
        """Take what came of one request.

        :raises BudgetSpentError: A redirect would need one request too many.
        """
        self.requests += 1
        if not isinstance(outcome, Received):
            self.lost += 1
            return
        self.statuses[outcome.status] += 1
        for name, value in outcome.headers.items():
            if _LIMIT_HEADER.fullmatch(name):
                # Names are lower case on arrival; a strange one is only said to be there.
                said = (
                    name if known(_LIMIT_WORDS.sub("", name).strip("-") or "limit") else "a further rate limit header"
                )
                self.limits[said] = value.strip() if _NUMBER.fullmatch(value.strip()) else "not a plain number"
        if date := http_date(outcome.headers.get("date")):
            self.clock_ahead = (date - self._now()).total_seconds()
        if outcome.status == 429:
            self.retry_after[_how_long(outcome.headers.get("retry-after"))] += 1
        if outcome.status >= 400:
            try:
                payload = codec.loads(outcome.body)
            except ValueError:
                self.error_shapes["no JSON"] += 1
            else:
                self.error_shapes[error_shape(payload)] += 1
        elif outcome.status >= 300 and self.requests >= self._max_requests:
            raise BudgetSpentError


def _how_long(header: str | None) -> str:
    if header is None:
        return "absent"
    return "seconds" if _NUMBER.fullmatch(header.strip()) else "a date" if http_date(header) else "unreadable"
