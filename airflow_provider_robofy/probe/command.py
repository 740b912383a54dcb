"""The probe's command line."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from airflow_provider_robofy.api.codec import dump_pretty
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.probe.account import (
    KEY_VARIABLE,
    Account,
    UnknownConnectionError,
    from_airflow,
    from_environment,
)
from airflow_provider_robofy.probe.asking import Bounds
from airflow_provider_robofy.probe.report import as_json, as_text
from airflow_provider_robofy.probe.survey import Prober

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBED, NOT_PROBED, USAGE = 0, 1, 2

_EPILOG = f"""\
The key is read from the connection or from the variable {KEY_VARIABLE}, never from an argument: others on a machine
can see the arguments of a process. Only GET requests are sent. The report holds no value of your account: names of
fields that the probe knows, types, counts, forms of times, and the ids that you gave yourself.

exit status: 0 probed, 1 something could not be probed, 2 wrong usage

  python -m airflow_provider_robofy.probe --conn-id robofy_default
  {KEY_VARIABLE}=... python -m airflow_provider_robofy.probe --project-id 24017 --chatbot-id UOmf...
"""


def _parser() -> argparse.ArgumentParser:
    usual = Bounds()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_robofy.probe",
        description="Find out how your account answers what Robofy's documentation leaves open, by reading alone.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--conn-id", metavar="ID", help="Airflow connection to probe with")
    add("--host", metavar="URL", help=f"base URL, with {KEY_VARIABLE} only (default: the public API)")
    add("--project-id", metavar="ID", help="project (default: the connection's, or the first that the key sees)")
    add("--chatbot-id", metavar="ID", help="agent (default: the connection's, or the first of the project)")
    add("--json", action="store_true", help="write JSON and nothing else to stdout")
    add("--show-field-names", action="store_true", help="also say names that the probe does not know, and form fields")
    add("--wait", type=_number(0, 1440), default=0.0, metavar="MINUTES", help="between two looks at leads (default 0)")
    add("--lead-pages", type=_whole(1, 1000), default=usual.lead_pages, metavar="N", help="default %(default)s")
    add("--session-pages", type=_whole(1, 1000), default=usual.session_pages, metavar="N", help="default %(default)s")
    add(
        "--sessions",
        type=_whole(0, 100),
        default=usual.sessions,
        metavar="N",
        help="with messages; default %(default)s",
    )
    add("--max-requests", type=_whole(1, 10_000), default=usual.max_requests, metavar="N", help="default %(default)s")
    add(
        "--max-seconds",
        type=_number(1, 86_400),
        default=usual.max_seconds,
        metavar="S",
        help="without --wait; default %(default)g",
    )
    add(
        "--requests-per-minute",
        type=_number(0.01, 100_000),
        metavar="N",
        help="default: the connection's, else no limit",
    )
    return parser


def _whole(low: int, high: int) -> type[int]:
    def read(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return number

    read.__name__ = "whole number"
    return read  # type: ignore[return-value]


def _number(low: float, high: float) -> type[float]:
    def read(text: str) -> float:
        number = float(text)
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be a number from {low:g} to {high:g}")
        return number

    read.__name__ = "number"
    return read  # type: ignore[return-value]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    :param arguments: What follows the command's name; None takes it from the process.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    out = sys.stdout
    # Airflow logs to stdout while it starts; there, nothing but the report is wanted.
    with redirect_stdout(sys.stderr):
        try:
            account = _account(parser, given)
        except RobofyConfigError as error:
            sys.stderr.write(f"{error}\n")
            return USAGE
        except UnknownConnectionError as error:
            sys.stderr.write(
                f"Airflow gave no connection {given.conn_id!r} ({error}). Make it, or set {KEY_VARIABLE} and leave "
                "--conn-id out.\n"
            )
            return USAGE
        bounds = Bounds(
            max_requests=given.max_requests,
            max_seconds=given.max_seconds,
            lead_pages=given.lead_pages,
            session_pages=given.session_pages,
            sessions=given.sessions,
            wait=given.wait * 60,
        )
        try:
            survey = Prober(account.connection, bounds, reveal=given.show_field_names).run()
        except RobofyConfigError as error:  # proxies and certificates of the environment
            sys.stderr.write(f"{error}\n")
            return USAGE
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted; nothing is reported.\n")
            return NOT_PROBED
    out.write(dump_pretty(as_json(survey, account)).decode() if given.json else as_text(survey, account))
    return PROBED if survey.complete else NOT_PROBED


def _account(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Account:
    if given.conn_id is not None:
        if given.host is not None:
            parser.error("--host: the key of a connection goes to the connection's own host; set it there")
        account: Account | None = from_airflow(given.conn_id)
    else:
        account = from_environment(given.host)
    if account is None:
        parser.error(
            f"which account? Give --conn-id with an Airflow connection, or set the variable {KEY_VARIABLE} "
            "(with --project-id and --chatbot-id). A key is never given as an argument"
        )
    return account.changed(
        project_id=given.project_id, chatbot_id=given.chatbot_id, requests_per_minute=given.requests_per_minute
    )
