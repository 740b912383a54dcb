"""Wait for leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.sensors.listing import RobofyNewRowsSensor
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence


class RobofyNewLeadsSensor(RobofyNewRowsSensor):
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
    trigger_class = RobofyNewLeadsTrigger

    def __init__(self, *, project_id: str | int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id

    def own_arguments(self) -> dict[str, Any]:
        return {"project_id": self.hook.project_id(self.project_id)}
