"""Wait for a crawl, or for uploaded documents, without a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.knowledge.crawl import CrawlWatch, crawl_status
from airflow_provider_robofy.knowledge.ready import ReadyWatch, linked_assets
from airflow_provider_robofy.triggers.base import RobofyWaitTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.hooks.connection import RobofyConnection


@dataclass(frozen=True, slots=True)
class AgentPoll:
    """Read one thing of an agent; the one answer is for every question.

    :param read: What to call with the client and both ids.
    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    """

    read: Callable[[RobofyClient, str, str], Any]
    project_id: str
    chatbot_id: str

    def __call__(self, client: RobofyClient, questions: Iterable[None]) -> dict[None, Any]:
        return dict.fromkeys(questions, self.read(client, self.project_id, self.chatbot_id))


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

    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :param run_id: The run waited for, if known. The API is not asked for it; the result names it. Default unknown.
    :param started_at: Start of that run as Robofy wrote it. Default unknown.
    :param unknown_until: Second since 1970 up to which Robofy may not know of the crawl yet. Default: it must know.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Second since 1970 at which the wait ends.
    """

    def __init__(
        self,
        *,
        project_id: str,
        chatbot_id: str,
        run_id: str | None = None,
        started_at: str | float | None = None,
        unknown_until: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.run_id = run_id
        self.started_at = started_at
        self.unknown_until = unknown_until
        self.watch = CrawlWatch(run_id=run_id, started_at=started_at, unknown_until=unknown_until)

    def poll(self, connection: RobofyConnection) -> AgentPoll:  # noqa: ARG002 - the status needs nothing of it
        return AgentPoll(crawl_status, self.project_id, self.chatbot_id)


class RobofyKnowledgeTrigger(RobofyWaitTrigger):
    """Fire when uploaded documents are ready, or one of them has failed.

    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :param documents: Documents with ``name``, ``linkage_id`` and ``asset_id``.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Second since 1970 at which the wait ends.
    """

    watch: ReadyWatch

    def __init__(self, *, project_id: str, chatbot_id: str, documents: Sequence[dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.documents = list(documents)
        self.watch = ReadyWatch(self.documents)

    def poll(self, connection: RobofyConnection) -> AgentPoll:  # noqa: ARG002 - the listing needs nothing of it
        return AgentPoll(linked_assets, self.project_id, self.chatbot_id)
