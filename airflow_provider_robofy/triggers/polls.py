"""Run the polls of all triggers of an event loop: on a bounded number of threads, one at a time for each agent.

A triggerer runs a thousand triggers on one event loop, and no call to Robofy may block it. So calls run on threads, and
triggers of one agent that poll at the same time share one poll. A server that hangs blocks at most half of the threads.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import RobofyCancelledError
from airflow_provider_robofy.api.workers import Workers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Hashable, Mapping

    from airflow_provider_robofy.api.settings import Settings

#: Threads that poll, and how many of them one account can use. The others stay free while that account hangs.
THREADS: Final = 16
THREADS_PER_ACCOUNT: Final = THREADS // 2
#: Seconds between the starts of two polls of one agent.
SPACING = 1.0
#: Shortest timeout of a request in seconds, however short the poll interval is.
SHORTEST_TIMEOUT: Final = 1.0
#: Triggers that are woken before the event loop runs other tasks.
_AT_ONCE: Final = 20
#: Idle clients whose connections stay open.
_MAX_IDLE: Final = 32


class Poll(Protocol):
    """Read Robofy once and answer all questions. Equal polls of one account share one call."""

    def __hash__(self) -> int: ...

    def __call__(self, client: RobofyClient, questions: Collection[Any], /) -> Mapping[Any, Any]:
        """Return the answer to each question. Runs in a thread.

        :param client: Client of the account.
        :param questions: The questions of all triggers that share this poll.
        :raises RobofyError: The poll failed.
        """


class Polls:
    """Run the polls of all triggers of one event loop.

    Usage::

        async with shared_polls() as polls:
            answer = await polls.ask(poll, question, settings=connection.settings, interval=60, timeout=60)
    """

    def __init__(self) -> None:
        #: Triggers that use this.
        self.users = 0
        self._workers = Workers(THREADS, "robofy-polls")
        # Acquired before a poll is queued. While a server hangs, triggers wait here and no work queues up.
        self._threads = asyncio.Semaphore(THREADS)
        self._threads_of: dict[Hashable, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(THREADS_PER_ACCOUNT)
        )
        #: By account and poll: the questions of the next poll, and the futures that wait for the answers.
        self._asked: dict[tuple[Settings, Poll], dict[Hashable, list[asyncio.Future[Any]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()
        self._idle: list[RobofyClient] = []
        self._busy: set[RobofyClient] = set()
        self._max_idle = _MAX_IDLE
        self._stopped = False

    async def ask(self, poll: Poll, question: Hashable, *, settings: Settings, interval: float, timeout: float) -> Any:  # noqa: ASYNC109 - it bounds the wait for a turn too
        """Return the answer to a question from the next poll.

        The poll makes one attempt for each of its requests: the next poll is the retry.

        :param poll: The poll: what to read.
        :param question: The question to answer.
        :param settings: Settings of the account's client.
        :param interval: Seconds between two polls of the trigger. It bounds the time of a request.
        :param timeout: Seconds to wait for the answer.
        :return: The answer.
        :raises TimeoutError: No answer came within the timeout.
        :raises RobofyError: The poll failed.
        """
        longest = min(settings.total_timeout, max(interval, SHORTEST_TIMEOUT))
        key = (replace(settings, max_attempts=1, total_timeout=longest), poll)
        if key not in self._asked:
            self._asked[key] = {}
            task = asyncio.create_task(self._serve(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[key].setdefault(question, []).append(answer)
        async with asyncio.timeout(timeout):
            return await answer

    async def _serve(self, key: tuple[Settings, Poll]) -> None:
        """Run polls of one agent as long as a trigger waits for one."""
        settings, poll = key
        try:
            while self._asked[key]:
                async with self._threads_of[settings.base_url, settings.api_key], self._threads:
                    began = time.monotonic()
                    await self._answer(settings, poll, key)
                await asyncio.sleep(max(0.0, SPACING - (time.monotonic() - began)))
        finally:
            del self._asked[key]

    async def _answer(self, settings: Settings, poll: Poll, key: tuple[Settings, Poll]) -> None:
        # Questions that come from here on wait for the next poll: this one may have read part of the listing.
        asked, self._asked[key] = self._asked[key], {}
        waiting = {question: alive for question, all_ in asked.items() if (alive := [f for f in all_ if not f.done()])}
        if not waiting:
            return
        try:
            answers = await asyncio.wrap_future(self._workers.submit(self._run, settings, poll, list(waiting)))
        except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
            outcome: dict[Hashable, Any] = dict.fromkeys(waiting, error)
        else:
            outcome = dict(answers)
        pairs = [(future, outcome[question]) for question, futures in waiting.items() for future in futures]
        for number, (future, result) in enumerate(pairs, 1):
            if not future.done():
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)

    def _run(self, settings: Settings, poll: Poll, questions: list[Hashable]) -> Mapping[Any, Any]:
        """Run a poll with an idle client of the account, or with a new one. Runs in a thread."""
        with self._lock:
            if self._stopped:
                raise RobofyCancelledError("The triggers that asked have ended.")
            client = next((one for one in self._idle if one.settings == settings), None)
            if client is None:
                client = RobofyClient(settings)
            else:
                self._idle.remove(client)
            self._busy.add(client)
        try:
            return poll(client, questions)
        finally:
            with self._lock:
                self._busy.discard(client)
                self._idle.append(client)
                dropped = self._idle[: max(0, len(self._idle) - self._max_idle)]
                del self._idle[: len(dropped)]
            for one in dropped:
                one.close()

    def stop(self) -> None:
        """Cancel queued polls and running requests. Returns at once."""
        self._workers.stop()
        with self._lock:
            self._stopped, self._max_idle = True, 0
            for client in self._busy:
                client.cancel()
            for client in self._idle:
                client.close()
        with suppress(RuntimeError):  # the event loop is closed already
            for task in self._tasks:
                task.cancel()


_polls: WeakKeyDictionary[asyncio.AbstractEventLoop, Polls] = WeakKeyDictionary()


@asynccontextmanager
async def shared_polls() -> AsyncIterator[Polls]:
    """Yield the shared polls of the running event loop. When the last trigger leaves, they stop."""
    loop = asyncio.get_running_loop()
    polls = _polls.get(loop)
    if polls is None:
        polls = _polls[loop] = Polls()
    polls.users += 1
    try:
        yield polls
    finally:
        polls.users -= 1
        if not polls.users:
            del _polls[loop]
            polls.stop()
