"""What the probe finds outside of listings: endpoints of which only the shape matters, and answers in general."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from airflow_provider_robofy.api.answers import http_date
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.probe.findings import SET_PATH, Finding
from airflow_provider_robofy.probe.shapes import Failure, ids_of
from airflow_provider_robofy.probe.times import SLACK, said_span
from airflow_provider_robofy.probe.words import ID_NAMES, STATUSES, counted, with_counts, word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_robofy.probe.ask import Answer
    from airflow_provider_robofy.probe.shapes import Shape
    from airflow_provider_robofy.probe.words import Names

_SECRET: Final = "llm_api_key"  # noqa: S105 (the name of a field)
_LIMIT_HEADER: Final = re.compile(
    r"retry-after|(?:x-)?rate-?limit"
    r"(?:-(?:limit|remaining|reset|used|policy|burst|capacity|second|minute|hour|day|daily|requests|tokens))*"
)
_NUMBER: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,6})?")


# ------------------------------------------------------------------------------------------------- other endpoints
def about_endpoint(endpoint: str, answer: Shape | Failure, names: Names) -> Finding:
    """Return the finding about an endpoint of which only shape and names matter.

    :param endpoint: Endpoint name.
    :param answer: What its answer looks like, or why there is none.
    :param names: Which names may be written.
    """
    found = _no_answer(endpoint, answer) if isinstance(answer, Failure) else _outside(endpoint, answer, names)
    return replace(found, topic="other", name=endpoint, assumed=ENDPOINTS[endpoint][1])


def no_id(name: str, endpoint: str, why: str) -> Finding:
    """Return the finding that no project or agent is set, and that none could be found out.

    :param name: ``project_id`` or ``chatbot_id``.
    :param endpoint: Endpoint that should have given it.
    :param why: Why it did not.
    """
    return Finding(
        f"none is set, and {endpoint} gave none: {why}",
        advice=f"Give --{name.replace('_', '-')}, or set the extra {name}. It stands in Robofy's dashboard.",
        open=True,
        assumed=f"the connection's extra {name}",
        topic="other",
        name=name,
    )


def _no_answer(endpoint: str, failure: Failure) -> Finding:
    crawl = failure.missing and endpoint == "get_crawl_status"
    advice = f"There may be no crawl yet, so probe again after one. {failure.advice}" if crawl else failure.advice
    return Finding(failure.what, {"answers": False}, advice, open=not failure.missing)


def _outside(endpoint: str, shape: Shape, names: Names) -> Finding:
    content = shape.fields.get(("data",), shape.kind)
    wraps = names.many(at[0] for at in shape.fields if len(at) == 1 and ("data",) in shape.fields)
    kind, fields = {"object": "an object", "array": "an array"}.get(content, content), names.many(shape.names)
    parts = [
        f"answers under {shape.template}" if shape.template else "answers",
        f"{kind} inside {', '.join(wraps)}" if wraps else f"{kind}, bare",
    ]
    if shape.rows is not None:
        parts.append(f"{counted(len(shape.rows.items), 'row')} on the first page")
    parts.append(f"fields: {', '.join(fields)}" if fields else "no fields")
    if endpoint == "list_linked_assets" and shape.rows is not None and shape.rows.items:
        # What the wait for uploads and pruning rest on.
        statuses = (row.get("status") for row in shape.rows.items if isinstance(row, dict))
        parts.append(f"statuses: {with_counts(Counter(word(one, STATUSES) or 'another word' for one in statuses))}")
    if _SECRET in shape.names:
        parts.append(f"the value of {_SECRET} was dropped on receipt")
    if shape.status is not None:
        parts.append(f"status: {shape.status or 'a word that the probe does not know'}")
    advice, settings = "", {}
    id_names = ID_NAMES.get(endpoint, ())
    if shape.trouble:
        advice = "The provider does not understand this answer. Report it to the provider with this finding."
    elif shape.template:
        advice = SET_PATH
        settings = {"endpoints": {endpoint: shape.template}}
    elif id_names and shape.rows is not None and len(ids_of(shape.rows.items, id_names)) < len(shape.rows.items):
        advice = f"The provider looks for an id under {', '.join(id_names)}. Report this finding."
    value = {
        "answers": True,
        "understood": not shape.trouble,
        "envelope": wraps,
        "content": content,
        "fields": fields,
        "status": shape.status or None,
    }
    rows = len(shape.rows.items) if shape.rows else 0
    return Finding("; ".join(parts), value, advice, settings, answers=1, rows=rows)


# --------------------------------------------------------------------------------------------------------- answers
def limit_headers(answers: Sequence[Answer]) -> Finding:
    """Return the finding about headers that name a budget of requests.

    :param answers: Every answer, those included that were asked for again.
    """
    limits: dict[str, str] = {}
    for answer in answers:
        for name, value in answer.headers.items():
            if "retry-after" in name or "ratelimit" in name.replace("-", ""):
                shown = name if _LIMIT_HEADER.fullmatch(name) else "a further rate limit header"
                limits[shown] = value.strip() if _NUMBER.fullmatch(value.strip()) else "not a plain number"
    found = "; ".join(f"{name}: {value}" for name, value in sorted(limits.items()))
    advice = "If these name a budget, set requests_per_minute to your share of it." if limits else ""
    return Finding(found or "none", limits, advice)


def limits_met(answers: Sequence[Answer]) -> Finding:
    """Return the finding about answers that refused a request for its rate.

    :param answers: Every answer, those included that were asked for again.
    """
    waits: Counter[str] = Counter(_wait(one.headers.get("retry-after")) for one in answers if one.status == 429)
    value = {"times": waits.total(), "retry_after": dict(waits)}
    if not waits:
        return Finding("none at this pace", value)
    found = f"{waits.total()} times, with Retry-After {with_counts(waits)}"
    return Finding(found, value, "Set requests_per_minute, or put tasks into a pool.")


def _wait(header: str | None) -> str:
    if header is None:
        return "absent"
    return "seconds" if _NUMBER.fullmatch(header.strip()) else "a date" if http_date(header) else "unreadable"


def statuses(answers: Sequence[Answer]) -> Finding:
    """Return the finding about the HTTP statuses of answers.

    :param answers: Every answer, those included that were asked for again.
    """
    statuses = Counter(str(status) for status in sorted(answer.status for answer in answers))
    return Finding(with_counts(statuses), dict(statuses))


def errors(answers: Sequence[Answer]) -> Finding | None:
    """Return the finding about the shapes of errors, None where there was no error.

    :param answers: Every answer, those included that were asked for again.
    """
    shapes: Counter[str] = Counter(sorted(answer.error for answer in answers if answer.error))
    return Finding(with_counts(shapes), dict(shapes), answers=shapes.total()) if shapes else None


def clock(answers: Sequence[Answer]) -> Finding:
    """Return the finding about the server's clock.

    :param answers: Every answer, those included that were asked for again.
    """
    ahead = next((answer.ahead for answer in reversed(answers) if answer.ahead is not None), None)
    if ahead is None:
        return Finding("unknown: answers have no Date header", assumed="then this machine's")
    if abs(ahead) <= SLACK:
        return Finding("agrees with this machine's", round(ahead))
    found = f"{said_span(ahead)} {'ahead of' if ahead > 0 else 'behind'} this machine's"
    return Finding(found, round(ahead), "Set the clock of this machine: windows without an end reach until its now.")
