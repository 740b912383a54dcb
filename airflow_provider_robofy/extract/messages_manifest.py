"""What a run over sessions landed: a manifest with the sessions counted too."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.landing import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesManifest(Manifest):
    """What a run over sessions landed, in counts that add up. No personal data.

    ``since`` and ``mode`` are those of the sessions; ``first_at``, ``last_at``, ``undated`` and ``row_order`` say
    nothing, since it is not known which field of a message is its time.

    :param sessions_uri: The file of sessions whose messages these are.
    :param sessions_asked: Sessions of this shard in it, each once.
        ``sessions_asked == sessions_read + sessions_gone + sessions_failed``.
    :param sessions_read: Sessions whose messages all came, be they none.
    :param sessions_gone: Sessions that did not exist any more.
    :param sessions_failed: Sessions that could not be read to their end; none of their messages is in the file.
    :param failed_uri: The file that names those, or None.
    :param shard: Index and count, where the sessions were split over several tasks, or None.
    """

    sessions_uri: str
    sessions_asked: int
    sessions_read: int
    sessions_gone: int
    sessions_failed: int
    failed_uri: str | None
    shard: list[int] | None

    def __post_init__(self) -> None:
        # Not by super(): a dataclass with slots is another class than the one that this method was written in.
        Manifest.__post_init__(self)
        accounted = self.sessions_read + self.sessions_gone + self.sessions_failed
        if self.sessions_asked != accounted:
            raise RobofyLandingError(
                f"The counts do not add up: {self.sessions_asked} sessions asked for, but {self.sessions_read} read, "
                f"{self.sessions_gone} gone and {self.sessions_failed} failed make {accounted}. Nothing was published; "
                "please report this to the provider's maintainers."
            )
