"""Where an operator's cursor is stored, and the operator that moves a cursor once the work is done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, BaseOperator
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import (
    Cursor,
    CursorRun,
    CursorStore,
    FileCursorStore,
    NextCursor,
    cursor_body,
    cursor_key,
    move_cursor,
    still_owed,
)
from airflow_provider_robofy.extract.landed import Shard, Wanted, hold
from airflow_provider_robofy.extract.privacy import applied_rules
from airflow_provider_robofy.extract.rows import fingerprint
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.base import failing_at_once, full_path_component, path_component, run_key
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID, SESSION_KEY, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.resources import Resource

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
        self._uri = uri

    @property
    def where(self) -> str:
        return f"The cursor {self._key} in the state of {self._accessor!r}"

    @property
    def address(self) -> str:
        return self._uri

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
    privacy: PrivacyPolicy | None,
    idle_for: timedelta,
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
    :param privacy: What becomes of personal data before it lands, or None.
    :param idle_for: How long a row's time must be ago.
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
    return CursorRun(
        cursor_store(cursor, context, identity, data),
        identity,
        run_key=run_key(context),
        timezone=timezone,
        lag=lag,
        full_every=full_every,
        now=datetime.now(UTC),
        keep_ids=not resource.id_is_personal,
        start_again=_start_again(getattr(run, "conf", None), name, timezone),
        privacy=applied_rules(privacy),
        idle_for=idle_for,
    )


def cursor_store(cursor: str | Asset, context: Context, identity: Mapping[str, Any], data: Store) -> CursorStore:
    """Return where a task's cursor is stored.

    :param cursor: A path ending in ``.json``; a folder, in which each sync gets a file of its own; or an asset.
    :param context: The task's context, which gives access to an asset's state.
    :param identity: Whose cursor it is: its ``name``, ``resource``, ``project_id`` and ``chatbot_id``.
    :param data: Where the rows land; an oversized cursor of an asset goes beside it.
    :raises RobofyConfigError: The path cannot be used, or Airflow gives no access to the asset's state.
    """
    name, resource, project_id, chatbot_id = (identity[one] for one in ("name", "resource", "project_id", "chatbot_id"))
    if isinstance(cursor, Asset):
        overflow = data.beside(".cursor.json")
        overflow.check_length("output_path")
        key = cursor_key(name, resource, project_id, chatbot_id)
        return AssetCursorStore(_accessor(cursor, context), key, overflow, str(cursor.uri))
    found = cursor_file(cursor, name, resource, project_id, chatbot_id)
    found.check_length("cursor")
    return FileCursorStore(found)


def cursor_state(
    cursor: str | Asset, context: Context, *, name: str, resource: str, project_id: str | None, chatbot_id: str
) -> dict[str, Any] | None:
    """Return the cursor of a sync as :func:`~airflow_provider_robofy.extract.cursor.cursor_body` reads it.

    :param cursor: A path ending in ``.json``; a folder, in which each sync gets a file of its own; or an asset.
    :param context: The task's context, which gives access to an asset's state.
    :param name: The cursor's name.
    :param resource: What its rows are.
    :param project_id: The agent's project, or None.
    :param chatbot_id: The agent.
    :return: For a file its address; for an asset what its state contains, or None.
    :raises RobofyConfigError: The path cannot be used, or Airflow gives no access to the asset's state.
    """
    if isinstance(cursor, Asset):
        state: dict[str, Any] | None = _accessor(cursor, context).get(
            cursor_key(name, resource, project_id, chatbot_id)
        )
        return state
    return {"file": cursor_file(cursor, name, resource, project_id, chatbot_id).uri}


def cursor_file(cursor: str, name: str, resource: str, project_id: str | None, chatbot_id: str) -> Store:
    """Return the file of a cursor.

    :param cursor: A path ending in ``.json``; or a folder, in which each sync gets a file of its own.
    :param name: The cursor's name.
    :param resource: What its rows are.
    :param project_id: The agent's project, or None.
    :param chatbot_id: The agent.
    :raises RobofyConfigError: The path cannot be used.
    """
    file = place(cursor, "cursor")
    if file.endswith(".json"):
        return open_store(file)
    return _in_folder(file.rstrip("/"), name, resource, project_id or "", chatbot_id)


def _in_folder(folder: str, *parts: str) -> Store:
    """Return the file of a cursor in a folder: under its short name, unless one under the full name is there."""
    short, full = path_component(*parts), full_path_component(*parts)
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


def _start_again(conf: Any, name: str, timezone: str) -> Cursor | None:
    """Return where a person asked a run to start: for all of its cursors, or by their names."""
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


FETCHED: Final = Wanted(
    argument="manifest",
    resources=("leads", "sessions"),
    fields={"uri": str, "rows": int, "run_key": str},
    must_be="what the fetch task returned (manifest=fetch.output), or the path of its file",
    task="fetch task",
    landed_by="RobofyFetchLeadsOperator or RobofyFetchSessionsOperator",
    remedy="Clear the fetch task.",
)
READ: Final = Wanted(
    argument="read",
    resources=("messages", "conversations"),
    fields={"uri": str, "sessions_uri": str, "sessions_failed": int},
    must_be="what the messages tasks returned (read=messages.output), or a list of it",
    task="messages task",
    landed_by="RobofyFetchMessagesOperator",
    remedy="Clear the messages task.",
)


class RobofyAdvanceCursorOperator(BaseOperator):
    """Move a cursor once the work on what a fetch has landed is done.

    Usage::

        leads = RobofyFetchLeadsOperator(task_id="leads", cursor="cursors", advance_cursor=False)
        load = RobofyManifestToSqlOperator(
            task_id="load", manifest=leads.output, table="leads", sql_conn_id="warehouse"
        )
        advance = RobofyAdvanceCursorOperator(task_id="advance", manifest=leads.output, cursor="cursors")
        load >> advance

    If the load fails, the cursor stays where it stands, and the next run fetches the same rows once more.

    The cursor moves if it stands where the fetch found it, or if that run has moved it already; running this twice
    changes nothing. If another run has moved it since, it stays, a warning names both runs, and the task succeeds: some
    rows will land twice. A run that was configured to start somewhere (``robofy_cursor``) moves it in any case.

    :param manifest: What the fetch task returned (``task.output``), with ``advance_cursor=False``; or the path of its
        file. (templated)
    :param cursor: The fetch's ``cursor``: a path or folder, or the asset. (templated)
    :param cursor_name: The fetch's ``cursor_name``; checked where it is given. Default: the name that the fetch used.
        (templated)
    :param read: For sessions, what the messages tasks returned, of all shards. Sessions that failed there, as
        ``max_failed_sessions`` allows, land in the next run again, in up to seven runs in sequence. Default: nothing is
        asked for again. (templated)
    :return: ``moved``, the ``watermark`` after the run, and ``owed``: how many sessions are to land again.
    :raises AirflowFailException: The manifest is not one of a fetch with this cursor and ``advance_cursor=False``, or
        the file with the cursor's next state is gone or damaged.
    :raises RobofyLandingError: A file could not be read or written; the task's retries apply.
    """

    template_fields: Sequence[str] = ("manifest", "cursor", "cursor_name", "read")
    ui_color = "#e7f0ff"

    def __init__(
        self,
        *,
        manifest: Mapping[str, Any] | str,
        cursor: str | Asset,
        cursor_name: str | None = None,
        read: Mapping[str, Any] | str | Sequence[Mapping[str, Any] | str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inlets = inlets_with(cursor, self.inlets)
        self.manifest = manifest
        self.cursor = cursor
        self.cursor_name = cursor_name
        self.read = read
        self._reads = read is not None

    def execute(self, context: Context) -> dict[str, Any]:
        """Move the cursor, and return where it stands."""
        if self.manifest is None:
            raise AirflowSkipException("The fetch task returned no manifest: it was skipped, so nothing is new.")
        with failing_at_once():
            manifest, data = FETCHED.manifest(self.manifest, _open("manifest"))
            if (next_uri := manifest.get("cursor_next_uri")) is None:
                return self._nothing_to_move(manifest)
            next_ = NextCursor.read(open_store(next_uri), manifest)
            store = cursor_store(self.cursor, context, next_.identity, data)
            name = next_.identity["name"]
            if self.cursor_name and self.cursor_name != name:
                raise RobofyConfigError(
                    f"The manifest is of the cursor {name!r}, and cursor_name is {self.cursor_name!r}."
                )
            if store.address != next_.address:
                raise RobofyConfigError(
                    f"The fetch used the cursor {next_.address}, and this task's cursor is {store.address}. Give both "
                    "the same cursor."
                )
            failed = list(self._failed(manifest, data)) if self._reads else []
            after = replace(next_.after, owed=still_owed(next_.after.before or Cursor(), failed))
            moved = move_cursor(store, next_.identity, after, reset=next_.reset)
        watermark = after.watermark and after.watermark.isoformat()
        if moved:
            self.log.info("%s stands at %s; sessions to read again: %s.", store.where, watermark, len(after.owed))
        return {"moved": moved, "watermark": watermark, "owed": len(after.owed) if moved else 0}

    def _nothing_to_move(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outcome for a manifest that names no next state: one without new rows.

        :raises RobofyConfigError: It is one of a fetch without a cursor, or of one that moves the cursor itself.
        """
        if manifest.get("cursor_generation") is None:
            raise RobofyConfigError(
                f"manifest: {manifest['run_key']} ran without a cursor (mode {manifest.get('mode')}), so there is none "
                "to move. Set cursor and advance_cursor=False on the fetch task."
            )
        if manifest["rows"]:
            raise RobofyConfigError(
                f"manifest: {manifest['run_key']} has moved the cursor itself. Set advance_cursor=False on the fetch "
                "task."
            )
        self.log.info("Nothing is new, so the cursor stays where it stands.")
        return {"moved": False, "watermark": manifest.get("watermark_after"), "owed": 0}

    def _failed(self, manifest: Mapping[str, Any], data: Store) -> Iterator[tuple[str, datetime | None]]:
        """Yield hash and time of each landed session whose messages could not be read."""
        names: set[str] = set()
        reads = [READ.manifest(one, _open("read"))[0] for one in _each(self.read)]
        for one in reads:
            if one["sessions_uri"] != manifest["uri"]:
                raise RobofyConfigError(
                    f"read: these are the messages of {one['sessions_uri']}, and the manifest is of {manifest['uri']}."
                )
            if one["sessions_failed"]:
                names |= _failed_sessions(one)
        given = [Shard.of(one.get("shard")) for one in reads]
        lacking = sorted({*range(max((one.count for one in given), default=1))} - {one.index for one in given})
        if lacking or len({one.count for one in given}) != 1:
            raise RobofyConfigError(
                f"read: the manifests of the shards {lacking or 'of one count'} are missing. Give those of all the "
                "messages tasks."
            )
        if not names:
            return
        added = {PROJECT_ID, CHATBOT_ID, SESSIONS.landed_time}
        with hold(manifest, data) as held:
            for row in held.rows():
                if str(row[SESSIONS.key]) in names or row.get(SESSION_KEY) in names:
                    at = row[str(SESSIONS.landed_time)]
                    print_ = fingerprint({name: value for name, value in row.items() if name not in added})
                    yield print_, at and datetime.fromisoformat(at)


def _open(argument: str) -> Callable[[str], Store]:
    return lambda path: open_store(place(path, argument))


def _each(given: Any) -> list[Any]:
    """Return manifests as a list; what a mapped task returns is read lazily."""
    return [given] if isinstance(given, Mapping | str) or given is None else list(given)


def _failed_sessions(manifest: Mapping[str, Any]) -> set[str]:
    """Return the sessions that a messages task names as failed: their ids, or their hashes under a privacy policy.

    :param manifest: The task's manifest.
    :raises RobofyConfigError: The file that names them is gone, or another one.
    :raises RobofyLandingError: It cannot be read.
    """
    uri = manifest.get("failed_uri")
    try:
        lines = open_store(str(uri)).read().splitlines()
        names = {str(codec.loads(line)["session_id"]) for line in lines}
    except FileNotFoundError:
        names = set()
    except OSError as error:
        raise RobofyLandingError(f"{uri} could not be read ({type(error).__name__}: {error}).") from error
    except (ValueError, KeyError, TypeError):
        names = set()
    if len(names) != manifest["sessions_failed"]:
        raise RobofyConfigError(
            f"read: {uri} does not name the {manifest['sessions_failed']} sessions that failed: it is gone or damaged. "
            "Clear the messages task."
        )
    return names
