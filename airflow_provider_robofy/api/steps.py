"""What a call's generator and its driver say to each other, and what a call comes to: values, nothing more."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_robofy.api.body import Body

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """Hold what goes over the wire."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Body | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Ask the driver to send a request and read the whole answer.

    :param deadline: Monotonic second at which the answer must be complete.
    :param max_bytes: Bytes of body, after decompression, to accept.
    """

    request: Request
    deadline: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Sleep:
    """Ask the driver to wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Received:
    """Tell the generator that a complete answer came. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Tell the generator that none came, and how far it got.

    ``connect`` and ``tls``: the request never arrived. ``dropped``: no answer began. ``truncated``: an answer began
    and broke off. ``stalled``: nothing came for ``read_timeout``. ``deadline``: ``total_timeout`` ended it.
    ``oversize``: it was larger than ``max_response_mb``.
    """

    how: Literal["connect", "tls", "dropped", "truncated", "stalled", "deadline", "oversize"]
    status: int | None = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """Hold what a call came to.

    :param value: What :attr:`Call.read` made of the answer.
    :param date: The answer's ``Date`` header, or None.
    :param requested_at: When the successful attempt was sent.
    """

    value: T
    date: datetime | None
    requested_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Hold the clocks and the dice; tests give their own."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    #: A number from 0 to 1.
    chance: Callable[[], float] = random.random


Step = Send | Sleep
Outcome = Received | Lost | None
