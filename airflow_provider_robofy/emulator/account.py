"""The account: its agents, its settings of the moment and all it owns, and the endpoints for agents and projects."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import seeded
from airflow_provider_robofy.emulator.leads import LeadBook
from airflow_provider_robofy.emulator.pages import PageCache, Tokens, listing
from airflow_provider_robofy.emulator.routes import Router
from airflow_provider_robofy.emulator.sessions import SessionBook
from airflow_provider_robofy.emulator.settings import SEEDED, Settings, SettingsError
from airflow_provider_robofy.emulator.wire import bad_request, not_found, success, text_field
from airflow_provider_robofy.emulator.words import AGENT_NAMES, LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import tzinfo

    from airflow_provider_robofy.emulator.knowledge import Record
    from airflow_provider_robofy.emulator.wire import ApiRequest

# Ids stay short for the first agent and never meet those of the next one.
_IDS_PER_AGENT = 10_000_000


@dataclass(slots=True)
class Agent:
    """One agent.

    :param chatbot_id: Its opaque id.
    :param leads: Its leads.
    :param sessions: Its conversations.
    :param created_at: When it was made, in seconds since 1970.
    :param fields: What the agent object says of it.
    :param ai_settings: What Agent Settings says, the secret included.
    """

    chatbot_id: str
    leads: LeadBook
    sessions: SessionBook
    created_at: int
    fields: dict[str, Any]
    ai_settings: dict[str, Any]

    def row(self, write: Callable[[int], str | int]) -> dict[str, Any]:
        """Return it as the API shows an agent.

        :param write: How a time is written.
        """
        at = write(self.created_at)
        return {"chatbot_id": self.chatbot_id, **self.fields, "created_at": at, "updated_at": at}


class World:
    """The whole state of one emulated account.

    :param settings: How to make it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.agents: dict[str, Agent] = {}
        self.assets: list[Record] = []
        self.crawls: list[Record] = []
        #: Every delink request with a body that can be read: `body`, and the `names` of the assets that it delinked.
        self.delinks: list[dict[str, Any]] = []
        self.tokens = Tokens(settings)
        self.error_shapes = cycle("12")
        self._made = 0
        self._apply_settings()
        for index in range(settings.agents):
            self.add_agent(seeded.BASE - 10_000_000 - index * 86_400, settings.leads, settings.sessions)

    def _apply_settings(self) -> None:
        self.router = Router(self.settings.paths)
        writer, zone = _WRITERS[self.settings.time_format], self.settings.zone
        self.write: Callable[[int], str | int] = lambda moment: writer(moment, zone)
        self.cache = PageCache(self.settings.cache_mb * 1024 * 1024)

    def add_agent(self, at: int, leads: int = 0, sessions: int = 0) -> Agent:
        """Add one more agent with its seeded data, and return it.

        :param at: When it was made, in seconds since 1970.
        :param leads: How many leads it has.
        :param sessions: How many sessions it has.
        """
        settings, index = self.settings, self._made
        self._made += 1
        key = seeded.mix(settings.seed, index + 1)
        agent = Agent(
            chatbot_id=seeded.chatbot_id(settings.seed, index),
            leads=LeadBook(
                key=seeded.mix(key, 1), count=leads, spacing=settings.spacing, first_id=10_000 + index * _IDS_PER_AGENT
            ),
            sessions=SessionBook(seeded.mix(key, 2), sessions, settings),
            created_at=at,
            fields={
                "project_id": str(settings.project),
                "name": AGENT_NAMES[index % len(AGENT_NAMES)],
                "description": f"Answers visitors of site {index + 1}",
                "type": "website",
                "access": "public",
                "avatar": f"https://cdn.example.com/avatars/{index % 9}.png",
                "language": LANGUAGES[index % len(LANGUAGES)],
                "is_ready": True,
                "usage": {"messages": key % 5000, "documents": key % 40},
            },
            ai_settings={
                "llm_provider": "openai",
                "llm_model": "gpt-4o-mini",
                "llm_api_key": f"sk-emulated-{seeded.mix(key, 3):016x}{seeded.mix(key, 4):016x}",
                "temperature": 0.2,
                "system_prompt": "Answer kindly and briefly, and only from the documents.",
                "max_tokens": 512,
            },
        )
        self.agents[agent.chatbot_id] = agent
        return agent

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Change settings while running.

        :param changes: New values by name.
        :raises SettingsError: One cannot be used, or data was made from it; then nothing is changed.
        """
        if fixed := SEEDED.intersection(changes):
            raise SettingsError(f"{', '.join(sorted(fixed))}: data is made from it, so change it by a reset")
        self.settings = self.settings.changed(changes)
        self._apply_settings()
        # Others would forget the opaque tokens that they gave.
        if "token_form" in changes:
            self.tokens = Tokens(self.settings)

    @property
    def now(self) -> int:
        """Return this server's time in whole seconds since 1970, its clock's error included."""
        return int(time.time() + self.settings.clock_offset)

    def project_row(self) -> dict[str, Any]:
        """Return the project as the API shows one."""
        return {
            "id": self.settings.project,
            "project_id": str(self.settings.project),
            "name": "Example project",
            "website_url": "https://example.com",
            "agents": len(self.agents),
            "created_at": self.write(seeded.BASE - 20_000_000),
        }

    def check_project(self, value: Any) -> None:
        """Refuse a project id that is no number, or not this account's.

        :param value: From a path (text) or a body (text or number).
        :raises ApiError: It is refused.
        """
        text = str(value)
        if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
            raise bad_request("The project id must be an integer.", "project_id")
        if text.lstrip("0") != str(self.settings.project):
            detail = "The project does not exist or you have no access to it."
            raise not_found(detail, "project_id", "PROJECT_NOT_FOUND")

    def agent(self, chatbot_id: str) -> Agent:
        """Return an agent.

        :param chatbot_id: Its id, decoded.
        :raises ApiError: There is none.
        """
        try:
            return self.agents[chatbot_id]
        except KeyError:
            raise not_found("The chatbot does not exist.", "chatbot_id", "CHATBOT_NOT_FOUND") from None


# How seconds since 1970 are written, by the setting time_format.
_WRITERS: dict[str, Callable[[int, tzinfo], str | int]] = {
    "naive": lambda moment, zone: datetime.fromtimestamp(moment, zone).isoformat(" ")[:19],
    "z": lambda moment, _: datetime.fromtimestamp(moment, UTC).isoformat()[:19] + "Z",
    "offset": lambda moment, zone: datetime.fromtimestamp(moment, zone).isoformat(),
    "epoch": lambda moment, _: moment,
    "epoch_ms": lambda moment, _: moment * 1000,
}


async def list_agents(world: World, request: ApiRequest) -> Any:
    """Answer List Agents of the project."""
    rows = [agent.row(world.write) for agent in world.agents.values()]
    return listing(world, request, len(rows), lambda start, stop: rows[start:stop])


async def create_agent(world: World, request: ApiRequest) -> Any:
    """Answer Create Agent; it has no leads or sessions yet."""
    body = await request.json_object()
    text_field(body, "name")
    agent = world.add_agent(world.now)
    _update(agent, body, {"project_id", "usage"})
    return success("Chatbot created successfully.", agent.row(world.write))


async def retrieve_agent(world: World, request: ApiRequest) -> Any:
    """Answer Retrieve Agent."""
    return success("Chatbot retrieved successfully.", world.agent(request.params["chatbotId"]).row(world.write))


async def update_agent(world: World, request: ApiRequest) -> Any:
    """Answer Update Agent."""
    agent = world.agent(request.params["chatbotId"])
    body = await request.json_object()
    if "name" in body:
        text_field(body, "name")
    _update(agent, body, {"project_id", "usage", "is_ready"})
    return success("Chatbot updated successfully.", agent.row(world.write))


def _update(agent: Agent, body: dict[str, Any], fixed: set[str]) -> None:
    agent.fields.update({key: value for key, value in body.items() if key in agent.fields and key not in fixed})


async def delete_agent(world: World, request: ApiRequest) -> Any:
    """Answer Delete Agent."""
    chatbot_id = world.agent(request.params["chatbotId"]).chatbot_id
    del world.agents[chatbot_id]
    return success("Chatbot deleted successfully.", {"chatbot_id": chatbot_id})


async def retrieve_agent_settings(world: World, request: ApiRequest) -> Any:
    """Answer Retrieve Agent Settings, secret included, as the real one does."""
    agent = world.agent(request.params["chatbotId"])
    data = {"chatbot_id": agent.chatbot_id, "project_id": str(world.settings.project), **agent.ai_settings}
    return success("Chatbot AI settings retrieved successfully.", data)


async def message_stats(world: World, request: ApiRequest) -> Any:
    """Answer Stats, of one agent if the query names it."""
    for name in ("project_id", "pid"):
        if name in request.query:
            world.check_project(request.query[name])
    chosen = request.query.get("chatbot_id")
    agents = [world.agent(chosen)] if chosen else list(world.agents.values())
    data = {
        "total_sessions": sum(len(agent.sessions) for agent in agents),
        "total_messages": _messages(agents),
        "total_leads": sum(len(agent.leads) for agent in agents),
    }
    return success("Message stats retrieved successfully.", data)


def _messages(agents: Iterable[Agent]) -> int:
    return sum(len(session) for agent in agents for session in agent.sessions.listed("oldest_first"))


async def list_projects(world: World, request: ApiRequest) -> Any:
    """Answer List Projects: the one there is."""
    rows = [world.project_row()]
    return listing(world, request, 1, lambda start, stop: rows[start:stop])


async def retrieve_project(world: World, request: ApiRequest) -> Any:  # noqa: ARG001
    """Answer Retrieve Project."""
    return success("Project retrieved successfully.", world.project_row())


async def account_details(world: World, request: ApiRequest) -> Any:  # noqa: ARG001
    """Answer the account's details."""
    data = {
        "name": "Example Ltd",
        "email": "owner@example.com",
        "plan": "business",
        "timezone": world.settings.timezone,
    }
    return success("Account details retrieved successfully.", data)


async def account_limit(world: World, request: ApiRequest) -> Any:  # noqa: ARG001
    """Answer the account's limits."""
    data = {
        "agents": {"limit": 1000, "used": len(world.agents)},
        "messages": {"limit": 5_000_000, "used": _messages(world.agents.values())},
        "assets": {"limit": 10_000, "used": len(world.assets)},
    }
    return success("Account limit retrieved successfully.", data)
