from urllib.parse import quote

from airflow_provider_robofy.emulator.routes import ENDPOINTS
from airflow_provider_robofy.emulator.server import HANDLERS

AGENTS = "/v1/ai-agent/chatbot/24017"


def test_every_endpoint_is_served():
    assert set(HANDLERS) == set(ENDPOINTS)


def test_agents_are_listed_with_what_the_reference_names(wire):
    agents = wire.json(AGENTS)["data"]
    assert [agent["chatbot_id"] for agent in agents] == wire.emulator.chatbot_ids
    wanted = {"name", "description", "type", "access", "avatar", "language", "usage", "created_at", "updated_at"}
    assert all(wanted < set(agent) for agent in agents)


def test_the_third_agent_has_an_id_that_must_be_encoded_and_works_everywhere(wire):
    awkward = wire.emulator.chatbot_ids[2]
    assert set("/+=") < set(awkward)
    encoded = quote(awkward, safe="")
    assert "%2F" in encoded
    assert wire.leads_rows(f"/v1/ai-agent/leads/24017/{encoded}") == wire.emulator.leads(awkward)
    assert len(wire.json(f"/v1/ai-agent/inbox/sessions/{encoded}")["sessions"]) == 8
    assert wire.json(f"{AGENTS}/{encoded}")["data"]["chatbot_id"] == awkward
    assert wire.get(f"/v1/ai-agent/leads/24017/{quote(awkward)}").status_code == 404, "a bare slash is two segments"
    assert wire.emulator.requests[0].path.endswith(encoded), "the journal keeps the path as it was sent"


def test_an_agent_is_created_changed_and_deleted(wire):
    made = wire.call("POST", AGENTS, json={"name": "Newcomer", "language": "de", "unknown": 1}).json()["data"]
    assert (made["name"], made["language"]) == ("Newcomer", "de")
    assert "unknown" not in made
    path = f"{AGENTS}/{quote(made['chatbot_id'], safe='')}"
    assert wire.json(path)["data"] == made
    assert wire.leads_rows(f"/v1/ai-agent/leads/24017/{made['chatbot_id']}") == []
    changed = wire.call("PUT", path, json={"name": "Renamed", "project_id": "1"}).json()["data"]
    assert changed == made | {"name": "Renamed"}
    assert wire.call("DELETE", path).json()["data"] == {"chatbot_id": made["chatbot_id"]}
    assert wire.get(path).status_code == 404
    assert len(wire.json(AGENTS)["data"]) == 3


def test_agent_settings_hold_a_secret_to_be_dropped(wire):
    data = wire.json(f"/v1/ai-agent/chatbot_ai_settings/24017/{wire.agent}")["data"]
    assert data["llm_api_key"].startswith("sk-emulated-")
    assert data["chatbot_id"] == wire.emulator.chatbot_ids[0]


def test_projects_account_and_stats_answer(wire):
    [project] = wire.json("/v1/projects")["data"]
    assert (project["id"], project["project_id"], project["agents"]) == (24017, "24017", 3)
    assert wire.json("/v1/projects/24017")["data"] == project
    assert wire.json("/v1/account/details")["data"]["email"] == "owner@example.com"
    assert wire.json("/v1/account/limit")["data"]["agents"]["used"] == 3
    total = wire.json("/v1/ai-agent/message_stats")["data"]
    one = wire.json("/v1/ai-agent/message_stats", params={"chatbot_id": wire.emulator.chatbot_ids[2]})["data"]
    assert (total["total_leads"], one["total_leads"]) == (75, 25)
    assert (total["total_sessions"], one["total_sessions"]) == (24, 8)
    assert 0 < one["total_messages"] < total["total_messages"]
