"""What is refused: with a documented error shape, and without a change."""

import pytest
import requests

AGENTS = "/v1/ai-agent/chatbot/24017"
UPLOAD = "/v1/ai-agent/upload_file/24017"
TEXT = "/v1/ai-agent/link_content/24017"
CHAT = "/v1/ai-agent/chat"
CRAWL = "/v1/ai-agent/crawl_website"
SITE = [{"url": "https://example.com"}]
PDF = ("a.pdf", b"x")
PART = b"--b\r\nContent-Disposition: form-data; name="
FIRST_AGENT = "HbZ7N26z40HXzHFDFIZSfKNX_WK7SQP3YGdNJtvrOQ"  # by the usual seed
BODY = {"query": "x", "pid": 24017, "content": "x", "user_context": {}, "chatbot_id": FIRST_AGENT}


def form(body, content_type="multipart/form-data; boundary=b"):
    return {"data": body, "headers": {"Content-Type": content_type}}


def lacking(name):
    return {"json": {key: value for key, value in BODY.items() if key != name}}


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "words"),
    [
        # paths
        ("GET", "/v1/ai-agent/leads/1/{agent}", {}, 404, "PROJECT_NOT_FOUND"),
        ("GET", "/v1/ai-agent/leads/abc/{agent}", {}, 400, "BAD_REQUEST"),
        ("GET", "/v1/ai-agent/leads/24017/nobody", {}, 404, "CHATBOT_NOT_FOUND"),
        ("GET", "/v1/ai-agent/leads/24017/%FF", {}, 400, "BAD_REQUEST"),
        ("GET", "/v1/ai-agent/leads/24017/", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/ai-agent/leads/24017", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/ai-agent/inbox/sessions/nobody", {}, 404, "CHATBOT_NOT_FOUND"),
        ("GET", "/v1/ai-agent/chatbot/99", {}, 404, "PROJECT_NOT_FOUND"),
        ("GET", CHAT, {}, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v2/anything", {}, 404, "NOT_FOUND"),
        ("GET", "/", {}, 404, "NOT_FOUND"),
        # files
        ("POST", UPLOAD, {"files": {"other": PDF}}, 400, "file is required"),
        ("POST", UPLOAD, {"files": {"file": ("a.exe", b"x")}}, 400, "not supported"),
        ("POST", UPLOAD, {"files": {"file": ("a.pdf", b"")}}, 400, "empty"),
        ("POST", UPLOAD, {"files": [("file", PDF), ("file", PDF)]}, 400, "one file"),
        ("POST", UPLOAD, {"files": {"file": PDF}, "data": {"chatbot_id": "nobody"}}, 404, "chatbot"),
        # bodies that are no proper form
        ("POST", UPLOAD, form(b"{}", "application/json"), 400, "BAD_REQUEST"),
        ("POST", UPLOAD, form(b"x", "multipart/form-data"), 400, "BAD_REQUEST"),
        ("POST", UPLOAD, form(b"x"), 400, "BAD_REQUEST"),
        ("POST", UPLOAD, form(PART + b'"file"\r\n\r\nx\r\n--b--'), 400, "BAD_REQUEST"),
        ("POST", UPLOAD, form(PART + b'"m"\r\n\r\n\xff\r\n--b--'), 400, "BAD_REQUEST"),
        # fields that are missing or of another kind
        *(("POST", TEXT, lacking(name), 400, name) for name in ("chatbot_id", "content")),
        *(("POST", CHAT, lacking(name), 400, name) for name in ("query", "pid", "chatbot_id", "user_context")),
        *(("POST", AGENTS, {"data": body}, 400, "BAD_REQUEST") for body in (b"", b"{", b"[]")),
        *(("POST", AGENTS, {"json": body}, 400, "name") for body in ({"name": ""}, {"name": 3}, {"description": "x"})),
        *(
            ("POST", CRAWL, {"json": {"start_urls": urls}}, 400, "start_urls")
            for urls in ([], "https://example.com", ["https://example.com"], [{"url": "ftp://example.com"}])
        ),
        ("POST", CRAWL, {"json": {}}, 400, "start_urls"),
        ("POST", CRAWL, {"json": {"start_urls": SITE, "chatbot_id": 5}}, 400, "chatbot_id"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_with_the_reason_and_changes_nothing(  # noqa: PLR0917
    wire, method, path, options, status, words
):
    answer = wire.call(method, path.format(agent=wire.agent), **options)
    assert answer.status_code == status
    assert words in answer.text
    emulator = wire.emulator
    assert (emulator.assets(), emulator.crawls(), len(emulator.chatbot_ids)) == ([], [], 3)


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


def test_another_key_is_accepted_if_set(serve):
    wire = serve(api_key="sécret ☃")
    keys = {"Bearer demo-key": 401, "Bearer sécret ☃".encode(): 200}
    for key, status in keys.items():
        assert wire.get("/v1/projects", headers={"Authorization": key}).status_code == status
