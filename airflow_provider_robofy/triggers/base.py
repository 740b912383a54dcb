"""What every trigger that waits for Robofy does in the same way."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.triggers import events
from airflow_provider_robofy.triggers.polls import shared_polls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable
    from datetime import timedelta

    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.triggers.polls import Poll, Polls

#: Seconds beyond the deadline for which the last poll is awaited.
_LAST_POLL: Final = 3.0


class Watch(Protocol):
    """Decide at each poll whether a wait is over: the same in a sensor and in its trigger."""

    def judge(self, answer: Any, /) -> Any:
        """Return what the task is to return, or None while the wait is not over.

        :raises RobofyError: It cannot end well.
        """

    def tolerate(self, error: RobofyError) -> None:
        """Log an error of a poll.

        :raises RobofyError: The error, where no later poll can succeed.
        """


class RobofyWaitTrigger(BaseTrigger):
    """Poll Robofy until a condition holds, a deadline passes or no later poll can succeed.

    It checks the deadline itself and never raises, so that a task gets one event and decides itself what it means. It
    sleeps before each poll: the task has polled before it deferred, and one that comes back at once can be failed by
    the scheduler, which has not yet processed the end of its first part (seen on Airflow 3.3.2).

    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Second since 1970 at which the wait ends.
    """

    def __init__(self, *, robofy_conn_id: str, poll_interval: timedelta | float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.robofy_conn_id = robofy_conn_id
        self.poll_interval = read_duration("poll_interval", poll_interval).total_seconds()
        self.deadline = deadline

    #: Does :meth:`question` read a file?
    reads_files = False

    @property
    @abstractmethod
    def watch(self) -> Watch:
        """Return what decides whether the wait is over."""

    @abstractmethod
    def poll(self, connection: RobofyConnection) -> Poll:
        """Return what to read at each poll."""

    def question(self, connection: RobofyConnection) -> Hashable:  # noqa: ARG002
        """Return what to ask at this poll. Default: there is but one question, None.

        :param connection: The connection.
        """
        return None

    def arguments(self) -> dict[str, Any]:
        """Return what :meth:`serialize` needs of this class."""
        return {
            "robofy_conn_id": self.robofy_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, of :mod:`airflow_provider_robofy.triggers.events`."""
        try:
            async with shared_polls() as polls:
                event = await self._wait(polls)
        except Exception as error:
            if not isinstance(error, RobofyError):
                self.log.exception("The trigger failed.")
            event = events.failed(error)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self, polls: Polls) -> dict[str, Any]:
        connection: RobofyConnection | None = None
        while (left := self.deadline - time.time()) > 0:
            await asyncio.sleep(min(self.poll_interval, left))
            try:
                connection = connection or await self._connection()
                answer = await polls.ask(
                    self.poll(connection),
                    # Beside the event loop where it may read a file.
                    await asyncio.to_thread(self.question, connection)
                    if self.reads_files
                    else self.question(connection),
                    settings=connection.settings,
                    interval=self.poll_interval,
                    timeout=max(0.0, self.deadline - time.time()) + _LAST_POLL,
                )
            except RobofyError as error:
                self.watch.tolerate(error)
            except (TimeoutError, ConnectionError) as error:
                self.log.warning("There was no answer (%s).", type(error).__name__)
            else:
                if (value := self.watch.judge(answer)) is not None:
                    return events.done(value)
        return events.timed_out()

    async def _connection(self) -> RobofyConnection:
        """Return the connection.

        :raises ConnectionError: It could not be read now: Airflow's own API or a secrets backend is not up.
        """
        try:
            return await RobofyHook(self.robofy_conn_id).aconnection()
        except RobofyError:
            raise
        except Exception as error:
            self.log.warning("Connection %r could not be read: %s", self.robofy_conn_id, type(error).__name__)
            raise ConnectionError from error
