"""What a client needs to know to talk to Robofy, checked when it is made, and the request budget of the process."""

from __future__ import annotations

import platform
import re
import threading
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_robofy import __version__
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.overrides import check_override

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

DEFAULT_BASE_URL = "https://agents.robofy.ai"
#: Each is a thread and a connection.
MAX_PARALLEL_PAGES = 32

_HOST = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?|[0-9a-f:.]+(%\w+)?")
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


def user_agent(*hosts: str) -> str:
    """Return the User-Agent: the provider, the products around it, and Python.

    :param hosts: Products around the provider, for example ``apache-airflow/3.3.2``.
    """
    return " ".join((f"airflow-provider-robofy/{__version__}", *hosts, f"python/{platform.python_version()}"))


def base_url(host: str | None) -> str:
    """Turn a connection's host field into the URL that every path is put behind.

    :param host: ``agents.robofy.ai``, ``https://host:port`` or, for a loopback address only, ``http://...``.
        Empty means the public API.
    :return: Scheme and authority, without a trailing slash.
    :raises RobofyConfigError: The host is no URL, holds more than a host, or would send the key unencrypted.
    """
    text = (host or "").strip()
    if not text:
        return DEFAULT_BASE_URL
    if "@" in text:
        # First of all, since every other message shows the text.
        raise RobofyConfigError(
            "Connection field host holds user info (something before an @). The API key belongs in the password field."
        )
    try:
        url = urlsplit(text if "://" in text else f"https://{text}")
        port = url.port
    except ValueError:
        raise RobofyConfigError(f"Connection field host: {text!r} is not a host or URL.") from None
    hostname = url.hostname or ""
    if url.scheme not in {"http", "https"} or not _HOST.fullmatch(hostname):
        raise RobofyConfigError(f"Connection field host: {text!r} is not a host or an http(s) URL.")
    if url.path.strip("/") or url.query or url.fragment:
        raise RobofyConfigError(
            f"Connection field host: {url.netloc!r} has a path. Leave out everything after host and port; a path "
            "that differs for this account is set in the extra 'endpoints'."
        )
    if "://" not in text and _is_loopback(hostname):
        # Nearly always the emulator, which has no certificate; https would fail and be retried.
        raise RobofyConfigError(
            f"Connection field host: {text!r} has no scheme. For this machine write http://{text}, or https://{text} "
            "where it has a certificate."
        )
    if url.scheme == "http" and not _is_loopback(hostname):
        raise RobofyConfigError(
            f"Connection field host: {text!r} would send the API key unencrypted. Use https://; "
            "http:// is accepted for loopback addresses only."
        )
    name = f"[{hostname}]" if ":" in hostname else hostname
    return f"{url.scheme}://{name}" + (f":{port}" if port is not None else "")


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to reach Robofy and how long to try.

    :param api_key: Permanent key from Robofy's dashboard. Sent as a bearer token, shown nowhere.
    :param base_url: As :func:`base_url` returns it.
    :param connect_timeout: Seconds to wait for a connection.
    :param read_timeout: Seconds to wait for the next bytes.
    :param total_timeout: Seconds for one call, all its attempts and pauses and a trickling body included.
    :param max_attempts: How often one call is sent at most.
    :param max_response_mb: Megabytes (2**20) accepted per answer, counted after decompression.
    :param max_parallel_pages: Pages of one listing that may be asked for at a time, where page tokens can be foreseen;
        1 asks for one after another.
    :param requests_per_minute: What this process may send, or None for no limit of our own.
    :param endpoints: Endpoint name to the path template that replaces the built-in one; for ``delink_asset`` also an
        object with ``path`` and ``body``.
    :param backoff: Seconds; before attempt n+1 the client waits a random time up to ``backoff * 2**(n-1)``, 60 at most.
    :param user_agent: Value of the User-Agent header.
    :raises RobofyConfigError: A value cannot be used; the message names the connection field.
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    total_timeout: float = 300.0
    max_attempts: int = 5
    max_response_mb: float = 64.0
    max_parallel_pages: int = 8
    requests_per_minute: float | None = None
    endpoints: Mapping[str, Any] = field(default_factory=dict, hash=False)  # a dict has no hash
    backoff: float = 1.0
    user_agent: str = field(default_factory=user_agent)

    def __post_init__(self) -> None:
        if not self.api_key:
            raise RobofyConfigError(
                "Connection field password is empty. Put the API key from Robofy's dashboard there."
            )
        if not _HEADER_SAFE.fullmatch(self.api_key):
            raise RobofyConfigError(
                "Connection field password holds a character that no API key has (a space, a line break or a "
                "non-ASCII letter). Copy the key again."
            )
        for name in ("connect_timeout", "read_timeout", "total_timeout", "max_response_mb"):
            if not 0 < getattr(self, name) < float("inf"):
                raise RobofyConfigError(f"Connection extra {name} must be a number above 0.")
        if self.max_attempts < 1:
            raise RobofyConfigError("Connection extra max_attempts must be at least 1.")
        if not 1 <= self.max_parallel_pages <= MAX_PARALLEL_PAGES:
            raise RobofyConfigError(f"Connection extra max_parallel_pages must be from 1 to {MAX_PARALLEL_PAGES}.")
        if self.requests_per_minute is not None and not 0 < self.requests_per_minute < float("inf"):
            raise RobofyConfigError("Connection extra requests_per_minute must be above 0, or left out.")
        for name, template in self.endpoints.items():
            check_override(name, template)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: the key would lie in a file or a database, readable.

        :raises TypeError: Always.
        """
        raise TypeError(
            "Settings contain the API key, so they cannot be pickled. Pass the connection's id on, and read the "
            "connection where it is used."
        )

    def __copy__(self) -> Self:
        return self  # it never changes

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def path_of(self, endpoint: str) -> str | None:
        """Return the path template that replaces an endpoint's built-in one, or None.

        :param endpoint: Name of the endpoint.
        """
        given = self.endpoints.get(endpoint)
        path: str | None = given["path"] if isinstance(given, dict) else given
        return path

    @property
    def delink_body(self) -> dict[str, Any] | None:
        """Return the body of a delink, with placeholders; None where the connection sets none."""
        given = self.endpoints.get("delink_asset")
        return given["body"] if isinstance(given, dict) else None

    @property
    def max_bytes(self) -> int:
        """Return the cap of one answer in bytes."""
        return int(self.max_response_mb * 2**20)


class RateLimiter:
    """Space requests evenly, and hold all of them where one was told to wait.

    Even spacing, rather than a bucket that fills up, keeps every stretch of sixty seconds inside the budget.

    :param per_minute: Requests per minute. Default no limit.
    """

    def __init__(self, per_minute: float | None = None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._next_at = 0.0
        self._held_until = 0.0
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take the next free turn and return the seconds until it comes.

        :param now: Monotonic seconds, from the same clock for every caller.
        """
        with self._lock:
            at = max(now, self._next_at, self._held_until)
            self._next_at = at + self._gap
            return at - now

    def held(self, now: float) -> bool:
        """Return whether all requests are held at a moment; a turn that was reserved for it is then void.

        :param now: Monotonic seconds.
        """
        with self._lock:
            return now < self._held_until

    def hold(self, until: float) -> None:
        """Start no request before a moment: Robofy answered 429 and named a time.

        :param until: Monotonic seconds.
        """
        with self._lock:
            self._held_until = max(self._held_until, until)


@cache
def rate_limiter(base_url: str, api_key: str, per_minute: float | None) -> RateLimiter:
    """Return the one rate limiter of this process for an account and its budget.

    :param base_url: With ``api_key`` it tells accounts apart.
    :param api_key: Likewise.
    :param per_minute: Requests per minute, None for no limit.
    """
    del base_url, api_key
    return RateLimiter(per_minute)
