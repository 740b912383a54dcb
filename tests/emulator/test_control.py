import json

import pytest


def test_state_has_counts_settings_and_requests(wire):
    wire.leads_rows()
    wire.get("/v1/projects")
    state = wire.control("GET", "state").json()
    assert state["url"] == wire.emulator.url
    assert [agent["leads"] for agent in state["agents"]] == [25, 25, 25]
    assert [agent["sessions"] for agent in state["agents"]] == [8, 8, 8]
    assert state["requests"] == {"list_leads": 3, "list_projects": 1}
    assert state["settings"]["page_size"] == 10
    assert "demo-key" not in json.dumps(state)
    assert wire.control("GET", "state").json() == state, "control calls are not counted"


def test_requests_are_recorded_without_the_key(wire):
    wire.get(wire.leads_path, params={"nextPageToken": "eyJwYWdlIjoyfQ=="}, headers={"User-Agent": "probe/1"})
    wire.get("/v1/projects", headers={"Authorization": "Bearer top-secret"})
    wire.get("/nowhere")
    answer = wire.control("GET", "requests")
    assert "demo-key" not in answer.text
    assert "top-secret" not in answer.text
    first, second, third = answer.json()["requests"]
    assert first["time"] > 1_700_000_000
    del first["time"]
    assert first == {
        "endpoint": "list_leads",
        "method": "GET",
        "path": wire.leads_path,
        "query": "nextPageToken=eyJwYWdlIjoyfQ%3D%3D",
        "page": 2,
        "status": 200,
        "user_agent": "probe/1",
        "authorized": True,
        "faults": [],
    }
    assert (second["status"], second["authorized"]) == (401, False)
    assert (third["endpoint"], third["status"]) == ("", 404)
    assert wire.control("GET", "requests?endpoint=list_projects").json()["requests"] == [second]
    assert wire.control("GET", "requests?limit=1").json()["requests"] == [third]
    assert wire.control("GET", "requests?limit=0").json()["requests"] == []
    wire.control("DELETE", "requests")
    assert wire.control("GET", "state").json()["requests"] == {}


def test_leads_are_added_changed_and_deleted(wire):
    body = {"count": 2, "created_at": "2025-01-20T08:00:00+01:00", "fields": {"source": "ünïcode", "score": 7}}
    added = wire.control("POST", "leads", json=body).json()["leads"]
    assert [row["created_at"] for row in added] == ["2025-01-20 07:00:00"] * 2
    assert [(row["source"], row["score"]) for row in added] == [("ünïcode", 7)] * 2
    assert wire.leads_rows()[:2] == added[::-1]
    changed = wire.control("PATCH", f"leads/{added[0]['id']}", json={"fields": {"source": "other"}}).json()["lead"]
    assert changed == added[0] | {"source": "other"}
    assert wire.leads_rows()[1] == changed
    wire.control("DELETE", f"leads/{added[1]['id']}")
    assert wire.leads_rows()[0] == changed
    assert wire.control("GET", "leads").json()["leads"] == wire.leads_rows()
    oldest = wire.leads_rows()[-1]["id"]
    wire.control("PATCH", f"leads/{oldest}", json={"created_at": 1893456000})
    assert (wire.leads_rows()[0]["id"], wire.leads_rows()[0]["created_at"]) == (oldest, "2030-01-01 00:00:00")
    wire.control("POST", "leads", json={"fields": {"id": "LX-1"}})
    assert wire.control("PATCH", "leads/LX-1", json={"fields": {"source": "walk-in"}}).json()["lead"]["id"] == "LX-1"
    second = wire.emulator.chatbot_ids[1]
    [row] = wire.control("POST", "leads", json={"chatbot_id": second}).json()["leads"]
    assert wire.emulator.leads(second)[0] == row


def test_sessions_and_messages_are_added(wire):
    assert wire.control("POST", "sessions", json={"session_id": "s/1", "messages": 2}).status_code == 200
    shown = wire.control("POST", "messages", json={"session_id": "s/1", "text": "Hi", "incoming": False}).json()
    assert shown["message"]["direction"] == "outgoing"
    assert len(wire.json(f"/v1/ai-agent/inbox/chats/{wire.agent}/s%2F1")["data"]) == 3
    assert wire.control("DELETE", "sessions/s%2F1").json() == {"deleted": "s/1"}
    assert wire.control("GET", "assets").json() == {"assets": []}
    assert wire.control("GET", "crawls").json() == {"crawls": []}


def test_faults_are_set_watched_and_taken_away(wire):
    made = wire.control("POST", "faults", json={"kind": "status", "status": 503, "times": 2}).json()["fault"]
    assert (made["kind"], made["status"], made["done"]) == ("status", 503, 0)
    assert wire.get("/v1/projects").status_code == 503
    [shown] = wire.control("GET", "faults").json()["faults"]
    assert shown == made | {"done": 1}
    assert wire.control("DELETE", "faults?kind=status").json() == {"faults": []}
    assert wire.get("/v1/projects").status_code == 200


def test_reset_brings_back_the_start(serve):
    wire = serve(faults=["status:times=0,endpoint=account_limit"])
    before = wire.leads_rows()
    wire.emulator.add_leads(3)
    wire.emulator.delete_lead(before[0]["id"])
    wire.emulator.clear_faults()
    wire.emulator.configure(page_size=3)
    state = wire.control("POST", "reset").json()
    assert state["requests"] == {}
    assert state["settings"]["page_size"] == 10
    assert [fault["kind"] for fault in state["faults"]] == ["status"]
    assert wire.leads_rows() == before
    assert wire.control("POST", "reset", json={"leads": 4}).json()["agents"][0]["leads"] == 4
    assert len(wire.leads_rows()) == 4


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "leads", {"count": 0}, "count must be"),
        ("POST", "leads", {"count": True}, "count must be"),
        ("POST", "leads", {"cuont": 1}, "unknown argument 'cuont'; known: count"),
        ("POST", "leads", {"created_at": "yesterday"}, "'yesterday' is no time"),
        ("POST", "leads", {"created_at": 1e300}, "outside the years"),
        ("POST", "leads", {"fields": 3}, "fields must be an object"),
        ("POST", "leads", {"count": 2, "fields": {"id": "a"}}, "one lead only"),
        ("POST", "leads", {"fields": {"id": "lead_10001"}}, "already"),
        ("POST", "leads", {"chatbot_id": "nobody"}, "no agent 'nobody'"),
        ("POST", "leads", {"chatbot_id": 5}, "chatbot_id must be a valid string"),
        ("PATCH", "leads/lead_1", {}, "no lead 'lead_1'"),
        ("DELETE", "leads/lead_99999", {}, "no lead"),
        ("DELETE", "leads/lead_%C2%B2", {}, "no lead"),
        ("POST", "sessions", {}, "missing: session_id"),
        ("POST", "sessions", {"session_id": ""}, "session_id"),
        ("POST", "sessions", {"session_id": "x", "messages": -1}, "messages must be"),
        ("POST", "messages", {"session_id": "x", "text": "y"}, "no session 'x'"),
        ("POST", "messages", {"session_id": "x", "text": 3}, "text must be a valid string"),
        ("POST", "messages", {"session_id": "x", "text": "y", "incoming": "no"}, "incoming must be"),
        ("POST", "faults", {}, "missing: kind"),
        ("POST", "faults", {"kind": "meteor"}, "unknown fault 'meteor'"),
        ("POST", "faults", {"kind": "drop", "endpoint": "nowhere"}, "endpoint names an unknown endpoint"),
        ("POST", "faults", {"kind": "drop", "size": 3}, "unknown option 'size'"),
        ("DELETE", "faults?kind=meteor", {}, "unknown fault 'meteor'"),
        ("PATCH", "settings", {"page_size": 0}, "page_size must be greater than or equal to 1"),
        ("PATCH", "settings", {"leads": 5}, "change it by a reset"),
        ("PATCH", "settings", {"pagesize": 5}, "unknown setting 'pagesize'"),
        ("POST", "reset", {"seed": "x"}, "seed must be a valid integer"),
        ("GET", "requests?limit=-1", None, "limit must be"),
    ],
)
def test_an_invalid_control_request_gets_a_400_with_the_reason(wire, method, path, body, expected):
    before = wire.control("GET", "state").json()
    answer = wire.control(method, path, json=body)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]
    assert wire.control("GET", "state").json() == before


@pytest.mark.parametrize(
    ("method", "path", "data", "status", "words"),
    [
        # curl -d sends a form's content type, whatever the body is
        ("POST", "leads", '{"count": 3}', 200, "leads"),
        ("POST", "leads", "{", 400, "error"),
        ("POST", "leads", "[1]", 400, "error"),
        ("POST", "leads", '"x"', 400, "error"),
        ("GET", "nothing", None, 404, "POST /_robofy_emulator/leads"),
    ],
)
def test_a_body_is_a_json_object_of_any_content_type_and_other_paths_list_the_known_ones(  # noqa: PLR0917
    wire, method, path, data, status, words
):
    answer = wire.control(method, path, data=data, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == status
    assert words in answer.text
