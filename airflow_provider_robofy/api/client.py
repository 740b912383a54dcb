"""The synchronous client: ``requests``, for hooks and operators."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError, NewConnectionError, ReadTimeoutError

from airflow_provider_robofy.api.answers import content_type
from airflow_provider_robofy.api.deadline import DeadlineAdapter
from airflow_provider_robofy.api.errors import RobofyCancelledError
from airflow_provider_robofy.api.exchange import exchange
from airflow_provider_robofy.api.network import Network
from airflow_provider_robofy.api.pace import pace_of
from airflow_provider_robofy.api.pagination import Listing, Page
from airflow_provider_robofy.api.steps import Answered, Clock, Lost, Received, Send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.settings import Settings

T = TypeVar("T")

_PIECE = 1 << 18
_FRAMING = {"content-length", "transfer-encoding"}
_NAP = 0.1  # seconds between two looks at the flag that a killed task sets


class RobofyClient:
    """Talk to Robofy, one call after another, from one thread.

    Usage::

        with RobofyClient(Settings(api_key=key)) as client:
            agent = client.call(retrieve_agent(24017, "UOmf..."))
            for page in client.pages(list_leads(24017, "UOmf...")):
                ...

    Proxies and CA bundles are taken from the environment as ``requests`` does it (HTTPS_PROXY, NO_PROXY,
    REQUESTS_CA_BUNDLE); a ``.netrc`` never replaces the key.

    :param settings: How to reach Robofy and how long to try. May be replaced between two calls.
    :param clock: Clocks and dice, for tests.
    :param watch: Called with what came of each request, those included that are sent again: the one way to see an
        answer's headers, or the body of an error. What it raises ends the call.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        watch: Callable[[Received | Lost], object] | None = None,
    ) -> None:
        self.settings = settings
        #: Requests sent so far, repeated ones included.
        self.requests = 0
        self.cancelled = False
        self._clock = clock or Clock()
        self._watch = watch
        self._pace = pace_of(settings.base_url, settings.api_key, settings.requests_per_minute)
        self._adapter = DeadlineAdapter()
        self._network = Network.of(settings.base_url)

    def call(self, call: Call[T]) -> T:
        """Make one call and return its value.

        :raises RobofyError: It failed, after the attempts that the settings allow.
        """
        return self.exchange(call).value

    def exchange(self, call: Call[T]) -> Answered[T]:
        """Make one call and return its value with the answer's date."""
        steps = exchange(call, self.settings, self._pace, self._clock)
        outcome: Received | Lost | None = None
        try:
            while True:
                self._heed_cancel()
                step = steps.send(outcome)
                if isinstance(step, Send):
                    outcome = self._send(step)
                    if self._watch is not None:
                        self._watch(outcome)
                else:
                    outcome = None
                    self._sleep(step.seconds)
        except StopIteration as end:
            answered: Answered[T] = end.value
            return answered

    def pages(self, first: Call[Rows]) -> Iterator[Page]:
        """Yield a listing page by page, each asked for when the one before has been dealt with."""
        listing = Listing(first)
        while listing.call is not None:
            yield listing.accept(self.exchange(listing.call))

    def cancel(self) -> None:
        """End the call under way and refuse further ones. May be called from a signal handler or another thread."""
        self.cancelled = True
        self._adapter.stop()

    def close(self) -> None:
        """Close the connections. The client may be used again."""
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _heed_cancel(self) -> None:
        if self.cancelled:
            raise RobofyCancelledError("The task was killed while it was talking to Robofy.")

    def _sleep(self, seconds: float) -> None:
        # In slices, because Python resumes an interrupted sleep; and without an Event, whose lock a signal handler
        # could find taken by the very thread that it interrupts.
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.cancelled:
            time.sleep(min(_NAP, left))

    def _send(self, step: Send) -> Received | Lost:
        request = step.request
        prepared = requests.PreparedRequest()
        prepared.method, prepared.url = request.method, request.url
        prepared.body = request.body  # type: ignore[assignment] # whatever has a length and yields bytes will do
        prepared.headers = CaseInsensitiveDict(request.headers)
        if request.body is not None:
            prepared.headers["Content-Length"] = str(len(request.body))
        self.requests += 1
        timeout = (self.settings.connect_timeout, self.settings.read_timeout)
        with self._adapter.until(time.monotonic() + step.deadline - self._clock.monotonic()):
            try:
                response = self._adapter.send(
                    prepared,
                    stream=True,
                    timeout=timeout,
                    verify=self._network.ca_bundle,
                    proxies=self._network.proxies,
                )
            except requests.RequestException as error:
                return Lost("deadline" if self._adapter.expired else _how(error))
            return self._read(request.method, response, step.max_bytes)

    def _read(self, method: str, response: requests.Response, max_bytes: int) -> Received | Lost:
        headers = {name.lower(): value for name, value in response.headers.items()}
        pieces: list[bytes] = []
        size = 0

        def lost(how: Any) -> Lost:
            response.close()
            return Lost("deadline" if self._adapter.expired else how, response.status_code, content_type(headers))

        try:
            for piece in response.raw.stream(_PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > max_bytes:
                    return lost("oversize")
        except ReadTimeoutError:
            return lost("stalled")
        except (HTTPError, OSError):
            return lost("truncated")
        if self._adapter.expired:
            return lost("deadline")  # a body without a length looks complete when its connection is cut
        if not size and method != "HEAD" and response.status_code != 204 and not _FRAMING & headers.keys():
            return lost("truncated")  # http.client takes a connection that ends within the headers for their end
        return Received(response.status_code, headers, pieces[0] if len(pieces) == 1 else b"".join(pieces))


def _how(error: requests.RequestException) -> Any:
    """Say how far a request got that has no answer."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.exceptions.SSLError):
        # A connection that ends in the middle of TLS is no matter of certificates.
        inner = reason.args[0] if isinstance(reason, HTTPError) and reason.args else None
        return "dropped" if isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError) else "tls"
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError):
        return "connect"
    if isinstance(error, requests.exceptions.ReadTimeout):
        return "stalled"
    return "connect" if isinstance(reason, NewConnectionError) else "dropped"
