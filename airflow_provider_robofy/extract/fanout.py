"""Doing something for each of many, some at a time, with results in the order in which it was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator


class Result(Protocol):
    """What a piece of work comes to: something that can be let go of without having been used."""

    def close(self) -> None:
        """Let go of it."""


A = TypeVar("A")
R = TypeVar("R", bound=Result)


async def fan_out(
    items: Iterable[A],
    work: Callable[[A], Awaitable[R]],
    hand_on: Callable[[R], None],
    *,
    at_a_time: int,
    ahead: int,
) -> None:
    """Do the work for every item, and hand the results on in the order of the items.

    Usage::

        await fan_out(session_ids, read, write, at_a_time=8, ahead=24)

    A few workers take the items as they get to them, so that a million items cost no more than a hundred. Whoever
    completes the result that is due hands on all that waited for it.

    :param items: Taken one by one, and never far ahead of what was handed on.
    :param work: What to do for an item. An exception ends everything and is raised from here.
    :param hand_on: Takes a result, from within the event loop, so it should be brief.
    :param at_a_time: Items worked on at a time, at least 1.
    :param ahead: Results that may wait for an earlier one before the workers pause; so many are held in memory. 0 lets
        a slow item stop all others.
    """
    waiting: dict[int, R] = {}
    room = asyncio.Semaphore(at_a_time + ahead)
    numbered: Iterator[tuple[int, A]] = iter(enumerate(items))
    due = 0

    async def worker() -> None:
        nonlocal due
        while True:
            await room.acquire()
            taken: Any = next(numbered, None)
            if taken is None:
                room.release()  # whoever waits for room shall see the end too
                return
            number, item = taken
            waiting[number] = await work(item)
            while due in waiting:
                hand_on(waiting.pop(due))
                due += 1
                room.release()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_a_time):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for result in waiting.values():
            result.close()
