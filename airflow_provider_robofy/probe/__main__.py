"""The probe's command line: `python -m airflow_provider_robofy.probe`."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import redirect_stdout
from dataclasses import asdict, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from airflow_provider_robofy.api.codec import dump_pretty
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.settings import user_agent
from airflow_provider_robofy.hooks.connection import RobofyConnection, read_connection
from airflow_provider_robofy.probe.ask import Bounds
from airflow_provider_robofy.probe.report import as_json, as_text
from airflow_provider_robofy.probe.survey import probe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROBED, NOT_PROBED, USAGE = 0, 1, 2
KEY_VARIABLE: Final = "ROBOFY_API_KEY"
#: With this, Airflow 3 looks for connections in its database too, as its own command line does.
_CONTEXT: Final = "_AIRFLOW_PROCESS_CONTEXT"

_EPILOG: Final = f"""\
The key is read from the connection or from the variable {KEY_VARIABLE}, never from an argument: others on a machine
can see the arguments of a process. Only GET requests are sent. The report holds no value of your account: names of
fields that the probe knows, types, counts, forms of times, and the ids that you gave yourself.

exit status: 0 probed, 1 something could not be probed, 2 wrong usage

  python -m airflow_provider_robofy.probe --conn-id robofy_default
  {KEY_VARIABLE}=... python -m airflow_provider_robofy.probe --project-id 24017 --chatbot-id UOmf...
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_robofy.probe",
        description="Find out how your account answers what Robofy's documentation leaves open, by reading alone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    add = parser.add_argument
    number = partial(add, metavar="N")
    add("--conn-id", metavar="ID", help="Airflow connection to probe with")
    add("--host", metavar="URL", help=f"base URL, with {KEY_VARIABLE} only (default: the public API)")
    add("--project-id", metavar="ID", help="project (default: the connection's, or the first that the key sees)")
    add("--chatbot-id", metavar="ID", help="agent (default: the connection's, or the first of the project)")
    add("--json", action="store_true", help="write JSON and nothing else to stdout")
    add(
        "--show-field-names", action="store_true", help="also write names that the probe does not know, and form fields"
    )
    number("--wait", type=_between(float, 0, 1440), help="minutes between the two reads of the newest leads; default 0")
    number("--lead-pages", type=_between(int, 1, 1000), help="pages of leads; default %(default)s")
    number("--session-pages", type=_between(int, 1, 1000), help="pages of sessions; default %(default)s")
    number("--sessions", type=_between(int, 0, 100), help="sessions whose messages are read; default %(default)s")
    number("--max-requests", type=_between(int, 1, 10_000), help="requests in all; default %(default)s")
    number("--max-seconds", type=_between(float, 1, 86_400), help="seconds in all, without --wait; default %(default)g")
    budget = "budget; default the connection's, or no limit"
    number("--requests-per-minute", type=_between(float, 0.01, 100_000), help=budget)
    # The bounds have the names of their options.
    parser.set_defaults(**asdict(Bounds()))
    return parser


def _between(kind: type[float], low: float, high: float) -> Callable[[str], float]:
    noun = "whole number" if kind is int else "number"

    def read(text: str) -> float:
        number = kind(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be a {noun} from {low:g} to {high:g}")
        return number

    read.__name__ = noun  # argparse writes it where the text is no number at all
    return read


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    :param arguments: What follows the command's name. Default the arguments of the process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    out = sys.stdout
    bounds = Bounds(**{bound.name: getattr(given, bound.name) for bound in fields(Bounds)})
    bounds = replace(bounds, wait=bounds.wait * 60)
    # Airflow logs to stdout while it starts; there, nothing but the report is wanted.
    with redirect_stdout(sys.stderr):
        try:
            survey = probe(_connection(parser, given), bounds, reveal=given.show_field_names)
        except RobofyConfigError as error:
            sys.stderr.write(f"{error}\n")
            return USAGE
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted; nothing is reported.\n")
            return NOT_PROBED
    report = dump_pretty(as_json(survey, given.conn_id)).decode() if given.json else as_text(survey, given.conn_id)
    out.write(report)
    return PROBED if survey.complete else NOT_PROBED


def _connection(parser: argparse.ArgumentParser, given: argparse.Namespace) -> RobofyConnection:
    """Return the connection that is given, with what the command line sets in place of its fields."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if given.conn_id is not None:
        if given.host is not None:
            parser.error("--host: the key of a connection goes to the connection's own host; set it there")
        connection = _from_airflow(given.conn_id)
    elif key:  # without any Airflow
        connection = read_connection(host=given.host, password=key, extra={}, user_agent=user_agent("probe"))
    else:
        parser.error(
            f"which account? Give --conn-id with an Airflow connection, or set the variable {KEY_VARIABLE} "
            "(with --project-id and --chatbot-id). A key is never given as an argument"
        )
    per_minute = given.requests_per_minute or connection.settings.requests_per_minute
    return replace(
        connection,
        settings=replace(connection.settings, requests_per_minute=per_minute),
        project_id=given.project_id or connection.project_id,
        chatbot_id=given.chatbot_id or connection.chatbot_id,
    )


def _from_airflow(conn_id: str) -> RobofyConnection:
    """Read a connection as Airflow does: from environment variables, secrets backends or its database.

    :raises RobofyConfigError: There is none, Airflow could not look for it, or a field of it cannot be used.
    """
    before = os.environ.get(_CONTEXT)
    os.environ.setdefault(_CONTEXT, "server")
    try:
        from airflow_provider_robofy.hooks.robofy import RobofyHook

        return RobofyHook(conn_id).connection
    except RobofyConfigError:
        raise
    except Exception as error:  # noqa: BLE001 (whatever it is, there is no connection to probe with)
        # Airflow's own errors differ between versions and backends; their type says enough.
        raise RobofyConfigError(
            f"Airflow gave no connection {conn_id!r} ({type(error).__name__}). Make it, or set {KEY_VARIABLE} and "
            "leave --conn-id out."
        ) from None
    finally:
        if before is None:
            del os.environ[_CONTEXT]


if __name__ == "__main__":
    sys.exit(main())
