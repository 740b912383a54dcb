"""Wait for an agent's crawling, and for uploaded documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import AirflowSensorTimeout

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.operators.knowledge import documents_in
from airflow_provider_robofy.sensors.base import RobofyBaseSensor
from airflow_provider_robofy.triggers.knowledge import RobofyCrawlTrigger, RobofyKnowledgeTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.knowledge.ready import ReadyWatch


class RobofyCrawlSensor(RobofyBaseSensor):
    """Wait until an agent's crawling is complete.

    Usage::

        RobofyCrawlSensor(task_id="crawled", deferrable=True, poke_interval=60, timeout=3600)

    The API tells of the agent's crawling and not of one run: where two crawls overlap, the sensor waits for whichever
    Robofy speaks of, and an agent whose crawl of last week is complete is complete at once. So start the crawl before.

    Status words are read without case. A word that is not known means still running, with a warning, until the
    timeout; so does trouble that may pass, such as a dropped connection.

    :param project_id: The agent's project. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param robofy_conn_id: The Robofy connection. (templated)
    :param deferrable: Wait in the triggerer, without a worker. Default: ``[operators] default_deferrable``.
    :param poke_interval: Time between two polls, as a timedelta or in seconds; at least ten seconds in reschedule and
        deferred mode. Default 60.
    :param timeout: Timedelta or seconds after which the task fails without a retry, or is skipped with ``soft_fail``.
        In deferred mode it counts from the start of each try. Default: ``[sensors] default_timeout``, a week.
    :param mode: ``poke`` or ``reschedule``, for waiting that is not deferred. Default ``poke``.
    :return: ``status`` (Robofy's word), ``run_id`` and ``started_at`` as far as Robofy names them.
    :raises AirflowFailException: The key is wrong, or Robofy does not accept the request. ``soft_fail`` does not skip.
    :raises AirflowSensorTimeout: It took too long.
    :raises RobofyCrawlError: The crawl has failed, or Robofy knows of none; the task's retries apply.
    """

    template_fields: Sequence[str] = ("project_id", "chatbot_id", "robofy_conn_id")

    def __init__(self, *, project_id: str | int | None = None, chatbot_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.chatbot_id = chatbot_id

    def trigger(self, **waiting: Any) -> RobofyCrawlTrigger:
        project_id, chatbot_id = self.ids().values()
        return RobofyCrawlTrigger(project_id=project_id, chatbot_id=chatbot_id, **waiting)


class RobofyKnowledgeSensor(RobofyBaseSensor):
    """Wait until Robofy lists every document of an upload as ready.

    Usage::

        upload = RobofyUploadKnowledgeOperator(task_id="upload", source="documents")
        RobofyKnowledgeSensor(task_id="ready", manifest=upload.output, deferrable=True, timeout=3600)

    Ready are the statuses linked, active and completed, without case. A document that is not listed and a status that
    is not known mean not ready yet, until the timeout; the log of each poll names the documents.

    :param manifest: What ``RobofyUploadKnowledgeOperator`` returned. Its agent and its documents ``uploaded`` and
        ``unchanged`` count. (templated)
    :param robofy_conn_id: The Robofy connection. (templated)
    :param deferrable: Wait in the triggerer, without a worker. Default: ``[operators] default_deferrable``.
    :param poke_interval: Time between two polls, as a timedelta or in seconds; at least ten seconds in reschedule and
        deferred mode. Default 60.
    :param timeout: Timedelta or seconds after which the task fails without a retry, or is skipped with ``soft_fail``.
        In deferred mode it counts from the start of each try. Default: ``[sensors] default_timeout``, a week.
    :param mode: ``poke`` or ``reschedule``, for waiting that is not deferred. Default ``poke``.
    :return: ``{"ready": 12}``, the number of documents.
    :raises AirflowFailException: The key or the manifest is wrong. ``soft_fail`` does not skip.
    :raises AirflowSensorTimeout: It took too long.
    :raises RobofyDataError: Robofy could not process a document, or its listing has no ids; the task's retries apply.
    """

    template_fields: Sequence[str] = ("manifest", "robofy_conn_id")

    def __init__(self, *, manifest: Mapping[str, Any] | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest

    def trigger(self, **waiting: Any) -> RobofyKnowledgeTrigger:
        manifest: Any = self.manifest
        try:
            ids = {name: str(manifest[name]) for name in ("project_id", "chatbot_id")}
            documents = documents_in(manifest)
        except (KeyError, TypeError, ValueError):
            raise RobofyConfigError(
                "manifest is not the manifest of an upload. Give the output of RobofyUploadKnowledgeOperator, as in "
                "manifest=upload.output."
            ) from None
        except OSError as error:
            raise RobofyConfigError(
                f"manifest: the lists in {manifest['lists_uri']} cannot be read ({type(error).__name__})."
            ) from None
        return RobofyKnowledgeTrigger(**ids, documents=documents, **waiting)

    def execute(self, context: Context) -> Any:
        """Wait, and name the documents that were not ready in time."""
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(
                f"{error} Not ready: {cast('ReadyWatch', self._trigger.watch).waiting_for()}"
            ) from None
