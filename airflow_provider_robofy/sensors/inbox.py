"""Wait for conversations."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.sensors.listing import RobofyNewRowsSensor
from airflow_provider_robofy.triggers.inbox import RobofyNewSessionsTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence


class RobofyNewSessionsSensor(RobofyNewRowsSensor):
    """Wait until an agent has a number of new or continued conversations.

    Usage, for conversations that are finished, because nobody has written in them for an hour::

        RobofyNewSessionsSensor(
            task_id="wait_for_sessions",
            since="{{ data_interval_start }}",
            idle_for=timedelta(hours=1),
            min_count=5,
            deferrable=True,
            timeout=6 * 3600,
        )

    Until a sync has something to do, whose cursor says what it has landed::

        RobofyNewSessionsSensor(
            task_id="wait_for_sessions", cursor="cursors", cursor_name="sessions", idle_for=timedelta(hours=1)
        )

    A session's time is that of its last message. It answers as soon as enough sessions were seen. The API has no time
    filter: a poll that finds too few has read the whole listing, unless the connection says
    ``sessions_order=newest_first``.

    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param since: Sessions whose last message came at or after this count; datetime or ISO 8601 text, UTC where it names
        no zone. None or empty counts every session there is. Not together with ``cursor``. (templated)
    :param cursor: The ``cursor`` of the task that syncs: sessions that it has landed as they are do not count. A file
        is read at each poll; the state of an asset (Airflow 3.3) too, but in deferred mode only once, before the task
        defers: a trigger has no access to it. (templated)
    :param cursor_name: The ``cursor_name`` of that task; needed with ``cursor``. (templated)
    :param idle_for: Count only sessions without a message for this long, a timedelta or seconds. With ``cursor`` it is
        the ``idle_for`` of the task that syncs: the sensor fails where the cursor was moved under another one. Default
        0: all count.
    :param min_count: How many there must be. Default 1.
    :param robofy_conn_id: The Robofy connection. (templated)
    :param deferrable: Wait in the triggerer, without a worker. Default: ``[operators] default_deferrable``.
    :param poke_interval: Time between two polls, as a timedelta or in seconds; at least ten seconds in reschedule and
        deferred mode. Default 60.
    :param timeout: Timedelta or seconds after which the task fails without a retry, or is skipped with ``soft_fail``.
        In deferred mode it counts from the start of each try. Default: ``[sensors] default_timeout``, a week.
    :param mode: ``poke`` or ``reschedule``, for waiting that is not deferred. Default ``poke``.
    :return: ``count`` of sessions seen (at least ``min_count``) and time of the ``newest``. No session ids, since they
        can be phone numbers.
    :raises AirflowFailException: Key, ids, connection or ``idle_for`` are wrong. ``soft_fail`` does not skip this.
    :raises AirflowSensorTimeout: It took too long.
    """

    template_fields: Sequence[str] = ("chatbot_id", "since", "cursor", "cursor_name", "robofy_conn_id")
    trigger_class = RobofyNewSessionsTrigger

    def __init__(self, *, idle_for: timedelta | float = timedelta(0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.idle_for = read_duration("idle_for", idle_for)

    def own_arguments(self) -> dict[str, Any]:
        return {"project_id": self.hook.connection.project_id, "idle_for": self.idle_for.total_seconds()}
