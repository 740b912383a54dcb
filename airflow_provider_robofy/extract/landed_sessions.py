"""Which sessions to read: the file that a sessions task landed, and never a list of ids, which would be stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.landed import Wanted
from airflow_provider_robofy.extract.landing import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from airflow_provider_robofy.extract.shards import Shard
    from airflow_provider_robofy.extract.store import Store

WANTED: Final = Wanted(
    argument="sessions",
    resources=("sessions",),
    fields={"uri": str, "format": str, "chatbot_id": str, "mode": str, "rows": int, "bytes": int},
    must_be="the manifest of a sessions task (sessions=task.output) or the path of its file",
    aside="Ids themselves are not taken: they can be phone numbers, and Airflow stores what an operator is given.",
    task="sessions task",
    landed_by="RobofyFetchSessionsOperator",
    remedy="Run the sessions task again.",
)


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
        manifest, store = WANTED.find(given, open_store)
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
