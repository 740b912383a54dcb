"""A ``requests`` adapter whose calls can be ended at a moment or at once.

A read timeout bounds the wait for the next byte. A server that sends one byte every few seconds, in headers or in a
body, therefore holds a plain ``requests`` call for ever, and so does a call that waits while its task is being
killed. Closing the socket from beside is what ends both.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import PoolManager

_TICK = 0.2


class DeadlineAdapter(HTTPAdapter):
    """Send requests over connections whose sockets it knows.

    Usage::

        with adapter.until(time.monotonic() + 300):
            response = adapter.send(request, stream=True)
        adapter.expired  # did the deadline end it?

    A watching thread runs while calls are being made and ends by itself soon after.
    """

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._deadline: float | None = None
        self._stopped = False
        self._watcher: threading.Thread | None = None
        self._lock = threading.Lock()
        #: Did the latest call run into its deadline?
        self.expired = False
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    @contextlib.contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """End whatever is under way when a monotonic second is reached."""
        with self._lock:
            self.expired = False
            self._deadline = deadline
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="robofy-deadline", daemon=True)
                self._watcher.start()
        try:
            yield
        finally:
            self._deadline = None

    def stop(self) -> None:
        """End the call under way and all later ones. Safe in a signal handler: it takes no lock."""
        self._stopped = True
        self._interrupt()

    def _interrupt(self) -> None:
        for open_socket in tuple(self._sockets):
            # TLS within TLS (a proxy behind https://) is no socket but has one. An SSLSocket's own shutdown would
            # drop the encryption first, and a request that is just being written would go out readable.
            raw = getattr(open_socket, "socket", open_socket)
            with contextlib.suppress(OSError):
                socket.socket.shutdown(raw, socket.SHUT_RDWR)

    def _watch(self) -> None:
        idle_since: float | None = None
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            with self._lock:
                deadline = self._deadline  # once: the end of a call resets it without the lock
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

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool, of connections that report their socket."""
        super().init_poolmanager(*args, **kwargs)
        self._report_sockets(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pool behind a proxy, likewise."""
        manager = super().proxy_manager_for(*args, **kwargs)
        self._report_sockets(manager)
        return manager

    def _report_sockets(self, manager: PoolManager) -> None:
        sockets = self._sockets
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
