"""The endpoints of the API, and which of them a request means.

Paths are matched as they were sent, so an encoded slash stays inside its id. aiohttp's own router is not used: it would
let an encoding that cannot be read pass as text, and is no shorter.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_robofy.emulator.wire import ApiError, bad_request, not_found

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


@cache
def path_pattern(template: str) -> re.Pattern[str]:
    """Return the pattern of the paths that a template means.

    :param template: Such as `/v1/projects/{projectId}`.
    :raises re.error: A placeholder stands in it twice, or its name begins with a digit.
    """
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template)))


class Router:
    """Find endpoints by method and path.

    :param overrides: Path templates to serve instead of the usual ones, by endpoint name.
    """

    def __init__(self, overrides: Mapping[str, str]) -> None:
        self._routes = [
            (name, method, path_pattern(overrides.get(name, usual))) for name, (method, usual) in ENDPOINTS.items()
        ]

    def match(self, method: str, raw_path: str) -> tuple[str, dict[str, str]]:
        """Return the endpoint's name and its decoded path parameters.

        :param method: GET, POST ...
        :param raw_path: The path as sent, still encoded, without the query.
        :raises ApiError: 404 for a path that nothing serves, 405 for one that other methods serve, 400 for an encoding
            that cannot be read.
        """
        served = False
        for name, served_method, pattern in self._routes:
            found = pattern.fullmatch(raw_path)
            served = served or found is not None
            if found is not None and served_method == method:
                try:
                    return name, {key: unquote(value, errors="strict") for key, value in found.groupdict().items()}
                except UnicodeDecodeError:
                    raise bad_request("The path cannot be decoded.") from None
        if served:
            raise ApiError(405, "METHOD_NOT_ALLOWED", "This endpoint does not take that method.")
        raise not_found("No such endpoint.")
