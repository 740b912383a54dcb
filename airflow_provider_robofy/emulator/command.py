"""The emulator's command line: one option for every setting, and where and how to listen."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import re
import signal
import sys
from typing import TYPE_CHECKING, Literal, get_args, get_origin

from airflow_provider_robofy.emulator.faults import KINDS, FaultError, parse
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

While it runs, /_robofy_emulator/state shows what it did; the rest is in help(airflow_provider_robofy.emulator.control).
"""
# Settings that are given one endpoint at a time.
_FLAGS = {"paths": "--path", "envelopes": "--envelope-of"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_robofy.emulator",
        description="Emulate the Robofy REST API, with realistic data and faults on demand.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=_port, default=8765, help="port to listen on, 0 for a free one (default %(default)s)")
    add("--allow-remote", action="store_true", help="allow an address for --host that others can reach")
    add("--prerender", action="store_true", help="render the pages of leads before saying ready")
    add("--fault", action="append", default=[], metavar="KIND[:key=value,...]", help="what goes wrong; see below")
    # Each setting is explained once, where its class is documented.
    meanings = dict(re.findall(r":param (\w+): (.+?)(?=\n *:|\Z)", Settings.__doc__ or "", re.DOTALL))
    for name, option in Settings.model_fields.items():
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        text = " ".join(meanings.get(name, "").split())
        if option.default is False:
            add(flag, dest=name, action="store_true", help=text)
        elif name in _FLAGS:
            add(flag, dest=name, action="append", type=_pair, default=[], metavar="ENDPOINT=VALUE", help=text)
        else:
            shown = "" if option.default is None else f" (default {option.default})"
            # One of these words, or one of these words or nothing.
            words = [one for one in (option.annotation, *get_args(option.annotation)) if get_origin(one) is Literal]
            choices = get_args(words[0]) if words else None
            metavar = None if choices else type(option.default).__name__.upper().replace("NONETYPE", "VALUE")
            add(flag, choices=choices, default=option.default, metavar=metavar, help=text + shown)
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port; use 0 to 65535")
    return port


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not ENDPOINT=VALUE")
    return name, value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    :param arguments: What follows the command's name; None takes it from the process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if not given.allow_remote and not _is_loopback(given.host):
        parser.error(f"--host: {given.host} can be reached by others, who could use the control API; --allow-remote")
    values = {name: getattr(given, name) for name in Settings.model_fields}
    values |= {name: dict(values[name]) for name in _FLAGS}
    try:
        settings = Settings(**values)
        for text in given.fault:
            parse(text)
    except SettingsError as wrong:
        parser.error(str(wrong))
    except FaultError as wrong:
        parser.error(f"--fault: {wrong}")
    return asyncio.run(_serve(settings, given))


async def _serve(settings: Settings, given: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Before the port opens: whoever sees the ready line may stop it at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = RobofyServer(settings, given.fault)
    try:
        await server.start(given.host, given.port, prerender=given.prerender)
    except OSError as unusable:
        print(
            f"cannot listen on {given.host} port {given.port}: {unusable.strerror}. Choose another port with --port; "
            "0 takes a free one.",
            file=sys.stderr,
        )
        return 1
    agents = ", ".join(server.world.agents) or "none"
    print(
        f"Robofy emulator on {server.url} (key: {settings.api_key}, project: {settings.project}, agents: {agents})",
        flush=True,
    )
    await stop.wait()
    await server.stop()
    return 0
