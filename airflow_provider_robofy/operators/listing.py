"""Landing a listing: what fetching leads and fetching sessions have in common, which is nearly all."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.extract.extraction import Extraction
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.operators.base import RobofyBaseOperator, failing_at_once, landing_store, run_key

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.extract.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Describe a listing of one agent.

    :param resource: What its rows are.
    :param project_id: The agent's project, None where the listing needs none and none is known.
    :param chatbot_id: The agent.
    :param call: The call for its first page.
    :param id_field: Field of a row's id; ``time_field`` that of its time.
    :param order: What the connection says of its order.
    """

    resource: str
    project_id: str | None
    chatbot_id: str
    call: Call[Rows]
    id_field: str
    time_field: str
    order: str


class RobofyListingOperator(RobofyBaseOperator):
    """Land the rows of one listing and return a manifest; subclasses say which listing.

    The parameters are documented where users meet them: on the subclasses.
    """

    def __init__(
        self,
        *,
        output_path: str | None,
        chatbot_id: str | None,
        since: datetime | str | None,
        until: datetime | str | None,
        lag: timedelta,
        max_rejected: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.chatbot_id = chatbot_id
        self.since = since
        self.until = until
        self.lag = lag
        self.max_rejected = max_rejected

    @abstractmethod
    def source(self) -> Source:
        """Return the listing to read, with the ids of this task."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Fetch, land and return the manifest."""
        with failing_at_once():
            source = self.source()
            window = Window.of(self.since, self.until)
            if window.mode == "full" and (self.since, self.until) != (None, None):
                self.log.warning("since and until came out empty, so everything is read.")
            extraction = Extraction(
                resource=source.resource,
                project_id=source.project_id,
                chatbot_id=source.chatbot_id,
                id_field=source.id_field,
                time_field=source.time_field,
                window=window,
                lag=self.lag,
                times=self.hook.connection.times,
                order=source.order,
                run_key=run_key(context),
                store=landing_store(
                    self.output_path, context, source.resource, source.project_id or "", source.chatbot_id
                ),
            )
            with self.hook.get_conn() as client:
                manifest = extraction.run(client.pages(source.call), lambda: client.requests)
            self._tolerate(manifest, context)
        return manifest.as_dict()

    def _tolerate(self, manifest: Manifest, context: Context) -> None:
        """Fail where more rows were rejected than the task allows; what landed stays, and its manifest is pushed."""
        if manifest.rejected > self.max_rejected:
            context["ti"].xcom_push(key="manifest", value=manifest.as_dict())
            raise RobofyDataError(
                f"{manifest.rejected} of {manifest.received} rows were rejected, and max_rejected is "
                f"{self.max_rejected}. They are in {manifest.rejected_uri} with the reasons; the others landed in "
                f"{manifest.uri}, and the manifest is in XCom under the key 'manifest'."
            )
