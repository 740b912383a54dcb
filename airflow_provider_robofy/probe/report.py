"""The report of a probe: JSON for machines, a table for people, and the settings to copy."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy import __version__
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.probe.finding import TOPICS, counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_robofy.probe.account import Account
    from airflow_provider_robofy.probe.finding import Finding
    from airflow_provider_robofy.probe.survey import Survey

#: Version of the JSON report: raised when the meaning of a field changes.
SCHEMA: Final = 1
_WIDTH = 110
_NAME = 23


def settings_to_copy(findings: Iterable[Finding], endpoints: Mapping[str, str]) -> dict[str, Any]:
    """Return the extras of the connection that should be other than they are.

    :param findings: What was found.
    :param endpoints: The extra ``endpoints`` as it is, since a form holds it as a whole.
    """
    settings: dict[str, Any] = {}
    for finding in findings:
        for name, value in finding.settings.items():
            if name == "endpoints":
                settings[name] = {**endpoints, **settings.get(name, {}), **value}
            else:
                settings[name] = value
    return settings


def as_json(survey: Survey, account: Account) -> dict[str, Any]:
    """Return the whole report as plain JSON."""
    return {
        "schema_version": SCHEMA,
        "provider_version": __version__,
        "host": account.connection.settings.base_url,
        "conn_id": account.conn_id,
        **account.shown_ids,
        "requests": survey.requests,
        "seconds": round(survey.seconds, 1),
        "complete": survey.complete,
        "ended_early": survey.ended.what if survey.ended else None,
        "not_asked": survey.left_out,
        "findings": [finding.as_json() for finding in survey.findings],
        "settings": settings_to_copy(survey.findings, account.connection.settings.endpoints),
    }


def as_text(survey: Survey, account: Account) -> str:
    """Return the whole report for people."""
    ids = "".join(f", {name.replace('_id', '')} {value}" for name, value in account.shown_ids.items() if value)
    cost = f"{counted(survey.requests, 'request')} in {survey.seconds:.1f} s"
    lines = [f"Probed {account.connection.settings.base_url}{ids}: {cost}. Nothing was written."]
    for topic, title in TOPICS.items():
        findings = [finding for finding in survey.findings if finding.topic == topic]
        if findings:
            usual = _basis(findings[0])
            lines += ["", f"{title.upper()}" + (f" (each rests on {usual}, unless it says otherwise)" if usual else "")]
            for finding in findings:
                lines += _rows(finding, usual)
    if survey.ended is not None:
        lines += ["", f"Ended early: {survey.ended.what}. {counted(survey.left_out, 'call')} not made."]
        lines += _wrapped(survey.ended.advice, 0, "-> ")
    lines += ["", *_settings(survey, account)]
    return "\n".join(lines) + "\n"


def _basis(finding: Finding) -> str:
    if not finding.pages:
        return ""
    return counted(finding.pages, "answer") + (f", {counted(finding.rows, 'row')}" if finding.rows else "")


def _rows(finding: Finding, usual: str) -> list[str]:
    mark = "?" if finding.open else "!" if finding.settings else " "
    head = f"{mark} {finding.name:{_NAME}} "
    lines = _wrapped(finding.found, len(head), "") or [""]
    lines[0] = head + lines[0].lstrip()
    basis = _basis(finding)
    rests = f"rests on {basis}" if basis and basis != usual else ""
    assumed = f"assumed: {finding.assumed}" if finding.assumed else ""
    if note := "; ".join(filter(None, (assumed, rests))):
        lines += _wrapped(f"({note})", len(head), "")
    return lines + _wrapped(finding.advice, len(head), "-> ")


def _wrapped(text: str, indent: int, mark: str) -> list[str]:
    pad = " " * indent
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=pad + mark,
        subsequent_indent=pad + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _settings(survey: Survey, account: Account) -> list[str]:
    settings = settings_to_copy(survey.findings, account.connection.settings.endpoints)
    if not settings:
        sure = "as far as was seen" if survey.complete else "by what was found; some questions are open (marked ?)"
        return [f"SETTINGS TO COPY: none. The connection fits this account, {sure}."]
    [form] = get_provider_info()["connection-types"]
    lines = ["SETTINGS TO COPY (extras of the connection; marked ! above)", "", json.dumps(settings, indent=2), ""]
    lines.append("In the UI (Admin, Connections):")
    for name, value in settings.items():
        written = json.dumps(value) if isinstance(value, dict) else value
        lines.append(f"  {form['conn-fields'][name]['label']}: {written}")
    given = {name: value for name, value in account.shown_ids.items() if value}
    host = account.connection.settings.base_url
    command = (
        f"airflow connections add {shlex.quote(account.conn_id or 'robofy_default')} --conn-type robofy "
        f"--conn-host {shlex.quote(host)} --conn-password '<your API key>' "
        f"--conn-extra {shlex.quote(json.dumps({**given, **settings}))}"
    )
    if account.conn_id is None:
        return [*lines, "On the command line:", f"  {command}"]
    return [
        *lines,
        f"A connection from a variable or a secrets backend takes them into the extra of {account.conn_id}.",
    ]
