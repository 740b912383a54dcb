"""The emulator inside a test's own process: a server in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlencode

from airflow_provider_robofy.emulator.control import Control
from airflow_provider_robofy.emulator.server import RobofyServer
from airflow_provider_robofy.emulator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from airflow_provider_robofy.emulator.wire import Request

_T = TypeVar("_T")
_PATIENCE = 60


class Emulator(Control):
    """Emulate Robofy on a free loopback port, in a thread of its own.

    Everything that the command line and the control API offer is here, safe to call from any thread.

    Usage::

        with Emulator(leads=250, page_size=50) as emulator:
            emulator.fault("rate_limit", retry_after=1, endpoint="list_leads", page=2)
            monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", emulator.connection_json())
            ...
            assert emulator.count("list_leads") == 6

    :param faults: What goes wrong from the start on, as on the command line: `["drop", "html:page=2"]`.
    :param port: Port to listen on; 0, the default, takes a free one.
    :param prerender: True renders the pages of leads before `start` returns.
    :param settings: See `Settings` for every name, unit and default: leads, sessions, agents, seed, page_size ...
    """

    def __init__(self, *, faults: Iterable[str] = (), port: int = 0, prerender: bool = False, **settings: Any) -> None:
        super().__init__(RobofyServer(Settings(**settings), faults))
        self._port = port
        self._prerender = prerender
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------------------------------------- running
    def start(self) -> Self:
        """Start listening, and return when a request would be answered; what goes wrong is raised here."""
        if self._thread is not None:
            raise RuntimeError("this emulator is running already")
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="robofy-emulator", daemon=True
        )
        self._thread.start()
        try:
            ready.result(timeout=_PATIENCE)
        except BaseException:
            self._thread = None
            raise
        return self

    def stop(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._stop.set)
            thread.join(timeout=_PATIENCE)

    async def _serve(self, ready: Future[None]) -> None:
        self._stop = asyncio.Event()
        try:
            await self._server.start("127.0.0.1", self._port, prerender=self._prerender)
        except BaseException as failed:  # noqa: BLE001 - raised again in the thread that waits
            ready.set_exception(failed)
            return
        self._loop = asyncio.get_running_loop()
        ready.set_result(None)
        await self._stop.wait()
        # asyncio cancels the answers that are still being delayed or trickled.
        await self._server.stop()

    def _run(self, work: Callable[[], _T]) -> _T:
        loop = self._loop
        # While nothing is served, nobody else touches the state. Operations that use others are on the loop already.
        if loop is None or threading.current_thread() is self._thread:
            return work()

        async def on_loop() -> _T:
            return work()

        return asyncio.run_coroutine_threadsafe(on_loop(), loop).result(timeout=_PATIENCE)

    # ---------------------------------------------------------------------------------------------- connecting
    @property
    def url(self) -> str:
        """Return the base address, such as `http://127.0.0.1:43211`."""
        if self._loop is None:
            raise RuntimeError("this emulator is not running: use it in a with statement, or call start()")
        return self._server.url

    @property
    def api_key(self) -> str:
        """Return the key that it accepts."""
        return str(self._server.world.settings.api_key)

    @property
    def project_id(self) -> str:
        """Return the project that exists, as text."""
        return str(self._server.world.settings.project)

    @property
    def chatbot_ids(self) -> list[str]:
        """Return the ids of the agents that exist now."""
        return self._run(lambda: list(self._server.world.agents))

    def connection_json(self, *, chatbot_id: str | None = None, **extra: Any) -> str:
        """Return the value for AIRFLOW_CONN_ROBOFY_DEFAULT.

        :param chatbot_id: The connection's default agent, None for the first.
        :param extra: Further extras of the connection, such as `leads_order="newest_first"`.
        """
        extra = self._extra(chatbot_id) | extra
        return json.dumps({"conn_type": "robofy", "host": self.url, "password": self.api_key, "extra": extra})

    @property
    def connection_uri(self) -> str:
        """Return the same connection as a URI, which Airflow takes as well."""
        host = quote(self.url, safe="")
        return f"robofy://:{quote(self.api_key, safe='')}@{host}/?{urlencode(self._extra(None))}"

    def _extra(self, chatbot_id: str | None) -> dict[str, Any]:
        first = next(iter(self.chatbot_ids), None) if chatbot_id is None else chatbot_id
        return {"project_id": self.project_id} | ({} if first is None else {"chatbot_id": first})

    # ------------------------------------------------------------------------------------------------- counting
    @property
    def requests(self) -> list[Request]:
        """Return recent requests, oldest first, at most ten thousand."""
        return self.recent_requests()

    def count(self, endpoint: str | None = None) -> int:
        """Return how many requests came in since the start, the last reset or `clear_requests`.

        :param endpoint: Endpoint name such as `list_leads`; None for all of the API.
        """
        served = self._server.served
        return self._run(lambda: served.total() if endpoint is None else served[endpoint])
