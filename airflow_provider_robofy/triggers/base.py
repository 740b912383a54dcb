"""Base class of every trigger that polls Robofy, and the wait of a task: on its worker, or deferred."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from abc import abstractmethod
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow.providers.common.compat.sdk import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_robofy.api.errors import RobofyCancelledError, RobofyError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.triggers import events
from airflow_provider_robofy.triggers.polls import shared_polls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.triggers.polls import Poll, Polls

#: Seconds. A task that comes back sooner may be failed by the scheduler, which has not yet heard of its first leg.
SHORTEST_POLL: float = 10.0
#: Seconds after the deadline that the last poll may take.
_LAST_POLL: Final = 3.0
#: Seconds beyond a task's own timeout after which Airflow ends a deferral whose trigger is dead.
_BACKSTOP: Final = 300
#: Seconds between two checks whether the task was killed.
_NAP: Final = 0.2

_log = logging.getLogger(__name__)


class Watch(Protocol):
    """Decide after each poll whether the wait is over."""

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


def default_deferrable() -> bool:
    """Return Airflow's default for ``deferrable``."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def at_least(seconds: float) -> float:
    """Return an interval that is not too short for a task that leaves its worker in between.

    :param seconds: The interval that the user gave.
    """
    if seconds < SHORTEST_POLL:
        _log.warning(
            "An interval of %g s is too short between two legs of a task; %g s is used.", seconds, SHORTEST_POLL
        )
        return SHORTEST_POLL
    return seconds


def defer(task: Any, trigger: RobofyWaitTrigger) -> None:
    """Let a task wait in the triggerer. Its ``execute_complete`` gets the event.

    :param task: The operator or sensor, which has a ``timeout`` in seconds.
    :param trigger: What waits.
    """
    trigger.poll_interval = at_least(trigger.poll_interval)
    task.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=task.timeout + _BACKSTOP))


def wait_on_worker(task: Any, trigger: RobofyWaitTrigger) -> Any:
    """Poll on the task's own thread, an interval after another, and return the result of the wait.

    :param task: The operator, whose client is cancelled when the task is killed.
    :param trigger: What waits. It is not run.
    :return: What the trigger's watch returned; None if the deadline has passed.
    :raises RobofyError: The wait cannot succeed any more, or the task was killed.
    """
    while (left := trigger.deadline - time.time()) > 0:
        end = time.monotonic() + min(trigger.poll_interval, left)
        while (pause := end - time.monotonic()) > 0:
            if task.client.cancelled:
                raise RobofyCancelledError("The task was killed while it was waiting for Robofy, which goes on.")
            time.sleep(min(_NAP, pause))
        if (value := trigger.poll_once(task.client, task.hook.connection)) is not None:
            return value
    return None


def arguments_of(trigger: BaseTrigger) -> dict[str, Any]:
    """Return the arguments that a trigger was made with: the attributes that its classes' constructors name.

    :param trigger: A trigger that keeps each keyword argument as an attribute of the same name.
    """
    constructors = [vars(kind)["__init__"] for kind in type(trigger).__mro__ if "__init__" in vars(kind)]
    parameters = [one for make in constructors for one in inspect.signature(make).parameters.values()]
    return {one.name: getattr(trigger, one.name) for one in parameters if one.kind is one.KEYWORD_ONLY}


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

    #: What decides whether the wait is over; set in the constructor.
    watch: Watch
    #: Does :meth:`question` read a file?
    reads_files = False

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

    def poll_once(self, client: RobofyClient, connection: RobofyConnection) -> Any:
        """Poll on the calling thread, for a task that waits without the triggerer.

        :param client: Client of the task.
        :param connection: The connection's fields.
        :return: The task's result, or None while the wait goes on.
        :raises RobofyError: The wait cannot succeed any more.
        """
        try:
            question = self.question(connection)
            answer = self.poll(connection)(client, [question])[question]
        except RobofyError as error:
            self.watch.tolerate(error)
            return None
        return self.watch.judge(answer)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments_of(self)

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
