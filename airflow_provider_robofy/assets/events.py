"""Asset events of landed files: which file an outlet's event names, and the manifests that a consumer gets."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Asset, ObjectStoragePath

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.landing import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Name of our part in the extra of an event.
EXTRA_KEY: Final = "robofy"
_FIELDS: Final = ("uri", "resource", "rows", "sha256", "first_at", "last_at")

_log = logging.getLogger(__name__)


def describe_events(outlets: Iterable[object], context: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Add to the event of each outlet which file has landed.

    The extra of the event, in which ``manifest_uri`` is missing where the file has no rows::

        {"robofy": {"uri": "s3://lake/leads.jsonl", "manifest_uri": "s3://lake/leads.jsonl.manifest.json",
                    "resource": "leads", "rows": 40, "sha256": "9f86...", "first_at": "2025-01-15T10:30:00+00:00",
                    "last_at": "2025-01-15T11:10:00+00:00"}}

    :param outlets: The task's outlets. Those that are not assets are left alone.
    :param context: The task's context. Without ``outlet_events``, as in a unit test, nothing happens.
    :param manifest: The manifest of the file.
    """
    events = context.get("outlet_events")
    if events is None:
        return
    facts = {name: manifest[name] for name in _FIELDS}
    if manifest["rows"]:
        facts["manifest_uri"] = f"{manifest['uri']}{SUFFIX}"
    for outlet in outlets:
        if isinstance(outlet, Asset):
            events[outlet].extra[EXTRA_KEY] = facts


def manifests_of(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the manifests of the files whose events started this run.

    Usage, in a DAG that is scheduled on the outlet of a fetch task::

        @task
        def landed(**context) -> list[dict]:
            return manifests_of(context)


        RobofyManifestToSqlOperator(task_id="load", manifest=landed(), table="leads", sql_conn_id="warehouse")

    An event without our extra, such as one that was made by hand, is left out, and a warning names its asset. A file
    without rows has an event and no manifest.

    :param context: The task's context.
    :return: The manifests in the order of the events, each once.
    :raises RobofyConfigError: No event has our extra, or a manifest has been removed or is none; the message names it.
    """
    by_asset = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    # An event of an alias is in the mapping under the alias too, so events repeat.
    events = sorted((one for of_asset in by_asset.values() for one in of_asset), key=lambda event: event.timestamp)
    described = []
    for event in events:
        facts = (event.extra or {}).get(EXTRA_KEY)
        if isinstance(facts, Mapping) and "uri" in facts:
            described.append(facts)
        else:
            _log.warning("The event of %s at %s names no file of a Robofy fetch task.", _name(event), event.timestamp)
    if events and not described:
        raise RobofyConfigError(
            f"None of the events that started this run names a file of a Robofy fetch task; the first one is of "
            f"{_name(events[0])}. Schedule the DAG on an outlet of a fetch task."
        )
    uris = dict.fromkeys(str(facts["manifest_uri"]) for facts in described if facts.get("manifest_uri"))
    return [_read(uri) for uri in uris]


def _name(event: Any) -> str:
    asset = getattr(event, "asset", None) or getattr(event, "dataset", None)
    return str(getattr(asset, "uri", None) or getattr(event, "uri", "an asset"))


def _read(uri: str) -> dict[str, Any]:
    try:
        # A path without a scheme may contain what means something else in a URL.
        manifest = codec.loads((ObjectStoragePath(uri) if "://" in uri else Path(uri)).read_bytes())
    except FileNotFoundError:
        raise RobofyConfigError(
            f"The manifest {uri} of an event that started this run has been removed since. Run the fetch task again."
        ) from None
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise RobofyConfigError(f"{uri}, which an event that started this run names, is no manifest.")
    return manifest
