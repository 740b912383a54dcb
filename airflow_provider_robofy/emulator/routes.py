"""Which endpoint a request means, found on the path as it was sent: an encoded slash stays inside its id."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

# Endpoint name -> method, path template. The path of add_file is a guess; Robofy does not document it.
ENDPOINTS: dict[str, tuple[str, str]] = {
    "list_leads": ("GET", "/v1/ai-agent/leads/{projectId}/{chatbotId}"),
    "list_sessions": ("GET", "/v1/ai-agent/inbox/sessions/{chatbotId}"),
    "list_session_messages": ("GET", "/v1/ai-agent/inbox/chats/{chatbotId}/{sessionId}"),
    "list_agents": ("GET", "/v1/ai-agent/chatbot/{projectId}"),
    "create_agent": ("POST", "/v1/ai-agent/chatbot/{projectId}"),
    "retrieve_agent": ("GET", "/v1/ai-agent/chatbot/{projectId}/{chatbotId}"),
    "update_agent": ("PUT", "/v1/ai-agent/chatbot/{projectId}/{chatbotId}"),
    "delete_agent": ("DELETE", "/v1/ai-agent/chatbot/{projectId}/{chatbotId}"),
    "retrieve_agent_settings": ("GET", "/v1/ai-agent/chatbot_ai_settings/{projectId}/{chatbotId}"),
    "list_linked_assets": ("GET", "/v1/ai-agent/chatbot_asset_link/{projectId}/{chatbotId}"),
    "delink_asset": ("DELETE", "/v1/ai-agent/chatbot_asset_delink"),
    "add_text_content": ("POST", "/v1/ai-agent/link_content/{projectId}"),
    "add_file": ("POST", "/v1/ai-agent/upload_file/{projectId}"),
    "add_website": ("POST", "/v1/ai-agent/crawl_website"),
    "get_crawl_status": ("GET", "/v1/ai-agent/crawl_status/{projectId}/{chatbotId}"),
    "send_message": ("POST", "/v1/ai-agent/chat"),
    "message_stats": ("GET", "/v1/ai-agent/message_stats"),
    "list_projects": ("GET", "/v1/projects"),
    "retrieve_project": ("GET", "/v1/projects/{projectId}"),
    "account_details": ("GET", "/v1/account/details"),
    "account_limit": ("GET", "/v1/account/limit"),
}


class NoRouteError(LookupError):
    """
    A request that means no endpoint.

    :param status: 404 for a path that nothing serves, 405 for a path that other methods serve, 400 for an
        encoding that cannot be read.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Router:
    """
    Find endpoints by method and path.

    :param overrides: path templates to serve instead of the usual ones, by endpoint name.
    """

    def __init__(self, overrides: Mapping[str, str]) -> None:
        self._by_length: dict[int, list[tuple[str, str, list[str]]]] = defaultdict(list)
        for name, (method, usual) in ENDPOINTS.items():
            parts = overrides.get(name, usual).split("/")
            self._by_length[len(parts)].append((name, method, parts))

    def match(self, method: str, raw_path: str) -> tuple[str, dict[str, str]]:
        """
        Return the endpoint's name and its decoded path parameters; raises `NoRouteError`.

        :param method: GET, POST ...
        :param raw_path: the path as sent, still encoded, without the query.
        """
        parts = raw_path.split("/")
        served = False
        for name, served_method, template in self._by_length.get(len(parts), ()):
            params = _params(template, parts)
            if params is None:
                continue
            if served_method == method:
                return name, params
            served = True
        raise NoRouteError(405 if served else 404)


def _params(template: list[str], parts: list[str]) -> dict[str, str] | None:
    params = {}
    for wanted, part in zip(template, parts, strict=True):
        if wanted.startswith("{"):
            if not part:
                return None
            try:
                params[wanted[1:-1]] = unquote(part, errors="strict")
            except UnicodeDecodeError:
                raise NoRouteError(400) from None
        elif wanted != part:
            return None
    return params
