"""Landing a listing: what fetching leads and fetching sessions have in common, which is nearly all."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.extract.extraction import Extraction
from airflow_provider_robofy.extract.incremental import Incremental
from airflow_provider_robofy.extract.privacy import check_rules
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.operators.base import RobofyBaseOperator, failing_at_once, landing_store, run_key
from airflow_provider_robofy.operators.cursors import keeper_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.extract.cursor_store import CursorKeeper
    from airflow_provider_robofy.extract.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Describe a listing of one agent.

    :param resource: What its rows are.
    :param project_id: The agent's project, None where the listing needs none and none is known.
    :param chatbot_id: The agent.
    :param call: The call for its first page.
    :param id_field: Field of a row's id; ``time_field`` that of its time.
    :param order: What the connection says of its order.
    :param keep_ids: May a cursor hold the rows' ids? Not where they can be phone numbers.
    """

    resource: str
    project_id: str | None
    chatbot_id: str
    call: Call[Rows]
    id_field: str
    time_field: str
    order: str
    keep_ids: bool = True


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
        cursor: str | Asset | None,
        cursor_name: str | None,
        full_every: timedelta | None,
        skip_if_empty: bool,
        privacy: Mapping[str, str] | None,
        defuse_formulas: bool,
        max_rejected: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if lag < timedelta(0):
            raise RobofyConfigError("lag must not be negative.")
        if cursor is not None and (since, until) != (None, None):
            raise RobofyConfigError("cursor does not go together with since or until: a cursor decides by itself.")
        if isinstance(cursor, Asset):
            if not AIRFLOW_V_3_3_PLUS:
                raise RobofyConfigError("cursor=Asset(...) needs Airflow 3.3 or newer. Give a path instead.")
            if cursor not in self.inlets:
                # An inlet, not an outlet: an outlet would start the DAGs that are scheduled on the asset.
                self.inlets = [*self.inlets, cursor]
        self.output_path = output_path
        self.chatbot_id = chatbot_id
        self.since = since
        self.until = until
        self.lag = lag
        self.cursor = cursor
        self.cursor_name = cursor_name
        self.full_every = full_every
        self.skip_if_empty = skip_if_empty
        self.privacy = check_rules(privacy, "privacy") if privacy is not None else None
        self.defuse_formulas = defuse_formulas
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
            store = landing_store(
                self.output_path, context, source.resource, source.project_id or "", source.chatbot_id
            )
            self.lineage.read(self.location_of(source.resource, source.project_id, source.chatbot_id))
            keeper, incremental = self._plan(source, context, store)
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
                store=store,
                max_rejected=self.max_rejected,
                cursor=incremental,
                keeper=keeper,
                privacy=self.hook.connection.privacy_policy(source.resource, self.privacy),
                defuse_formulas=self.defuse_formulas,
                publish_empty=incremental is None or not self.skip_if_empty,
            )
            try:
                with self.hook.get_conn() as client:
                    manifest = extraction.run(client.pages(source.call), lambda: client.requests)
            except RobofyDataError as error:
                self.lineage.landed(error.manifest)
                context["ti"].xcom_push(key="manifest", value=error.manifest)
                raise
        if incremental and self.skip_if_empty and not manifest.rows:
            context["ti"].xcom_push(key="manifest", value=manifest.as_dict())
            raise AirflowSkipException(f"No {source.resource} since the mark {manifest.mark_before}.")
        self.lineage.landed(manifest.as_dict())
        return manifest.as_dict()

    def _plan(
        self, source: Source, context: Context, store: Store
    ) -> tuple[CursorKeeper, Incremental] | tuple[None, None]:
        if self.cursor is None:
            return None, None
        timezone = self.hook.connection.times.timezone
        keeper = keeper_of(
            self.cursor,
            context,
            name=self.cursor_name or f"{context['ti'].dag_id}.{context['ti'].task_id}",
            resource=source.resource,
            project_id=source.project_id,
            chatbot_id=source.chatbot_id,
            timezone=timezone,
            data=store,
        )
        incremental = Incremental(
            keeper.read(),
            run_key=run_key(context),
            timezone=timezone,
            lag=self.lag,
            full_every=self.full_every,
            keep_ids=source.keep_ids,
            now=datetime.now(UTC),
        )
        return keeper, incremental
