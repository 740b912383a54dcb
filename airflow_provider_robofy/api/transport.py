"""Send one HTTP request and read its whole answer, by a moment and up to a size.

A read timeout of ``requests`` bounds the wait for the next byte. A server that sends one byte every few seconds, in
headers or in a body, therefore blocks a plain ``requests`` call for ever, and so does a call that waits while its task
is being killed. Shutting the socket down from another thread ends both.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import requests
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3 import PoolManager, ProxyManager
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout, parse_url

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

    from airflow_provider_robofy.api.body import Body
    from airflow_provider_robofy.api.settings import Settings

How = Literal["connect", "tls", "dropped", "truncated", "stalled", "deadline", "oversize"]

_PIECE = 1 << 18
_TICK = 0.2  # seconds between two checks of the deadline
_FRAMING = {"content-length", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire."""

    method: str
    target: str = field(repr=False)  # path and query; the path may hold a session id, which can be a phone number
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | Body | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """A complete answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """No complete answer.

    :param how: ``connect`` and ``tls``: the request never arrived. ``dropped``: no answer began. ``truncated``: an
        answer began and broke off. ``stalled``: no byte came for ``read_timeout``. ``deadline``: ``total_timeout``
        ended it. ``oversize``: it was larger than ``max_response_mb``.
    :param status: HTTP status, where an answer began.
    :param content_type: Its media type.
    """

    how: How
    status: int | None = None
    content_type: str = ""


class Transport:
    """Send requests from one thread, over one connection that is kept open between them.

    Proxies and CA bundles are taken from the environment as ``requests`` does it (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY,
    NO_PROXY, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE); a ``.netrc`` never replaces the key.

    :param base_url: Scheme and authority of the API.
    :raises RobofyConfigError: The environment names a proxy or a CA bundle that cannot be used.
    """

    def __init__(self, base_url: str) -> None:
        self._sockets = _Sockets()
        # Once and not at each request, where it would cost as much as a request on a fast network.
        proxy, ca_bundle = _environment(base_url)
        options: dict[str, Any] = {"num_pools": 1, "maxsize": 1, "cert_reqs": "CERT_REQUIRED"}
        options["ca_cert_dir" if Path(ca_bundle).is_dir() else "ca_certs"] = ca_bundle
        if proxy:
            headers = HTTPAdapter().proxy_headers(proxy)
            self._pools: PoolManager = ProxyManager(proxy, proxy_headers=headers, **options)
        else:
            self._pools = PoolManager(**options)
        self._sockets.watch(self._pools)
        self._base_url = base_url
        # One, since the key goes to one origin.
        self._pool: HTTPConnectionPool | None = None
        #: Before a request's target: a proxy for http:// takes whole URLs.
        self._begin = base_url if proxy and base_url.startswith("http:") else ""

    def send(self, request: Request, settings: Settings, deadline: float) -> Received | Lost:
        """Send a request and read the answer.

        :param request: What to send.
        :param settings: Timeouts and the largest answer.
        :param deadline: Second of ``time.monotonic()`` at which the answer must be complete.
        """
        headers = dict(request.headers)
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        timeout = Timeout(connect=settings.connect_timeout, read=settings.read_timeout)
        with self._sockets.until(deadline):
            try:
                # Not by requests, which wraps answer and errors in classes of its own: that takes as long as all that
                # is done with the answer here.
                self._pool = self._pool or self._pools.connection_from_url(self._base_url)
                response = self._pool.urlopen(
                    request.method,
                    self._begin + request.target,
                    body=request.body,
                    headers=headers,
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (HTTPError, OSError) as error:
                return Lost("deadline" if self._sockets.expired else _how(error))
            return self._read(request.method, response, settings.max_bytes)

    def stop(self) -> None:
        """End the request under way and all later ones. Safe in a signal handler: it takes no lock."""
        self._sockets.stop()

    def close(self) -> None:
        """Close the connection. The transport can be used again."""
        self._pool = None
        self._pools.clear()

    def _read(self, method: str, response: BaseHTTPResponse, max_bytes: int) -> Received | Lost:
        headers = {name.lower(): value for name, value in response.headers.items()}
        pieces: list[bytes] = []
        size = 0

        def lost(how: How) -> Lost:
            response.close()
            return Lost("deadline" if self._sockets.expired else how, response.status, media_type(headers))

        try:
            for piece in response.stream(_PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > max_bytes:
                    return lost("oversize")
        except ReadTimeoutError:
            return lost("stalled")
        except (HTTPError, OSError):
            return lost("truncated")
        if self._sockets.expired:
            return lost("deadline")  # a body without a length looks complete when its connection is cut
        if not size and method != "HEAD" and response.status != 204 and not _FRAMING & headers.keys():
            return lost("truncated")  # http.client takes a connection that ends within the headers for their end
        return Received(response.status, headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of an answer, without parameters.

    :param headers: Header names in lower case.
    """
    return headers.get("content-type", "").partition(";")[0].strip().lower()[:100]


def _how(error: Exception) -> How:
    """Return how far a request got that has no answer."""
    if isinstance(error, SSLError):
        # A connection that ends in the middle of TLS is no matter of certificates.
        inner = error.args[0] if error.args else None
        return "dropped" if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError) else "tls"
    if isinstance(error, ConnectTimeoutError | NewConnectionError | ProxyError):
        return "connect"
    return "stalled" if isinstance(error, ReadTimeoutError) else "dropped"


def _environment(base_url: str) -> tuple[str | None, str]:
    """Return the proxy, if any, and the CA bundle that the environment sets for a URL, as ``requests`` takes them."""
    found = requests.Session().merge_environment_settings(base_url, {}, None, None, None)
    bundle = found["verify"]
    if not isinstance(bundle, str) or not base_url.startswith("https://"):
        bundle = DEFAULT_CA_BUNDLE_PATH
    if not Path(bundle).exists():
        raise RobofyConfigError(
            f"The environment variable REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names {bundle!r}, "
            "where no certificates can be read."
        )
    address = select_proxy(base_url, found["proxies"])
    if not address:
        return None, bundle
    address = address if "://" in address else f"http://{address}"  # requests lets people leave the scheme out
    try:
        proxy = parse_url(address)  # it may hold a password, so no error shows it
    except ValueError:
        proxy = None
    if proxy is None or proxy.scheme not in {"http", "https"} or not proxy.host or proxy.port == 0:
        raise RobofyConfigError(
            "The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) is no http:// or https:// "
            "address, and others, such as SOCKS, are not supported. NO_PROXY takes Robofy's host out."
        )
    return address, bundle


class _Sockets:
    """Collect the sockets of the connections, and shut them down at a deadline or at once.

    A watching thread runs while requests are being made and ends by itself soon after.
    """

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._deadline: float | None = None
        self._stopped = False
        self._watcher: threading.Thread | None = None
        self._lock = threading.Lock()
        #: Has the latest request run into its deadline?
        self.expired = False

    @contextlib.contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """End the request under way at a second of ``time.monotonic()``."""
        with self._lock:
            self.expired = False
            self._deadline = deadline
            if self._watcher is None or not self._watcher.is_alive():  # a thread does not survive a fork
                self._watcher = threading.Thread(target=self._run, name="robofy-deadline", daemon=True)
                self._watcher.start()
        try:
            yield
        finally:
            self._deadline = None

    def stop(self) -> None:
        self._stopped = True
        self._interrupt()

    def _interrupt(self) -> None:
        for open_socket in tuple(self._open):
            # TLS within TLS (a proxy behind https://) is no socket but has one. An SSLSocket's own shutdown would
            # drop the encryption first, and a request that is just being written would go out readable.
            raw = getattr(open_socket, "socket", open_socket)
            with contextlib.suppress(OSError):
                socket.socket.shutdown(raw, socket.SHUT_RDWR)

    def _run(self) -> None:
        idle_since: float | None = None
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            with self._lock:
                deadline = self._deadline  # once: the end of a request resets it without the lock
                if deadline is not None:
                    idle_since = None
                    if self._stopped:
                        self._interrupt()  # again: the connection may have been made since
                    elif now >= deadline:
                        self.expired = True
                        self._interrupt()
                elif idle_since is None:
                    idle_since = now
                elif now - idle_since > 10 * _TICK:
                    self._watcher = None
                    return

    def watch(self, manager: PoolManager) -> None:
        """Replace the connections of a manager's pools by ones that add their sockets to these."""
        sockets = self._open
        classes: dict[str, Any] = {}
        for scheme, pool in manager.pool_classes_by_scheme.items():

            class Connection(pool.ConnectionCls):  # type: ignore[misc, name-defined]
                def _new_conn(self) -> socket.socket:
                    # Before TLS and before a proxy's answer to CONNECT, which may trickle too.
                    new: socket.socket = super()._new_conn()
                    sockets.add(new)
                    return new

                def connect(self) -> None:
                    super().connect()
                    sockets.difference_update([old for old in sockets if old.fileno() < 0])
                    sockets.add(self.sock)

            classes[scheme] = type(pool.__name__, (pool,), {"ConnectionCls": Connection})
        manager.pool_classes_by_scheme = classes
