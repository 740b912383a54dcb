"""Typed views of what Robofy answers, for people who write Python against the hook.

Every field that the API sends is kept, known here or not. Landing does not go through these models: it keeps rows as
they came and is several times faster for it.
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
    """Read a time in the zone of the connection; None where the API wrote none that can be read."""
    reader: TimeReader = (info.context or {}).get("times", _UTC)
    try:
        return reader.read(value)
    except ValueError:
        return None


def _written_out(value: Any) -> str | None:
    """Return a value as text; text as it is, and everything else as JSON."""
    return value if value is None or isinstance(value, str) else dump_line(value).decode().rstrip()


Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
#: Text that the API documents or was seen to send; another kind of value must not end a listing.
OptionalText = Annotated[str | None, BeforeValidator(_written_out)]
#: An id that is there or not: what is neither text nor a whole number is none.
OptionalId = Annotated[
    int | str | None, BeforeValidator(lambda value: value if isinstance(value, int | str) and value != "" else None)
]
#: Text that a form's author chose, or did not: nothing is the empty text, and whatever else is written out.
Word = Annotated[str, BeforeValidator(lambda value: "" if value is None else str(value))]
Time = Annotated[datetime | None, BeforeValidator(_read_time)]


class RobofyModel(BaseModel):
    """Base of all models: unknown fields are kept, and an error never shows the input."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, populate_by_name=True)


class LeadField(RobofyModel):
    """One answer of a visitor. Names may repeat within a lead, and values need not be strings."""

    field_name: Word = ""
    field_type: Word = ""
    field_value: Any = None


class Lead(RobofyModel):
    """A lead as List Leads returns it.

    :ivar created_at: Aware UTC datetime; None where Robofy's text cannot be read as a time.
    :ivar lead_data: What the visitor filled in, in order.
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
        :param default: What to return where the lead has no such field.
        """
        fields = self.lead_data if isinstance(self.lead_data, list) else []
        values = (one.field_value for one in fields if isinstance(one, LeadField) and one.field_name == name)
        return next(values, default)


class InboxSession(RobofyModel):
    """A chat session as other people's clients have seen List Sessions return it; its answer is documented nowhere.

    :ivar session_id: A UUID on the web, often the visitor's phone number on WhatsApp.
    :ivar last_message_time: Aware UTC datetime; None where there is none that can be read.
    """

    session_id: Text
    last_message_time: Time = None
    last_message: Any = None
    user_profile_name: OptionalText = None
    last_message_direction: OptionalText = None
    website_url: OptionalText = None


class Message(RobofyModel):
    """What visitor or agent said in a session. No field of it is documented: those of that name are read, all are kept.

    :ivar text: What was said, wherever it stands; None where it was not found.
    :ivar created_at: Aware UTC datetime; None where it was not found or cannot be read.
    """

    text: Any = Field(None, validation_alias=AliasChoices("message", "text", "content", "body"))
    created_at: Time = Field(None, validation_alias=AliasChoices("created_at", "timestamp", "time", "sent_at"))


class Agent(RobofyModel):
    """An AI chat agent. Only its id is certain; the names of other fields are documented nowhere."""

    chatbot_id: Text = Field(validation_alias=AliasChoices("chatbot_id", "chatbotId", "agent_id", "id"))
    name: OptionalText = Field(None, validation_alias=AliasChoices("name", "chatbot_name", "agent_name", "title"))


class Project(RobofyModel):
    """A project that the key can see."""

    project_id: Text = Field(validation_alias=AliasChoices("project_id", "projectId", "pid", "id"))
    name: OptionalText = Field(None, validation_alias=AliasChoices("name", "project_name", "title"))


class KnowledgeLink(RobofyModel):
    """What Add File and Add Text Content answer: an asset, and its link to the agent.

    :ivar status: In Robofy's own casing: linked, processing, active, uploaded or failed.
    """

    asset_id: OptionalId = None
    linkage_id: OptionalId = None
    chatbot_id: OptionalText = None
    status: OptionalText = None
    asset_url: OptionalText = None
    llm_source: OptionalText = None


class CrawlRun(RobofyModel):
    """A crawl as Add Website answers it.

    :ivar started_at: Aware UTC datetime; None where Robofy's text cannot be read as a time.
    """

    run_id: OptionalText = None
    status: OptionalText = None
    started_at: Time = None


def parse(model: type[M], row: Any, call: Call[Any], times: TimeReader) -> M:
    """Turn one row of a listing into its model.

    :raises RobofyResponseError: The row lacks what the model needs; fields are named, values are not.
    """
    try:
        return model.model_validate(row, context={"times": times})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'row'}: {one['msg']}" for one in error.errors()[:5])
        has = ", ".join(sorted(map(str, row))[:20]) if isinstance(row, dict) else type(row).__name__
        raise RobofyResponseError(
            f"a row is not a {model.__name__} ({wrong}); it has: {has}", endpoint=call.title
        ) from None
