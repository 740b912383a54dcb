"""Metrics of what tasks fetched, loaded and uploaded, sent through Airflow's Stats to StatsD or OpenTelemetry."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

#: Counts of a manifest that become counters.
_FETCHED: Final = ("rows", "duplicates", "outside_window", "rejected", "requests", "retries")


def count_fetch(manifest: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Send the counts of a fetch, also of one that landed nothing or failed for rejected rows.

    Counters ``robofy.<resource>.rows``, ``.duplicates``, ``.outside_window``, ``.rejected``, ``.requests`` and
    ``.retries``; timings ``.duration`` and ``.rate_limited``; with a cursor the gauge ``.watermark_lag``, in seconds.

    :param manifest: The manifest, as plain JSON.
    :param tags: Tags of each metric: ``dag_id`` and ``task_id``.
    """
    prefix = f"robofy.{manifest['resource']}"
    with _harmless():
        for name in _FETCHED:
            Stats.incr(f"{prefix}.{name}", manifest[name], tags=dict(tags))
        begin, end = (datetime.fromisoformat(manifest[name]) for name in ("started_at", "finished_at"))
        Stats.timing(f"{prefix}.duration", max(end - begin, timedelta()), tags=dict(tags))
        waited = timedelta(seconds=manifest["rate_limited_seconds"])
        Stats.timing(f"{prefix}.rate_limited", waited, tags=dict(tags))
        if manifest["watermark_after"] is not None:
            lag = datetime.now(UTC) - datetime.fromisoformat(manifest["watermark_after"])
            Stats.gauge(f"{prefix}.watermark_lag", round(lag.total_seconds()), tags=dict(tags))


def count_load(resource: str, counts: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Send what a load did to a table: counters ``robofy.<resource>.load.inserted`` and so on.

    :param resource: What the rows are.
    :param counts: Rows by what became of them.
    :param tags: Tags of each metric: ``dag_id`` and ``task_id``.
    """
    _count(f"robofy.{resource}.load", counts, tags)


def count_uploads(counts: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    """Send what became of documents: counters ``robofy.knowledge.uploaded``, ``.unchanged``, ``.failed`` and so on.

    :param counts: Documents by what became of them.
    :param tags: Tags of each metric: ``dag_id`` and ``task_id``.
    """
    _count("robofy.knowledge", counts, tags)


def _count(prefix: str, counts: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    with _harmless():
        for name, count in counts.items():
            Stats.incr(f"{prefix}.{name}", count, tags=dict(tags))


@contextmanager
def _harmless() -> Iterator[None]:
    """Log what a metrics backend raises: what has landed has landed, whether or not it could be counted."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a backend raises
        log.warning("Metrics could not be sent (%s).", type(error).__name__)
