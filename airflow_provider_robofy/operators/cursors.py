"""Where an operator's cursor is stored, as its ``cursor`` argument says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import (
    Cursor,
    CursorRun,
    CursorStore,
    FileCursorStore,
    cursor_body,
    cursor_key,
)
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.base import path_component, run_key

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.resources import Resource

#: Key of the run's configuration that moves or resets the cursors of its tasks.
CONF_KEY: Final = "robofy_cursor"
#: Airflow keeps 64 KB a value by default; the rest is for the address.
MAX_BYTES: Final = 60_000


class AssetCursorStore:
    """Store a cursor in the state of an asset (Airflow 3.3).

    :param accessor: The asset's state, as the task's context gives it.
    :param key: Under which key.
    :param overflow: File to use when the cursor is too large for Airflow's database; the state then holds its address.
    """

    def __init__(self, accessor: Any, key: str, overflow: Store) -> None:
        self._accessor = accessor
        self._key = key
        self._overflow = overflow

    @property
    def where(self) -> str:
        """Return asset and key."""
        return f"The cursor {self._key} in the state of {self._accessor!r}"

    def load(self) -> Any:
        """Return what was saved last, or None."""
        return cursor_body(self._accessor.get(self._key), open_store)

    def save(self, body: dict[str, Any]) -> None:
        """Replace it."""
        before = self._accessor.get(self._key)
        if len(codec.dump_line(body)) > MAX_BYTES:
            FileCursorStore(self._overflow).save(body)
            body = {"at": self._overflow.uri}
        self._accessor.set(self._key, body)
        if isinstance(before, dict) and before.get("at") not in {None, body.get("at")}:
            open_store(before["at"]).remove()


def cursor_run(
    cursor: str | Asset,
    context: Context,
    *,
    name: str,
    resource: Resource,
    project_id: str | None,
    chatbot_id: str,
    timezone: str,
    lag: timedelta,
    full_every: timedelta | None,
    data: Store,
) -> CursorRun:
    """Return this run of a task with a cursor.

    :param cursor: A path ending in ``.json``; a folder, in which each sync gets a file of its own; or an asset.
    :param context: The task's context.
    :param name: The cursor's name.
    :param resource: What the rows are.
    :param project_id: The agent's project, or None.
    :param chatbot_id: The agent.
    :param timezone: Zone in which this run reads times.
    :param lag: How late a row may turn up.
    :param full_every: Read everything again when the last time is longer ago than this; None never.
    :param data: Where the rows land; an oversized cursor goes beside it.
    :raises RobofyConfigError: The run is a backfill, its configuration is wrong, or the cursor cannot be read.
    """
    run = context.get("dag_run")
    kind = getattr(run, "run_type", "")
    if str(getattr(kind, "value", kind)).startswith("backfill"):
        raise RobofyConfigError(
            "A backfill cannot use a cursor: its runs are for the past, and a cursor knows only how far a sync has "
            "come. Use since and until for history, or one full run."
        )
    identity = {"name": name, "resource": resource.name, "project_id": project_id, "chatbot_id": chatbot_id}
    store: CursorStore
    if isinstance(cursor, Asset):
        key = cursor_key(name, resource.name, project_id, chatbot_id)
        store = AssetCursorStore(_accessor(cursor, context), key, data.beside(".cursor.json"))
    else:
        file = place(cursor, "cursor")
        if not file.endswith(".json"):
            parts = (name, resource.name, project_id or "", chatbot_id)
            file = f"{file.rstrip('/')}/{'.'.join(path_component(part) for part in parts)}.json"
        store = FileCursorStore(open_store(file))
    return CursorRun(
        store,
        identity,
        run_key=run_key(context),
        timezone=timezone,
        lag=lag,
        full_every=full_every,
        now=datetime.now(UTC),
        keep_ids=not resource.id_is_personal,
        start_again=_start_again(getattr(run, "conf", None), timezone),
    )


def _accessor(asset: Asset, context: Context) -> Any:
    stores: Any = context.get("asset_state_store")
    try:
        return stores[asset]
    except (KeyError, TypeError):
        raise RobofyConfigError(
            f"The asset {asset.uri} of the argument cursor is no inlet of this task, so Airflow gives no access to its "
            "state. Airflow has to know it when the DAG file is parsed: for a mapped task pass inlets=[asset] to "
            ".partial(), together with cursor=asset."
        ) from None


def _start_again(conf: Any, timezone: str) -> Cursor | None:
    wish = conf.get(CONF_KEY) if isinstance(conf, dict) else None
    if wish is None:
        return None
    if wish == "reset":
        return Cursor(timezone=timezone)
    try:
        time = TimeReader().read(wish)  # without a zone UTC, as in since
    except ValueError:
        raise RobofyConfigError(
            f'The run\'s configuration {CONF_KEY} must be "reset" or an ISO 8601 time, not {str(wish)[:40]!r}.'
        ) from None
    return Cursor(timezone=timezone, watermark=time)
