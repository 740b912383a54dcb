"""Endpoints of which only the shape and the names of an answer matter."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import available_timezones

from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.probe.answer import Answer, Failure
from airflow_provider_robofy.probe.questions import SET_PATH, Finding
from airflow_provider_robofy.probe.seen import id_of, objects
from airflow_provider_robofy.probe.words import ID_NAMES, STATUSES, counted, kind_of, with_counts, word

if TYPE_CHECKING:
    from airflow_provider_robofy.probe.words import Names

_SECRET: Final = "llm_api_key"  # noqa: S105 (the name of a field)
_ZONE_NAME: Final = re.compile(r"(?:\w+_)?(?:time_?zone|tz)(?:_name)?", re.IGNORECASE)


def about_endpoint(endpoint: str, answer: Answer | Failure, names: Names) -> Finding:
    """Return the finding about an endpoint of which only shape and names matter.

    :param endpoint: Endpoint name.
    :param answer: Its answer, or why there is none.
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
    found, assumed = f"none is set, and {endpoint} gave none: {why}", f"the connection's extra {name}"
    advice = f"Give --{name.replace('_', '-')}, or set the extra {name}. It stands in Robofy's dashboard."
    return Finding(found, None, advice, open=True, assumed=assumed, topic="other", name=name)


def zones_of(answer: Answer) -> set[str]:
    """Return the IANA names of zones that an answer gives under a name such as ``timezone``.

    :param answer: The answer.
    """
    named = {one for at, one in answer.fields.items() if isinstance(one, str) and _ZONE_NAME.fullmatch(at[-1])}
    return named & available_timezones() if named else set()


def _no_answer(endpoint: str, failure: Failure) -> Finding:
    crawl = failure.missing and endpoint == "get_crawl_status"
    advice = f"There may be no crawl yet, so probe again after one. {failure.advice}" if crawl else failure.advice
    return Finding(failure.what, {"answers": False}, advice, open=not failure.missing)


def _outside(endpoint: str, answer: Answer, names: Names) -> Finding:
    inner, rows, template = answer.fields.get(("data",), answer.payload), answer.items, answer.template
    content = kind_of(inner)
    wraps = names.many(at[0] for at in answer.fields if len(at) == 1 and ("data",) in answer.fields)
    first: dict[str, Any] = next(iter(objects([*rows, *(inner if isinstance(inner, list) else [inner])])), {})
    kind, fields = {"object": "an object", "array": "an array"}.get(content, content), names.many(first)
    parts = [f"answers under {template}" if template else "answers"]
    parts.append(f"{kind} inside {', '.join(wraps)}" if wraps else f"{kind}, bare")
    if answer.rows is not None:
        parts.append(f"{counted(len(rows), 'row')} on the first page")
    parts.append(f"fields: {', '.join(fields)}" if fields else "no fields")
    if endpoint == "list_linked_assets" and rows:
        # What the wait for uploads and pruning rest on.
        statuses = Counter(word(row.get("status"), STATUSES) or "another word" for row in objects(rows))
        parts.append(f"statuses: {with_counts(statuses)}")
    if _SECRET in first:
        parts.append(f"the value of {_SECRET} was dropped on receipt")
    status = first.get("status", first.get("state")) if answer.rows is None else None
    if status is not None:
        status = word(status, STATUSES)
        parts.append(f"status: {status or 'a word that the probe does not know'}")
    advice, settings = "", {}
    id_names = ID_NAMES.get(endpoint, ())
    if answer.trouble:
        advice = "The provider does not understand this answer. Report it to the provider with this finding."
    elif template:
        advice, settings = SET_PATH, {"endpoints": {endpoint: template}}
    elif id_names and any(not isinstance(row, dict) or id_of(row, id_names) is None for row in rows):
        advice = f"The provider looks for an id under {', '.join(id_names)}. Report this finding."
    value = {"answers": True, "understood": not answer.trouble, "envelope": wraps, "content": content}
    value |= {"fields": fields, "status": status}
    return Finding("; ".join(parts), value, advice, settings, answers=1, rows=len(rows))
