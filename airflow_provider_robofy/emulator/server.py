"""The HTTP server: from a request on the wire to the endpoint that answers it, past the faults."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from airflow_provider_robofy.emulator import control, fault_kinds, listings, tokens
from airflow_provider_robofy.emulator.answers import Answer, ApiError, bad_request, not_found
from airflow_provider_robofy.emulator.ask import Ask
from airflow_provider_robofy.emulator.endpoints import HANDLERS
from airflow_provider_robofy.emulator.faults import Delay, Delivery, Fault, Replacement
from airflow_provider_robofy.emulator.journal import Journal, Request
from airflow_provider_robofy.emulator.routes import NoRouteError, Router
from airflow_provider_robofy.emulator.row_faults import PageFault
from airflow_provider_robofy.emulator.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_robofy.emulator.settings import Settings

logger = logging.getLogger(__name__)

# Routing is by raw path, done here, so aiohttp's own router and application are left out.
_NO_ROUTE = {
    400: ApiError(400, "BAD_REQUEST", "The path cannot be decoded."),
    404: not_found("No such endpoint."),
    405: ApiError(405, "METHOD_NOT_ALLOWED", "This endpoint does not take that method."),
}


class RobofyServer:
    """
    Serve one fake account over HTTP.

    :param settings: how it looks and behaves.
    :param faults: what goes wrong from the start on, as `KIND[:key=value,...]`.
    """

    def __init__(self, settings: Settings, faults: Iterable[str] = ()) -> None:
        self._first_settings = settings
        self._first_faults = tuple(faults)
        self.journal = Journal()
        self.url = ""
        self._runner: web.ServerRunner | None = None
        self.reset({})

    def reset(self, changes: dict[str, object]) -> None:
        """
        Start over: data, settings, faults and counts as at the start.

        :param changes: settings that differ from those of the start.
        """
        settings = self._first_settings.changed(**changes)
        faults = [fault_kinds.parse(text) for text in self._first_faults]
        self.world = World(settings)
        self.faults: list[Fault] = faults
        self.journal.clear()
        self._route()

    def configure(self, changes: dict[str, object]) -> None:
        """
        Change settings while running.

        :param changes: new values by name.
        """
        self.world.configure(changes)
        self._route()

    def _route(self) -> None:
        self._router = Router(self.world.settings.paths)
        self._bearer = f"Bearer {self.world.settings.api_key}"

    async def start(self, host: str, port: int, *, prerender: bool = False) -> None:
        """
        Listen; `url` says where.

        :param host: address to bind.
        :param port: port to bind, 0 for a free one.
        :param prerender: True renders the pages of leads first.
        """
        if prerender:
            listings.prerender(self.world)
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
        """
        Answer one request.

        :param request: what came in.
        """
        raw_path, _, query = request.raw_path.partition("?")
        if not raw_path.startswith("/"):
            # A client that takes us for its proxy sends the whole address.
            raw_path = urlsplit(raw_path).path or "/"
        if raw_path.startswith(control.PREFIX):
            return await control.handle(self, request, raw_path[len(control.PREFIX) :])
        self.journal.enter()
        try:
            return await self._api(request, raw_path, query)
        finally:
            self.journal.leave()

    async def _api(self, request: web.BaseRequest, raw_path: str, query: str) -> web.StreamResponse:
        world = self.world
        authorized = request.headers.get("Authorization") == self._bearer
        struck: list[Fault] = []
        ask = None
        try:
            ask = self._read(request, raw_path, query)
            self.journal.served[ask.endpoint] += 1
            if world.settings.latency:
                await asyncio.sleep(world.settings.latency)
            struck = self._strike(ask)
            for fault in struck:
                if isinstance(fault, Delay):
                    await asyncio.sleep(fault.seconds)
            answer = await self._answer(ask, struck, authorized=authorized)
        except ApiError as refusal:
            answer = world.error(refusal)
        except NoRouteError as unknown:
            answer = world.error(_NO_ROUTE[unknown.status])
        except ConnectionError:
            answer = world.error(bad_request("The request body broke off."))  # nobody is there to read it
        except Exception:
            logger.exception("the emulator itself failed at %s %s", request.method, raw_path)
            answer = world.error(ApiError(500, "INTERNAL_SERVER_ERROR", "The emulator failed; see its log."))
        delivery = next((fault for fault in struck if isinstance(fault, Delivery)), None)
        self.journal.recent.append(
            Request(
                endpoint=ask.endpoint if ask else "",
                method=request.method,
                path=raw_path,
                query=query,
                page=ask.page if ask else None,
                status=0 if delivery is not None and delivery.kind == "drop" else answer.status,
                time=time.time(),
                user_agent=request.headers.get("User-Agent", ""),
                authorized=authorized,
                faults=tuple(fault.kind for fault in struck),
            )
        )
        if world.settings.clock_offset:
            answer.headers["Date"] = formatdate(time.time() + world.settings.clock_offset, usegmt=True)
        if delivery is not None:
            return await delivery.deliver(request, answer)
        headers = {"Content-Type": answer.content_type, **answer.headers}
        return web.Response(body=answer.body, status=answer.status, headers=headers)

    def _read(self, request: web.BaseRequest, raw_path: str, query: str) -> Ask:
        endpoint, params = self._router.match(request.method, raw_path)
        asked = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        page: int | None
        try:
            # Only List Leads documents what the parameter is called.
            other = None if endpoint == "list_leads" else asked.get("next_page_token")
            page = tokens.read(asked.get("nextPageToken") or other)
        except tokens.BadTokenError:
            page = None
        return Ask(endpoint, params, asked, page, request)

    def _strike(self, ask: Ask) -> list[Fault]:
        if not self.faults:
            return []
        struck: list[Fault] = []
        replaced = False
        for fault in self.faults:
            # One replacement a request: the next one waits for the next request.
            if not (replaced and isinstance(fault, Replacement)) and fault.strikes(ask):
                struck.append(fault)
                replaced = replaced or isinstance(fault, Replacement)
        return struck

    async def _answer(self, ask: Ask, struck: list[Fault], *, authorized: bool) -> Answer:
        for fault in struck:
            if isinstance(fault, Replacement):
                replacement = fault.replace()
                if isinstance(replacement, ApiError):
                    raise replacement
                return replacement
            if isinstance(fault, PageFault):
                ask.edits.append(fault.edit)
        if not authorized:
            raise ApiError(401, "UNAUTHORIZED", "Authentication token is missing or invalid.", "Authorization")
        return await HANDLERS[ask.endpoint](self.world, ask)
