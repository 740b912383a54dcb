"""How waiting is set up: how often it polls, and whether a worker waits meanwhile."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import conf

from airflow_provider_robofy.api.errors import RobofyCancelledError, RobofyError

if TYPE_CHECKING:
    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.triggers.base import Watch
    from airflow_provider_robofy.triggers.polls import Poll

#: Seconds. A task that comes back sooner may be failed by the scheduler, which has not yet heard of its first leg.
SHORTEST_POLL: float = 10.0
#: Seconds after its start for which Robofy may not know of a crawl.
GRACE: Final = 60.0
_NAP: Final = 0.2

_log = logging.getLogger(__name__)


def at_least(seconds: float) -> float:
    """Return an interval that is not too short for a task that leaves its worker in between."""
    if seconds < SHORTEST_POLL:
        _log.warning(
            "An interval of %g s is too short between two legs of a task; %g s is used.", seconds, SHORTEST_POLL
        )
        return SHORTEST_POLL
    return seconds


def default_deferrable() -> bool:
    """Return Airflow's default for ``deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def wait_on_worker(client: RobofyClient, poll: Poll, watch: Watch, *, interval: float, deadline: float) -> Any:
    """Poll on the task's own thread, an interval after another, and return the result of the wait.

    :param client: Client of the task; killing the task cancels it.
    :param poll: What to read; its one question is None.
    :param watch: What decides whether the wait is over.
    :param interval: Seconds before each poll.
    :param deadline: Second since 1970 at which the wait ends.
    :return: What the watch returned; None if the deadline has passed.
    :raises RobofyError: The wait cannot end well, or the task was killed.
    """
    while (left := deadline - time.time()) > 0:
        _sleep(client, min(interval, left))
        try:
            answer = poll(client, [None])[None]
        except RobofyError as error:
            watch.tolerate(error)
            continue
        if (value := watch.judge(answer)) is not None:
            return value
    return None


def _sleep(client: RobofyClient, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if client.cancelled:
            raise RobofyCancelledError("The task was killed while it was waiting for Robofy, which goes on.")
        time.sleep(min(_NAP, left))
