import pytest
import requests


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


DETAIL = "Authentication token is missing or invalid."
FIRST = {"message": "Unauthorized", "error": {"code": "UNAUTHORIZED", "detail": DETAIL}}
SECOND = {"error": {"code": "unauthorized", "message": DETAIL, "details": {"field": "Authorization"}}}


@pytest.mark.parametrize(
    ("shape", "shown"), [("1", [FIRST] * 3), ("2", [SECOND] * 3), ("alternate", [FIRST, SECOND, FIRST])]
)
def test_a_missing_or_wrong_key_gets_the_documented_error_shape_that_is_set(serve, shape, shown):
    wire = serve(error_shape=shape)
    answers = [wire.get("/v1/projects", headers={"Authorization": key}) for key in ("Bearer wrong", "demo-key", None)]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert [answer.json() for answer in answers] == shown
