"""A server on an event loop of its own, in a daemon thread."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.server import RobofyServer

_T = TypeVar("_T")
_PATIENCE = 60


class ServerThread:
    """
    Run a server beside the code that uses it.

    :param server: the server, not started yet.
    """

    def __init__(self, server: RobofyServer) -> None:
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether requests are answered."""
        return self._loop is not None

    def start(self, port: int, *, prerender: bool) -> None:
        """
        Start, and return when a request would be answered; what goes wrong is raised here.

        :param port: loopback port, 0 for a free one.
        :param prerender: True renders the pages of leads first.
        """
        if self._thread is not None:
            raise RuntimeError("this emulator is running already")
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(port, prerender, ready), name="robofy-emulator", daemon=True
        )
        self._thread.start()
        try:
            ready.result(timeout=_PATIENCE)
        except BaseException:
            self._thread = None
            raise

    def stop(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout=_PATIENCE)

    def call(self, work: Callable[[], _T]) -> _T:
        """
        Do something on the server's loop and return what comes of it.

        :param work: what to do; must not wait.
        """
        loop = self._loop
        if loop is None:
            # Nobody else touches the state while nothing is served, so data can be looked at before and after.
            return work()
        done: Future[_T] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as failed:  # noqa: BLE001 - raised again in the calling thread
                done.set_exception(failed)

        loop.call_soon_threadsafe(run)
        return done.result(timeout=_PATIENCE)

    def _run(self, port: int, prerender: bool, ready: Future[None]) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._server.start("127.0.0.1", port, prerender=prerender))
        except BaseException as failed:  # noqa: BLE001 - raised again in the thread that waits
            loop.close()
            ready.set_exception(failed)
            return
        self._loop = loop
        loop.call_soon(ready.set_result, None)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(self._wind_up())
            loop.close()

    async def _wind_up(self) -> None:
        await self._server.stop()
        # Answers that were still being delayed or trickled.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
