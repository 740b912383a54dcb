"""Waiting for a crawl without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.knowledge.crawl import CrawlWatch
from airflow_provider_robofy.triggers.base import RobofyWaitTrigger

if TYPE_CHECKING:
    from airflow_provider_robofy.api.aio import AsyncRobofyClient
    from airflow_provider_robofy.hooks.connection import RobofyConnection


class RobofyCrawlTrigger(RobofyWaitTrigger):
    """Fire when an agent's crawling is complete or has failed.

    Usage, in an operator of your own::

        self.defer(
            trigger=RobofyCrawlTrigger(
                project_id="24017",
                chatbot_id="UOmf...",
                robofy_conn_id="robofy_default",
                poll_interval=60,
                deadline=time.time() + 3600,
            ),
            method_name="execute_complete",
        )

    and in its ``execute_complete``::

        return value_of(event, on_timeout=AirflowSensorTimeout("The crawl took longer than an hour."))

    with :func:`airflow_provider_robofy.triggers.events.value_of`. The event holds the status word, run id and start.

    :param project_id: The agent's project; ``chatbot_id`` the agent.
    :param run_id: The run waited for, if known. The API is not asked for it; the result names it.
    :param unknown_until: Second since 1970 up to which Robofy may not know of the crawl yet.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Seconds between two looks.
    :param deadline: Second since 1970 at which the wait ends.
    """

    def __init__(
        self,
        *,
        project_id: str,
        chatbot_id: str,
        run_id: str | None = None,
        unknown_until: float | None = None,
        robofy_conn_id: str,
        poll_interval: float,
        deadline: float,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.run_id = run_id
        self.unknown_until = unknown_until
        self._watch = CrawlWatch(
            project_id=project_id, chatbot_id=chatbot_id, run_id=run_id, unknown_until=unknown_until
        )

    def arguments(self) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            "chatbot_id": self.chatbot_id,
            "run_id": self.run_id,
            "unknown_until": self.unknown_until,
            **super().arguments(),
        }

    async def look(self, client: AsyncRobofyClient, connection: RobofyConnection) -> dict[str, Any] | None:
        del connection  # a crawl's status needs nothing of it but the client
        try:
            payload = await client.call(self._watch.call)
        except RobofyError as error:
            self._watch.forgive(error)
            return None
        return self._watch.judge(payload)
