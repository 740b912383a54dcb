"""What was asked of the emulator, for tests that count."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

_REMEMBERED = 10_000


@dataclass(slots=True, frozen=True)
class Request:
    """
    One request that was answered, or refused, or dropped.

    :param endpoint: endpoint name, "" if it meant none.
    :param method: GET, POST ...
    :param path: the path as sent, still encoded.
    :param query: the query as sent, still encoded.
    :param page: the page of a listing that it asked for; None for a token that cannot be read.
    :param status: HTTP status of the answer, 0 where the connection was dropped.
    :param time: when, in seconds since 1970 by the machine's clock.
    :param user_agent: its User-Agent header.
    :param authorized: whether it carried the right key; the key itself is not kept.
    :param faults: kinds of the faults that struck it.
    """

    endpoint: str
    method: str
    path: str
    query: str
    page: int | None
    status: int
    time: float
    user_agent: str
    authorized: bool
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as the control API shows it."""
        return asdict(self)


class Journal:
    """Count all requests, and remember the last ten thousand."""

    def __init__(self) -> None:
        self.recent: deque[Request] = deque(maxlen=_REMEMBERED)
        self.served: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0

    def enter(self) -> None:
        """Count a request as being worked on."""
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def leave(self) -> None:
        """Count it as done."""
        self.in_flight -= 1

    def clear(self) -> None:
        """Start counting anew; what is being worked on stays counted as that."""
        self.recent.clear()
        self.served.clear()
        self.peak_in_flight = self.in_flight
