"""Asking within bounds: so many requests and so much time, whatever comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_robofy.api.client import Clock, RobofyClient
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.probe.failure import FINAL, SPENT, Failure, failure_of
from airflow_provider_robofy.probe.wire import BudgetSpentError, Wire

if TYPE_CHECKING:
    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.client import Answered
    from airflow_provider_robofy.api.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bound a probe.

    :param max_requests: Requests in all, repeated ones included.
    :param max_seconds: Seconds in all, without the pause that is asked for. A request under way is ended then.
    :param lead_pages: Pages of leads to read.
    :param session_pages: Pages of sessions to read.
    :param sessions: Sessions whose messages are looked at.
    :param wait: Seconds between the two looks at the newest leads.
    """

    max_requests: int = 32
    max_seconds: float = 300.0
    lead_pages: int = 4
    session_pages: int = 2
    sessions: int = 3
    wait: float = 0.0


class Asker:
    """Make calls that read, and no others, until a bound is reached or asking on is of no use.

    :param settings: How to reach Robofy. Attempts and times are cut to what the bounds leave.
    :param bounds: How much may be asked.
    :param clock: Clocks and dice, for tests.
    """

    def __init__(self, settings: Settings, bounds: Bounds, *, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._settings = settings
        self._bounds = bounds
        self.wire = Wire(bounds.max_requests, self._clock.now)
        self.client = RobofyClient(settings, clock=clock, watch=self.wire)
        #: Why asking has ended, if it has.
        self.ended: Failure | None = None
        #: Calls that were not made for that reason.
        self.left_out = 0
        #: Requests that later calls are to find still free.
        self.reserved = 0
        self.answered = 0
        self._end = self._clock.monotonic() + bounds.max_seconds
        self._began = self._clock.monotonic()

    @property
    def seconds(self) -> float:
        """Return how long it has taken so far."""
        return self._clock.monotonic() - self._began

    def ask(self, call: Call[T], *, template: str | None = None) -> Answered[T] | Failure:
        """Make one call that reads.

        :param call: A call whose method is GET.
        :param template: Path template to use instead of the connection's.
        """
        if call.method != "GET":
            msg = f"the probe only reads, and {call.endpoint} would not"
            raise ValueError(msg)
        if failure := self.stopped:
            self.left_out += 1
            return failure
        try:
            self.client.settings = self._cut(call, template)
            answer = self.client.exchange(call)
        except BudgetSpentError:
            failure = _SPENT
        except RobofyError as error:
            failure = failure_of(error, answered=self.answered > 0)
            if self._out_of_time() and not isinstance(error, RobofyConfigError):
                failure = Failure(SPENT, "the time that the probe may take was over")
        else:
            self.answered += 1
            return answer
        if failure.kind in FINAL:
            self.ended = failure
        return failure

    @property
    def stopped(self) -> Failure | None:
        """Return why the next call would not be made, or None."""
        return self.ended or self._spent()

    def pause(self, seconds: float) -> None:
        """Wait, and let the bound of time move along."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
        self._end += seconds

    def use(self, endpoint: str, template: str) -> None:
        """Ask an endpoint under another path from now on."""
        self._settings = replace(self._settings, endpoints={**self._settings.endpoints, endpoint: template})

    def template(self, endpoint: str) -> str | None:
        """Return the path template that the connection or :meth:`use` sets for an endpoint."""
        return self._settings.endpoints.get(endpoint)

    def _left(self) -> int:
        return self._bounds.max_requests - self.wire.requests - self.reserved

    def _out_of_time(self) -> bool:
        return self._clock.monotonic() >= self._end

    def _spent(self) -> Failure | None:
        per_minute = self._settings.requests_per_minute
        gap = 60.0 / per_minute if per_minute and self.wire.requests else 0.0
        if self._left() < 1:
            return Failure(SPENT, "the requests that the probe may send were used up")
        if self._clock.monotonic() + gap >= self._end:
            return Failure(SPENT, "the time that the probe may take was over")
        return None

    def _cut(self, call: Call[Any], template: str | None) -> Settings:
        """Return settings that keep one call within the bounds."""
        settings = self._settings
        left = max(self._end - self._clock.monotonic(), 0.1)
        endpoints = settings.endpoints if template is None else {**settings.endpoints, call.endpoint: template}
        return replace(
            settings,
            max_attempts=min(settings.max_attempts, self._left()),
            total_timeout=min(settings.total_timeout, left),
            endpoints=endpoints,
        )


_SPENT = Failure(SPENT, "the requests that the probe may send were used up")
