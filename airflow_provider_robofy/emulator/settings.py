"""Every setting of the emulator, once: its type, default, bounds and meaning.

`Emulator(...)`, `configure`, `reset`, the control API and the command line all read this table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, tzinfo
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict, Unpack, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_robofy.emulator.routes import ENDPOINTS, path_pattern

ORDERS = ("newest_first", "oldest_first", "none")
ENVELOPES = ("bare", "named", "data", "data_list")


class SettingsError(ValueError):
    """An unknown setting, or a value that it cannot have; the text says which."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting as code reads it.

    :param default: Its value if none is given. Only where this is None may the value be None.
    :param check: Returns a usable value, or raises `ValueError` with the end of a sentence: "must be ...".
    :param kind: Type that the command line makes of its text. Default str; dict stands for ENDPOINT=VALUE.
    :param choices: The values that it may have, empty for any.
    """

    default: Any
    check: Callable[[Any], Any]
    kind: type = str
    choices: tuple[str, ...] = ()


def _number(default: float | None, low: int, high: int, kind: type[float] = int) -> Option:
    words = "a whole number" if kind is int else "a number"

    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | kind) or not low <= value <= high:
            raise ValueError(f"must be {words} from {low} to {high}, not {value!r}")
        return kind(value)

    return Option(default, check, kind)


def _choice(default: str | None, choices: tuple[str, ...]) -> Option:
    def check(value: Any) -> str:
        # JSON and Python callers may give the error shape as a number.
        word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if word not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {value!r}")
        return str(word)

    return Option(default, check, choices=choices)


def _text(default: str | None) -> Option:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise ValueError(f"must be text that is not empty, not {value!r}")
        return value

    return Option(default, check)


def _flag() -> Option:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")  # noqa: TRY004 - as all checks
        return value

    return Option(default=False, check=check, kind=bool)


def _zone(value: Any) -> str:
    try:
        # Known without the zone database, which a slim container may lack.
        if value != "UTC":
            ZoneInfo(value)
    except (ZoneInfoNotFoundError, TypeError, AttributeError, ValueError, OSError):
        raise ValueError(f"must be an IANA time zone such as Europe/Berlin, not {value!r}") from None
    return str(value)


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"must be a path that starts with /, not {value!r}")
    try:
        path_pattern(value)
    except re.error:
        raise ValueError(f"must name each placeholder once, and not with a digit first, not {value!r}") from None
    return value


def _body(value: Any) -> dict[str, Any]:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"must be a JSON object with at least one field, not {value!r}")
    return dict(found)


def _by_endpoint(inner: Callable[[Any], str]) -> Option:
    def check(value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be an object of endpoint names, not {value!r}")  # noqa: TRY004 - as all checks
        checked = {}
        for endpoint in value:
            if endpoint not in ENDPOINTS:
                raise ValueError(f"names an unknown endpoint {endpoint!r}; known: {', '.join(ENDPOINTS)}")
            try:
                checked[endpoint] = inner(value[endpoint])
            except ValueError as wrong:
                raise ValueError(f"of {endpoint} {wrong}") from None
        return checked

    return Option({}, check, dict)


class SettingsOptions(TypedDict, total=False):
    """The keyword arguments of `Emulator(...)`, `configure` and `reset`; see `Settings` for what they mean."""

    api_key: Annotated[str, _text("demo-key")]
    project: Annotated[int, _number(24017, 1, 2**53)]
    leads: Annotated[int, _number(250, 0, 1_000_000)]
    sessions: Annotated[int, _number(40, 0, 200_000)]
    messages: Annotated[int | None, _number(None, 0, 100_000)]
    session_ids: Annotated[str, _choice("mixed", ("mixed", "uuid"))]
    agents: Annotated[int, _number(3, 0, 1_000)]
    seed: Annotated[int, _number(1, 0, 2**63)]
    spacing: Annotated[int, _number(420, 0, 86_400)]
    page_size: Annotated[int, _number(100, 1, 100_000)]
    sessions_page_size: Annotated[int, _number(100, 0, 100_000)]
    messages_page_size: Annotated[int, _number(0, 0, 100_000)]
    agents_page_size: Annotated[int, _number(0, 0, 100_000)]
    order: Annotated[str, _choice("newest_first", ORDERS)]
    sessions_order: Annotated[str, _choice("newest_first", ORDERS)]
    messages_order: Annotated[str, _choice("oldest_first", ORDERS)]
    latency: Annotated[float, _number(0.0, 0, 3600, float)]
    max_in_flight: Annotated[int, _number(0, 0, 100_000)]
    token_form: Annotated[str, _choice("base64", ("base64", "number", "offset", "opaque", "signed"))]
    end_marker: Annotated[str, _choice("absent", ("absent", "null", "empty"))]
    trailing_empty_page: Annotated[bool, _flag()]
    timezone: Annotated[str, Option("UTC", _zone)]
    time_format: Annotated[str, _choice("naive", ("naive", "z", "offset", "epoch", "epoch_ms"))]
    clock_offset: Annotated[float, _number(0.0, -(10**9), 10**9, float)]
    error_shape: Annotated[str, _choice("1", ("1", "2", "alternate"))]
    envelope: Annotated[str | None, _choice(None, ENVELOPES)]
    envelopes: Annotated[dict[str, str], _by_endpoint(_choice(None, ENVELOPES).check)]
    token_key: Annotated[str, _choice("next_page_token", ("next_page_token", "nextPageToken"))]
    message_ids: Annotated[bool, _flag()]
    paths: Annotated[dict[str, str], _by_endpoint(_path)]
    crawl_seconds: Annotated[float, _number(2.0, 0, 86_400, float)]
    crawl_running: Annotated[str, _text("running")]
    crawl_result: Annotated[str, _text("completed")]
    crawl_idle: Annotated[str | None, _text(None)]
    processing_seconds: Annotated[float, _number(0.0, 0, 86_400, float)]
    processing_result: Annotated[str, _text("Linked")]
    delink_body: Annotated[dict[str, Any] | None, Option(None, _body)]
    delink_otherwise: Annotated[str, _choice("refuse", ("refuse", "all", "ignore"))]
    max_upload_bytes: Annotated[int, _number(10 * 1024 * 1024, 1, 2**31)]
    cache_mb: Annotated[int, _number(128, 0, 4_096)]


OPTIONS: dict[str, Option] = {
    name: hint.__metadata__[0] for name, hint in get_type_hints(SettingsOptions, include_extras=True).items()
}

# Seeded data is made from these: changing one means starting over, which is what `reset` is for.
SEEDED = frozenset({"project", "leads", "sessions", "messages", "session_ids", "agents", "seed", "spacing"})


class Settings(SimpleNamespace):
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

    def __init__(self, **options: Unpack[SettingsOptions]) -> None:
        super().__init__()
        vars(self).update(_checked({name: option.default for name, option in OPTIONS.items()} | options))

    @property
    def zone(self) -> tzinfo:
        """Return the zone of naive timestamps."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return a copy with some values replaced.

        :param changes: New values by name.
        :raises SettingsError: One is unknown or cannot be used.
        """
        changed = copy(self)
        vars(changed).update(_checked(changes))
        return changed

    def as_json(self) -> dict[str, Any]:
        """Return every setting but the API key, for the state of the control API."""
        return {name: value for name, value in vars(self).items() if name != "api_key"}


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    checked = {}
    for name, value in values.items():
        option = OPTIONS.get(name)
        if option is None:
            raise SettingsError(f"unknown setting {name!r}; known: {', '.join(OPTIONS)}")
        try:
            checked[name] = None if value is option.default is None else option.check(value)
        except ValueError as wrong:
            raise SettingsError(f"{name} {wrong}") from None
    return checked
