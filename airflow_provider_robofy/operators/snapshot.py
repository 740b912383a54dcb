"""Fetching what an account has at a moment: its agents, its projects or its message statistics."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.endpoints import SNAPSHOTS_OF, snapshot
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError, RobofyNotFoundError
from airflow_provider_robofy.extract.landing import Landing
from airflow_provider_robofy.extract.manifest import Manifest, identity
from airflow_provider_robofy.extract.rows import NO_OBJECT, TAKEN_NAME, TOO_DEEP, rejected_line
from airflow_provider_robofy.hooks.metrics import count_fetch, tags_of
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.base import RobofyBaseOperator, landing_store, run_key
from airflow_provider_robofy.resources import CHATBOT_ID, POSITION, PROJECT_ID, SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy

MISSING: Final = ("fail", "skip")


class RobofySnapshotOperator(RobofyBaseOperator):
    """Land the agents, the projects or the message statistics as they are now, and return a manifest.

    Usage::

        RobofySnapshotOperator(task_id="stats", resource="message_stats", missing="skip")

    A row lands as the API sent it, with ``_resource``, ``_position`` (from 0, in the API's order), ``_fetched_at``
    (UTC), ``_project_id``, ``_chatbot_id`` (empty) and ``_snapshot_key`` added. The key consists of resource, time and
    position, so a table that it is loaded into has the rows of every run, and numbers can be plotted over time. Where
    the answer has no list of rows, the whole of its ``data`` is one row.

    :param resource: ``agents``, ``projects`` or ``message_stats``. None of their answers is documented. (templated)
    :param output_path: Where to land, as for
        :class:`~airflow_provider_robofy.operators.leads.RobofyFetchLeadsOperator`. Default: below the landing root, as
        ``.jsonl``. (templated)
    :param project_id: The project whose agents are listed. Default: the connection's. (templated)
    :param missing: What to do where the API does not know the path (404): ``fail`` the task, or ``skip`` it. Default
        ``fail``.
    :param robofy_conn_id: The Robofy connection; its ``privacy`` rules apply. (templated)
    :return: The manifest, see :class:`~airflow_provider_robofy.extract.manifest.Manifest`. No personal data.
    :raises AirflowFailException: Key, project, connection or path are wrong, so that a retry cannot help.
    :raises AirflowSkipException: The path answers 404, and ``missing`` is ``skip``.
    :raises RobofyDataError: A row is not an object; the others landed, and the task's retries apply.
    :raises RobofyError: The API failed, or the file could not be landed; likewise.
    """

    template_fields: Sequence[str] = ("resource", "output_path", "project_id", "robofy_conn_id")

    def __init__(
        self,
        *,
        resource: str,
        output_path: str | None = None,
        project_id: str | int | None = None,
        missing: str = "fail",
        robofy_conn_id: str = RobofyHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, **kwargs)
        if missing not in MISSING:
            raise RobofyConfigError(f"missing={missing!r} must be one of {', '.join(MISSING)}.")
        self.resource = resource
        self.output_path = output_path
        self.project_id = project_id
        self.missing = missing
        self.remember_given()

    def work(self, context: Context) -> dict[str, Any]:
        """Fetch, land and return the manifest.

        :param context: The context that Airflow passes.
        :return: The manifest.
        """
        if self.resource not in SNAPSHOTS_OF:
            raise RobofyConfigError(f"resource={str(self.resource)[:40]!r} must be one of {', '.join(SNAPSHOTS_OF)}.")
        connection = self.hook.connection
        needed = self.resource == "agents"
        project_id = self.hook.project_id(self.project_id) if needed else self.project_id or connection.project_id
        project_id = None if project_id is None else str(project_id)
        policy = connection.privacy_policy(SNAPSHOTS, None)
        try:
            with self.client as client:
                manifest = self._land(client, context, project_id, policy)
        except RobofyNotFoundError as error:
            if self.missing == "skip":
                raise AirflowSkipException(f"{self.resource}: {error}") from None
            raise
        count_fetch(manifest, client, tags_of(self))
        if manifest["rejected"]:
            self.lineage.landed(manifest)
            context["ti"].xcom_push(key="manifest", value=manifest)
            raise RobofyDataError(
                f"{manifest['rejected']} of {manifest['received']} rows were rejected. They are in "
                f"{manifest['rejected_uri']} with the reasons; the others landed in {manifest['uri']}."
            )
        self.report_landed(context, manifest)
        return manifest

    def _land(
        self, client: RobofyClient, context: Context, project_id: str | None, policy: PrivacyPolicy | None
    ) -> dict[str, Any]:
        """Read all pages, land their rows and return the manifest.

        :param client: The client.
        :param context: The context, checked.
        :param project_id: The project, or None.
        :param policy: The privacy policy, or None.
        :return: The manifest.
        """
        started = datetime.now(UTC).isoformat()
        common: dict[str, Any] = {
            "resource": SNAPSHOTS.name,
            "mode": "full",
            "project_id": project_id,
            "chatbot_id": "",
            "run_key": run_key(context),
        }
        store = landing_store(self.output_path, context, SNAPSHOTS.name, self.resource, project_id or "")
        received = pages = 0
        with Landing(store, identity(common)) as landing:
            landing.check()
            with landing.spool() as data, landing.spool_rejected() as rejected:
                for page in client.pages(snapshot(self.resource, project_id)):
                    for position, row in enumerate(page.rows, received):
                        added = {
                            SNAPSHOTS.key: f"{self.resource} {started} {position}",
                            "_resource": self.resource,
                            POSITION: position,
                            "_fetched_at": started,
                            PROJECT_ID: project_id,
                            CHATBOT_ID: "",
                        }
                        try:
                            data.append(_line(row, added, policy))
                        except (ValueError, RecursionError) as error:
                            reason = str(error) if type(error) is ValueError else TOO_DEEP
                            facts = {"page": page.number, "position": position, "reason": reason}
                            rejected.append(rejected_line(facts, row if policy is None else None))
                    received, pages = received + len(page.rows), page.number
                    end_marker = page.end_marker
                data.finish()
                rejected.finish()
                manifest = Manifest(
                    **common,
                    **landing.facts(data, rejected),
                    received=received,
                    pages=pages,
                    requests=client.requests,
                    end_marker=end_marker,
                    privacy=policy.rules if policy else None,
                    started_at=started,
                    finished_at=datetime.now(UTC).isoformat(),
                )
                landing.publish(data, rejected, manifest)
        return manifest.as_dict()


def _line(row: Any, added: dict[str, Any], policy: PrivacyPolicy | None) -> bytes:
    """Return the line that lands of a row.

    :param row: The row as the API sent it.
    :param added: Fields to add.
    :param policy: The privacy policy, or None.
    :return: One line of JSON.
    :raises ValueError: The row cannot land; the text is the reason.
    """
    if type(row) is not dict:
        raise ValueError(NO_OBJECT)
    if not added.keys().isdisjoint(row):
        raise ValueError(TAKEN_NAME)
    return dump_line({**(row if policy is None else policy.land(row)), **added})
