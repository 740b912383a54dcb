"""Where a cursor is stored: in a file, or in the state of an asset."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.extract.files import Store

#: The one way to move or reset a cursor, wherever it is stored.
RESET: Final = (
    'To start again, trigger the DAG with the configuration {"robofy_cursor": "reset"}, which reads everything, or '
    '{"robofy_cursor": "2025-01-15T00:00:00Z"}, which reads what is newer.'
)
_MAX_KEY: Final = 500  # Airflow's column takes 512 characters


class CursorStore(Protocol):
    """Store one JSON object, for example in a file or in the state of an asset."""

    #: What a message calls the store.
    where: str
    #: Address by which two stores are the same one, such as the file's.
    address: str

    def load(self) -> Any:
        """Return what was saved last, or None."""

    def save(self, body: dict[str, Any]) -> None:
        """Replace it, whole or not at all."""


class FileCursorStore:
    """Store a cursor in a file of its own, wherever data can land.

    :param store: The file.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.where = f"The cursor {store.uri}"
        self.address = store.uri

    def load(self) -> Any:
        """Return the file's content, or None where there is no file.

        :raises RobofyConfigError: The file is not JSON.
        :raises RobofyLandingError: The file cannot be read.
        """
        try:
            return codec.loads(self._store.read()) if self._store.exists() else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RobofyLandingError(
                f"{self.where} could not be read ({type(error).__name__}: {error}). Check its permissions."
            ) from error
        except ValueError:
            raise RobofyConfigError(f"{self.where} is damaged: it is not JSON. {RESET}") from None

    def save(self, body: dict[str, Any]) -> None:
        """Write the file, whole or not at all.

        :param body: The new content.
        :raises RobofyLandingError: The file cannot be written; its old content stays.
        """
        try:
            self._store.write(codec.dump_line(body))
        except OSError as error:
            self._store.tidy()
            raise RobofyLandingError(
                f"{self.where} could not be written ({type(error).__name__}: {error}). What was read has landed, and "
                "the cursor stands where it was. Check its permissions and free space, and those of TMPDIR, where "
                "files for remote targets are prepared; a retry lands the same rows again."
            ) from error


def cursor_key(name: str, resource: str, project_id: str | None, chatbot_id: str) -> str:
    """Return the key under which an asset's state stores a cursor.

    :param name: The cursor's name.
    :param resource: What its rows are.
    :param project_id: The agent's project, or None.
    :param chatbot_id: The agent.
    """
    key = f"robofy:{name}:{resource}:{project_id or ''}:{chatbot_id}"
    return key if len(key) <= _MAX_KEY else f"{key[:400]}:{hashlib.sha256(key.encode()).hexdigest()}"


def cursor_body(value: Any, open_store: Callable[[str], Store]) -> Any:
    """Return a cursor's body from the state of an asset, which contains the body itself or the address of its file.

    :param value: What the state contains, or None; ``{"file": address}`` for a cursor that is kept in a file, which
        need not be there yet.
    :param open_store: Opens an address.
    :raises RobofyConfigError: The file that a state names is gone, or is not JSON.
    """
    if not isinstance(value, dict):
        return value
    if "file" in value:
        return FileCursorStore(open_store(value["file"])).load()
    if "at" not in value:
        return value
    address = value["at"]
    if not isinstance(address, str) or not address:
        raise RobofyConfigError(f"The cursor is damaged: its state names no file. {RESET}")
    body = FileCursorStore(open_store(address)).load()
    if body is None:
        raise RobofyConfigError(f"The cursor {address} is damaged: the file is gone. {RESET}")
    return body
