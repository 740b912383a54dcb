"""What every trigger that waits for Robofy does in the same way."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.triggers import events
from airflow_provider_robofy.triggers.clients import shared_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_robofy.api.aio import AsyncRobofyClient
    from airflow_provider_robofy.hooks.connection import RobofyConnection


class RobofyWaitTrigger(BaseTrigger):
    """Look at Robofy from time to time until something is so, a deadline passes or no later look could help.

    It keeps its own deadline and never raises, so that a task gets one event and decides itself what it means. It
    sleeps before each look: the task has looked before it deferred, and one that comes back at once may be failed by
    the scheduler, which has not yet heard of its first leg.

    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Seconds between two looks.
    :param deadline: Second since 1970 at which the wait ends.
    """

    def __init__(self, *, robofy_conn_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.robofy_conn_id = robofy_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    @abstractmethod
    async def look(self, client: AsyncRobofyClient, connection: RobofyConnection) -> Any:
        """Return what the task is to return, or None while there is nothing.

        :raises RobofyError: No later look could help.
        """

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
            event = await self._wait()
        except Exception as error:
            if not isinstance(error, RobofyError):
                self.log.exception("The trigger failed.")
            event = events.failed(error)
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        connection = None
        while connection is None:
            if not await self._sleep():
                return events.timed_out()
            connection = await self._connection()
        async with shared_client(connection.settings) as client:
            while (value := await self.look(client, connection)) is None:
                if not await self._sleep():
                    return events.timed_out()
        return events.done(value)

    async def _sleep(self) -> bool:
        """Sleep until the next look is due, the last one at the deadline; False where that has passed."""
        left = self.deadline - time.time()
        if left <= 0:
            return False
        await asyncio.sleep(min(self.poll_interval, left))
        return True

    async def _connection(self) -> RobofyConnection | None:
        try:
            return await RobofyHook(self.robofy_conn_id).aconnection()
        except RobofyError:
            raise
        except AirflowNotFoundException:
            raise RobofyConfigError(f"Connection {self.robofy_conn_id!r} does not exist.") from None
        except Exception as error:  # noqa: BLE001 - Airflow's own API or a secrets backend is not up: nothing that lasts
            self.log.warning("Connection %r could not be read: %s", self.robofy_conn_id, type(error).__name__)
            return None
