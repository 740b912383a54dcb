"""Every setting of the emulator, once: its type, default, bounds and meaning.

`Emulator(...)`, `configure`, `reset`, the control API and the command line all read this model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError

from airflow_provider_robofy.emulator.routes import ENDPOINTS, path_pattern

# Seeded data is made from these: changing one means starting over, which is what `reset` is for.
SEEDED = frozenset({"project", "leads", "sessions", "messages", "session_ids", "agents", "seed", "spacing"})


class SettingsError(ValueError):
    """An unknown setting, or a value that it cannot have; the text says which."""


def explain(error: ValidationError, what: str, known: Iterable[str]) -> str:
    """Return what is wrong with the first value that is, in a sentence that names it.

    :param error: What pydantic found.
    :param what: What an unknown name would be, such as "setting".
    :param known: The names that are known.
    """
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"] if part != "[key]")
    match first["type"]:
        case "extra_forbidden":
            return f"unknown {what} {name!r}; known: {', '.join(known)}"
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return f"missing: {name}"
    text = re.sub("^(Input|String) should", "must", first["msg"].removeprefix("Value error, "))
    return f"{name} {text}; given: {first['input']!r}"


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports a ValueError only
    return value


def _endpoint(value: str) -> str:
    if value not in ENDPOINTS:
        raise ValueError(f"names an unknown endpoint; known: {', '.join(ENDPOINTS)}")
    return value


def _zone(value: str) -> str:
    try:
        # Known without the zone database, which a slim container may lack.
        if value != "UTC":
            ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from None
    return value


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be a path that starts with /")
    try:
        path_pattern(value)
    except re.error:
        raise ValueError("must name each placeholder once, and not with a digit first") from None
    return value


def _object(value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, Mapping) or not found:
        raise ValueError("must be a JSON object with at least one field")
    return dict(found)


def _word(value: Any) -> Any:
    # JSON and Python callers may give the error shape as a number.
    return str(value) if type(value) is int else value


Whole = Annotated[int, BeforeValidator(_no_flag)]
Number = Annotated[float, BeforeValidator(_no_flag)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Text = Annotated[str, Field(min_length=1)]
Flag = Annotated[bool, Strict()]
Order = Literal["newest_first", "oldest_first", "none"]
Envelope = Literal["bare", "named", "data", "data_list"]


class Settings(BaseModel):
    """The settings of one emulator, checked.

    :param api_key: The only key that is accepted.
    :param project: The only project id that exists.
    :param leads: Seeded leads of each agent; up to a million cost no start-up time.
    :param sessions: Seeded chat sessions of each agent.
    :param messages: Messages in every seeded session; None gives each session its own number, 1 to 12.
    :param session_ids: uuid, or mixed: a quarter are phone numbers, and one in twenty holds every awkward character.
    :param agents: Seeded agents; from three on, one id holds `/`, `+` and `=`.
    :param seed: The same seed gives the same bytes, opaque page tokens excepted.
    :param spacing: Seconds between two seeded leads or sessions; 0 gives them all one time.
    :param page_size: Leads on a page.
    :param sessions_page_size: Sessions on a page; 0 puts all on one.
    :param messages_page_size: Messages on a page; 0 puts all on one.
    :param agents_page_size: Agents on a page; 0 puts all on one.
    :param order: Order of leads: newest_first, oldest_first, or none (scattered, but stable).
    :param sessions_order: The same for sessions, by their last message.
    :param messages_order: The same for the messages of a session.
    :param latency: Seconds that every API answer waits first.
    :param max_in_flight: Requests that are worked on at the same time; any more get a 429 with `Retry-After: 1`. 0 sets
        no limit.
    :param token_form: What a page token is: base64 (the documented sample, a page number as JSON in base64), number
        (the page as a JSON number), offset (how many rows come before the page, as a JSON number), opaque (random
        text, other after a restart or reset) or signed (the page and a signature, with characters that a query must
        escape). An opaque or signed token is refused by any listing but the one that gave it.
    :param end_marker: The token of a last page: absent, null or empty.
    :param trailing_empty_page: True announces one more page after the last row, an empty one.
    :param timezone: IANA name of the zone of naive timestamps and of those with an offset.
    :param time_format: How times are written: naive, z, offset, epoch (seconds) or epoch_ms.
    :param clock_offset: Seconds that this server's clock is ahead; moves the Date header and "now".
    :param error_shape: Documented error shape 1 or 2, or alternate to take turns.
    :param envelope: Shape of listings whose shape Robofy does not document: bare (an array), named (an object with the
        list under its name), data (that object inside `data`) or data_list (`data` is the list). None leaves each
        listing its own default.
    :param envelopes: The same for single endpoints, by endpoint name.
    :param token_key: Spelling of the page token in those listings: next_page_token or nextPageToken.
    :param message_ids: True gives messages an `id`; whether the real ones have one is unknown.
    :param paths: Path templates to serve instead of the usual ones, by endpoint name.
    :param crawl_seconds: How long a crawl runs.
    :param crawl_running: Status word while it runs.
    :param crawl_result: Status word afterwards.
    :param crawl_idle: Status word of an agent that was never crawled; None answers 404.
    :param processing_seconds: How long an uploaded asset stays in processing.
    :param processing_result: Status word of an asset afterwards.
    :param delink_body: The body that Delink Asset takes, with `{linkage_id}`, `{asset_id}`, `{chatbot_id}` and
        `{project_id}` where a value is. None takes `linkage_id`, or `asset_id` with `chatbot_id`, in body or query.
    :param delink_otherwise: What a body of another form does: refuse answers 400, all delinks every asset of every
        agent, ignore answers 200 and delinks nothing.
    :param max_upload_bytes: The largest file that Add File takes.
    :param cache_mb: Megabytes of memory for rendered pages.
    :raises SettingsError: A name is unknown or a value cannot be used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    api_key: Text = "demo-key"
    project: Annotated[Whole, Field(ge=1, le=2**53)] = 24017
    leads: Annotated[Whole, Field(ge=0, le=1_000_000)] = 250
    sessions: Annotated[Whole, Field(ge=0, le=200_000)] = 40
    messages: Annotated[Whole, Field(ge=0, le=100_000)] | None = None
    session_ids: Literal["mixed", "uuid"] = "mixed"
    agents: Annotated[Whole, Field(ge=0, le=1_000)] = 3
    seed: Annotated[Whole, Field(ge=0, le=2**63)] = 1
    spacing: Annotated[Whole, Field(ge=0, le=86_400)] = 420
    page_size: Annotated[Whole, Field(ge=1, le=100_000)] = 100
    sessions_page_size: Annotated[Whole, Field(ge=0, le=100_000)] = 100
    messages_page_size: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    agents_page_size: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    order: Order = "newest_first"
    sessions_order: Order = "newest_first"
    messages_order: Order = "oldest_first"
    latency: Annotated[Number, Field(ge=0, le=3600)] = 0.0
    max_in_flight: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    token_form: Literal["base64", "number", "offset", "opaque", "signed"] = "base64"  # noqa: S105 - a word
    end_marker: Literal["absent", "null", "empty"] = "absent"
    trailing_empty_page: Flag = False
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    time_format: Literal["naive", "z", "offset", "epoch", "epoch_ms"] = "naive"
    clock_offset: Annotated[Number, Field(ge=-(10**9), le=10**9)] = 0.0
    error_shape: Annotated[Literal["1", "2", "alternate"], BeforeValidator(_word)] = "1"
    envelope: Envelope | None = None
    envelopes: dict[Endpoint, Envelope] = {}
    token_key: Literal["next_page_token", "nextPageToken"] = "next_page_token"  # noqa: S105 - a name
    message_ids: Flag = False
    paths: dict[Endpoint, Annotated[str, AfterValidator(_path)]] = {}
    crawl_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 2.0
    crawl_running: Text = "running"
    crawl_result: Text = "completed"
    crawl_idle: Text | None = None
    processing_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 0.0
    processing_result: Text = "Linked"
    delink_body: Annotated[dict[str, Any], BeforeValidator(_object)] | None = None
    delink_otherwise: Literal["refuse", "all", "ignore"] = "refuse"
    max_upload_bytes: Annotated[Whole, Field(ge=1, le=2**31)] = 10 * 1024 * 1024
    cache_mb: Annotated[Whole, Field(ge=0, le=4_096)] = 128

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as wrong:
            raise SettingsError(explain(wrong, "setting", type(self).model_fields)) from None

    @property
    def zone(self) -> tzinfo:
        """Return the zone of naive timestamps."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some values replaced.

        :param changes: New values by name.
        :raises SettingsError: One is unknown or cannot be used.
        """
        return Settings(**{**self.model_dump(), **changes})

    def as_json(self) -> dict[str, Any]:
        """Return every setting but the API key, for the state of the control API."""
        return self.model_dump(exclude={"api_key"})
