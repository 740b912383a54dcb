"""Publishing what a run landed: rejected rows, data, manifest, in this order, each whole or not at all."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyForeignFileError, RobofyLandingError
from airflow_provider_robofy.extract.formats import SPOILT, Format, format_of
from airflow_provider_robofy.extract.manifest import identity
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.extract.manifest import Manifest

SUFFIX: Final = ".manifest.json"
REJECTED_SUFFIX: Final = ".rejected.jsonl"
FAILED_SUFFIX: Final = ".failed.jsonl"
#: The cursor's next state, where the fetch leaves the cursor where it stands.
NEXT_SUFFIX: Final = ".cursor-next.json"

_NONE: Final[Any] = object()


_RUN_OR_WINDOW: Final = "{{ run_id }} or the window's bounds, and for mapped tasks the agent,"


def _what_differs(theirs: object, ours: object) -> str:
    """Return what keeps apart two results that land at one path.

    :param theirs: Run key of the file that is there, ``dag_id/run_id/task_id`` and for mapped tasks ``/map_index``.
    :param ours: Run key of this task, None for a window, whose results do not depend on the run.
    """
    there, here = (str(key or "").split("/") for key in (theirs, ours))
    if there[:2] != here[:2] or there == here:
        return _RUN_OR_WINDOW
    return "{{ ti.task_id }}" if there[2:3] != here[2:3] else "{{ ti.map_index }}"


class Landing:
    """Land one result: the data, and beside it rejected rows, failures and the manifest.

    Usage::

        with Landing(store, identity({"resource": "leads", ...})) as landing:
            landing.check()
            with landing.spool() as data, landing.spool_rejected() as rejected:
                data.append(lines, rows)
                ...
                data.finish()
                rejected.finish()
                landing.publish(data, rejected, Manifest(**landing.facts(data, rejected), ...))

    Leaving the ``with`` removes folders that were made for nothing, and turns an error of the disk or the store into
    one that names the file.

    :param store: Where the data goes.
    :param identity: What the file is for, as :func:`identity` returns it. A file that is for something else is never
        overwritten.
    :param defuse_formulas: In CSV, put an apostrophe before what a spreadsheet could take for a formula. Default True.
    :raises RobofyConfigError: The file's ending is unknown, or needs something that is not installed.
    """

    def __init__(self, store: Store, identity: Mapping[str, Any], *, defuse_formulas: bool = True) -> None:
        self.store = store
        self.format = Format(format_of(store.uri), identity.get("resource"), defuse_formulas=defuse_formulas)
        self._identity = dict(identity)
        self._manifest = store.beside(SUFFIX)
        self._rejected = store.beside(REJECTED_SUFFIX)
        #: The file that names what could not be read, such as a session among many.
        self.failed = store.beside(FAILED_SUFFIX)
        #: The file with the cursor's next state.
        self.next = store.beside(NEXT_SUFFIX)
        #: Which try this is.
        self.try_id = f"{datetime.now(UTC).isoformat(timespec='seconds')}-{os.urandom(4).hex()}"
        #: The manifest that was there when it was last checked; None where none was.
        self._found: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.tidy()
        if isinstance(error, OSError):
            raise RobofyLandingError(
                f"{self.store.uri} could not be written ({type(error).__name__}: {error}). No partial file was left "
                "under that name. Check that the folder exists and is writable, that there is free space, and the same "
                "for TMPDIR, where rows for remote targets are written first."
            ) from error

    def check(self) -> dict[str, Any] | None:
        """Refuse to overwrite the file of another agent, window or run.

        :return: The manifest of an earlier run for the same purpose, or None.
        :raises RobofyForeignFileError: There is such a file; the message says whose it is.
        """
        self._found = found = self._read_manifest()
        if found is not None:
            theirs = identity(found)
            different = [
                f"{name} is {theirs[name]!r} there and {ours!r} here"
                for name, ours in self._identity.items()
                # A full run's identity names no window, and a window's no run; then the modes differ.
                if name in theirs and theirs[name] != ours
            ]
            if different:
                why = f"it belongs to another result: {'; '.join(different)}"
                raise self._foreign(why, _what_differs(found.get("run_key"), self._identity.get("run_key")))
            return found
        if self.store.exists() and not self._is_unfinished():
            raise self._foreign("it has no manifest, so this task did not write it")
        return None

    def spool(self) -> Spool:
        """Start the data file."""
        return Spool(self.store.spool_path(), compress=self.format.compressed, writer=self.format.writer)

    def spool_rejected(self) -> Spool:
        """Start the file of rejected rows."""
        return Spool(self._rejected.spool_path())

    def spool_failed(self) -> Spool:
        """Start the file that names what could not be read."""
        return Spool(self.failed.spool_path())

    def facts(self, data: Spool, rejected: Spool) -> dict[str, Any]:
        """Return what a manifest says of the files.

        :param data: The data, finished; ``rejected`` likewise the rejected rows.
        """
        return {
            "uri": self.store.uri,
            "format": self.format.name,
            "formulas_defused": self.format.defused,
            "rows": data.rows,
            "rejected": rejected.rows,
            "rejected_uri": self._rejected.uri if rejected.rows else None,
            "bytes": data.bytes,
            "sha256": data.sha256,
            "try_id": self.try_id,
        }

    def publish(
        self,
        data: Spool,
        rejected: Spool,
        manifest: Manifest,
        failed: Spool | None = None,
        next_state: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish what was spooled and finished.

        Killed at any moment, this leaves under each name either a whole file or none, and a manifest only where the
        data it describes is there.

        Two tries can be here at once: one that was frozen goes on while its successor runs. Nothing is published over a
        result that came since :meth:`check`. What comes between that look and the end of the put is replaced by a pair
        that agrees, and this try fails, so that no cursor moves.

        :param data: The data, finished.
        :param rejected: The rejected rows, finished; they and ``failed`` are published only with a row.
        :param manifest: What the files contain.
        :param failed: What could not be read, finished. Default none.
        :param next_state: The cursor's next state. Default none.
        :raises RobofyLandingError: Another result was published there meanwhile, or a file did not arrive whole.
        """
        before = self._found
        beside = [(self._rejected, rejected)] + ([(self.failed, failed)] if failed else [])
        with_rows = [(store, spool) for store, spool in beside if spool.rows]
        self._check_not_overtaken(before)
        for store, spool in with_rows:
            store.publish(spool.path, spool.bytes)
        if next_state is not None:
            self.next.write(codec.dump_pretty(next_state))
        if with_rows or next_state is not None:
            self._check_not_overtaken(before)
        version = self.store.publish(data.path, data.bytes)
        now = self._read_manifest()
        if self.store.version() != version:
            raise self._overtaken(now, "It has replaced the data of this one.")
        self._manifest.write(codec.dump_pretty(manifest.as_dict()))
        if self.store.version() != version:
            self._withdraw_manifest()
            raise self._overtaken(now, "It has replaced the data of this one.")
        for store, spool in beside:
            if not spool.rows:
                store.remove()
        if now != before:
            raise self._overtaken(now, "Both landed at once, and what lies there is of this one. Clear the task.")

    def _withdraw_manifest(self) -> None:
        """Remove the manifest of this try from beside the data of another: a retry replaces data without one."""
        there = self._read_manifest()
        if there is not None and there.get("try_id") == self.try_id:
            self._manifest.remove()

    def _check_not_overtaken(self, before: dict[str, Any] | None) -> None:
        """Refuse to publish over a result that was not there at the start."""
        now = self.check()
        if now != before:
            raise self._overtaken(now, "What it landed stays, and nothing of this one was published.")

    def _read_manifest(self) -> dict[str, Any] | None:
        """Return the manifest that lies there, or None."""
        if not self._manifest.exists():
            return None
        try:
            return dict(codec.loads(self._manifest.read()))
        except (ValueError, TypeError):
            raise self._foreign("its manifest cannot be read") from None
        except FileNotFoundError:
            return None

    def _overtaken(self, theirs: dict[str, Any] | None, outcome: str) -> RobofyLandingError:
        other = theirs or {}
        return RobofyLandingError(
            f"{self.store.uri}: another try has landed there while this one was running: try {other.get('try_id')} of "
            f"{other.get('run_key')}; this one is try {self.try_id}. {outcome} No cursor was moved by this one."
        )

    def _foreign(self, why: str, differs: str = _RUN_OR_WINDOW) -> RobofyForeignFileError:
        return RobofyForeignFileError(
            f"{self.store.uri} is not overwritten: {why}. Put {differs} into output_path; or move the file away."
        )

    def _is_unfinished(self) -> bool:
        """Return whether a file without a manifest is what an attempt for this agent left when it was killed."""
        try:
            if not self.store.size():
                return True
            with self.store.open() as raw:
                row = next(self.format.rows(raw), _NONE)
        except (OSError, *SPOILT):
            return False
        if row is _NONE:
            return True
        ours = (self._identity.get("project_id"), self._identity.get("chatbot_id"))
        return isinstance(row, dict) and (row.get(PROJECT_ID), row.get(CHATBOT_ID)) == ours
