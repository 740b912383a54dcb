"""Every endpoint of Robofy's API that this provider calls, as a function that returns a :class:`Call`.

Each path has a mark of how sure it is. D: it is documented (docs.robofy.ai). N: it stands in the documentation's table
of contents only. Where an account differs, the connection's extra ``endpoints`` replaces a path by its endpoint's name.

Project ids are integers in documented paths and strings in bodies; both are accepted everywhere.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote

from airflow_provider_robofy.api.body import Body
from airflow_provider_robofy.api.call import Call
from airflow_provider_robofy.api.envelopes import NoRowsError, Rows, read_object, read_rows
from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

T = TypeVar("T")
Id = str | int

#: Endpoint name to method and path template.
ENDPOINTS: Final[Mapping[str, tuple[str, str]]] = {
    "list_leads": ("GET", "/v1/ai-agent/leads/{project_id}/{chatbot_id}"),  # D
    "list_sessions": ("GET", "/v1/ai-agent/inbox/sessions/{chatbot_id}"),  # N
    "list_session_messages": ("GET", "/v1/ai-agent/inbox/chats/{chatbot_id}/{session_id}"),  # N
    "list_agents": ("GET", "/v1/ai-agent/chatbot/{project_id}"),  # N
    "create_agent": ("POST", "/v1/ai-agent/chatbot/{project_id}"),  # D
    "retrieve_agent": ("GET", "/v1/ai-agent/chatbot/{project_id}/{chatbot_id}"),  # N
    "update_agent": ("PUT", "/v1/ai-agent/chatbot/{project_id}/{chatbot_id}"),  # N
    "delete_agent": ("DELETE", "/v1/ai-agent/chatbot/{project_id}/{chatbot_id}"),  # N
    "retrieve_agent_settings": ("GET", "/v1/ai-agent/chatbot_ai_settings/{project_id}/{chatbot_id}"),  # D
    "list_linked_assets": ("GET", "/v1/ai-agent/chatbot_asset_link/{project_id}/{chatbot_id}"),  # N
    "delink_asset": ("DELETE", "/v1/ai-agent/chatbot_asset_delink"),  # N
    "add_text_content": ("POST", "/v1/ai-agent/link_content/{project_id}"),  # N
    "add_file": ("POST", "/v1/ai-agent/upload_file/{project_id}"),  # a guess: no documentation names it
    "add_website": ("POST", "/v1/ai-agent/crawl_website"),  # N
    "get_crawl_status": ("GET", "/v1/ai-agent/crawl_status/{project_id}/{chatbot_id}"),  # N
    "send_message": ("POST", "/v1/ai-agent/chat"),  # D
    "message_stats": ("GET", "/v1/ai-agent/message_stats"),  # N
    "list_projects": ("GET", "/v1/projects"),  # N
    "retrieve_project": ("GET", "/v1/projects/{project_id}"),  # N
    "account_details": ("GET", "/v1/account/details"),  # N
    "account_limit": ("GET", "/v1/account/limit"),  # N
}

#: Besides the listings, those that answer with nothing that has a status of its own, such as a crawl or a document.
_NO_STATUS = {"delete_agent", "delink_asset", "send_message"}

_PLAIN_WORD = re.compile(r"[a-z][a-z_-]*|v\d+|")
_PATH = re.compile(r"/(?!/)(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}|\{\w+\})*", re.ASCII)
_DOTS = re.compile(r"(?:\.|%2e){2}", re.IGNORECASE)


#: The ids of an asset, the one that is sure to mean one link first.
ASSET_IDS: Final = ("linkage_id", "asset_id")


def is_path(text: object) -> bool:
    """Return whether a text is a path on the connection's host: one ``/`` first, and no host, query or ``..``.

    :param text: The text, which may have placeholders.
    """
    return isinstance(text, str) and _PATH.fullmatch(text) is not None and not _DOTS.search(text)


def _call(name: str, read: Callable[[Any], T], **parts: Any) -> Call[T]:
    """Return the call of an endpoint; ``parts`` are its path, query and body, as :class:`Call` takes them."""
    method, template = ENDPOINTS[name]
    return Call(
        endpoint=name,
        method=method,
        template=template,
        read=read,
        repeatable=method == "GET",
        own_status=not name.startswith("list_") and name not in _NO_STATUS,
        **parts,
    )


def _agent_path(project_id: Id, chatbot_id: str) -> dict[str, object]:
    return {"project_id": project_id, "chatbot_id": chatbot_id}


def list_leads(project_id: Id, chatbot_id: str, *, session_id: str | None = None) -> Call[Rows]:
    """List an agent's leads, a page at a time. There is no filter by time and no order parameter.

    :param project_id: Project of the agent.
    :param chatbot_id: The agent.
    :param session_id: Only the leads of this session; a row itself does not say its session.
    """
    return _call(
        "list_leads",
        partial(read_rows, names=("rows", "leads")),
        path=_agent_path(project_id, chatbot_id),
        query={"sessionId": session_id},
    )


def list_sessions(chatbot_id: str) -> Call[Rows]:
    """List the inbox sessions of an agent."""
    return _call(
        "list_sessions",
        partial(read_rows, names=("sessions", "rows"), guess=True),
        path={"chatbot_id": chatbot_id},
    )


def list_session_messages(chatbot_id: str, session_id: str) -> Call[Rows]:
    """List what visitor and agent said to each other in one session."""
    return _call(
        "list_session_messages",
        partial(read_rows, names=("messages", "chats", "rows"), guess=True),
        path={"chatbot_id": chatbot_id, "session_id": session_id},
    )


def list_agents(project_id: Id) -> Call[Rows]:
    """List the agents of a project."""
    return _call(
        "list_agents",
        partial(read_rows, names=("agents", "chatbots", "rows"), guess=True),
        path={"project_id": project_id},
    )


def create_agent(project_id: Id, body: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Create an agent."""
    return _call("create_agent", read_object, path={"project_id": project_id}, json=dict(body))


def retrieve_agent(project_id: Id, chatbot_id: str) -> Call[dict[str, Any]]:
    """Read one agent."""
    return _call("retrieve_agent", read_object, path=_agent_path(project_id, chatbot_id))


def update_agent(project_id: Id, chatbot_id: str, body: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Change one agent."""
    return _call("update_agent", read_object, path=_agent_path(project_id, chatbot_id), json=dict(body))


def delete_agent(project_id: Id, chatbot_id: str) -> Call[Any]:
    """Delete one agent."""
    return _call("delete_agent", _as_is, path=_agent_path(project_id, chatbot_id))


def retrieve_agent_settings(project_id: Id, chatbot_id: str) -> Call[dict[str, Any]]:
    """Read an agent's AI settings; the secret among them is dropped before anybody sees it."""
    return _call("retrieve_agent_settings", _without_secret, path=_agent_path(project_id, chatbot_id))


def list_linked_assets(project_id: Id, chatbot_id: str) -> Call[Rows]:
    """List the knowledge that is linked to an agent."""
    return _call(
        "list_linked_assets",
        partial(read_rows, names=("assets", "linked_assets", "rows"), guess=True),
        path=_agent_path(project_id, chatbot_id),
    )


def delink_asset(body: Mapping[str, Any], ids: Mapping[str, object] | None = None) -> Call[Any]:
    """Take an asset's link away. Neither the body nor the answer is documented.

    :param body: The body, filled in.
    :param ids: Values of the placeholders in a path that a connection sets. Default: the path needs none.
    """
    return _call("delink_asset", _as_is, path=ids or {}, json=dict(body))


def add_text_content(project_id: Id, body: Mapping[str, Any] | Body) -> Call[dict[str, Any]]:
    """Upload text as knowledge.

    :param body: The documented fields, or a body that streams a long text.
    """
    content = {"body": body} if isinstance(body, Body) else {"json": dict(body)}
    return _call("add_text_content", read_object, path={"project_id": project_id}, **content)


def add_file(project_id: Id, form: Body) -> Call[dict[str, Any]]:
    """Upload a file as knowledge. The form is documented, the path is not."""
    return _call("add_file", read_object, path={"project_id": project_id}, body=form)


def add_website(body: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Start a crawl."""
    return _call("add_website", read_object, json=dict(body))


def get_crawl_status(project_id: Id, chatbot_id: str) -> Call[Any]:
    """Ask how an agent's crawling goes. The answer's shape is not documented."""
    return _call("get_crawl_status", _as_is, path=_agent_path(project_id, chatbot_id))


def send_message(body: Mapping[str, Any]) -> Call[dict[str, Any]]:
    """Send a chat message to an agent."""
    return _call("send_message", read_object, json=dict(body))


def message_stats(query: Mapping[str, object] | None = None) -> Call[Any]:
    """Read message statistics. Parameters and answer are not documented."""
    return _call("message_stats", _as_is, query=query or {})


def list_projects() -> Call[Rows]:
    """List the projects that the key can see."""
    return _call("list_projects", partial(read_rows, names=("projects", "rows"), guess=True))


def retrieve_project(project_id: Id) -> Call[dict[str, Any]]:
    """Read one project."""
    return _call("retrieve_project", read_object, path={"project_id": project_id})


def account_details() -> Call[dict[str, Any]]:
    """Read the account."""
    return _call("account_details", read_object)


def account_limit() -> Call[dict[str, Any]]:
    """Read the account's limits."""
    return _call("account_limit", read_object)


#: What a snapshot can be of: the endpoint, and the names of the field with its rows.
SNAPSHOTS_OF: Final = {
    "agents": ("list_agents", ("agents", "chatbots", "rows")),
    "projects": ("list_projects", ("projects", "rows")),
    "message_stats": ("message_stats", ("stats", "message_stats", "rows")),
}


def snapshot(resource: str, project_id: Id | None) -> Call[Rows]:
    """List what an account has of a resource. An answer without a list of rows is one row, its whole ``data``.

    :param resource: A key of :data:`SNAPSHOTS_OF`.
    :param project_id: The project; only agents need it.
    :return: The call for the first page.
    """
    name, names = SNAPSHOTS_OF[resource]
    path = {"project_id": project_id} if resource == "agents" else {}
    # The only array of statistics may be a part of them, so it is not taken for their rows.
    return _call(name, partial(_rows_or_data, names=names, guess=resource != "message_stats"), path=path)


def _rows_or_data(payload: Any, names: Collection[str], *, guess: bool) -> Rows:
    try:
        return read_rows(payload, names, guess=guess)
    except NoRowsError:
        data = payload.get("data", payload) if isinstance(payload, dict) else payload
        return Rows([data], None, "absent")


def anything(method: str, path: str, *, params: Mapping[str, object] | None = None, json: Any = None) -> Call[Any]:
    """Call a path that is not modelled here.

    :param method: HTTP method; only GET, HEAD and OPTIONS are sent again when an answer is lost.
    :param path: Path as it goes over the wire, already percent-encoded, without host and query.
    :param params: Query parameters.
    :param json: Body.
    :raises RobofyConfigError: The path holds a host, a query or ``..``, so that the key might go elsewhere.
    """
    if not is_path(path) or "{" in path:
        raise RobofyConfigError("path must start with a single '/', and hold no host, query, '{' or '..'.")
    method = method.upper()
    # Whatever may be an id becomes a placeholder, so that no phone number reaches a log.
    words: list[str] = []
    values: dict[str, object] = {}
    for word in path.split("/"):
        if _PLAIN_WORD.fullmatch(word):
            words.append(word)
        else:
            values[name := f"id{len(values) + 1}"] = unquote(word)
            words.append(f"{{{name}}}")
    return Call(
        endpoint="request",
        method=method,
        template="/".join(words),
        path=values,
        query=params or {},
        json=json,
        read=_as_is,
        repeatable=method in {"GET", "HEAD", "OPTIONS"},
        own_status=True,  # whatever it is
    )


def _as_is(payload: Any) -> Any:
    return payload


def _without_secret(payload: Any) -> dict[str, Any]:
    settings: dict[str, Any] = _drop(read_object(payload), "llm_api_key")
    return settings


def _drop(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _drop(inner, name) for key, inner in value.items() if key != name}
    return [_drop(inner, name) for inner in value] if isinstance(value, list) else value
