"""A client that can be driven without real time, and servers of a few lines."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.api.client import Clock, RobofyClient
from airflow_provider_robofy.api.settings import Settings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

KEY = "rk_test-0123456789abcdef"


class FakeClock:
    """Real time plus the time that was slept, which takes none. Full jitter is always at its upper bound."""

    def __init__(self, chance: float = 1.0) -> None:
        self.slept: list[float] = []
        self.clock = Clock(monotonic=self.monotonic, now=self.now, chance=lambda: chance)

    def monotonic(self) -> float:
        return time.monotonic() + sum(self.slept)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=sum(self.slept))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock() -> FakeClock:
    """The clock of every client in the test that does not ask for real time."""
    return FakeClock()


@pytest.fixture
def connect(clock) -> Iterator[Callable[..., RobofyClient]]:
    """A function that makes a client for an emulator or a base URL; real_time=True lets it really sleep."""
    opened: list[RobofyClient] = []

    def make(server: Any, *, real_time: bool = False, **settings: Any) -> RobofyClient:
        url = server if isinstance(server, str) else server.url
        key = getattr(server, "api_key", KEY)
        given: dict[str, Any] = {"api_key": key, "base_url": url, "read_timeout": 5.0, "total_timeout": 20.0}
        client = RobofyClient(Settings(**given | settings), clock=None if real_time else clock.clock)
        if not real_time:
            client._sleep = clock.sleep  # type: ignore[method-assign]
        opened.append(client)
        return client

    yield make
    for client in opened:
        client.close()


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Any]:
    """A function that returns a documented sample by its name."""
    return lambda name: json.loads((Path(__file__).parent / "samples" / f"{name}.json").read_text())


# --------------------------------------------------------------------------------------------- servers of our own
def reply(body: Any = b"", status: str = "200 OK", **headers: Any) -> bytes:
    """A whole HTTP answer; underscores in header names become dashes, and a header that is None is left out."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


class RawServer:
    """Give each request what the script says next, the last entry for ever: bytes, or a function of the connection."""

    def __init__(
        self, *script: Any, tls: ssl.SSLContext | None = None, on_accept: Any = None, host: str = "127.0.0.1"
    ) -> None:
        self.script = script or (reply({"data": {"report": {"rows": []}}}),)
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._tls = tls
        self._on_accept = on_accept
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def heads(self) -> list[str]:
        return [request.partition(b"\r\n\r\n")[0].decode("latin-1") for request in self.requests]

    def stop(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(20)
            if self._on_accept:
                self._on_accept(connection, self)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(65536)
            if not piece:
                return
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        wanted = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while wanted and len(body) < int(wanted[0].partition(b":")[2]):
            body += connection.recv(65536)
        step = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(head + b"\r\n\r\n" + body)
        if callable(step):
            step(connection, self)
        else:
            connection.sendall(step)


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """A function that starts a server with a script; all end with the test."""
    started: list[RawServer] = []

    def start(*script: Any, **options: Any) -> RawServer:
        started.append(RawServer(*script, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def answer() -> Callable[..., bytes]:
    """The function that makes a whole HTTP answer."""
    return reply


@pytest.fixture
def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def secretless() -> Callable[..., None]:
    """A function that checks that neither an error nor what hangs behind it shows any of the words."""

    def check(error: BaseException, *words: str) -> None:
        seen: BaseException | None = error
        while seen is not None:
            shown = f"{seen} {seen!r} {seen.args} {getattr(seen, '__notes__', '')}"
            for word in words:
                assert word not in shown, f"{type(seen).__name__} shows {word!r}"
            seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)

    return check
