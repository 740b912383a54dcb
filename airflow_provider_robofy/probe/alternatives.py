"""Where else an endpoint might answer: a short, fixed list of plausible paths for each that is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from airflow_provider_robofy.api.endpoints import ENDPOINTS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Endpoint to further templates. <project> becomes the project's own id: the built-in path has no such placeholder.
_OTHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "list_sessions": (
        "/v1/ai-agent/inbox/sessions/<project>/{chatbot_id}",
        "/v1/ai-agent/sessions/{chatbot_id}",
    ),
    "list_session_messages": (
        "/v1/ai-agent/inbox/chats/<project>/{chatbot_id}/{session_id}",
        "/v1/ai-agent/inbox/messages/{chatbot_id}/{session_id}",
    ),
    "list_agents": ("/v1/ai-agent/chatbots/{project_id}",),
    "get_crawl_status": ("/v1/ai-agent/crawl_status/{chatbot_id}",),
    "account_limit": ("/v1/account/limits",),
}
_MOST: Final = 3


def alternatives(endpoint: str, project_id: str | None, in_use: str | None) -> list[str]:
    """Return path templates to try where an endpoint's usual one answers that it does not exist.

    :param endpoint: Endpoint name.
    :param project_id: The project, which stands in some of them.
    :param in_use: The template that the connection sets, if it sets one; then the built-in path is tried too.
    :return: At most three, the likeliest first.
    """
    usual = ENDPOINTS[endpoint][1]
    project = quote(project_id, safe="") if project_id else None
    found = [usual] if in_use not in {None, usual} else []
    for template in _OTHERS.get(endpoint, ()):
        if "<project>" not in template:
            found.append(template)
        elif project:
            found.append(template.replace("<project>", project))
    found.append(usual.removeprefix("/v1"))  # one sample of the documentation leaves it out
    return [template for template in dict.fromkeys(found) if template != in_use][:_MOST]
