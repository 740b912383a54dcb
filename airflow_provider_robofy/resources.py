"""What Robofy lists, in one table: the fields of leads, sessions and messages, and what each field is for.

Files, tables, privacy rules, sensors and the probe read it, so that a field is named in one place. It holds data and no
I/O. The typed models of :mod:`airflow_provider_robofy.api.models` name the API's fields once more, as attributes; a
test keeps both equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

#: Fields that this provider adds to rows, by the name under which they land.
PROJECT_ID: Final = "_project_id"
CHATBOT_ID: Final = "_chatbot_id"
SESSION_ID: Final = "_session_id"
SESSION_KEY: Final = "_session_key"
MESSAGE_KEY: Final = "_message_key"
POSITION: Final = "_position"


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    JSON = "json"
    INTEGER = "integer"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row that has a column of its own.

    :param name: Its name in the row.
    :param kind: What it holds. Default text.
    :param personal: Can it tell who somebody is, or what they said? Default False.
    :param rare: Do most rows lack it? Then a null in its column means that the row has no such field, and otherwise
        that the field is null. Default False.
    """

    name: str
    kind: Kind = Kind.TEXT
    personal: bool = False
    rare: bool = False


@dataclass(frozen=True)
class Resource:
    """One kind of row: its fields, and which of them identify it and place it in time.

    :param name: ``leads``, ``sessions`` or ``messages``.
    :param sent: Fields that the API is known to send.
    :param added: Fields that this provider adds to every row.
    :param key: The field by which two rows of one agent are the same row. It is never null.
    :param id: The API's field that identifies a row, or None where the API sends none.
    :param time: The API's field that says when a row arose, or None where none is known. The time lands in UTC under
        this name with ``_`` before it.
    :param id_is_personal: Can an id be a phone number? Then no cursor, log or event holds it. Default False.
    :param rest: Column that holds the fields without a column, as JSON. Default ``_extra``.
    """

    name: str
    sent: tuple[Field, ...]
    added: tuple[Field, ...]
    key: str
    id: str | None = None
    time: str | None = None
    id_is_personal: bool = False
    rest: str = "_extra"

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Return all fields that have a column, in the order of the columns."""
        return (*self.sent, *self.added)

    @cached_property
    def landed_time(self) -> str | None:
        """Return the field under which a row's time lands in UTC, or None."""
        return None if self.time is None else f"_{self.time}"

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the names that the API is known to send; others may be anything, personal data included."""
        return frozenset(field.name for field in self.sent)

    @cached_property
    def personal(self) -> frozenset[str]:
        """Return the names of fields that hold personal data."""
        return frozenset(field.name for field in self.fields if field.personal)


# A lead as docs.robofy.ai shows it (List Leads). What a visitor filled in is in lead_data, whatever the form asks for.
LEADS: Final = Resource(
    "leads",
    sent=(
        Field("id"),
        Field("created_at"),
        Field("source"),
        Field("page_url"),
        Field("ip_address", personal=True),
        Field("lead_data", Kind.JSON, personal=True),
    ),
    added=(Field(PROJECT_ID), Field(CHATBOT_ID), Field("_created_at", Kind.TIME)),
    key="id",
    id="id",
    time="created_at",
)

# The answer of List Sessions is not documented; these fields were read in other clients of the API. The id of a
# WhatsApp session is commonly the visitor's phone number.
SESSIONS: Final = Resource(
    "sessions",
    sent=(
        Field("session_id", personal=True),
        Field("last_message_time"),
        Field("last_message", personal=True),
        Field("user_profile_name", personal=True),
        Field("last_message_direction"),
        Field("website_url"),
    ),
    added=(
        Field(PROJECT_ID),
        Field(CHATBOT_ID),
        Field("_last_message_time", Kind.TIME),
        Field(SESSION_KEY, rare=True),  # only under a privacy policy that hashes the id
    ),
    key="session_id",
    id="session_id",
    time="last_message_time",
    id_is_personal=True,
)

# No field of a message is documented, so all that the API sends stands in one column.
MESSAGES: Final = Resource(
    "messages",
    sent=(),
    added=(
        Field(MESSAGE_KEY),
        Field(SESSION_ID, personal=True),
        Field(POSITION, Kind.INTEGER),
        Field(PROJECT_ID),
        Field(CHATBOT_ID),
    ),
    key=MESSAGE_KEY,
    rest="message",
)

RESOURCES: Final[dict[str, Resource]] = {one.name: one for one in (LEADS, SESSIONS, MESSAGES)}


def resource_named(name: Any) -> Resource | None:
    """Return the resource of that name, or None where there is none; a name from a file can be anything.

    :param name: ``leads``, ``sessions`` or ``messages``.
    """
    return RESOURCES.get(name) if isinstance(name, str) else None
