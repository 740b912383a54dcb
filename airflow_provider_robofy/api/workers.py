"""Run functions on a bounded number of threads."""

from __future__ import annotations

import contextlib
import contextvars
import threading
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class Workers:
    """Run functions on threads that do not outlive the process's last useful work.

    ``concurrent.futures.ThreadPoolExecutor`` joins its threads when the interpreter ends. A name look-up that hangs
    cannot be ended, so a killed task would wait for it. These threads are daemons and are not waited for.

    :param count: Threads.
    :param name: Prefix of the threads' names.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call and return its future.

        It runs in a copy of the caller's context, by which Airflow's logging finds the task.

        :param function: What to call, with the arguments that follow.
        """
        future: Future[T] = Future()
        self._work.put((future, partial(contextvars.copy_context().run, function, *args, **kwargs)))
        return future

    def stop(self) -> None:
        """Cancel what is queued, and end each thread when its call under way returns. Does not wait for that."""
        with contextlib.suppress(Empty):
            while work := self._work.get_nowait():
                work[0].cancel()
                work[0].set_running_or_notify_cancel()  # else concurrent.futures.wait() would wait for it
        for _ in range(self._count):
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            future, function = work
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001 (raised again where the result is asked for)
                    future.set_exception(error)
            del work, future, function  # a thread that waits for work keeps no result alive
