"""One table of what Robofy lists: the fields of leads, sessions and messages, and what each field is for.

Files, tables, privacy rules, sensors and the probe read it, so each field is named once. The module contains data and
does no I/O. The models in :mod:`airflow_provider_robofy.api.models` repeat the API's fields as attributes; a test
compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final

#: Names of the fields that this provider adds to rows.
PROJECT_ID: Final = "_project_id"
CHATBOT_ID: Final = "_chatbot_id"
SESSION_ID: Final = "_session_id"
SESSION_KEY: Final = "_session_key"
MESSAGE_KEY: Final = "_message_key"
POSITION: Final = "_position"


class Kind(Enum):
    """Type of the values in a column."""

    TEXT = "text"
    JSON = "json"
    INTEGER = "integer"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row that has a column of its own.

    :param name: Name of the field in the row.
    :param kind: Type of its values. Default text.
    :param personal: Whether it is personal data. Default False.
    :param rare: Whether most rows lack it. A null in its column then means that the row has no such field; for other
        fields it means that the field is null. Default False.
    """

    name: str
    kind: Kind = Kind.TEXT
    personal: bool = False
    rare: bool = False


@dataclass(frozen=True)
class Resource:
    """One kind of row: its fields, its key and its time.

    :param name: ``leads``, ``sessions`` or ``messages``.
    :param sent: Fields that the API is known to send.
    :param added: Fields that this provider adds to every row.
    :param key: Field that identifies a row among those of one agent. It is never null.
    :param id: Field in which the API sends an id, or None where it sends none.
    :param time: Field in which the API sends the row's time, or None where none is known. The provider adds the time in
        UTC under this name with a leading ``_``.
    :param id_is_personal: Whether an id can be a phone number. Cursors, logs and events then do not contain it. Default
        False.
    :param rest: Column for the fields that have no column, as JSON. Default ``_extra``.
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
        """Return the fields that have a column, in the order of the columns."""
        return (*self.sent, *self.added)

    @cached_property
    def landed_time(self) -> str | None:
        """Return the name of the added field with the row's time in UTC, or None."""
        return None if self.time is None else f"_{self.time}"

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the names of the fields that the API is known to send. Other fields may hold personal data."""
        return frozenset(field.name for field in self.sent)

    @cached_property
    def personal(self) -> frozenset[str]:
        """Return the names of the fields with personal data."""
        return frozenset(field.name for field in self.fields if field.personal)


# A lead as docs.robofy.ai shows it (List Leads). lead_data contains the visitor's answers to the form.
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

# The answer of List Sessions is not documented. The fields are those that other clients of the API read. The id of a
# WhatsApp session is often the visitor's phone number.
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

# No field of a message is documented, so one column contains the API's whole row.
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
    """Return the resource of a name, which may come from a file and be of any type.

    :param name: ``leads``, ``sessions`` or ``messages``.
    :return: The resource, or None for any other value.
    """
    return RESOURCES.get(name) if isinstance(name, str) else None
