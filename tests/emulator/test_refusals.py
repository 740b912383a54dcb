import pytest
import requests


def test_a_missing_or_wrong_key_gets_the_first_documented_error_shape(wire):
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": "demo-key"}, {"Authorization": None}):
        answer = wire.get(wire.leads_path, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {
            "message": "Unauthorized",
            "error": {"code": "UNAUTHORIZED", "detail": "Authentication token is missing or invalid."},
        }


def test_the_second_documented_shape_is_there_when_asked_for(serve):
    wire = serve(error_shape="2")
    error = wire.get(wire.leads_path, headers={"Authorization": "Bearer wrong"}).json()
    assert error == {
        "error": {
            "code": "unauthorized",
            "message": "Authentication token is missing or invalid.",
            "details": {"field": "Authorization"},
        }
    }


def test_the_shapes_can_take_turns(serve):
    wire = serve(error_shape="alternate")
    shapes = ["message" in wire.get("/v1/projects/1").json() for _ in range(4)]
    assert shapes == [True, False, True, False]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/ai-agent/leads/1/{agent}", 404, "PROJECT_NOT_FOUND"),
        ("/v1/ai-agent/leads/abc/{agent}", 400, "BAD_REQUEST"),
        ("/v1/ai-agent/leads/24017/nobody", 404, "CHATBOT_NOT_FOUND"),
        ("/v1/ai-agent/leads/24017/%FF", 400, "BAD_REQUEST"),
        ("/v1/ai-agent/leads/24017/", 404, "NOT_FOUND"),
        ("/v1/ai-agent/leads/24017", 404, "NOT_FOUND"),
        ("/v1/ai-agent/inbox/sessions/nobody", 404, "CHATBOT_NOT_FOUND"),
        ("/v1/ai-agent/chatbot/99", 404, "PROJECT_NOT_FOUND"),
        ("/v1/ai-agent/chat", 405, "METHOD_NOT_ALLOWED"),
        ("/v2/anything", 404, "NOT_FOUND"),
        ("/", 404, "NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_refused(wire, path, status, code):
    answer = wire.get(path.format(agent=wire.agent))
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_another_key_is_accepted_if_set(serve):
    wire = serve(api_key="sécret ☃")
    assert wire.emulator.api_key == "sécret ☃"
    assert wire.get("/v1/projects", headers={"Authorization": "Bearer demo-key"}).status_code == 401
    key = "Bearer sécret ☃".encode()
    assert wire.get("/v1/projects", headers={"Authorization": key}).status_code == 200


def test_a_client_that_takes_the_emulator_for_its_proxy_is_answered(wire):
    answer = requests.get(
        "http://agents.example/v1/projects",
        proxies={"http": wire.emulator.url},
        headers={"Authorization": "Bearer demo-key"},
        timeout=10,
    )
    assert answer.json()["data"][0]["id"] == 24017


def test_a_failure_of_the_emulator_itself_is_a_500(wire, monkeypatch, caplog):
    monkeypatch.setattr(type(wire.emulator._server.world), "project_row", lambda self: 1 / 0)
    answer = wire.get("/v1/projects")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert "ZeroDivisionError" in caplog.text
