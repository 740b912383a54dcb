"""What the table of a resource looks like: its key, the fields that are known, and the columns that are added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.warehouse.values import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT: Final = "_project_id"
AGENT: Final = "_chatbot_id"
FETCHED_AT: Final = "_fetched_at"
RUN_KEY: Final = "_run_key"
ROW: Final = "_row"
CONTENT: Final = "_content_hash"
EXTRA: Final = "_extra"
SESSION_KEY: Final = "_session_key"

UPSERT, APPEND, REPLACE = "upsert", "append", "replace"
MODES: Final = (UPSERT, APPEND, REPLACE)

#: So many columns for fields that are not known beforehand, form fields included. MySQL's rows hold no more: of each
#: text forty bytes may lie in the row itself, and a row has eight thousand.
MAX_FIELDS: Final = 100


@dataclass(frozen=True, slots=True)
class Column:
    """Describe a column to make.

    :param name: Its name.
    :param kind: What it holds.
    :param length: Characters that it takes; None where it is no key.
    :param required: Is it never null?
    """

    name: str
    kind: Kind = Kind.TEXT
    length: int | None = None
    required: bool = False


#: Whose rows they are.
OWNER: Final = (Column(PROJECT, length=64, required=True), Column(AGENT, length=255, required=True))
#: What this provider has to know of a row that is there already.
BOOKS: Final = (
    Column(FETCHED_AT, Kind.TIME, required=True),
    Column(RUN_KEY, length=250, required=True),
    Column(ROW, Kind.INTEGER, required=True),
    Column(CONTENT, length=32, required=True),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Describe the table of one resource.

    :param resource: What its rows are.
    :param key: The column by which rows are told apart, within an agent.
    :param fields: Other fields that rows of this resource are known to have.
    """

    resource: str
    key: Column
    fields: tuple[Column, ...]

    def columns(self, lead_fields: Mapping[str, str], fields: tuple[str, ...]) -> tuple[Column, ...]:
        """Return all columns of a new table.

        :param lead_fields: Form field to column.
        :param fields: Fields beyond those that are known.
        """
        more = (*lead_fields.values(), *fields)
        return (*OWNER, self.key, *self.fields, *map(Column, more), Column(EXTRA, Kind.JSON), *BOOKS)

    def primary_key(self, mode: str) -> tuple[str, ...]:
        """Return the names of the columns that tell rows apart."""
        return (PROJECT, AGENT, RUN_KEY, ROW) if mode == APPEND else (PROJECT, AGENT, self.key.name)

    @property
    def reserved(self) -> frozenset[str]:
        """Return the names of columns that no field of the API is stored in."""
        return frozenset(column.name for column in (*OWNER, *BOOKS)) | {EXTRA}


_LAYOUTS: Final = {
    layout.resource: layout
    for layout in (
        Layout(
            "leads",
            Column("id", length=255, required=True),
            (
                Column("created_at"),
                Column("source"),
                Column("page_url"),
                Column("ip_address"),
                Column("lead_data", Kind.JSON),
                Column("_created_at", Kind.TIME),
            ),
        ),
        Layout(
            "sessions",
            Column("session_id", length=255, required=True),
            (
                Column("last_message_time"),
                Column("last_message"),
                Column("user_profile_name"),
                Column("last_message_direction"),
                Column("website_url"),
                Column("_last_message_time", Kind.TIME),
            ),
        ),
        Layout(
            "messages",
            Column("_message_key", length=255, required=True),
            (Column("_session_id"), Column("_position", Kind.INTEGER)),
        ),
    )
}
RESOURCES: Final = tuple(_LAYOUTS)


def layout_of(resource: str) -> Layout:
    """Return the layout of a resource.

    :raises RobofyConfigError: There is none.
    """
    try:
        return _LAYOUTS[resource]
    except KeyError:
        raise RobofyConfigError(
            f"manifest: rows of {resource[:40]!r} cannot be loaded into a table, only {', '.join(RESOURCES)}."
        ) from None
