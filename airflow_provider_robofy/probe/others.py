"""Endpoints that are looked at from outside: does the path answer, in which envelope, with which fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.models import Agent, Project
from airflow_provider_robofy.probe.alternatives import alternatives
from airflow_provider_robofy.probe.failure import MISSING, Failure
from airflow_provider_robofy.probe.finding import Finding, counted
from airflow_provider_robofy.probe.shapes import Glance, glance

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.probe.asking import Asker
    from airflow_provider_robofy.probe.words import Names

#: Endpoints whose further paths are tried: the others hang on nothing that the provider does by itself.
_TRIED: Final = frozenset({"list_agents", "get_crawl_status", "account_limit"})
_SECRET: Final = "llm_api_key"  # noqa: S105 (the name of a field)


@dataclass(frozen=True, slots=True)
class Look:
    """Hold what an answer looks like, and whether the provider would have understood it.

    :param glance: Names and types.
    :param understood: Would it?
    :param items: For a listing: rows on the first page.
    :param names: For a listing: names of the first row's fields.
    :param id: The first row's id, for looking further; it is not said.
    """

    glance: Glance
    understood: bool
    items: int | None = None
    names: tuple[str, ...] = ()
    id: str | None = None


def looked(call: Call[Any]) -> Call[Look]:
    """Return a call that only looks: of values, nothing but the id that is needed for the next call is kept."""
    read = call.read
    id_names = _ID_NAMES.get(call.endpoint, ())
    return replace(call, read=lambda payload: _look(payload, read, id_names))


def _look(payload: Any, read: Callable[[Any], Any], id_names: tuple[str, ...]) -> Look:
    seen = glance(payload)
    try:
        value = read(payload)
    except ValueError:
        return Look(seen, understood=False)
    if not isinstance(value, Rows):
        return Look(seen, understood=True)
    first = next((row for row in value.items if isinstance(row, dict)), {})
    found = next((first[name] for name in id_names if name in first), None)
    usable = isinstance(found, str | int) and not isinstance(found, bool)
    return Look(seen, True, len(value.items), tuple(map(str, first)), str(found) if usable else None)  # noqa: FBT003


def _choices(model: Any, field: str) -> tuple[str, ...]:
    alias = model.model_fields[field].validation_alias
    return tuple(str(choice) for choice in alias.choices)


_ID_NAMES: Final = {"list_agents": _choices(Agent, "chatbot_id"), "list_projects": _choices(Project, "project_id")}


def calls(project_id: str | None, chatbot_id: str | None) -> list[Call[Any]]:
    """Return the calls to look at, as far as the ids are known."""
    found: list[Call[Any]] = [endpoints.list_projects(), endpoints.account_limit(), endpoints.account_details()]
    found.append(endpoints.message_stats())
    if project_id:
        found += [endpoints.retrieve_project(project_id), endpoints.list_agents(project_id)]
    if project_id and chatbot_id:
        found += [
            endpoints.retrieve_agent(project_id, chatbot_id),
            endpoints.retrieve_agent_settings(project_id, chatbot_id),
            endpoints.list_linked_assets(project_id, chatbot_id),
            endpoints.get_crawl_status(project_id, chatbot_id),
        ]
    return found


def look(asker: Asker, call: Call[Any], project_id: str | None, names: Names) -> tuple[Finding, Look | None]:
    """Ask one endpoint, under other paths too where that may help, and say what it looks like."""
    first = looked(call)
    answer = asker.ask(first)
    elsewhere = None
    if isinstance(answer, Failure) and answer.kind == MISSING and not answer.thing and call.endpoint in _TRIED:
        for template in alternatives(call.endpoint, project_id, asker.template(call.endpoint))[:2]:
            other = asker.ask(first, template=template)
            if not isinstance(other, Failure) and other.value.understood:
                answer, elsewhere = other, template
                asker.use(call.endpoint, template)
                break
    if isinstance(answer, Failure):
        return _missing(call, answer), None
    return _finding(call, answer.value, elsewhere, names), answer.value


def _missing(call: Call[Any], failure: Failure) -> Finding:
    gone = failure.kind == MISSING
    advice = failure.advice
    if gone and not failure.thing:
        advice = (
            f"If you need it, ask Robofy's support for the path and set it in the extra endpoints as {call.endpoint!r}."
        )
    if call.endpoint == "get_crawl_status" and gone:
        advice = f"There may be no crawl yet, so probe again after one. {advice}"
    return Finding(
        topic="other",
        name=call.endpoint,
        found=failure.what,
        value={"answers": False},
        assumed=ENDPOINTS[call.endpoint][1],
        advice=advice,
        open=not gone,
    )


def _finding(call: Call[Any], seen: Look, elsewhere: str | None, names: Names) -> Finding:
    shape = seen.glance
    at = f"answers under {elsewhere}" if elsewhere else "answers"
    kind = {"object": "an object", "array": "an array"}.get(shape.content, shape.content)
    wrapping = f"{kind} inside {', '.join(names.many(shape.wraps))}" if shape.wraps else f"{kind}, bare"
    fields = seen.names or shape.names
    shown = names.many(fields)
    parts = [at, wrapping]
    if seen.items is not None:
        parts.append(f"{counted(seen.items, 'row')} on the first page")
    parts.append(f"fields: {', '.join(shown)}" if shown else "no fields")
    if _SECRET in fields:
        parts.append(f"the value of {_SECRET} was dropped on receipt")
    if shape.has_status and seen.items is None:
        parts.append(f"status: {shape.status}" if shape.status else "status: a word that the probe does not know")
    advice = ""
    if not seen.understood:
        advice = "The provider does not understand this answer. Report it to the provider with this finding."
    elif elsewhere:
        advice = "Set it in the extra endpoints."
    elif call.endpoint in _ID_NAMES and seen.items and seen.id is None:
        advice = f"The provider looks for an id under {', '.join(_ID_NAMES[call.endpoint])}. Report this finding."
    return Finding(
        topic="other",
        name=call.endpoint,
        found="; ".join(parts),
        value={
            "answers": True,
            "understood": seen.understood,
            "envelope": names.many(shape.wraps),
            "content": shape.content,
            "fields": shown,
            "status": shape.status,
        },
        pages=1,
        rows=seen.items or 0,
        assumed=ENDPOINTS[call.endpoint][1],
        advice=advice,
        settings={"endpoints": {call.endpoint: elsewhere}} if elsewhere else {},
    )
