"""
The control API, under `/_robofy_emulator/`, without a key: it is for the test that owns the emulator.

| call | does |
|---|---|
| GET state | counts, settings, faults, requests per endpoint, requests in flight now and at most |
| GET requests `?endpoint= &limit=` | recent requests, oldest first; says whether the key was right, not what it was |
| DELETE requests | forgets them and starts counting anew |
| GET leads `?chatbot_id=` | all rows of an agent (of the first by default) as the API would list them |
| POST leads `{count, chatbot_id, created_at, session_id, fields}` | adds leads, created now unless told otherwise |
| PATCH leads/ID `{chatbot_id, created_at, fields}` | changes one |
| DELETE leads/ID `?chatbot_id=` | deletes one |
| POST sessions `{session_id, chatbot_id, at, messages, fields}` | adds a session with that many messages |
| DELETE sessions/ID `?chatbot_id=` | deletes one |
| POST messages `{session_id, text, chatbot_id, incoming, at, fields}` | adds a message to a session |
| GET assets, GET crawls | everything that was taken in or started |
| GET faults | faults that are set, and how often each struck |
| POST faults `{kind, option: value, ...}` | sets one; the options are those of the command line |
| DELETE faults `?kind=` | takes them away |
| PATCH settings `{name: value, ...}` | changes settings; those that seeded data was made from need a reset |
| POST reset `{name: value, ...}` | starts over as at the start, but for the settings given |

Bodies and answers are JSON. Times are ISO 8601 or seconds since 1970. What cannot be done gets a 400 with
`{"error": "what is wrong"}`, and a path that is not in this table a 404.

Usage::

    curl -X POST localhost:8765/_robofy_emulator/leads -d '{"count": 3}'
    curl -X POST localhost:8765/_robofy_emulator/faults -d '{"kind": "drop", "endpoint": "list_leads"}'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson
from aiohttp import web

from airflow_provider_robofy.emulator.faults import FaultError
from airflow_provider_robofy.emulator.operations import ControlError, Operations
from airflow_provider_robofy.emulator.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.server import RobofyServer

PREFIX = "/_robofy_emulator/"


async def handle(server: RobofyServer, request: web.BaseRequest, path: str) -> web.Response:
    """
    Answer one control request.

    :param server: what to control.
    :param request: the request.
    :param path: its path behind the prefix, still encoded.
    """
    noun, slash, item = path.partition("/")
    action = _ACTIONS.get((request.method, noun + slash))
    if action is None:
        known = ", ".join(f"{method} {PREFIX}{name}" for method, name in _ACTIONS)
        return _json({"error": f"no such control call; known: {known}"}, 404)
    try:
        given = dict(request.query)
        given.update(await _body(request))
        if slash:
            given["id"] = unquote(item)
        return _json(action(Operations(server), given))
    except (ControlError, FaultError, SettingsError) as refused:
        return _json({"error": str(refused)}, 400)


def _json(content: Any, status: int = 200) -> web.Response:
    body = orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    raw = await request.read()
    if not raw:
        return {}
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as broken:
        raise ControlError(f"the body is not JSON: {broken}") from None
    if not isinstance(content, dict):
        raise ControlError("the body must be a JSON object")
    return content


def _take(given: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the arguments of a call; `...` as a default makes one required."""
    unknown = set(given) - set(defaults)
    if unknown:
        raise ControlError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(defaults)}")
    taken = {**defaults, **given}
    missing = [name for name, value in taken.items() if value is ...]
    if missing:
        raise ControlError(f"missing: {', '.join(missing)}")
    for name in ("chatbot_id", "session_id", "text", "kind", "endpoint"):
        if not isinstance(taken.get(name), str | None):
            raise ControlError(f"{name} must be text, not {taken[name]!r}")
    if not isinstance(taken.get("incoming", True), bool):
        raise ControlError(f"incoming must be true or false, not {taken['incoming']!r}")
    return taken


def _state(operations: Operations, given: dict[str, Any]) -> Any:
    _take(given)
    return operations.state()


def _requests(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, endpoint=None, limit="10000")
    if not str(taken["limit"]).isdecimal():
        raise ControlError(f"limit must be a whole number, not {taken['limit']!r}")
    found = operations.requests(taken["endpoint"])
    limit = int(taken["limit"])
    return {"requests": [each.as_json() for each in found[max(len(found) - limit, 0) :]]}


def _clear_requests(operations: Operations, given: dict[str, Any]) -> Any:
    _take(given)
    operations.clear_requests()
    return {"requests": []}


def _leads(operations: Operations, given: dict[str, Any]) -> Any:
    return {"leads": operations.leads(**_take(given, chatbot_id=None))}


def _add_leads(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, count=1, chatbot_id=None, created_at=None, session_id=None, fields={})
    return {"leads": operations.add_leads(taken.pop("count"), **taken)}


def _change_lead(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, id=..., chatbot_id=None, created_at=None, fields={})
    return {"lead": operations.change_lead(taken.pop("id"), **taken)}


def _delete_lead(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, id=..., chatbot_id=None)
    operations.delete_lead(taken["id"], chatbot_id=taken["chatbot_id"])
    return {"deleted": taken["id"]}


def _add_session(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, session_id=..., chatbot_id=None, at=None, messages=0, fields={})
    return {"session": operations.add_session(taken.pop("session_id"), **taken)}


def _delete_session(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, id=..., chatbot_id=None)
    operations.delete_session(taken["id"], chatbot_id=taken["chatbot_id"])
    return {"deleted": taken["id"]}


def _add_message(operations: Operations, given: dict[str, Any]) -> Any:
    taken = _take(given, session_id=..., text=..., chatbot_id=None, incoming=True, at=None, fields={})
    return {"message": operations.add_message(taken.pop("session_id"), taken.pop("text"), **taken)}


def _assets(operations: Operations, given: dict[str, Any]) -> Any:
    _take(given)
    return {"assets": operations.assets()}


def _crawls(operations: Operations, given: dict[str, Any]) -> Any:
    _take(given)
    return {"crawls": operations.crawls()}


def _faults(operations: Operations, given: dict[str, Any]) -> Any:
    _take(given)
    return {"faults": operations.faults()}


def _set_fault(operations: Operations, given: dict[str, Any]) -> Any:
    kind = given.pop("kind", None)
    if not isinstance(kind, str):
        raise ControlError("missing: kind")
    return {"fault": operations.fault(kind, given)}


def _clear_faults(operations: Operations, given: dict[str, Any]) -> Any:
    operations.clear_faults(_take(given, kind=None)["kind"])
    return {"faults": operations.faults()}


def _configure(operations: Operations, given: dict[str, Any]) -> Any:
    operations.configure(given)
    return {"settings": operations.state()["settings"]}


def _reset(operations: Operations, given: dict[str, Any]) -> Any:
    operations.reset(given)
    return operations.state()


_ACTIONS: dict[tuple[str, str], Callable[[Operations, dict[str, Any]], Any]] = {
    ("GET", "state"): _state,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _clear_requests,
    ("GET", "leads"): _leads,
    ("POST", "leads"): _add_leads,
    ("PATCH", "leads/"): _change_lead,
    ("DELETE", "leads/"): _delete_lead,
    ("POST", "sessions"): _add_session,
    ("DELETE", "sessions/"): _delete_session,
    ("POST", "messages"): _add_message,
    ("GET", "assets"): _assets,
    ("GET", "crawls"): _crawls,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _set_fault,
    ("DELETE", "faults"): _clear_faults,
    ("PATCH", "settings"): _configure,
    ("POST", "reset"): _reset,
}
