"""What a run landed, in counts that add up: the file beside the data, and all that goes to XCom."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyLandingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a run landed, in counts that add up: the file beside the data, and all that goes to XCom. No personal data.

    :param resource: What the rows are, for example ``leads``.
    :param mode: ``full``, ``window`` or ``cursor``; ``cursor`` too for a full run of a cursor that left out sessions
        which were not idle.
    :param uri: The file; ``rejected_uri`` the file of rows that could not be read, or None.
    :param format: ``jsonl``, ``jsonl.gz``, ``csv``, ``csv.gz`` or ``parquet``.
    :param formulas_defused: For CSV, whether an apostrophe is before what a spreadsheet could take for a formula;
        None for the other formats.
    :param rows: Rows in the file, as the writer counted them.
    :param received: Rows in the API's pages, as the parser counted them.
        ``received == rows + duplicates + outside_window + rejected``.
    :param undated: Rows in the file whose time could not be read.
    :param future: Rows that are more than five minutes ahead of the clock: in the file, or left out by ``idle_for``.
    :param pages: Pages read; ``requests`` the requests that took, repeated and unused ones included.
    :param requests_unused: Requests for pages that were asked for ahead and not used.
    :param end_marker: How the listing ended: ``absent``, ``null`` or ``empty`` token, or ``early``, where the order
        of the rows made the rest unnecessary.
    :param since: Window, ISO 8601 in UTC, or None; likewise ``until``.
    :param first_at: Earliest time among the rows of the file; ``last_at`` the latest.
    :param row_order: ``newest_first``, ``oldest_first``, ``mixed`` or ``unknown``: how the pages that were read came.
    :param watermark_before: The cursor's watermark before the run, ``watermark_after`` the one after it; None without a
        cursor, or where there was none yet.
    :param cursor_generation: From which state of the cursor the run started; None without a cursor.
    :param cursor_next_uri: The file with the cursor's next state, where ``advance_cursor=False`` leaves the cursor
        where it stands and rows have landed; otherwise None.
    :param privacy: The rules by which personal data was kept, dropped or hashed, or None.
    :param bytes: Size of the file in the store, and ``sha256`` its hash.
    :param run_key: Which task of which run wrote it; equal for a retry and for a cleared task.
    :param try_id: Which try of it: when it began, and a random part. Another for each try.
    :param started_at: When the listing began, by the earlier of this machine's clock and the API's.
    """

    resource: str
    mode: str
    project_id: str | None
    chatbot_id: str
    uri: str
    format: str
    rows: int
    received: int
    duplicates: int = 0
    outside_window: int = 0
    rejected: int
    rejected_uri: str | None
    undated: int = 0
    future: int = 0
    pages: int = 0
    requests: int
    requests_unused: int = 0
    end_marker: str | None = None
    since: str | None = None
    until: str | None = None
    first_at: str | None = None
    last_at: str | None = None
    row_order: str = "unknown"
    watermark_before: str | None = None
    watermark_after: str | None = None
    cursor_generation: str | None = None
    cursor_next_uri: str | None = None
    privacy: dict[str, str] | None = None
    formulas_defused: bool | None = None
    sha256: str
    run_key: str
    started_at: str
    finished_at: str
    schema_version: int = SCHEMA_VERSION
    bytes: int
    try_id: str | None = None

    def __post_init__(self) -> None:
        accounted = self.rows + self.duplicates + self.outside_window + self.rejected
        if self.received != accounted:
            raise RobofyLandingError(
                f"The counts do not add up: {self.received} rows received, but {self.rows} landed, "
                f"{self.duplicates} duplicates, {self.outside_window} outside the window and {self.rejected} rejected "
                f"make {accounted}. Nothing was published; please report this to the provider's maintainers."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as plain JSON."""
        return asdict(self)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """Return the manifest of its plain JSON; fields that are not known here are left out.

        :param body: What :meth:`as_dict` returned, perhaps in an earlier version.
        :raises TypeError: A field is missing.
        """
        return cls(**{field.name: body[field.name] for field in fields(cls) if field.name in body})


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesManifest(Manifest):
    """What a run over sessions landed, in counts that add up. No personal data.

    ``since`` and ``mode`` are those of the sessions; ``row_order`` says nothing, and of messages neither do
    ``first_at``, ``last_at`` and ``undated``, since it is not known which field of a message is its time. Of
    conversations, ``received`` counts the conversations, and each message of theirs that was rejected.

    :param sessions_uri: The file of sessions whose messages or leads these are.
    :param sessions_asked: Sessions of this shard in it, each once.
        ``sessions_asked == sessions_read + sessions_gone + sessions_failed``.
    :param sessions_read: Sessions whose messages or leads all came, be they none.
    :param sessions_gone: Sessions that did not exist any more.
    :param sessions_failed: Sessions that could not be read to their end; nothing of them is in the file.
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


def identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a manifest that say what its file is for.

    Two runs over the same window write the same file, so a window is identity enough; without one it is the run. A run
    with a cursor may be a full one at its first try and not at its second, so these two count as one.

    :param manifest: A manifest, or as much of one as is known before the run.
    """
    mode = "window" if manifest.get("mode") == "window" else "full"
    names = ["resource", "project_id", "chatbot_id"] + (["since", "until"] if mode == "window" else ["run_key"])
    # Messages are those of one file of sessions, and may be split over tasks; leads and sessions know neither.
    own = [name for name in ("sessions_uri", "shard") if name in manifest]
    return {"mode": mode, **{name: manifest.get(name) for name in (*names, *own)}}
