"""The report of a probe: JSON for programs, a table for people, and the settings to copy."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy import __version__
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.probe.questions import TOPICS
from airflow_provider_robofy.probe.words import counted

if TYPE_CHECKING:
    from airflow_provider_robofy.probe.questions import Finding
    from airflow_provider_robofy.probe.survey import Survey

#: Version of the JSON report: raised when the meaning of a field changes.
SCHEMA: Final = 1
_WIDTH: Final = 110
_NAME: Final = 23


def as_json(survey: Survey, conn_id: str | None = None) -> dict[str, Any]:
    """Return the whole report as plain JSON.

    :param survey: What was found.
    :param conn_id: The connection's id, or None where it is not one of Airflow's. Default None.
    """
    return {
        "schema_version": SCHEMA,
        "provider_version": __version__,
        "host": survey.connection.settings.base_url,
        "conn_id": conn_id,
        **_ids(survey),
        "requests": survey.requests,
        "seconds": round(survey.seconds, 1),
        "complete": survey.complete,
        "ended_early": survey.ended.what if survey.ended else None,
        "not_asked": survey.left_out,
        "findings": [
            {
                "topic": finding.topic,
                "name": finding.name,
                "answered": not finding.open,
                "found": finding.found,
                "value": finding.value,
                "rests_on": {"answers": finding.answers or 0, "rows": finding.rows or 0},
                "assumed": finding.assumed,
                "advice": finding.advice,
                "settings": dict(finding.settings),
            }
            for finding in survey.findings
        ],
        "settings": _settings(survey),
    }


def as_text(survey: Survey, conn_id: str | None = None) -> str:
    """Return the whole report for people.

    :param survey: What was found.
    :param conn_id: The connection's id, or None where it is not one of Airflow's. Default None.
    """
    ids = "".join(f", {name.removesuffix('_id')} {value}" for name, value in _ids(survey).items() if value)
    cost = f"{counted(survey.requests, 'request')} in {survey.seconds:.1f} s"
    lines = [f"Probed {survey.connection.settings.base_url}{ids}: {cost}. Nothing was written."]
    for topic, title in TOPICS.items():
        findings = [finding for finding in survey.findings if finding.topic == topic]
        if findings:
            usual = _basis(findings[0])
            note = f" (each rests on {usual}, unless it says otherwise)" if usual else ""
            lines += ["", f"{title.upper()}{note}"]
            for finding in findings:
                lines += _lines(finding, usual)
    if survey.ended is not None:
        lines += ["", f"Ended early: {survey.ended.what}. {counted(survey.left_out, 'call')} not made."]
        lines += _wrapped(survey.ended.advice, 0, "-> ")
    return "\n".join([*lines, "", *_settings_lines(survey, conn_id)]) + "\n"


def _ids(survey: Survey) -> dict[str, str | None]:
    """Return the ids that were given: those that the probe found by itself are not written."""
    return {"project_id": survey.connection.project_id, "chatbot_id": survey.connection.chatbot_id}


def _basis(finding: Finding) -> str:
    if not finding.answers:
        return ""
    return counted(finding.answers, "answer") + (f", {counted(finding.rows, 'row')}" if finding.rows else "")


def _lines(finding: Finding, usual: str) -> list[str]:
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


def _settings(survey: Survey) -> dict[str, Any]:
    """Return the extras of the connection that should be other than they are."""
    settings: dict[str, Any] = {}
    paths: dict[str, str] = {}
    for finding in survey.findings:
        settings.update(finding.settings)
        paths.update(finding.settings.get("endpoints", {}))
    if paths:  # A form holds this extra as a whole.
        settings["endpoints"] = {**survey.connection.settings.endpoints, **paths}
    return settings


def _settings_lines(survey: Survey, conn_id: str | None) -> list[str]:
    settings = _settings(survey)
    if not settings and survey.ended:
        return ["SETTINGS TO COPY: none found. The probe ended early, so the connection may need some."]
    if not settings:
        sure = "as far as was seen" if survey.complete else "by what was found; some questions are open (marked ?)"
        return [f"SETTINGS TO COPY: none. The connection fits this account, {sure}."]
    [form] = get_provider_info()["connection-types"]
    lines = ["SETTINGS TO COPY (extras of the connection; marked ! above)", "", json.dumps(settings, indent=2), ""]
    lines.append("In the UI (Admin, Connections):")
    for name, value in settings.items():
        written = json.dumps(value) if isinstance(value, dict) else value
        lines.append(f"  {form['conn-fields'][name]['label']}: {written}")
    if conn_id is not None:
        return [*lines, f"A connection from a variable or a secrets backend takes them into the extra of {conn_id}."]
    extra = json.dumps({name: value for name, value in {**_ids(survey), **settings}.items() if value})
    command = (
        f"  airflow connections add robofy_default --conn-type robofy "
        f"--conn-host {shlex.quote(survey.connection.settings.base_url)} "
        f"--conn-password '<your API key>' --conn-extra {shlex.quote(extra)}"
    )
    return [*lines, "On the command line:", command]
