"""Faults in the content of a page: the rows, the token, the list itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_robofy.emulator import tokens
from airflow_provider_robofy.emulator.faults import Fault, FaultError
from airflow_provider_robofy.emulator.pages import LISTINGS, Page

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.ask import Ask

MALFORMED = ("no_id", "bad_date", "not_object")
ODD_ID = "odd_id"
_IDS = ("id", "session_id", "chatbot_id", "asset_id")
_TIMES = ("created_at", "last_message_time")


class PageFault(Fault):
    """A fault in a page's content; it meets listings only, and stays unless told otherwise."""

    stays: ClassVar[bool] = True

    def matches(self, ask: Ask) -> bool:
        return ask.endpoint in LISTINGS and super().matches(ask)

    def edit(self, page: Page) -> None:
        """
        Spoil a page before it is written.

        :param page: the page, changed in place.
        """
        raise NotImplementedError


@dataclass(kw_only=True)
class DuplicateRows(PageFault):
    """Repeat the last `count` rows of the page before at the top of this one; the first page has none before it."""

    kind: ClassVar[str] = "duplicate_rows"
    count: int = 3

    def matches(self, ask: Ask) -> bool:
        return (ask.page or 0) > 1 and super().matches(ask)

    def edit(self, page: Page) -> None:
        page.rows[:0] = page.before()[-self.count :]


@dataclass(kw_only=True)
class ChangedRows(PageFault):
    """Add the first `count` rows of the page once more at its end, with the same id and other content."""

    kind: ClassVar[str] = "changed_rows"
    count: int = 1

    def edit(self, page: Page) -> None:
        page.rows.extend([_changed(row) for row in page.rows[: self.count] if isinstance(row, dict)])


def _changed(row: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(row.get("lead_data"), list):
        return {**row, "changed": True}
    news = {"field_name": "status", "field_type": "text", "field_value": "changed"}
    return {**row, "lead_data": [*row["lead_data"], news]}


@dataclass(kw_only=True)
class Disorder(PageFault):
    """Swap `count` pairs of rows, outermost first."""

    kind: ClassVar[str] = "disorder"
    count: int = 1

    def edit(self, page: Page) -> None:
        rows = page.rows
        for low in range(min(self.count, len(rows) // 2)):
            rows[low], rows[-1 - low] = rows[-1 - low], rows[low]


@dataclass(kw_only=True)
class MalformedRows(PageFault):
    """Add `count` rows that make no sense: `how` is no_id, bad_date, not_object, mixed (these in turn), or odd_id."""

    kind: ClassVar[str] = "malformed_rows"
    count: int = 3
    how: str = "mixed"

    def __post_init__(self) -> None:
        """Refuse an unknown way of making no sense."""
        super().__post_init__()
        if self.how not in {"mixed", ODD_ID, *MALFORMED}:
            raise FaultError(f"malformed_rows: how must be mixed, {', '.join(MALFORMED)}, {ODD_ID}, not {self.how!r}")

    def edit(self, page: Page) -> None:
        good = list(page.rows)
        for n in range(self.count):
            how = MALFORMED[n % 3] if self.how == "mixed" else self.how
            # Spread over the page, where a check of the first or last row alone would miss them.
            at = (n + 1) * len(page.rows) // (self.count + 1)
            page.rows.insert(at, _malformed(how, good[n % len(good)] if good else {}, f"{page.number}_{n}"))


def _malformed(how: str, like: Any, name: str) -> Any:
    if how == "not_object" or not isinstance(like, dict):
        return f"malformed row {name}"
    if how == "no_id":
        return {key: value for key, value in like.items() if key not in _IDS}
    key = next((key for key in _IDS if key in like), "id")
    if how == ODD_ID:
        return {**like, key: {"value": name}}
    return {**like, key: f"malformed_{name}", **dict.fromkeys([t for t in _TIMES if t in like], "soon")}


@dataclass(kw_only=True)
class TokenLoop(PageFault):
    """Give every page a token that leads back to itself."""

    kind: ClassVar[str] = "token_loop"

    def edit(self, page: Page) -> None:
        page.token = tokens.write(page.number)


@dataclass(kw_only=True)
class TokenUnknown(PageFault):
    """Write the next page's token under another key, `key`."""

    kind: ClassVar[str] = "token_unknown"
    key: str = "continuation"

    def edit(self, page: Page) -> None:
        page.token_key = self.key


@dataclass(kw_only=True)
class MissingList(PageFault):
    """Leave out the list of rows, which is not the same as an empty one."""

    kind: ClassVar[str] = "missing_list"

    def edit(self, page: Page) -> None:
        page.list_missing = True
