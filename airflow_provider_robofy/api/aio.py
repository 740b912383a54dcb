"""The asynchronous client: ``aiohttp``, for triggers and for many calls at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from airflow_provider_robofy.api.answers import content_type
from airflow_provider_robofy.api.body import Body
from airflow_provider_robofy.api.exchange import exchange
from airflow_provider_robofy.api.network import Network
from airflow_provider_robofy.api.pace import pace_of
from airflow_provider_robofy.api.pagination import Listing, Page
from airflow_provider_robofy.api.steps import Answered, Clock, Lost, Received, Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType
    from typing import Self

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.settings import Settings

T = TypeVar("T")

_PIECE = 1 << 18
_HEADER = 1 << 16


class AsyncRobofyClient:
    """Talk to Robofy from an event loop, with as many calls at a time as the caller starts.

    Usage::

        async with AsyncRobofyClient(Settings(api_key=key)) as client:
            agent = await client.call(retrieve_agent(24017, "UOmf..."))
            async for page in client.pages(list_leads(24017, "UOmf...")):
                ...

    Cancelling the task that awaits a call ends the call. Proxies and CA bundles are those of :class:`RobofyClient`.

    :param settings: How to reach Robofy and how long to try.
    :param clock: Clocks and dice, for tests.
    :param connections: Connections open at a time at most.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None, connections: int = 100) -> None:
        self.settings = settings
        #: Requests sent so far, repeated ones included.
        self.requests = 0
        self._clock = clock or Clock()
        self._pace = pace_of(settings.base_url, settings.api_key, settings.requests_per_minute)
        self._connections = connections
        # Waited for before aiohttp makes anything of a request: a thousand calls that queue for a connection inside of
        # it are objects enough for a full garbage collection, which stops the event loop.
        self._turn = asyncio.Semaphore(connections)
        self._network = Network.of(settings.base_url)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(
            total=None,
            sock_connect=self.settings.connect_timeout,
            sock_read=self.settings.read_timeout,
        )
        # A proxy may be reached by TLS where the API is not.
        https = "https" in {urlsplit(url or "").scheme for url in (self.settings.base_url, self._network.proxy)}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                # Reading the certificates takes as long as a hundred requests on a fast network.
                ssl=not https or await asyncio.to_thread(self._network.ssl_context),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=timeout,
            # What http.client takes, and so the other client.
            max_line_size=_HEADER,
            max_field_size=_HEADER,
        )
        # aiohttp would send a GET, PUT or DELETE once more by itself when a kept connection turns out to be dead:
        # uncounted, outside the budget, and for a change against our rule. There is no public way to say no.
        self._session._retry_connection = False  # noqa: SLF001
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, call: Call[T]) -> T:
        """Make one call and return its value.

        :raises RobofyError: It failed, after the attempts that the settings allow.
        """
        return (await self.exchange(call)).value

    async def exchange(self, call: Call[T]) -> Answered[T]:
        """Make one call and return its value with the answer's date."""
        steps = exchange(call, self.settings, self._pace, self._clock)
        outcome: Received | Lost | None = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Send):
                    outcome = await self._send(step)
                else:
                    outcome = None
                    await asyncio.sleep(step.seconds)
        except StopIteration as end:
            answered: Answered[T] = end.value
            return answered

    async def pages(self, first: Call[Rows]) -> AsyncIterator[Page]:
        """Yield a listing page by page, each asked for when the one before has been dealt with."""
        listing = Listing(first)
        while listing.call is not None:
            yield listing.accept(await self.exchange(listing.call))

    async def _send(self, step: Send) -> Received | Lost:
        if self._session is None:
            msg = "use the client as 'async with AsyncRobofyClient(...) as client'"
            raise RuntimeError(msg)
        request = step.request
        self.requests += 1
        status: int | None = None
        headers: dict[str, str] = {}

        def lost(how: Any) -> Lost:
            return Lost(how, status, content_type(headers))

        # Not encoded again: the path may hold %2F, which is not the same as a slash.
        url = URL(request.url, encoded=True)
        left = step.deadline - self._clock.monotonic()
        try:
            async with (
                asyncio.timeout(left),
                self._turn,
                self._session.request(
                    request.method,
                    url,
                    headers=request.headers,
                    data=_stream(request.body) if isinstance(request.body, Body) else request.body,
                    proxy=self._network.proxy,
                    allow_redirects=False,
                ) as response,
            ):
                status = response.status
                headers = {name.lower(): value for name, value in response.headers.items()}
                body = bytearray()
                async for piece in response.content.iter_chunked(_PIECE):
                    body += piece
                    if len(body) > step.max_bytes:
                        return lost("oversize")
                return Received(status, headers, bytes(body))
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch):
            return lost("tls")
        except (
            aiohttp.ConnectionTimeoutError,
            aiohttp.ClientConnectorError,
            aiohttp.ClientProxyConnectionError,
            aiohttp.ClientHttpProxyError,
        ):
            return lost("connect")
        except aiohttp.SocketTimeoutError:
            return lost("stalled")
        except TimeoutError:
            return lost("deadline")
        except (aiohttp.ClientError, OSError):
            return lost("dropped" if status is None else "truncated")


async def _stream(body: Body) -> AsyncIterator[bytes]:
    """Read a body piece by piece beside the event loop, since its file may lie on a slow disk."""
    pieces = iter(body)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
