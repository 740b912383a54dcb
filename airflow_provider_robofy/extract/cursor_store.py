"""Where a cursor is kept: behind one small interface, in a file or in something that somebody else brings."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.cursor import RESET, Cursor
from airflow_provider_robofy.extract.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.extract.store import Store

_MAX_KEY = 500  # Airflow's column takes 512 characters

_log = logging.getLogger(__name__)


class CursorStore(Protocol):
    """Keep one JSON object."""

    @property
    def where(self) -> str:
        """Return how to call the place in a message."""

    def load(self) -> Any:
        """Return what was saved last, or None."""

    def save(self, body: dict[str, Any]) -> None:
        """Replace it, whole or not at all."""


class FileCursorStore:
    """Keep a cursor in a file of its own, on any store that data can land on.

    :param store: The file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def where(self) -> str:
        """Return the file's address."""
        return f"The cursor {self._store.uri}"

    def load(self) -> Any:
        """Return the file's content, or None where there is no file.

        :raises RobofyConfigError: The file is not JSON.
        """
        try:
            content = self._store.read() if self._store.exists() else b"null"
            return codec.loads(content)
        except FileNotFoundError:
            return None
        except ValueError:
            raise RobofyConfigError(f"{self.where} is damaged: it is not JSON. {RESET}") from None

    def save(self, body: dict[str, Any]) -> None:
        """Write the file, atomically."""
        with Spool(self._store.spool_path(), compress=False) as spool:
            spool.write(codec.dump_line(body))
            spool.finish()
            self._store.publish(spool.path, spool.bytes)


def cursor_key(name: str, resource: str, project_id: str | None, chatbot_id: str) -> str:
    """Return the key under which an asset's state holds a cursor.

    :param name: The cursor's name.
    """
    key = f"robofy:{name}:{resource}:{project_id or ''}:{chatbot_id}"
    return key if len(key) <= _MAX_KEY else f"{key[:400]}:{hashlib.sha256(key.encode()).hexdigest()}"


def cursor_body(value: Any, open_store: Callable[[str], Store]) -> Any:
    """Return a cursor's body from what a state holds: the body itself, or the address of a file with it.

    :param value: What the state holds, or None.
    :param open_store: Opens an address.
    """
    if isinstance(value, dict) and isinstance(value.get("at"), str):
        return FileCursorStore(open_store(value["at"])).load()
    return value


class CursorKeeper:
    """Read the cursor of one sync, and move it when its landing has been verified.

    Usage::

        keeper = CursorKeeper(FileCursorStore(store), {"name": ..., "resource": ..., ...})
        cursor = keeper.read()
        ...  # fetch, publish, verify
        keeper.move(cursor_after)

    :param store: Where it is kept.
    :param identity: Whose it is.
    :param start_again: Where a person asked this run to start, in place of what is kept; None for nowhere.
    """

    def __init__(self, store: CursorStore, identity: dict[str, Any], start_again: Cursor | None = None) -> None:
        self._store = store
        self._identity = identity
        self._start_again = start_again
        self._read: Cursor | None = None

    def read(self) -> Cursor:
        """Return where the sync stands.

        :raises RobofyConfigError: The cursor is damaged, somebody else's or of a newer version.
        """
        if self._start_again is not None:
            return self._start_again
        self._read = self._decode()
        return self._read

    def move(self, cursor: Cursor) -> bool:
        """Move the cursor, unless another run has moved it since it was read.

        :return: Whether it moved. If not, nothing is lost: the other run started no later than this one, and what this
            one landed will merely land again.
        """
        if self._read is not None:
            now = self._decode()
            if now.generation != self._read.generation:
                _log.warning(
                    "Another run (%s) moved the cursor while this one was reading. It is left where that run put it, "
                    "so some rows will land twice. Set max_active_runs=1 on the DAG, and one task to a cursor.",
                    now.run_key,
                )
                return False
        self._store.save(cursor.encode(self._identity))
        return True

    def _decode(self) -> Cursor:
        return Cursor.decode(self._store.load(), self._identity, self._store.where)
