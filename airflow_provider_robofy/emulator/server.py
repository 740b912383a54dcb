"""The HTTP server: from a request on the wire, past the faults, to the endpoint or control call that answers it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import Counter, deque
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from aiohttp import web

from airflow_provider_robofy.emulator import account, faults, knowledge, leads, sessions
from airflow_provider_robofy.emulator.control import OPERATIONS, Control, ControlError
from airflow_provider_robofy.emulator.faults import FaultError
from airflow_provider_robofy.emulator.pages import LISTINGS
from airflow_provider_robofy.emulator.routes import ENDPOINTS
from airflow_provider_robofy.emulator.settings import SettingsError
from airflow_provider_robofy.emulator.wire import ApiError, ApiRequest, Request, bad_request, respond

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from airflow_provider_robofy.emulator.account import World
    from airflow_provider_robofy.emulator.faults import Fault
    from airflow_provider_robofy.emulator.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "/_robofy_emulator/"
_REMEMBERED = 10_000

# An endpoint is answered by the function that has its name.
HANDLERS: dict[str, Callable[[World, ApiRequest], Awaitable[Any]]] = {
    name: found
    for module in (leads, sessions, knowledge, account)
    for name, found in vars(module).items()
    if name in ENDPOINTS
}


class RobofyServer:
    """One emulated account, served over HTTP, and what was asked of it.

    :param settings: How it looks and behaves.
    :param faults: What goes wrong from the start on, as `KIND[:key=value,...]`.
    """

    def __init__(self, settings: Settings, faults: Iterable[str] = ()) -> None:
        self._first_settings = settings
        self._first_faults = tuple(faults)
        self.url = ""
        self.recent: deque[Request] = deque(maxlen=_REMEMBERED)
        self.served: Counter[str] = Counter()
        self.in_flight = 0
        self.peak_in_flight = 0
        self._runner: web.ServerRunner | None = None
        self.reset({})

    def reset(self, changes: Mapping[str, Any]) -> None:
        """Start over: data, settings, faults and counts as at the start.

        :param changes: Settings that differ from those of the start.
        """
        settings = self._first_settings.changed(changes)
        self.faults: list[Fault] = [faults.parse(text) for text in self._first_faults]
        self.world = account.World(settings)
        self.clear_requests()

    def clear_requests(self) -> None:
        """Forget all requests and count anew; what is being worked on stays counted as that."""
        self.recent.clear()
        self.served.clear()
        self.peak_in_flight = self.in_flight

    async def start(self, host: str, port: int, *, prerender: bool = False) -> None:
        """Listen; `url` says where.

        :param host: Address to bind.
        :param port: Port to bind, 0 for a free one.
        :param prerender: True renders the pages of leads first.
        """
        if prerender:
            await leads.prerender(self.world)
        # Requests are routed here, so aiohttp's application is left out.
        runner = web.ServerRunner(web.Server(self.handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, port, backlog=1024).start()
        self._runner = runner
        bound = runner.addresses[0]
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        self.url = f"http://{shown}:{bound[1]}"

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request.

        :param request: What came in.
        """
        raw_path, _, query = request.raw_path.partition("?")
        if not raw_path.startswith("/"):
            # A client that takes this server for its proxy sends the whole address.
            raw_path = urlsplit(raw_path).path or "/"
        if raw_path.startswith(PREFIX):
            return await _control(self, request, raw_path[len(PREFIX) :])
        self.in_flight += 1
        try:
            return await self._api(request, raw_path, query)
        finally:
            self.in_flight -= 1

    async def _api(self, http: web.BaseRequest, raw_path: str, query: str) -> web.StreamResponse:
        settings = self.world.settings
        authorized = http.headers.get("Authorization") == f"Bearer {settings.api_key}"
        request: ApiRequest | None = None
        applied: list[Fault] = []
        try:
            request = self._read(http, raw_path, query)
            self.served[request.endpoint] += 1
            self._limit(settings.max_in_flight)
            if settings.latency:
                await asyncio.sleep(settings.latency)
            applied = self._apply_faults(request)
            answer = await self._answer(request, applied, authorized=authorized)
        except ApiError as refusal:
            answer = self._refuse(refusal)
        except ConnectionError:
            answer = self._refuse(bad_request("The request body broke off."))  # nobody is there to read it
        except Exception:
            logger.exception("the emulator itself failed at %s %s", http.method, raw_path)
            answer = self._refuse(ApiError(500, "INTERNAL_SERVER_ERROR", "The emulator failed; see its log."))
        delivery = next((fault for fault in applied if fault.changes == faults.DELIVERY), None)
        self.recent.append(
            Request(
                endpoint=request.endpoint if request else "",
                method=http.method,
                path=raw_path,
                query=query,
                page=request.page if request else None,
                status=0 if delivery is not None and delivery.kind == "drop" else answer.status,
                time=time.time(),
                user_agent=http.headers.get("User-Agent", ""),
                authorized=authorized,
                faults=tuple(fault.kind for fault in applied),
            )
        )
        if settings.clock_offset:
            answer.headers["Date"] = formatdate(time.time() + settings.clock_offset, usegmt=True)
        if delivery is not None:
            sent: web.StreamResponse = await delivery.act(http, answer)
            return sent
        return answer

    def _refuse(self, refusal: ApiError) -> web.Response:
        shape = self.world.settings.error_shape
        return refusal.answer(next(self.world.error_shapes) if shape == "alternate" else shape)

    def _limit(self, most: int) -> None:
        if most and self.in_flight > most:
            raise ApiError(429, "TOO_MANY_REQUESTS", "Too many requests at the same time.", **{"Retry-After": "1"})
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def _read(self, http: web.BaseRequest, raw_path: str, query: str) -> ApiRequest:
        endpoint, params = self.world.router.match(http.method, raw_path)
        request = ApiRequest(endpoint, params, dict(parse_qsl(query, keep_blank_values=True)) if query else {}, http)
        # Only List Leads documents what the parameter is called.
        token = request.query.get("nextPageToken")
        if endpoint != "list_leads":
            token = token or request.query.get("next_page_token")
        if token:
            size = getattr(self.world.settings, LISTINGS[endpoint].page_size, 0) if endpoint in LISTINGS else 0
            request.page = self.world.tokens.read(request.listing, token, size)
        return request

    def _apply_faults(self, request: ApiRequest) -> list[Fault]:
        applied: list[Fault] = []
        replaced = False
        for fault in self.faults:
            # One replacement a request: the next one waits for the next request.
            if not (replaced and fault.changes == faults.ANSWER) and fault.applies(request):
                applied.append(fault)
                replaced = replaced or fault.changes == faults.ANSWER
        return applied

    async def _answer(self, request: ApiRequest, applied: list[Fault], *, authorized: bool) -> web.Response:
        for fault in applied:
            if fault.changes == faults.DELAY:
                await fault.act()
        for fault in applied:
            if fault.changes == faults.ANSWER:
                replacement: web.Response = fault.act()
                return replacement
            if fault.changes == faults.PAGE:
                request.edits.append(fault.act)
        if not authorized:
            raise ApiError(401, "UNAUTHORIZED", "Authentication token is missing or invalid.", "Authorization")
        if "projectId" in request.params:
            self.world.check_project(request.params["projectId"])
        return respond(await HANDLERS[request.endpoint](self.world, request))


# ---------------------------------------------------------------------------------------------------- the control API
async def _control(server: RobofyServer, request: web.BaseRequest, path: str) -> web.Response:
    """Answer one call of the control API.

    :param server: What to control.
    :param request: The request.
    :param path: Its path behind the prefix, still encoded.
    """
    noun, slash, item = path.partition("/")
    function, name = OPERATIONS.get((request.method, noun + slash), (None, ""))
    if function is None:
        known = ", ".join(f"{method} {PREFIX}{path}" for method, path in OPERATIONS)
        return _json({"error": f"no such control call; known: {known}"}, 404)
    try:
        given = dict(request.query) | await _body(request)
        found = function(Control(server), **_arguments(function, given, unquote(item)))
        return _json({name: found} if name else found)
    except (ControlError, FaultError, SettingsError) as refused:
        return _json({"error": str(refused)}, 400)


def _json(content: Any, status: int = 200) -> web.Response:
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    raw = await request.read()
    try:
        content = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as broken:
        raise ControlError(f"the body is not JSON: {broken}") from None
    if not isinstance(content, dict):
        raise ControlError("the body must be a JSON object")
    return content


def _arguments(function: Callable[..., Any], given: dict[str, Any], item: str) -> dict[str, Any]:
    """Return the arguments of an operation, the item of its path among them."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    # Options and settings are checked by what takes them; the fields of a row come as one object.
    if not {"options", "settings"}.intersection(known) and (unknown := [name for name in given if name not in known]):
        raise ControlError(f"unknown argument {unknown[0]!r}; known: {', '.join(known)}")
    return given | {known[0]: item} if item else given
