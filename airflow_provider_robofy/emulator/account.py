"""The endpoints for the account, its project, its agents and its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_robofy.emulator.answers import Answer, success
from airflow_provider_robofy.emulator.ask import Ask, text_field

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.world import World


async def create_agent(world: World, ask: Ask) -> Answer:
    """Answer Create Agent: a name makes one."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    body = await ask.json_object()
    text_field(body, "name")
    agent = world.create_agent(body)
    return success("Chatbot created successfully.", agent.row(world.write))


async def retrieve_agent(world: World, ask: Ask) -> Answer:
    """Answer Retrieve Agent."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    return success("Chatbot retrieved successfully.", agent.row(world.write))


async def update_agent(world: World, ask: Ask) -> Answer:
    """Answer Update Agent: fields that an agent has are replaced, others are not taken."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    body = await ask.json_object()
    if "name" in body:
        text_field(body, "name")
    fixed = {"project_id", "usage", "is_ready"}
    agent.fields.update({k: v for k, v in body.items() if k in agent.fields and k not in fixed})
    return success("Chatbot updated successfully.", agent.row(world.write))


async def delete_agent(world: World, ask: Ask) -> Answer:
    """Answer Delete Agent."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    del world.agents[agent.chatbot_id]
    world.touch()
    return success("Chatbot deleted successfully.", {"chatbot_id": agent.chatbot_id})


async def retrieve_agent_settings(world: World, ask: Ask) -> Answer:
    """Answer Retrieve Agent Settings, secret included, as the real one does."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    data = {"chatbot_id": agent.chatbot_id, "project_id": str(world.settings.project), **agent.ai_settings}
    return success("Chatbot AI settings retrieved successfully.", data)


async def message_stats(world: World, ask: Ask) -> Answer:
    """Answer Stats, of one agent if the query names it."""
    for name in ("project_id", "pid"):
        if name in ask.query:
            world.check_project(ask.query[name])
    chosen = ask.query.get("chatbot_id")
    counted = [world.agent(chosen)] if chosen else list(world.agents.values())
    sessions = [session for agent in counted for session in agent.sessions.listed("none")]
    data = {
        "total_sessions": len(sessions),
        "total_messages": sum(map(len, sessions)),
        "total_leads": sum(len(agent.leads) for agent in counted),
    }
    return success("Message stats retrieved successfully.", data)


async def retrieve_project(world: World, ask: Ask) -> Answer:
    """Answer Retrieve Project."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    return success("Project retrieved successfully.", world.project_row())


async def account_details(world: World, ask: Ask) -> Answer:  # noqa: ARG001 - every endpoint is called alike
    """Answer the account's details."""
    data = {
        "name": "Example Ltd",
        "email": "owner@example.com",
        "plan": "business",
        "timezone": world.settings.timezone,
    }
    return success("Account details retrieved successfully.", data)


async def account_limit(world: World, ask: Ask) -> Answer:  # noqa: ARG001 - every endpoint is called alike
    """Answer the account's limits."""
    sent = sum(len(session) for agent in world.agents.values() for session in agent.sessions.listed("none"))
    data = {
        "agents": {"limit": 1000, "used": len(world.agents)},
        "messages": {"limit": 5_000_000, "used": sent},
        "assets": {"limit": 10_000, "used": len(world.knowledge.assets)},
    }
    return success("Account limit retrieved successfully.", data)
