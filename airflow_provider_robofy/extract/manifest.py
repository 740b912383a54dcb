"""What a run landed, in numbers that add up: the file beside the data, and the only thing that goes to XCom."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from airflow_provider_robofy.api.errors import RobofyLandingError

SCHEMA_VERSION: Final = 1
SUFFIX: Final = ".manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Describe one landed file. Plain JSON, no personal data.

    :param resource: What the rows are, for example ``leads``.
    :param mode: ``full``, ``window`` or ``cursor``.
    :param uri: The file; ``rejected_uri`` the file of rows that could not be understood, or None.
    :param format: ``jsonl``, ``jsonl.gz``, ``csv``, ``csv.gz`` or ``parquet``.
    :param formulas_defused: For CSV, whether an apostrophe stands before what a spreadsheet could take for a formula;
        None for the other formats.
    :param rows: Rows in the file, as the writer counted them.
    :param received: Rows in the API's pages, as the parser counted them.
        ``received == rows + duplicates + outside_window + rejected``.
    :param undated: Rows in the file whose time could not be read.
    :param future: Rows in the file that lie more than five minutes ahead of the clock.
    :param pages: Pages read; ``requests`` the requests that took, repeated ones included.
    :param end_marker: How the listing ended: ``absent``, ``null`` or ``empty`` token, or ``early``, where the order
        of the rows made the rest needless.
    :param since: Window, ISO 8601 in UTC, or None; likewise ``until``.
    :param first_at: Earliest time among the rows of the file; ``last_at`` the latest.
    :param row_order: ``newest_first``, ``oldest_first``, ``mixed`` or ``unknown``: how the pages that were read came.
    :param mark_before: The cursor's mark before and after the run (``mark_after``); None without a cursor, or where
        there was none yet.
    :param cursor_generation: From which state of the cursor the run started; None without a cursor.
    :param privacy: The rules by which personal data was kept, dropped or hashed, or None.
    :param bytes: Size of the file as it lies in the store, and ``sha256`` its hash.
    :param run_key: Which task of which run wrote it; equal for a retry and for a cleared task.
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
    duplicates: int
    outside_window: int
    rejected: int
    rejected_uri: str | None
    undated: int
    future: int
    pages: int
    requests: int
    end_marker: str | None
    since: str | None
    until: str | None
    first_at: str | None
    last_at: str | None
    row_order: str
    mark_before: str | None
    mark_after: str | None
    cursor_generation: str | None
    privacy: dict[str, str] | None = None
    formulas_defused: bool | None = None
    sha256: str
    run_key: str
    started_at: str
    finished_at: str
    schema_version: int = SCHEMA_VERSION
    bytes: int

    def __post_init__(self) -> None:
        accounted = self.rows + self.duplicates + self.outside_window + self.rejected
        if self.received != accounted:
            raise RobofyLandingError(
                f"The counts do not add up: {self.received} rows received, but {self.rows} landed, "
                f"{self.duplicates} duplicates, {self.outside_window} outside the window and {self.rejected} rejected "
                f"make {accounted}. Nothing was published; please report this to the provider's maintainers."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return what goes to XCom and into the file."""
        return asdict(self)


def identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what tells the file of one purpose from the file of another.

    Two runs over the same window write the same file, so a window is identity enough; without one it is the run. A run
    with a cursor may be a full one at its first try and not at its second, so these two count as one.
    """
    mode = "window" if manifest.get("mode") == "window" else "full"
    names = ["resource", "project_id", "chatbot_id"] + (["since", "until"] if mode == "window" else ["run_key"])
    # Messages are those of one file of sessions, and may be split over tasks; leads and sessions know neither.
    own = [name for name in ("sessions_uri", "shard") if name in manifest]
    return {"mode": mode, **{name: manifest.get(name) for name in (*names, *own)}}
