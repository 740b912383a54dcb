"""What fetching leads and fetching sessions have in common, which is nearly all."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.extract.cursor import CursorRun
from airflow_provider_robofy.extract.listing import ListingRun
from airflow_provider_robofy.extract.privacy import applied_rules, check_rules
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.hooks.metrics import count_fetch, tags_of
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.base import (
    RobofyBaseOperator,
    landing_store,
    read_limit,
    run_key,
)
from airflow_provider_robofy.operators.cursor_store import cursor_store, inlets_with, start_again

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Asset, Context

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.resources import Resource


NOT_WITH_CURSOR: Final = (
    "cursor cannot be combined with since or until: leave these out for a cursor, or leave out cursor for a window."
)


class RobofyListingOperator(RobofyBaseOperator):
    """Land the rows of one listing and return a manifest; subclasses say which listing.

    This is the one signature of all of them. Its parameters are documented where users read of them: on the subclasses.
    """

    #: What the rows are.
    resource: ClassVar[Resource]
    #: End of the window; only for listings in which a row's time stays what it is.
    until: datetime | str | None = None
    #: How long a row's time must be ago; only for listings in which it moves.
    idle_for: timedelta = timedelta(0)

    def __init__(
        self,
        *,
        output_path: str | None = None,
        chatbot_id: str | None = None,
        since: datetime | str | None = None,
        lag: timedelta | float = timedelta(minutes=10),
        cursor: str | Asset | None = None,
        cursor_name: str | None = None,
        advance_cursor: bool = True,
        full_every: timedelta | float | None = None,
        skip_if_empty: bool = True,
        privacy: Mapping[str, str] | None = None,
        defuse_formulas: bool = True,
        max_rejected: int = 0,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, **kwargs)
        if cursor is not None and since is not None:
            raise RobofyConfigError(NOT_WITH_CURSOR)
        if cursor is None and full_every is not None:
            raise RobofyConfigError(
                "full_every has no effect without a cursor, since each run then reads everything or its window: set "
                "cursor too, or leave full_every out."
            )
        if cursor is None and not advance_cursor:
            raise RobofyConfigError(
                "advance_cursor=False has no effect without a cursor: set cursor too, or leave advance_cursor out."
            )
        self.inlets = inlets_with(cursor, self.inlets)
        self.output_path = output_path
        self.chatbot_id = chatbot_id
        self.since = since
        self.lag = read_duration("lag", lag)
        self.cursor = cursor
        self.cursor_name = cursor_name
        self.advance_cursor = advance_cursor
        self.full_every = None if full_every is None else read_duration("full_every", full_every)
        self.skip_if_empty = skip_if_empty
        self.privacy = check_rules(privacy, "privacy") if privacy is not None else None
        self.defuse_formulas = defuse_formulas
        self.max_rejected = read_limit("max_rejected", max_rejected)
        self.remember_given()

    @abstractmethod
    def listing(self) -> tuple[str | None, str, Call[Rows], str]:
        """Return which listing to read.

        :return: The agent's project, None where the listing needs none and none is known; the agent; the call for the
            first page; and the order that the connection says the rows come in.
        """

    def work(self, context: Context) -> dict[str, Any]:
        """Fetch, land and return the manifest."""
        project_id, chatbot_id, call, order = self.listing()
        resource, times = self.resource, self.hook.connection.times
        window = Window.of(self.since, self.until)
        if window.mode == "full" and (self.since, self.until) != (None, None):
            self.log.warning("since and until came out empty, so everything is read.")
        store = landing_store(self.output_path, context, resource.name, project_id or "", chatbot_id)
        self.lineage.read(self.location_of(resource.name, project_id, chatbot_id))
        privacy = self.hook.connection.privacy_policy(resource, self.privacy)
        cursor = self._cursor_run(context, project_id, chatbot_id, store, privacy)
        run = ListingRun(
            resource=resource,
            project_id=project_id,
            chatbot_id=chatbot_id,
            window=window,
            lag=self.lag,
            times=times,
            order=order,
            run_key=run_key(context),
            store=store,
            max_rejected=self.max_rejected,
            cursor=cursor,
            advance_cursor=self.advance_cursor,
            privacy=privacy,
            defuse_formulas=self.defuse_formulas,
            publish_empty=cursor is None or not self.skip_if_empty,
        )
        try:
            with self.client as client:
                pages = client.pages(call, row_id=resource.id if run.reads_to_the_end else None)
                manifest = run.land(pages, lambda: client.requests, lambda: client.requests_unused)
        except RobofyDataError as error:
            count_fetch(error.manifest, client, tags_of(self))
            self.lineage.landed(error.manifest)
            context["ti"].xcom_push(key="manifest", value=error.manifest)
            raise
        count_fetch(manifest.as_dict(), client, tags_of(self))
        if cursor and self.skip_if_empty and not manifest.rows:
            context["ti"].xcom_push(key="manifest", value=manifest.as_dict())
            raise AirflowSkipException(f"No {resource.name} since the watermark {manifest.watermark_before}.")
        self.report_landed(context, manifest.as_dict())
        return manifest.as_dict()

    def _cursor_run(
        self, context: Context, project_id: str | None, chatbot_id: str, data: Store, privacy: PrivacyPolicy | None
    ) -> CursorRun | None:
        """Return this run of the task's cursor, None where it has no cursor.

        :raises RobofyConfigError: The run is a backfill, its configuration is wrong, or the cursor cannot be read.
        """
        if self.cursor is None:
            return None
        dag_run, ti, timezone = context.get("dag_run"), context["ti"], self.hook.connection.times.timezone
        kind = getattr(dag_run, "run_type", "")
        if str(getattr(kind, "value", kind)).startswith("backfill"):
            raise RobofyConfigError(
                "A backfill cannot use a cursor: its runs are for the past, and a cursor knows only how far a sync has "
                "come. Use since and until for history, or one full run."
            )
        name = self.cursor_name or f"{ti.dag_id}.{ti.task_id}"
        identity = {"name": name, "resource": self.resource.name, "project_id": project_id, "chatbot_id": chatbot_id}
        return CursorRun(
            store=cursor_store(self.cursor, context, identity, data),
            identity=identity,
            run_key=run_key(context),
            timezone=timezone,
            lag=self.lag,
            full_every=self.full_every,
            now=datetime.now(UTC),
            keep_ids=not self.resource.id_is_personal,
            start_again=start_again(getattr(dag_run, "conf", None), name, timezone),
            privacy=applied_rules(privacy),
            idle_for=self.idle_for,
        )
