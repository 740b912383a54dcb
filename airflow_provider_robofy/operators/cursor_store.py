"""Where the cursor of a task is stored, and where a person asked it to start."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import Cursor
from airflow_provider_robofy.extract.cursor_store import CursorStore, FileCursorStore, cursor_body, cursor_key
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.base import full_path_component, path_component

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.extract.files import Store

#: Key of the run's configuration that moves or resets the cursors of its tasks.
CONF_KEY: Final = "robofy_cursor"
#: Airflow keeps 64 KB a value by default; the rest is for the address.
MAX_BYTES: Final = 60_000

_log = logging.getLogger(__name__)


class AssetCursorStore:
    """Store a cursor in the state of an asset (Airflow 3.3).

    :param accessor: The asset's state, as the task's context gives it.
    :param key: Under which key.
    :param overflow: File to use when the cursor is too large for Airflow's database; the state then holds its address.
    :param uri: The asset's URI.
    """

    def __init__(self, accessor: Any, key: str, overflow: Store, uri: str) -> None:
        self._accessor = accessor
        self._key = key
        self._overflow = overflow
        self.where = f"The cursor {key} in the state of {accessor!r}"
        self.address = uri

    def load(self) -> Any:
        """Return what was saved last, or None.

        :raises RobofyConfigError: The cursor is in a file, and that is gone or damaged.
        """
        value = self._accessor.get(self._key)
        try:
            return cursor_body(value, open_store)
        except RobofyConfigError:
            # Another run may have saved in between, and removed the file that the state named before.
            if (now := self._accessor.get(self._key)) == value:
                raise
            return cursor_body(now, open_store)

    def save(self, body: dict[str, Any]) -> None:
        """Replace it.

        :param body: The new content.
        :raises RobofyLandingError: The cursor is too large for the state, and its file cannot be written.
        """
        before = self._accessor.get(self._key)
        if len(codec.dump_line(body)) > MAX_BYTES:
            FileCursorStore(self._overflow).save(body)
            body = {"at": self._overflow.uri}
        self._accessor.set(self._key, body)
        if isinstance(before, dict) and before.get("at") not in {None, body.get("at")}:
            try:
                open_store(before["at"]).remove()
            except OSError as error:
                _log.warning("The cursor's earlier file %s could not be removed: %s", before["at"], error)


def inlets_with(cursor: str | Asset | None, inlets: Sequence[Any]) -> list[Any]:
    """Return a task's inlets with its cursor's asset among them.

    An inlet, not an outlet: an outlet would start the DAGs that are scheduled on the asset.

    :param cursor: The task's argument.
    :param inlets: The inlets that it has.
    :raises RobofyConfigError: This Airflow is older than 3.3, where an asset has no state.
    """
    if not isinstance(cursor, Asset):
        return list(inlets)
    if not AIRFLOW_V_3_3_PLUS:
        raise RobofyConfigError("cursor=Asset(...) needs Airflow 3.3 or newer. Give a path instead.")
    return list(inlets) if cursor in inlets else [*inlets, cursor]


def cursor_store(cursor: str | Asset, context: Context, identity: Mapping[str, Any], data: Store) -> CursorStore:
    """Return where a task's cursor is stored.

    :param cursor: A path ending in ``.json``; a folder, in which each sync gets a file of its own; or an asset.
    :param context: The task's context, which gives access to an asset's state.
    :param identity: Whose cursor it is: its ``name``, ``resource``, ``project_id`` and ``chatbot_id``.
    :param data: Where the rows land; an oversized cursor of an asset goes beside it.
    :raises RobofyConfigError: The path cannot be used, or Airflow gives no access to the asset's state.
    """
    if isinstance(cursor, Asset):
        overflow = data.beside(".cursor.json")
        overflow.check_length("output_path")
        return AssetCursorStore(_accessor(cursor, context), cursor_key(**identity), overflow, str(cursor.uri))
    found = _file(cursor, identity)
    found.check_length("cursor")
    return FileCursorStore(found)


def cursor_state(cursor: str | Asset, context: Context, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the cursor of a sync as :func:`~airflow_provider_robofy.extract.cursor.cursor_body` reads it.

    :param cursor: As for :func:`cursor_store`.
    :param context: The task's context, which gives access to an asset's state.
    :param identity: As for :func:`cursor_store`.
    :return: For a file its address; for an asset what its state contains, or None.
    :raises RobofyConfigError: The path cannot be used, or Airflow gives no access to the asset's state.
    """
    if isinstance(cursor, Asset):
        state: dict[str, Any] | None = _accessor(cursor, context).get(cursor_key(**identity))
        return state
    return {"file": _file(cursor, identity).uri}


def _file(cursor: str, identity: Mapping[str, Any]) -> Store:
    file = place(cursor, "cursor")
    if file.endswith(".json"):
        return open_store(file)
    parts = [identity[name] or "" for name in ("name", "resource", "project_id", "chatbot_id")]
    folder, short, full = file.rstrip("/"), path_component(*parts), full_path_component(*parts)
    if short != full:
        # Earlier versions did not cut names, and where the store takes them a cursor may have one.
        earlier = open_store(f"{folder}/{full}.json")
        with suppress(RobofyConfigError):
            earlier.check_length("cursor")
            if earlier.exists():
                return earlier
    return open_store(f"{folder}/{short}.json")


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


def start_again(conf: Any, name: str, timezone: str) -> Cursor | None:
    """Return where a person asked a run to start: for all of its cursors, or by their names.

    :param conf: The run's configuration.
    :param name: The cursor's name.
    :param timezone: Zone in which the API's times are read.
    :return: Where to start, or None: where the stored cursor stands.
    :raises RobofyConfigError: The configuration is wrong.
    """
    wish = conf.get(CONF_KEY) if isinstance(conf, dict) else None
    if isinstance(wish, dict):
        if name not in wish:
            _log.info("The run's configuration %s names the cursors %s, and not %s.", CONF_KEY, sorted(wish), name)
        wish = wish.get(name)
    return None if wish is None else cursor_at(wish, timezone, f"The run's configuration {CONF_KEY}")


def cursor_at(wish: Any, timezone: str, where: str) -> Cursor:
    """Return a cursor that starts where a person says.

    :param wish: ``reset``, which reads everything, or a time: rows before it count as landed.
    :param timezone: Zone in which the API's times are read.
    :param where: What an error calls the wish.
    :raises RobofyConfigError: It is neither.
    """
    if wish == "reset":
        return Cursor(timezone=timezone)
    try:
        time = TimeReader().read(wish)  # without a zone UTC, as in since
    except ValueError:
        raise RobofyConfigError(f'{where} must be "reset" or an ISO 8601 time, not {str(wish)[:40]!r}.') from None
    return Cursor(timezone=timezone, watermark=time)
