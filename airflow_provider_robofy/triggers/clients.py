"""One client for all triggers of an event loop that talk to the same account.

A thousand deferred sensors then hold one pool of connections and not a thousand, and make the garbage collector, which
stops the whole triggerer, look through far less.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_robofy.api.aio import AsyncRobofyClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_robofy.api.settings import Settings


class _Lent:
    """A client and how many use it."""

    def __init__(self, settings: Settings) -> None:
        self.client = AsyncRobofyClient(settings)
        self.opening: asyncio.Future[Any] = asyncio.ensure_future(self.client.__aenter__())
        self.users = 0


_lent: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Lent]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_client(settings: Settings) -> AsyncIterator[AsyncRobofyClient]:
    """Lend the client of these settings; the last one to give it back closes it.

    Usage::

        async with shared_client(connection.settings) as client:
            await client.call(...)

    :param settings: How to reach Robofy. Another key or timeout is another client.
    """
    here = _lent.setdefault(asyncio.get_running_loop(), [])
    lent = next((one for one in here if one.client.settings == settings), None)
    if lent is None:
        lent = _Lent(settings)
        here.append(lent)
    lent.users += 1
    try:
        # Whoever is cancelled while it opens must not cancel it for the others.
        await asyncio.shield(lent.opening)
        yield lent.client
    finally:
        lent.users -= 1
        if not lent.users:
            here.remove(lent)
            await asyncio.shield(_close(lent))


async def _close(lent: _Lent) -> None:
    await asyncio.gather(lent.opening, return_exceptions=True)
    await lent.client.__aexit__(None, None, None)
