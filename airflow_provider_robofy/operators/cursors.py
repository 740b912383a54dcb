"""Move a cursor once the work on what a fetch has landed is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowSkipException, Asset, BaseOperator

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.cursor import Cursor, NextCursor, move_cursor, still_owed
from airflow_provider_robofy.extract.landed import Shard, Wanted, hold
from airflow_provider_robofy.extract.overlap import fingerprint
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.base import failing_at_once
from airflow_provider_robofy.operators.cursor_store import cursor_store, inlets_with
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID, SESSION_KEY, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.extract.files import Store

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
    uri = str(manifest.get("failed_uri"))
    try:
        names = {str(codec.loads(line)["session_id"]) for line in open_store(uri).read().splitlines()}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        names = set()
    except OSError as error:
        raise RobofyLandingError(f"{uri} could not be read ({type(error).__name__}: {error}).") from error
    if len(names) != manifest["sessions_failed"]:
        raise RobofyConfigError(
            f"read: {uri} does not name the {manifest['sessions_failed']} sessions that failed: it is gone or damaged. "
            "Clear the messages task."
        )
    return names
