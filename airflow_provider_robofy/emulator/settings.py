"""What the emulator may be told: every option, its default, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_robofy.emulator.routes import ENDPOINTS

ORDERS = ("newest_first", "oldest_first", "none")
END_MARKERS = ("absent", "null", "empty")
TIME_FORMATS = ("naive", "z", "offset", "epoch", "epoch_ms")
ERROR_SHAPES = ("1", "2", "alternate")
ENVELOPES = ("bare", "named", "data", "data_list")
SESSION_IDS = ("mixed", "uuid")
TOKEN_KEYS = ("next_page_token", "nextPageToken")


class SettingsError(ValueError):
    """An option that the emulator does not know or a value that it cannot use; the text says which."""


class SettingsOptions(TypedDict, total=False):
    """The keyword arguments that `Emulator(...)`, `configure` and `reset` understand; see `Settings`."""

    api_key: str
    project: int
    leads: int
    sessions: int
    messages: int | None
    session_ids: str
    agents: int
    seed: int
    spacing: int
    page_size: int
    sessions_page_size: int
    messages_page_size: int
    agents_page_size: int
    order: str
    sessions_order: str
    messages_order: str
    latency: float
    end_marker: str
    trailing_empty_page: bool
    timezone: str
    time_format: str
    clock_offset: float
    error_shape: str
    envelope: str | None
    envelopes: dict[str, str]
    token_key: str
    message_ids: bool
    paths: dict[str, str]
    crawl_seconds: float
    crawl_running: str
    crawl_result: str
    crawl_idle: str | None
    processing_seconds: float
    max_upload_bytes: int
    cache_mb: int


@dataclass(slots=True, kw_only=True)
class Settings:
    """
    Say how the fake Robofy looks and behaves.

    :param api_key: the only key that is accepted.
    :param project: the only project id that exists.
    :param leads: seeded leads of each agent; up to a million cost no start-up time.
    :param sessions: seeded chat sessions of each agent.
    :param messages: messages in every seeded session; None gives each session its own number, 1 to 12.
    :param session_ids: uuid, or mixed: a quarter are phone numbers, and one in twenty holds every awkward character.
    :param agents: seeded agents; from three on, one id holds `/`, `+` and `=`.
    :param seed: the same seed gives the same bytes.
    :param spacing: seconds between two seeded leads or sessions; 0 gives them all one time.
    :param page_size: leads on a page.
    :param sessions_page_size: sessions on a page; 0 puts all on one.
    :param messages_page_size: messages on a page; 0 puts all on one.
    :param agents_page_size: agents on a page; 0 puts all on one.
    :param order: how leads are listed: newest_first, oldest_first, or none (scattered, but stable).
    :param sessions_order: the same for sessions, by their last message.
    :param messages_order: the same for the messages of a session.
    :param latency: seconds that every API answer waits first.
    :param end_marker: the token of a last page: absent, null or empty.
    :param trailing_empty_page: True announces one more page after the last row, an empty one.
    :param timezone: IANA name of the zone of naive timestamps and of those with an offset.
    :param time_format: naive, z, offset, epoch (seconds) or epoch_ms.
    :param clock_offset: seconds that this server's clock is ahead; moves the Date header and "now".
    :param error_shape: documented error shape 1 or 2, or alternate to take turns.
    :param envelope: shape of listings whose shape Robofy does not document: bare (an array), named (an object
        with the list under its name), data (that object inside `data`) or data_list (`data` is the list).
        None leaves each listing its own default.
    :param envelopes: the same for single endpoints, by endpoint name.
    :param token_key: spelling of the page token in those listings: next_page_token or nextPageToken.
    :param message_ids: True gives messages an `id`; whether the real ones have one is unknown.
    :param paths: path templates to serve instead of the usual ones, by endpoint name.
    :param crawl_seconds: how long a crawl runs.
    :param crawl_running: status word while it runs.
    :param crawl_result: status word afterwards.
    :param crawl_idle: status word of an agent that was never crawled; None answers 404.
    :param processing_seconds: how long an uploaded asset stays in processing.
    :param max_upload_bytes: the largest file that Add File takes.
    :param cache_mb: memory for rendered pages.
    """

    api_key: str = "demo-key"
    project: int = 24017
    leads: int = 250
    sessions: int = 40
    messages: int | None = None
    session_ids: str = "mixed"
    agents: int = 3
    seed: int = 1
    spacing: int = 420
    page_size: int = 100
    sessions_page_size: int = 100
    messages_page_size: int = 0
    agents_page_size: int = 0
    order: str = "newest_first"
    sessions_order: str = "newest_first"
    messages_order: str = "oldest_first"
    latency: float = 0.0
    end_marker: str = "absent"
    trailing_empty_page: bool = False
    timezone: str = "UTC"
    time_format: str = "naive"
    clock_offset: float = 0.0
    error_shape: str = "1"
    envelope: str | None = None
    envelopes: dict[str, str] = field(default_factory=dict)
    token_key: str = "next_page_token"  # noqa: S105 - the name of a field
    message_ids: bool = False
    paths: dict[str, str] = field(default_factory=dict)
    crawl_seconds: float = 2.0
    crawl_running: str = "running"
    crawl_result: str = "completed"
    crawl_idle: str | None = None
    processing_seconds: float = 0.0
    max_upload_bytes: int = 10 * 1024 * 1024
    cache_mb: int = 128

    def __post_init__(self) -> None:
        """Refuse at once what would only fail at the first request."""
        for name, checked in _checked({f.name: getattr(self, f.name) for f in fields(self)}).items():
            setattr(self, name, checked)

    def changed(self, **changes: Any) -> Settings:
        """
        Return a copy with some values replaced; raises `SettingsError` and changes nothing if one is wrong.

        :param changes: settings by name.
        """
        return replace(self, **_checked(changes))

    def as_json(self) -> dict[str, Any]:
        """Return every setting but the API key, for the state answer of the control API."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "api_key"}


# Seeded data was made from these: changing one means starting over, which is what `reset` is for.
SEEDED = frozenset({"project", "leads", "sessions", "messages", "session_ids", "agents", "seed", "spacing"})

_Check = Callable[[str, Any], Any]


def _integer(low: int, high: int) -> _Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        return value

    return check


def _number(low: float, high: float) -> _Check:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise SettingsError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")
        return float(value)

    return check


def _one_of(*allowed: str) -> _Check:
    def check(name: str, value: Any) -> str:
        word = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if word not in allowed:
            raise SettingsError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return str(word)

    return check


def _optional(inner: _Check) -> _Check:
    return lambda name, value: None if value is None else inner(name, value)


def _word(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"{name} must be text that is not empty, not {value!r}")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingsError(f"{name} must be true or false, not {value!r}")
    return value


def _zone(name: str, value: Any) -> str:
    try:
        ZoneInfo(_word(name, value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError(f"{name} must be an IANA time zone such as Europe/Berlin, not {value!r}") from None
    return str(value)


def _by_endpoint(inner: _Check) -> _Check:
    def check(name: str, value: Any) -> dict[str, str]:
        if not isinstance(value, Mapping):
            raise SettingsError(f"{name} must be an object of endpoint names, not {value!r}")
        for endpoint in value:
            if endpoint not in ENDPOINTS:
                raise SettingsError(f"{name} names an unknown endpoint {endpoint!r}; known: {', '.join(ENDPOINTS)}")
        return {endpoint: inner(f"{name}[{endpoint}]", each) for endpoint, each in value.items()}

    return check


def _template(name: str, value: Any) -> str:
    if not _word(name, value).startswith("/"):
        raise SettingsError(f"{name} must be a path that starts with /, not {value!r}")
    return str(value)


_CHECKS: dict[str, _Check] = {
    "api_key": _word,
    "project": _integer(1, 2**53),
    "leads": _integer(0, 1_000_000),
    "sessions": _integer(0, 200_000),
    "messages": _optional(_integer(0, 100_000)),
    "session_ids": _one_of(*SESSION_IDS),
    "agents": _integer(0, 1_000),
    "seed": _integer(0, 2**63),
    "spacing": _integer(0, 86_400),
    "page_size": _integer(1, 100_000),
    "sessions_page_size": _integer(0, 100_000),
    "messages_page_size": _integer(0, 100_000),
    "agents_page_size": _integer(0, 100_000),
    "order": _one_of(*ORDERS),
    "sessions_order": _one_of(*ORDERS),
    "messages_order": _one_of(*ORDERS),
    "latency": _number(0, 3600),
    "end_marker": _one_of(*END_MARKERS),
    "trailing_empty_page": _flag,
    "timezone": _zone,
    "time_format": _one_of(*TIME_FORMATS),
    "clock_offset": _number(-1e9, 1e9),
    "error_shape": _one_of(*ERROR_SHAPES),
    "envelope": _optional(_one_of(*ENVELOPES)),
    "envelopes": _by_endpoint(_one_of(*ENVELOPES)),
    "token_key": _one_of(*TOKEN_KEYS),
    "message_ids": _flag,
    "paths": _by_endpoint(_template),
    "crawl_seconds": _number(0, 86_400),
    "crawl_running": _word,
    "crawl_result": _word,
    "crawl_idle": _optional(_word),
    "processing_seconds": _number(0, 86_400),
    "max_upload_bytes": _integer(1, 2**31),
    "cache_mb": _integer(0, 4_096),
}


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    for name in values:
        if name not in _CHECKS:
            raise SettingsError(f"unknown setting {name!r}; known: {', '.join(_CHECKS)}")
    return {name: _CHECKS[name](name, value) for name, value in values.items()}
