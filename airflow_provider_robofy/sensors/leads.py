"""Wait for leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.operators.base import read_limit
from airflow_provider_robofy.operators.cursors import cursor_state, inlets_with
from airflow_provider_robofy.sensors.base import RobofyBaseSensor
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Asset, Context, PokeReturnValue


class RobofyNewLeadsSensor(RobofyBaseSensor):
    """Wait until an agent has a number of new leads.

    Usage::

        RobofyNewLeadsSensor(
            task_id="wait_for_leads",
            since="{{ data_interval_start }}",
            min_count=5,
            deferrable=True,
            poke_interval=60,
            timeout=3600,
        )

    Until a sync has something to do, whose cursor says what it has landed::

        RobofyNewLeadsSensor(task_id="wait_for_leads", cursor="cursors", cursor_name="leads")

    It answers as soon as enough leads were seen. The API has no time filter: a poll that finds too few has read the
    whole listing, unless the connection says ``leads_order=newest_first``.

    :param project_id: The agent's project. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param since: Leads created at or after this count; datetime or ISO 8601 text, UTC where it names no zone. None or
        empty counts every lead there is. Not together with ``cursor``. (templated)
    :param cursor: The ``cursor`` of the task that syncs: leads that it has landed do not count. A file is read at each
        poll; the state of an asset (Airflow 3.3) too, but in deferred mode only once, before the task defers: a trigger
        has no access to it. (templated)
    :param cursor_name: The ``cursor_name`` of that task; needed with ``cursor``. (templated)
    :param min_count: How many there must be. Default 1.
    :param robofy_conn_id: The Robofy connection. (templated)
    :param deferrable: Wait in the triggerer, without a worker. Default: ``[operators] default_deferrable``.
    :param poke_interval: Time between two polls, as a timedelta or in seconds; at least ten seconds in reschedule and
        deferred mode. Default 60.
    :param timeout: Timedelta or seconds after which the task fails without a retry, or is skipped with ``soft_fail``.
        In deferred mode it counts from the start of each try. Default: ``[sensors] default_timeout``, a week.
    :param mode: ``poke`` or ``reschedule``, for waiting that is not deferred. Default ``poke``.
    :return: ``count`` of leads seen (at least ``min_count``), time of the ``newest``, and their ``lead_ids``, a
        thousand at most. No personal data.
    :raises AirflowFailException: Key, ids or connection are wrong. ``soft_fail`` does not skip this.
    :raises AirflowSensorTimeout: It took too long.
    """

    template_fields: Sequence[str] = ("project_id", "chatbot_id", "since", "cursor", "cursor_name", "robofy_conn_id")

    def __init__(
        self,
        *,
        project_id: str | int | None = None,
        chatbot_id: str | None = None,
        since: datetime | str | None = None,
        min_count: int = 1,
        cursor: str | Asset | None = None,
        cursor_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if cursor is not None and since is not None:
            raise RobofyConfigError("cursor cannot be combined with since: leave out one of them.")
        if (cursor is None) != (cursor_name is None):
            raise RobofyConfigError(
                "cursor and cursor_name belong together: give both as the task has them that syncs, with a cursor_name "
                "of its own there too."
            )
        self.inlets = inlets_with(cursor, self.inlets)
        self.cursor = cursor
        self.cursor_name = cursor_name
        self._cursor_state: dict[str, Any] | None = None
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.since = since
        self.min_count = read_limit("min_count", min_count, least=1)

    def trigger(self, *, poll_interval: float, deadline: float) -> RobofyNewLeadsTrigger:
        since = Window.of(self.since, None).since
        return RobofyNewLeadsTrigger(
            project_id=self.hook.project_id(self.project_id),
            chatbot_id=self.hook.chatbot_id(self.chatbot_id),
            since=None if since is None else since.isoformat(),
            min_count=self.min_count,
            robofy_conn_id=self.robofy_conn_id,
            poll_interval=poll_interval,
            deadline=deadline,
            cursor=self._cursor_state,
            cursor_name=self.cursor_name,
        )

    def poke(self, context: Context) -> PokeReturnValue:
        if self.cursor is not None:
            ids = self.hook.project_id(self.project_id), self.hook.chatbot_id(self.chatbot_id)
            self._cursor_state = cursor_state(self.cursor, context, str(self.cursor_name), *ids)
            cast("RobofyNewLeadsTrigger", self._trigger).cursor = self._cursor_state
        return super().poke(context)
