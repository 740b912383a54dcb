"""Pydantic models of Robofy's answers, for Python code that uses the hook.

A model keeps every field that the API sends, also those that it does not name. The fetch operators do not use the
models: they write rows as the API sent them, which is several times faster.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.errors import RobofyResponseError
from airflow_provider_robofy.api.times import TimeReader

if TYPE_CHECKING:
    from airflow_provider_robofy.api.call import Call

M = TypeVar("M", bound="RobofyModel")

_UTC = TimeReader()


def _read_time(value: Any, info: ValidationInfo) -> datetime | None:
    """Return a time in UTC, read in the connection's zone, or None where it cannot be read."""
    reader: TimeReader = (info.context or {}).get("times", _UTC)
    try:
        return reader.read(value)
    except ValueError:
        return None


def _written_out(value: Any) -> str | None:
    """Return a value as text; text as it is, and everything else as JSON."""
    return value if value is None or isinstance(value, str) else dump_line(value).decode().rstrip()


Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
#: Text that the API documents or was seen to send. A value of another type must not end a listing.
OptionalText = Annotated[str | None, BeforeValidator(_written_out)]
#: An id, or None: a value that is neither text nor a whole number is None.
OptionalId = Annotated[
    int | str | None, BeforeValidator(lambda value: value if isinstance(value, int | str) and value != "" else None)
]
#: Text from a form: null becomes empty text, and any other value its text.
Word = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))]
Time = Annotated[datetime | None, BeforeValidator(_read_time)]


class RobofyModel(BaseModel):
    """Base of all models. Unknown fields are kept, and a validation error never shows the input."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, populate_by_name=True)


class LeadField(RobofyModel):
    """One field of the form that a visitor filled in. Names may repeat within a lead, and values need not be text.

    Sample: ``{"field_name": "Email", "field_type": "email", "field_value": "ann@example.com"}``
    """

    field_name: Word = ""
    field_type: Word = ""
    field_value: Any = None


class Lead(RobofyModel):
    """A lead, as List Leads returns it.

    ::

        {"id": "9231", "created_at": "2025-01-15 10:30:00", "source": "web", "page_url": "https://shop.example/",
         "ip_address": "203.0.113.7",
         "lead_data": [{"field_name": "Email", "field_type": "email", "field_value": "ann@example.com"}]}

    :ivar created_at: Aware datetime in UTC, or None where the text is not a time.
    :ivar lead_data: The form fields, in order.
    """

    id: Text
    created_at: Time = None
    source: OptionalText = None
    page_url: OptionalText = None
    ip_address: OptionalText = None
    lead_data: list[LeadField | Any] | Any = Field(default_factory=list)

    def field(self, name: str, default: Any = None) -> Any:
        """Return the value of the first form field of that name.

        :param name: ``field_name`` as Robofy sends it.
        :param default: Value to return where the lead has no such field. Default None.
        :return: The value of ``field_value``.
        """
        fields = self.lead_data if isinstance(self.lead_data, list) else []
        values = (one.field_value for one in fields if isinstance(one, LeadField) and one.field_name == name)
        return next(values, default)


class InboxSession(RobofyModel):
    """A chat session. The answer of List Sessions is not documented; other clients of the API have read this.

    ::

        {"session_id": "8f1c...", "last_message_time": "2025-01-15 10:30:00", "last_message": "Thank you",
         "user_profile_name": "Ann", "last_message_direction": "in", "website_url": "https://shop.example/"}

    :ivar session_id: A UUID for web chats, often the visitor's phone number for WhatsApp.
    :ivar last_message_time: Aware datetime in UTC, or None where the text is not a time.
    """

    session_id: Text
    last_message_time: Time = None
    last_message: Any = None
    user_profile_name: OptionalText = None
    last_message_direction: OptionalText = None
    website_url: OptionalText = None


class Message(RobofyModel):
    """A message of a session. None of its fields is documented; the usual names are tried, and all fields are kept.

    :ivar text: The message, read from ``message``, ``text``, ``content`` or ``body``; None where there is none of them.
    :ivar created_at: Aware datetime in UTC, read from ``created_at``, ``timestamp``, ``time`` or ``sent_at``; None
        where there is none of them or it is not a time.
    """

    text: Any = Field(None, validation_alias=AliasChoices("message", "text", "content", "body"))
    created_at: Time = Field(None, validation_alias=AliasChoices("created_at", "timestamp", "time", "sent_at"))


class Agent(RobofyModel):
    """An AI chat agent. Only its id is certain; the names of the other fields are not documented."""

    chatbot_id: Text = Field(validation_alias=AliasChoices("chatbot_id", "chatbotId", "agent_id", "id"))
    name: OptionalText = Field(None, validation_alias=AliasChoices("name", "chatbot_name", "agent_name", "title"))


class Project(RobofyModel):
    """A project that the key can see."""

    project_id: Text = Field(validation_alias=AliasChoices("project_id", "projectId", "pid", "id"))
    name: OptionalText = Field(None, validation_alias=AliasChoices("name", "project_name", "title"))


class KnowledgeLink(RobofyModel):
    """Answer of Add File and Add Text Content: an asset, and its link to the agent.

    ::

        {"asset_id": 511, "linkage_id": 902, "chatbot_id": "UOmf...", "status": "processing", "asset_url": "..."}

    :ivar status: ``linked``, ``processing``, ``active``, ``uploaded`` or ``failed``, in Robofy's upper or lower case.
    """

    asset_id: OptionalId = None
    linkage_id: OptionalId = None
    chatbot_id: OptionalText = None
    status: OptionalText = None
    asset_url: OptionalText = None
    llm_source: OptionalText = None


class CrawlRun(RobofyModel):
    """Answer of Add Website: a crawl that has begun.

    ::

        {"run_id": "run-77", "status": "running", "started_at": "2025-01-15 10:30:00"}

    :ivar started_at: Aware datetime in UTC, or None where the text is not a time.
    """

    run_id: OptionalText = None
    status: OptionalText = None
    started_at: Time = None


def parse(model: type[M], row: Any, call: Call[Any], times: TimeReader) -> M:
    """Parse one row of a listing into its model.

    :param model: Class of the model.
    :param row: The row, as decoded from JSON.
    :param call: The call that returned it, for the error.
    :param times: Reader for timestamps, in the connection's zone.
    :return: The model.
    :raises RobofyResponseError: The row lacks a field. The message names fields and contains no values.
    """
    try:
        return model.model_validate(row, context={"times": times})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'row'}: {one['msg']}" for one in error.errors()[:5])
        has = ", ".join(sorted(map(str, row))[:20]) if isinstance(row, dict) else type(row).__name__
        raise RobofyResponseError(
            f"a row is not a {model.__name__} ({wrong}); it has: {has}", endpoint=call.title
        ) from None
