"""Which sessions to read: the file that a sessions task landed, and never a list of ids, which would be stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.landing import rows
from airflow_provider_robofy.extract.manifest import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from airflow_provider_robofy.extract.shards import Shard
    from airflow_provider_robofy.extract.store import Store

_NEEDED = {"uri": str, "format": str, "chatbot_id": str, "mode": str, "rows": int, "bytes": int}


@dataclass(frozen=True, slots=True)
class LandedSessions:
    """Hold a landed file of sessions and its manifest.

    :param manifest: What :class:`~airflow_provider_robofy.operators.inbox.RobofyFetchSessionsOperator` returned.
    :param store: The file.
    """

    manifest: Mapping[str, Any]
    store: Store

    @classmethod
    def of(cls, given: object, open_store: Callable[[str], Store]) -> Self:
        """Find the sessions that an operator was told to read, and look whether they are still there.

        :param given: The manifest, or the path of the file, which has its manifest beside it.
        :param open_store: Opens a path.
        :raises RobofyConfigError: It is neither, of another resource, or gone.
        :raises RobofyLandingError: The file is not the one that the manifest describes.
        """
        if isinstance(given, Mapping):
            manifest = given
            _check(manifest)
            store = open_store(manifest["uri"])
        elif isinstance(given, str) and given.strip() and not given.lstrip().startswith(("{", "[")):
            store = open_store(given.strip())
            manifest = _manifest_beside(store)
            _check(manifest)
        else:
            raise RobofyConfigError(
                f"sessions must be the manifest of a sessions task (sessions=task.output) or the path of its file, "
                f"not {_described(given)}. Ids themselves are not taken: they can be phone numbers, and Airflow stores "
                "what an operator is given."
            )
        size = store.size()
        if size is None:
            raise RobofyConfigError(f"sessions: the file {store.uri} is gone. Run the sessions task again.")
        if size != manifest["bytes"]:
            raise RobofyLandingError(
                f"sessions: {store.uri} has {size} bytes, but its manifest says {manifest['bytes']}. It was replaced "
                "by a later run, or cut. Run the sessions task again."
            )
        return cls(manifest, store)

    @property
    def chatbot_id(self) -> str:
        """Return the agent whose sessions they are."""
        return str(self.manifest["chatbot_id"])

    @property
    def project_id(self) -> str | None:
        """Return the agent's project, if it is known."""
        return self.manifest.get("project_id")

    def ids(self, shard: Shard) -> Iterator[str]:
        """Yield the ids of a shard's sessions in the order of the file, each once, as text.

        A session that was touched while the listing was read may be in the file twice.

        :raises RobofyConfigError: A row bears no id.
        :raises RobofyLandingError: The file cannot be read, or holds another number of rows than it should.
        """
        seen: set[str] = set()
        try:
            for number, row in enumerate(rows(self.manifest, self.store), 1):
                found = row.get("session_id") if type(row) is dict else None
                if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
                    raise RobofyConfigError(
                        f"sessions: row {number} of {self.store.uri} has no session_id that is text or a whole number. "
                        "Was the file landed by RobofyFetchSessionsOperator?"
                    )
                session_id = str(found)
                if session_id not in seen and shard.holds(session_id):
                    seen.add(session_id)
                    yield session_id
        except OSError as error:
            raise RobofyLandingError(
                f"sessions: {self.store.uri} could not be read ({type(error).__name__}: {error})."
            ) from error


def _manifest_beside(store: Store) -> Mapping[str, Any]:
    beside = store.beside(SUFFIX)
    try:
        manifest = codec.loads(beside.read())
    except FileNotFoundError:
        raise RobofyConfigError(
            f"sessions: {beside.uri} is not there. Give the path of a file that RobofyFetchSessionsOperator landed, "
            "with its manifest beside it."
        ) from None
    except ValueError:
        manifest = None
    if not isinstance(manifest, Mapping):
        raise RobofyConfigError(f"sessions: {beside.uri} is no manifest.")
    return manifest


def _check(manifest: Mapping[str, Any]) -> None:
    resource = manifest.get("resource")
    if resource != "sessions":
        raise RobofyConfigError(
            f"sessions: this is the manifest of {str(resource)[:40]!r} and not of 'sessions'. Give what a "
            "RobofyFetchSessionsOperator returned."
        )
    wrong = [name for name, kind in _NEEDED.items() if not isinstance(manifest.get(name), kind)]
    if wrong:
        raise RobofyConfigError(f"sessions: the manifest lacks {', '.join(wrong)}, so it is not one of this provider.")


def _described(given: object) -> str:
    if given is None:
        return "None (did the sessions task return a manifest?)"
    if isinstance(given, str):
        return "the text of one (a template renders text; use task.output)" if given.strip() else "an empty text"
    return f"a {type(given).__name__}"
