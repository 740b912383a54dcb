"""The probe against an emulator that answers each unknown in one way or another."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.probe.ask import Bounds
from tests.probe.conftest import PLANTED, plant


def test_an_account_as_it_is_assumed_needs_no_setting(robofy_emulator_factory, probe):
    found = probe(robofy_emulator_factory(order="none", sessions_order="none", leads=250))
    assert found.settings == {}
    assert found.survey.complete
    assert "SETTINGS TO COPY: none" in found.text
    assert found["leads", "order"].value == "mixed"
    assert found["leads", "envelope"].value == "data.report.rows"
    assert found["leads", "page size"].value == 100
    assert found["leads", "next page"].value == "data.report.next_page_token"
    assert found["leads", "columns"].found == "6 columns, just the fields of the rows"
    assert found["leads", "ids"].value == {"text": 250}
    assert found["leads", "duplicates"].value == {"within": 0, "between": 0}
    assert found["sessions", "expected fields"].found == "all there, and no others"


@pytest.mark.parametrize("order", ["newest_first", "oldest_first", "none"])
@pytest.mark.parametrize("listing", ["leads", "sessions"])
def test_the_order_is_seen_and_newest_first_is_set(robofy_emulator_factory, probe, listing, order):
    setting = "order" if listing == "leads" else "sessions_order"
    others = {"order": "none", "sessions_order": "none", setting: order}
    found = probe(robofy_emulator_factory(sessions=150, sessions_page_size=50, **others))
    assert found[listing, "order"].value == {"none": "mixed"}.get(order, order)
    assert found.settings == ({f"{listing}_order": "newest_first"} if order == "newest_first" else {})


@pytest.mark.parametrize("marker", ["absent", "null", "empty"])
@pytest.mark.parametrize("leads", [250, 2000])
def test_the_end_marker_is_seen_also_of_a_listing_too_long_to_read(robofy_emulator_factory, probe, marker, leads):
    found = probe(robofy_emulator_factory(leads=leads, end_marker=marker))
    assert found["leads", "end"].value == found["sessions", "end"].value == [marker]


@pytest.mark.parametrize(
    ("token_form", "leads", "value"),
    [
        ("base64", 450, "page numbers"),
        ("number", 450, "page numbers"),
        ("offset", 450, "row offsets"),
        ("opaque", 450, "no"),
        ("signed", 450, "no"),
        ("base64", 200, None),
    ],
)
@pytest.mark.parametrize("most", [1, 8])
def test_what_the_tokens_count_is_seen_of_two_in_a_row(
    robofy_emulator_factory, probe, token_form, leads, value, *, most
):
    emulator = robofy_emulator_factory(token_form=token_form, leads=leads)
    tokens = probe(emulator, max_parallel_pages=most)["leads", "foreseeable tokens"]
    assert tokens.value == value
    assert tokens.settings == {}
    advice = {1: "set max_parallel_pages to more than 1", 8: "Reads to the end may ask for 8 pages at a time"}[most]
    assert (advice in tokens.advice) == (value in {"page numbers", "row offsets"})
    assert ("max_parallel_pages has no effect" in tokens.advice) == (value == "no" and most > 1)


@pytest.mark.parametrize("envelope", ["bare", "named", "data", "data_list"])
@pytest.mark.parametrize("token_key", ["next_page_token", "nextPageToken"])
def test_the_envelope_and_the_token_of_other_listings_are_seen(robofy_emulator_factory, probe, envelope, token_key):
    emulator = robofy_emulator_factory(
        envelope=envelope, token_key=token_key, sessions_page_size=10, messages_page_size=2, messages=5
    )
    found = probe(emulator)
    at = {"bare": "", "named": "sessions", "data": "data.sessions", "data_list": "data"}[envelope]
    assert found["sessions", "envelope"].value == at
    assert found["messages", "envelope"].value == at.replace("sessions", "messages")
    token_at = {"named": token_key, "data": f"data.{token_key}", "data_list": token_key}.get(envelope)
    assert found["sessions", "next page"].value == token_at
    assert found["messages", "next page"].value == token_at
    assert found["messages", "order"].value == "oldest_first"


@pytest.mark.parametrize(
    ("time_format", "form"),
    [
        ("naive", "YYYY-MM-DD HH:MM:SS"),
        ("z", "YYYY-MM-DDTHH:MM:SSZ"),
        ("offset", "YYYY-MM-DDTHH:MM:SS+HH:MM"),
        ("epoch", "seconds since 1970"),
        ("epoch_ms", "milliseconds since 1970"),
    ],
)
def test_the_form_of_times_is_seen(robofy_emulator_factory, probe, time_format, form):
    found = probe(robofy_emulator_factory(time_format=time_format, timezone="Asia/Tokyo"))
    for topic, field in (("leads", "created_at"), ("sessions", "last_message_time"), ("messages", "created_at")):
        assert found[topic, "times"].value == {"field": field, "forms": [form]}
    assert (found["leads", "time zone"].value == "in the times") == (time_format != "naive")
    assert "timezone" not in found.settings


@pytest.mark.parametrize(
    ("zone", "hint", "setting"),
    [
        ("Asia/Tokyo", True, "Asia/Tokyo"),
        ("Asia/Tokyo", False, "Etc/GMT-9"),
        ("America/Bogota", False, "Etc/GMT+5"),
        ("Asia/Kolkata", False, "Asia/Kolkata"),
        ("Asia/Kathmandu", False, "Asia/Kathmandu"),
        ("UTC", False, None),
    ],
)
def test_a_lead_that_comes_meanwhile_shows_the_zone(robofy_emulator_factory, probe, zone, hint, setting):
    emulator = robofy_emulator_factory(timezone=zone, order="newest_first")
    if not hint:
        emulator.fault("status", status=403, endpoint="account_details", times=0)
    found = probe(emulator, meanwhile=emulator.add_leads)
    assert found.settings.get("timezone") == setting
    assert "1 lead that came between two reads" in found["leads", "time zone"].found
    assert found["leads", "changes"].value["new"] == 1


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("list_sessions", "/v1/ai-agent/inbox/sessions/24017/{chatbotId}"),
        ("list_sessions", "/ai-agent/inbox/sessions/{chatbotId}"),
        ("list_session_messages", "/v1/ai-agent/inbox/messages/{chatbotId}/{sessionId}"),
        ("list_leads", "/ai-agent/leads/{projectId}/{chatbotId}"),
        ("list_agents", "/v1/ai-agent/chatbots/{projectId}"),
    ],
)
def test_a_path_that_is_elsewhere_is_found_and_can_be_copied(robofy_emulator_factory, probe, endpoint, path):
    emulator = robofy_emulator_factory(order="none", sessions_order="none", crawl_idle="idle", paths={endpoint: path})
    found = probe(emulator)
    template = path
    for theirs, ours in (("projectId", "project_id"), ("chatbotId", "chatbot_id"), ("sessionId", "session_id")):
        template = template.replace(theirs, ours)
    assert found.settings == {"endpoints": {endpoint: template}}
    emulator.clear_requests()
    again = probe(emulator, **found.settings)
    assert again.settings == {}
    assert again.survey.complete
    assert 404 not in {request.status for request in emulator.requests}


def test_an_endpoint_that_the_connection_sets_wrongly_is_found_at_its_usual_place(robofy_emulator, probe):
    found = probe(robofy_emulator, endpoints={"list_sessions": "/v9/x/{chatbot_id}", "list_projects": "/v1/projects"})
    assert found.settings["endpoints"] == {
        "list_sessions": ENDPOINTS["list_sessions"][1],
        "list_projects": "/v1/projects",
    }


def test_an_agent_that_does_not_exist_is_reported_and_no_path_is_tried(robofy_emulator, probe):
    found = probe(robofy_emulator, chatbot_id="nobody")
    assert "does not exist for this key" in found["leads", "path"].advice
    assert [request.path for request in robofy_emulator.requests if request.endpoint == ""] == []


def test_without_ids_the_first_project_and_agent_are_taken_and_not_written(robofy_emulator, probe):
    found = probe(robofy_emulator, ids=False)
    assert found.survey.complete
    assert found["leads", "path"].value == "answers"
    assert not any(one in found.said for one in (robofy_emulator.chatbot_ids[0], "24017"))


@pytest.mark.parametrize(
    ("emulated", "missing"),
    [({"agents": 0}, "chatbot_id"), ({"faults": ["status:times=0,status=404,endpoint=list_projects"]}, "project_id")],
)
def test_ids_that_cannot_be_found_out_are_asked_for(robofy_emulator_factory, probe, emulated, missing):
    found = probe(robofy_emulator_factory(**emulated), ids=False)
    assert found["other", missing].open
    assert f"--{missing.replace('_', '-')}" in found["other", missing].advice
    assert not found.survey.complete


def test_leads_that_change_or_vanish_are_counted(robofy_emulator, probe):
    changed, deleted = robofy_emulator.leads()[:2]

    def meanwhile():
        robofy_emulator.change_lead(changed["id"], source="x")
        robofy_emulator.delete_lead(deleted["id"])

    change = probe(robofy_emulator, meanwhile=meanwhile)["leads", "changes"]
    assert (change.value["changed"], change.value["vanished"]) == (1, 1)
    assert "1 changed and 1 vanished in" in change.found


def test_unchanged_leads_are_reported_with_the_time_between_the_reads(robofy_emulator, probe):
    change = probe(robofy_emulator, bounds=Bounds(wait=1.2))["leads", "changes"]
    assert change.value["seconds"] >= 1
    assert "not seen to change in" in change.found
    assert change.value["unchanged"] == 100


def test_forms_and_speakers_are_counted_by_known_words_and_not_written(robofy_emulator_factory, probe):
    emulator = robofy_emulator_factory(sessions=0)
    plant(emulator)
    emulator.add_message(PLANTED["phone"], "yes", incoming=False)
    found = probe(emulator)
    form = found["leads", "form fields"].value
    assert form["types"]["email"] > 100
    assert form["types"]["another word"] == 1
    assert form["different_names"] > 5
    assert PLANTED["label"] not in found.said
    assert found["messages", "speakers"].value["sender"] == {"another word": 1, "agent": 1}
    assert found["messages", "speakers"].value["direction"] == {"incoming": 1, "outgoing": 1}


def test_unknown_names_are_written_on_demand_and_values_never(robofy_emulator, probe):
    plant(robofy_emulator)
    found = probe(robofy_emulator, reveal=True)
    assert "plantina_persson" in found.said
    for name in ("name", "mail", "phone", "address", "id", "text", "type", "key"):
        assert PLANTED[name] not in found.said
    assert "Größe (m²) ☀️ (" in found["leads", "form field names"].found
    assert PLANTED["label"] in found["leads", "form field names"].found


@pytest.mark.parametrize(("word", "said"), [("running", "status: running"), ("Plantina", "does not know")])
def test_the_status_of_a_crawl_is_written_if_it_is_a_known_word(robofy_emulator_factory, probe, word, said):
    found = probe(robofy_emulator_factory(crawl_idle=word))
    assert said in found["other", "get_crawl_status"].found
    assert "Plantina" not in found.said


def test_nothing_personal_is_ever_in_a_report(robofy_emulator_factory, probe):
    emulator = robofy_emulator_factory(leads=120, error_shape="2")
    plant(emulator)
    emulator.fault("status", status=400, code=PLANTED["phone"], message=PLANTED["mail"], endpoint="account_limit")
    emulator.fault("status", status=500, message=PLANTED["name"], endpoint="message_stats", times=0)
    rows = emulator.leads()
    private = {row[name] for row in rows for name in ("id", "ip_address")} | set(PLANTED.values())
    private |= {
        str(entry["field_value"]) for row in rows for entry in row["lead_data"] if entry["field_type"] == "email"
    }
    private |= {"owner@example.com", "Example Ltd", emulator.api_key, *emulator.chatbot_ids[1:]}
    sessions = emulator._server.world.agents[emulator.chatbot_ids[0]].sessions.listed("none")
    private |= {session.session_id for session in sessions}
    for reveal in (False, True):
        said = probe(emulator, reveal=reveal).said
        leaked = {one for one in private if one in said} - ({PLANTED["label"]} if reveal else set())
        assert leaked == set()


NO_HINT = "status:status=403,endpoint=account_details,times=0"


@pytest.mark.parametrize(
    ("emulated", "connection", "arrival", "finding", "told", "settings"),
    [
        # the order of a listing
        ({"order": "newest_first"}, {"leads_order": "newest_first"}, "", ("leads", "order"),
         {"assumed": "newest_first", "open": False}, {}),
        ({"order": "oldest_first"}, {"leads_order": "newest_first"}, "", ("leads", "order"), {"value": "oldest_first"},
         {"leads_order": "unknown"}),
        ({"leads": 5, "order": "newest_first"}, {}, "", ("leads", "order"),
         {"value": "newest_first", "advice": "Too few rows"}, {}),
        # the time zone, and the clock that counts
        ({"timezone": "Asia/Tokyo"}, {"timezone": "Asia/Tokyo"}, "meanwhile", ("leads", "time zone"),
         {"found": "UTC+09:00", "advice": "", "open": False}, {}),
        ({"timezone": "Asia/Tokyo"}, {}, "before", ("leads", "time zone"),
         {"found": "in the future: the zone is UTC+09:00 or east of it"}, {"timezone": "Asia/Tokyo"}),
        ({"timezone": "Asia/Tokyo", "faults": [NO_HINT]}, {}, "before", ("leads", "time zone"),
         {"open": True, "advice": "cannot be right. To know it, probe with --wait"}, {}),
        ({"timezone": "Europe/Berlin"}, {}, "", ("leads", "time zone"),
         {"found": "does not show the zone", "advice": "Europe/Berlin"}, {}),
        ({"clock_offset": 7200}, {}, "meanwhile", ("answers", "clock"), {"found": "2 h ahead of this machine's"}, {}),
        # rows
        ({"faults": ["duplicate_rows:page=2,count=3"], "order": "newest_first"}, {}, "", ("leads", "duplicates"),
         {"value": {"within": 0, "between": 3}}, {"leads_order": "newest_first"}),
        ({"message_ids": True}, {}, "", ("messages", "message id"), {"value": ["id"]}, {}),
        ({"message_ids": False}, {}, "", ("messages", "message id"), {"value": []}, {}),
        # answers that the provider cannot read, that lead nowhere, or that fail when they are asked for again
        ({"faults": ["status:times=0,endpoint=list_leads,after=3"]}, {}, "", ("leads", "changes"),
         {"open": True, "found": "not compared"}, {}),
        ({"faults": ["token_unknown:endpoint=list_leads"]}, {}, "", ("leads", "next page"), {"open": True}, {}),
        ({"faults": ["token_unknown:endpoint=list_leads"]}, {}, "", ("leads", "page size"),
         {"found": "100 rows, all on one page"}, {}),
        ({"faults": ["missing_list:endpoint=list_leads"]}, {}, "", ("leads", "envelope"), {"open": True}, {}),
        ({"leads": 1000, "faults": ["token_loop:endpoint=list_leads,page=2"]}, {}, "", ("leads", "next page"),
         {"found": "leads back"}, {}),
        ({"paths": {"list_sessions": "/v7/of/{chatbotId}"}}, {}, "", ("sessions", "path"),
         {"open": True, "advice": "extra endpoints as 'list_sessions'"}, {}),
        # errors, and what is dropped
        ({"error_shape": "1"}, {}, "", ("answers", "errors"), {"value": {"documented shape 1": 3}}, {}),
        ({"error_shape": "2"}, {}, "", ("answers", "errors"), {"value": {"documented shape 2": 3}}, {}),
        ({}, {}, "", ("other", "retrieve_agent_settings"), {"found": "value of llm_api_key was dropped"}, {}),
    ],
)  # fmt: skip
def test_what_an_account_does_becomes_a_finding_and_settings(
    robofy_emulator_factory, probe, *, emulated, connection, arrival, finding, told, settings
):
    emulator = robofy_emulator_factory(**{"order": "none", "sessions_order": "none", **emulated})
    if arrival == "before":
        emulator.add_leads(1)
    found = probe(emulator, meanwhile=emulator.add_leads if arrival == "meanwhile" else None, **connection)
    for name, value in told.items():
        shown = getattr(found[finding], name)
        assert value in shown if isinstance(value, str) and value else shown == value
    assert found.settings == settings
    assert found.survey.complete is not any(one.open for one in found.survey.findings)
    assert "sk-emulated" not in found.said
