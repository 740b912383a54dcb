"""Metrics of what tasks fetched, loaded and uploaded, sent through Airflow's Stats to StatsD or OpenTelemetry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Stats

from airflow_provider_robofy.hooks.lineage import harmless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_robofy.api.client import RobofyClient

_NOT_SENT: Final = "Metrics could not be sent"
#: Counts of a manifest that become counters.
_FETCHED: Final = ("rows", "duplicates", "outside_window", "rejected", "requests")


def count_fetch(manifest: Mapping[str, Any] | None, client: RobofyClient, tags: Mapping[str, str]) -> None:
    """Send the counts of a fetch, also of one that landed nothing or failed for rejected rows.

    Counters ``robofy.<resource>.rows``, ``.duplicates``, ``.outside_window``, ``.rejected``, ``.requests`` and
    ``.retries``; timings ``.duration`` and ``.rate_limited``; with a cursor the gauge ``.watermark_lag``, in seconds.

    :param manifest: The manifest, as plain JSON; None where there is none.
    :param client: The client that read, which knows of retries and of waits for the request budget.
    :param tags: Tags of each metric: ``dag_id`` and ``task_id``.
    """
    if manifest is None:
        return
    prefix = f"robofy.{manifest['resource']}"
    with harmless(_NOT_SENT):
        for name in _FETCHED:
            Stats.incr(f"{prefix}.{name}", manifest[name], tags=dict(tags))
        Stats.incr(f"{prefix}.retries", client.retries, tags=dict(tags))
        begin, end = (datetime.fromisoformat(manifest[name]) for name in ("started_at", "finished_at"))
        Stats.timing(f"{prefix}.duration", max(end - begin, timedelta()), tags=dict(tags))
        waited = timedelta(seconds=client.rate_limited_seconds)
        Stats.timing(f"{prefix}.rate_limited", waited, tags=dict(tags))
        if manifest["watermark_after"] is not None:
            lag = datetime.now(UTC) - datetime.fromisoformat(manifest["watermark_after"])
            Stats.gauge(f"{prefix}.watermark_lag", round(lag.total_seconds()), tags=dict(tags))


def tags_of(task: BaseOperator) -> dict[str, str]:
    """Return the tags of a task's metrics.

    :param task: The task.
    """
    return {"dag_id": task.dag_id if task.has_dag() else "no_dag", "task_id": task.task_id}  # type: ignore[no-untyped-call]


def count(prefix: str, counts: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Send counts of what became of rows, documents or questions, such as ``robofy.leads.load.inserted``.

    :param prefix: ``robofy.<resource>.load``, ``robofy.knowledge`` or ``robofy.answers``.
    :param counts: The counts by name.
    :param tags: Tags of each metric: ``dag_id`` and ``task_id``.
    """
    with harmless(_NOT_SENT):
        for name, number in counts.items():
            Stats.incr(f"{prefix}.{name}", number, tags=dict(tags))
