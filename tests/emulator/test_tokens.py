"""Page tokens in every form: what they look like, that they lead through a listing, and that strangers are refused."""

import re
from urllib.parse import quote

import pytest

FORMS = ("base64", "number", "offset", "opaque", "signed")
AGENTS = "/v1/ai-agent/chatbot/24017"


def first_token(wire):
    return wire.json(wire.leads_path)["data"]["report"]["next_page_token"]


@pytest.mark.parametrize("prerender", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_leads_through_the_whole_listing(serve, form, prerender):
    wire = serve(token_form=form, prerender=prerender)
    pages = wire.leads_pages()
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [row for page in pages for row in page] == wire.emulator.leads()
    assert [request.page for request in wire.emulator.requests] == [1, 2, 3]


@pytest.mark.parametrize("form", FORMS)
def test_the_other_listings_have_the_same_form(serve, form):
    wire = serve(token_form=form, agents=3, agents_page_size=2, sessions_page_size=5, messages=4, messages_page_size=3)
    sessions = f"/v1/ai-agent/inbox/sessions/{wire.agent}"
    first = wire.json(sessions)
    second = wire.json(sessions, params={"nextPageToken": first["next_page_token"]})
    assert len({row["session_id"] for row in first["sessions"] + second["sessions"]}) == 8
    assert "next_page_token" not in second
    messages = f"/v1/ai-agent/inbox/chats/{wire.agent}/{quote(first['sessions'][0]['session_id'], safe='')}"
    for path, rest in ((AGENTS, 1), (messages, 1)):
        token = wire.json(path)["next_page_token"]
        assert len(wire.json(path, params={"next_page_token": token})["data"]) == rest
    busy = wire.emulator.add_leads(12, session_id="busy")
    assert wire.leads_rows(sessionId="busy") == busy[::-1]


@pytest.mark.parametrize(
    ("form", "shown"),
    [("base64", "eyJwYWdlIjoyfQ=="), ("number", 2), ("offset", 10), ("opaque", None), ("signed", None)],
)
def test_a_token_has_its_form(serve, form, shown):
    token = first_token(serve(token_form=form))
    if form == "opaque":
        assert re.fullmatch(r"[\w-]{32}", token)
    elif form == "signed":
        assert re.fullmatch(r"2\.[A-Za-z0-9+/]+=+", token)
    else:
        assert token == shown
        assert type(token) is type(shown)


def test_opaque_tokens_differ_from_server_to_server_and_stay_on_one(serve):
    wire, other = serve(token_form="opaque"), serve(token_form="opaque")
    token = first_token(wire)
    assert first_token(wire) == token
    assert first_token(other) != token
    assert other.get(other.leads_path, params={"nextPageToken": token}).status_code == 400
    wire.emulator.configure(page_size=5)
    assert wire.get(wire.leads_path, params={"nextPageToken": token}).status_code == 200
    wire.emulator.configure(token_form="offset")
    assert wire.get(wire.leads_path, params={"nextPageToken": token}).status_code == 400
    assert wire.json(wire.leads_path, params={"nextPageToken": "0"}) == wire.json(wire.leads_path)
    wire.emulator.configure(token_form="opaque")
    token = first_token(wire)
    wire.emulator.reset()
    assert wire.get(wire.leads_path, params={"nextPageToken": token}).status_code == 400


def test_signed_tokens_depend_on_the_seed_alone(serve):
    wire = serve(token_form="signed")
    token = first_token(wire)
    assert wire.get(wire.leads_path, params={"nextPageToken": f"3{token[1:]}"}).status_code == 400, "of another page"
    assert first_token(serve(token_form="signed")) == token
    assert first_token(serve(token_form="signed", seed=2)) != token


@pytest.mark.parametrize("form", ["opaque", "signed"])
def test_a_token_of_another_listing_is_refused(serve, form):
    wire = serve(token_form=form, sessions_page_size=5)
    params = {"nextPageToken": first_token(wire)}
    second = quote(wire.emulator.chatbot_ids[1], safe="")
    assert wire.get(wire.leads_path, params=params).status_code == 200
    for path in (f"/v1/ai-agent/leads/24017/{second}", f"/v1/ai-agent/inbox/sessions/{wire.agent}"):
        assert wire.get(path, params=params).status_code == 400
    assert wire.get(wire.leads_path, params={**params, "sessionId": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("form", "tokens"),
    [
        ("base64", ["x", "eyJwYWdlIjowfQ==", "eyJwYWdlIjoiMiJ9", "W10=", "bnVsbA==", "e30=", "=", "ÿ"]),
        ("number", ["0", "-1", "1.5", "x", "eyJwYWdlIjoyfQ==", "9" * 5000]),
        ("offset", ["-1", "-10", "x", "1e1"]),
        ("opaque", ["x", "2", "eyJwYWdlIjoyfQ=="]),
        ("signed", ["2", "2.", "2.x", "x.y", "eyJwYWdlIjoyfQ==", "ÿ"]),
    ],
)
def test_a_token_that_was_never_given_is_refused_in_every_form(serve, form, tokens):
    wire = serve(token_form=form)
    answers = [wire.get(wire.leads_path, params={"nextPageToken": token}) for token in tokens]
    assert [answer.status_code for answer in answers] == [400] * len(tokens)
    assert {answer.json()["error"]["code"] for answer in answers} == {"BAD_REQUEST"}


@pytest.mark.parametrize("form", FORMS)
def test_a_token_loop_and_an_empty_last_page_work_in_every_form(serve, form):
    wire = serve(token_form=form, leads=20, trailing_empty_page=True)
    assert [len(page) for page in wire.leads_pages()] == [10, 10, 0]
    token = first_token(wire)
    wire.emulator.fault("token_loop", page=2)
    report = wire.json(wire.leads_path, params={"nextPageToken": token})["data"]["report"]
    assert report["next_page_token"] == token
