"""The emulator's command line."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import settings as options
from airflow_provider_robofy.emulator.fault_kinds import KINDS, parse
from airflow_provider_robofy.emulator.faults import FaultError
from airflow_provider_robofy.emulator.server import RobofyServer
from airflow_provider_robofy.emulator.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = f"""\
faults: KIND[:key=value,...], as often as you like; a fault may name endpoint, chatbot, session, page, times (0 for
always) and after (requests to let pass first), and the options of its kind. Kinds: {", ".join(KINDS)}.

  --fault rate_limit:retry_after=1,endpoint=list_leads,times=2
  --fault status:status=503,page=3
  --fault malformed_rows:count=5,page=2

While it runs, /_robofy_emulator/state shows what it did; help(airflow_provider_robofy.emulator.control) tells the rest.
"""


def _parser() -> argparse.ArgumentParser:
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_robofy.emulator",
        description="A fake Robofy REST API with believable data and trouble on demand.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=_port, default=8765, help="port to listen on, 0 for a free one (default %(default)s)")
    add("--allow-remote", action="store_true", help="let --host be an address that others can reach")
    add("--prerender", action="store_true", help="render the pages of leads before saying ready")
    add("--fault", action="append", default=[], metavar="KIND[:key=value,...]", help="what goes wrong; see below")

    def setting(name: str, read: Any, text: str, choices: Sequence[str] | None = None) -> None:
        usual = getattr(default, name)
        shown = "" if usual is None else f" (default {usual})"
        flag = f"--{name.replace('_', '-')}"
        meta = None if choices else read.__name__.strip("_").upper()
        add(flag, type=read, choices=choices, default=usual, metavar=meta, help=text + shown)

    setting("api_key", str, "the key that is accepted")
    setting("project", int, "the project that exists")
    setting("leads", int, "leads of each agent, up to a million")
    setting("sessions", int, "chat sessions of each agent")
    setting("messages", int, "messages of each session; 1 to 12 if not given")
    setting("session_ids", str, "UUIDs only, or phone numbers and awkward ids among them", options.SESSION_IDS)
    setting("agents", int, "agents")
    setting("seed", int, "the same seed gives the same data")
    setting("spacing", int, "seconds between two leads")
    setting("page_size", int, "leads on a page")
    setting("sessions_page_size", int, "sessions on a page, 0 for all on one")
    setting("messages_page_size", int, "messages on a page, 0 for all on one")
    setting("agents_page_size", int, "agents on a page, 0 for all on one")
    setting("order", str, "order of leads", options.ORDERS)
    setting("sessions_order", str, "order of sessions", options.ORDERS)
    setting("messages_order", str, "order of messages", options.ORDERS)
    setting("latency", float, "seconds that every answer waits")
    setting("end_marker", str, "token of the last page", options.END_MARKERS)
    setting("timezone", str, "zone of naive timestamps")
    setting("time_format", str, "how times are written", options.TIME_FORMATS)
    setting("clock_offset", float, "seconds that this server's clock is ahead")
    setting("error_shape", str, "which documented error shape", options.ERROR_SHAPES)
    setting("envelope", str, "shape of undocumented listings", options.ENVELOPES)
    setting("token_key", str, "spelling of their page token", options.TOKEN_KEYS)
    setting("crawl_seconds", float, "how long a crawl takes")
    setting("crawl_running", str, "status word while it runs")
    setting("crawl_result", str, "status word afterwards")
    setting("crawl_idle", str, "status word of an agent never crawled; 404 if not given")
    setting("processing_seconds", float, "how long an uploaded asset stays in processing")
    setting("max_upload_bytes", int, "largest file that Add File takes")
    setting("cache_mb", int, "memory for rendered pages")
    add("--trailing-empty-page", action="store_true", help="announce one more page after the last row")
    add("--message-ids", action="store_true", help="give messages an id")
    add("--path", action="append", default=[], metavar="ENDPOINT=TEMPLATE", help="serve an endpoint elsewhere")
    add("--envelope-of", action="append", default=[], metavar="ENDPOINT=SHAPE", help="--envelope for one listing")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port; use 0 to 65535")
    return port


def _pairs(parser: argparse.ArgumentParser, flag: str, given: list[str]) -> dict[str, str]:
    pairs = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            parser.error(f"{flag}: {each!r} is not ENDPOINT=VALUE")
        pairs[name] = value
    return pairs


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit status.

    :param arguments: what follows the command's name; None takes it from the process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.allow_remote and not _is_loopback(given.host):
        parser.error(f"--host: {given.host} can be reached by others, who could use the control API; --allow-remote")
    values = {each.name: getattr(given, each.name) for each in fields(Settings) if hasattr(given, each.name)}
    values["paths"] = _pairs(parser, "--path", given.path)
    values["envelopes"] = _pairs(parser, "--envelope-of", given.envelope_of)
    try:
        settings = Settings(**values)
    except SettingsError as wrong:
        parser.error(str(wrong))
    for text in given.fault:
        try:
            parse(text)
        except FaultError as wrong:
            parser.error(f"--fault: {wrong}")
    return asyncio.run(_serve(settings, given))


async def _serve(settings: Settings, given: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before the port opens: whoever sees the ready line may stop us at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = RobofyServer(settings, given.fault)
    try:
        await server.start(given.host, given.port, prerender=given.prerender)
    except OSError as unusable:
        print(f"cannot listen on {given.host} port {given.port}: {unusable.strerror}", file=sys.stderr)
        return 1
    agents = ", ".join(server.world.agents) or "none"
    print(
        f"Robofy emulator on {server.url} (key: {settings.api_key}, project: {settings.project}, agents: {agents})",
        flush=True,
    )
    await stop.wait()
    await server.stop()
    return 0
