"""How waiting is set up: how often it polls, and whether a worker waits meanwhile."""

from __future__ import annotations

import logging
from typing import Final

from airflow.providers.common.compat.sdk import conf

#: Seconds. A task that comes back sooner may be failed by the scheduler, which has not yet heard of its first leg.
SHORTEST_POLL: float = 10.0
#: Seconds after its start for which Robofy may not know of a crawl.
GRACE: Final = 60.0

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
