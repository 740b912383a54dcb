"""Fetching leads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.extract.extraction import Extraction
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.operators.base import RobofyBaseOperator, failing_at_once, landing_store, run_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context


class RobofyFetchLeadsOperator(RobofyBaseOperator):
    """Land an agent's leads in a file, and return a manifest that adds up.

    Everything there is, from a daily DAG::

        RobofyFetchLeadsOperator(task_id="leads", output_path="s3://aws_default@lake/leads/{{ ds }}.jsonl.gz")

    The leads of a stretch of time, shifted back by the time in which leads may turn up late::

        RobofyFetchLeadsOperator(
            task_id="leads",
            since="{{ data_interval_start - macros.timedelta(minutes=10) }}",
            until="{{ data_interval_end - macros.timedelta(minutes=10) }}",
        )

    One file for each agent::

        RobofyFetchLeadsOperator.partial(task_id="leads").expand(chatbot_id=agents())

    A row lands as the API sent it, with ``_project_id``, ``_chatbot_id`` and ``_created_at`` (UTC, null where the API's
    time cannot be read) added. The file appears whole or not at all, with ``<file>.manifest.json`` beside it; rows that
    cannot be understood go to ``<file>.rejected.jsonl``. The API has no time filter, so a window costs the requests of
    a full read, unless the connection says ``leads_order=newest_first``.

    :param output_path: Where to land, ending in ``.jsonl`` or ``.jsonl.gz``; anything that Airflow's
        ``ObjectStoragePath`` opens. A relative path is relative to the worker's directory. Default: below
        ``[robofy] landing_root``, by project, agent, DAG, run and task. (templated)
    :param project_id: The agent's project. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param since: Land leads created at or after this; datetime or ISO 8601 text, UTC where it names no zone. None or
        empty leaves that side open. (templated)
    :param until: Land leads created before this; likewise. (templated)
    :param lag: How late a lead may turn up in the listing. A window that ends later than this before now is read, with
        a warning. Default ten minutes.
    :param max_rejected: Rows that may be rejected before the task fails; the files are published all the same, and the
        manifest is pushed to XCom as ``manifest``. Default 0.
    :param robofy_conn_id: The Robofy connection. (templated)
    :return: The manifest, see :class:`~airflow_provider_robofy.extract.manifest.Manifest`. No personal data.
    :raises AirflowFailException: Key, ids, connection or window are wrong, so that a retry cannot help.
    :raises RobofyError: The API failed, or the file could not be landed; the task's retries apply.
    """

    template_fields: Sequence[str] = (
        "output_path",
        "project_id",
        "chatbot_id",
        "since",
        "until",
        "robofy_conn_id",
    )

    def __init__(
        self,
        *,
        output_path: str | None = None,
        project_id: str | int | None = None,
        chatbot_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        lag: timedelta = timedelta(minutes=10),
        max_rejected: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.since = since
        self.until = until
        self.lag = lag
        self.max_rejected = max_rejected

    def execute(self, context: Context) -> dict[str, Any]:
        """Fetch, land and return the manifest."""
        with failing_at_once():
            project_id, chatbot_id = (
                self.hook.project_id(self.project_id),
                self.hook.chatbot_id(self.chatbot_id),
            )
            connection = self.hook.connection
            window = Window.of(self.since, self.until)
            if window.mode == "full" and (self.since, self.until) != (None, None):
                self.log.warning("since and until came out empty, so everything is read.")
            extraction = Extraction(
                resource="leads",
                project_id=project_id,
                chatbot_id=chatbot_id,
                time_field="created_at",
                window=window,
                lag=self.lag,
                times=connection.times,
                order=connection.leads_order,
                run_key=run_key(context),
                store=landing_store(self.output_path, context, "leads", project_id, chatbot_id),
            )
            with self.hook.get_conn() as client:
                manifest = extraction.run(client.pages(list_leads(project_id, chatbot_id)), lambda: client.requests)
            if manifest.rejected > self.max_rejected:
                context["ti"].xcom_push(key="manifest", value=manifest.as_dict())
                raise RobofyDataError(
                    f"{manifest.rejected} of {manifest.received} rows were rejected, and max_rejected is "
                    f"{self.max_rejected}. They are in {manifest.rejected_uri} with the reasons; the others landed in "
                    f"{manifest.uri}, and the manifest is in XCom under the key 'manifest'."
                )
        return manifest.as_dict()
