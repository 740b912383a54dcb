"""Rows, pages and runs, for the tests of `extract` and the processes that they start; imports no test tools."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.pages import Page
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import CursorRun
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.extract.listing import ListingRun
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.resources import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_robofy.extract.files import Store

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
LAG = timedelta(minutes=10)
IDENTITY = {"name": "dag.leads", "resource": "leads", "project_id": "24017", "chatbot_id": "agent-a"}
STAMP = {"_project_id": "24017", "_chatbot_id": "agent-a"}


def lead(row_id: Any, at: Any = "2025-01-15 10:30:00", **fields: Any) -> dict[str, Any]:
    return {"id": row_id, "created_at": at, **fields}


def without_stamp(row: dict[str, Any]) -> dict[str, Any]:
    """Return a landed lead as it came."""
    return {name: value for name, value in row.items() if name not in {*STAMP, "_created_at"}}


def make_pages(*pages: Sequence[Any], end_marker: str | None = "absent", date: datetime | None = None) -> list[Page]:
    """Make a listing of rows, a list for each page."""
    last = len(pages)
    return [
        Page(number, list(rows), end_marker if number == last else None, date) for number, rows in enumerate(pages, 1)
    ]


def make_cursor_run(store: Store, run_key: str = "dag/run/task", *, kind: Any = CursorRun, **changes: Any) -> CursorRun:
    """Begin a run with the cursor in a file; what a test leaves unsaid is a lag of ten minutes at `NOW`."""
    values: dict[str, Any] = {"identity": IDENTITY, "timezone": "UTC", "lag": LAG, "full_every": None, "now": NOW}
    values |= changes
    run: CursorRun = kind(store=FileCursorStore(store), run_key=run_key, **values)
    return run


def make_listing_run(
    store: Store,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    timezone: str = "UTC",
    resource: str = "leads",
    **changes: Any,
) -> ListingRun:
    """Make a run of a listing; what a test leaves unsaid are any number of rejected rows and a clock at `NOW`."""
    values: dict[str, Any] = {"project_id": "24017", "chatbot_id": "agent-a", "lag": LAG, "order": "unknown"}
    values |= {"run_key": "dag/run/task", "max_rejected": 1_000_000, "now": lambda: NOW}
    window, times = Window.of(since, until), TimeReader(timezone)
    return ListingRun(store=store, resource=RESOURCES[resource], window=window, times=times, **values | changes)
