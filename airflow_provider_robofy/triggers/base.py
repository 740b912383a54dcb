"""Base class of every trigger that polls Robofy."""

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

#: Seconds after the deadline that the last poll may take.
_LAST_POLL: Final = 3.0


class Watch(Protocol):
    """Decide after each poll whether the wait is over. A sensor and its trigger share one."""

    def judge(self, answer: Any, /) -> Any:
        """Return the task's result, or None while the wait goes on.

        :param answer: The poll's answer to the question.
        :raises RobofyError: The wait cannot succeed any more.
        """

    def tolerate(self, error: RobofyError) -> None:
        """Log a poll's error if a later poll may succeed, else raise it.

        :param error: The error of the poll.
        :raises RobofyError: The error itself, where no later poll can succeed.
        """


class RobofyWaitTrigger(BaseTrigger):
    """Poll Robofy until a condition holds, a deadline passes or no later poll can succeed.

    It checks the deadline itself and never raises: the task gets exactly one event, and decides what to do. It sleeps
    before the first poll, because the task has just polled. A task that resumes at once can also be failed by the
    scheduler, which has not processed the deferral yet (seen on Airflow 3.3.2).

    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Unix time at which the wait ends.
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
        """Return the object that decides whether the wait is over."""

    @abstractmethod
    def poll(self, connection: RobofyConnection) -> Poll:
        """Return the poll: what to read from Robofy each time.

        :param connection: The connection's fields.
        """

    def question(self, connection: RobofyConnection) -> Hashable:  # noqa: ARG002
        """Return the question of this poll. Default None: the poll answers one question only.

        :param connection: The connection's fields.
        """
        return None

    def arguments(self) -> dict[str, Any]:
        """Return this class's arguments for :meth:`serialize`."""
        return {
            "robofy_conn_id": self.robofy_conn_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event; :mod:`airflow_provider_robofy.triggers.events` lists the kinds."""
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
                self.log.warning("The poll got no answer (%s). The next poll tries again.", type(error).__name__)
            else:
                if (value := self.watch.judge(answer)) is not None:
                    return events.done(value)
        return events.timed_out()

    async def _connection(self) -> RobofyConnection:
        """Return the connection.

        :raises ConnectionError: Airflow's own API or the secrets backend did not answer. The next poll tries again.
        """
        try:
            return await RobofyHook(self.robofy_conn_id).aconnection()
        except RobofyError:
            raise
        except Exception as error:
            self.log.warning(
                "Connection %r could not be read (%s). Airflow's API or the secrets backend may be down.",
                self.robofy_conn_id,
                type(error).__name__,
            )
            raise ConnectionError from error
