"""Running a coroutine beside the thread that a task's signals arrive in, so that it can be ended at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_robofy.api.errors import RobofyCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_PATIENCE = 1.0


class Background:
    """Run one coroutine on an event loop in a thread of its own, and wait for it.

    Usage::

        background = Background()
        result = background.run(lambda: fetch_everything())
        ...
        background.cancel()  # from on_kill: a signal handler or another thread

    Airflow 2 ends a task by an exception out of a signal handler. In the loop's own thread it would come up anywhere,
    in a callback, say, whose exceptions asyncio only logs; here it comes up in the wait, and nowhere else. A loop that
    runs already, as in a notebook, is no obstacle either.
    """

    def __init__(self) -> None:
        self.cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what the coroutine returns, or raise what it raises.

        :param work: Makes the coroutine; called within the loop.
        :raises RobofyCancelledError: :meth:`cancel` was called before it ended.
        """
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def target() -> None:
            with asyncio.Runner() as runner:
                try:
                    result = runner.run(self._watched(work))
                except BaseException as error:  # noqa: BLE001 (raised again in the thread that waits)
                    done.set_exception(error)
                else:
                    done.set_result(result)

        # With the context of the caller, because Airflow's logging finds the task there. A daemon, because a name
        # look-up that hangs cannot be ended, and must not keep a killed task alive.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(target,), name="robofy-fan-out", daemon=True).start()
        try:
            return done.result()
        except asyncio.CancelledError:
            self.heed_cancel()
            raise
        finally:
            if not done.done():
                self.cancel()
                concurrent.futures.wait([done], timeout=_PATIENCE)

    def cancel(self) -> None:
        """End the coroutine, be it not started yet. Takes no lock."""
        self.cancelled = True
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
                loop.call_soon_threadsafe(task.cancel)

    def heed_cancel(self) -> None:
        """Go no further once it was cancelled.

        :raises RobofyCancelledError: It was.
        """
        if self.cancelled:
            raise RobofyCancelledError("The task was killed while it was talking to Robofy.") from None

    async def _watched(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self.cancelled:
            raise asyncio.CancelledError
        return await work()
