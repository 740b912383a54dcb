import base64
import re
from urllib.parse import quote

import pytest

COLUMNS = ["id", "created_at", "source", "page_url", "ip_address", "lead_data"]


def test_a_page_of_leads_has_the_documented_shape(wire):
    answer = wire.get(wire.leads_path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Date"].endswith("GMT")
    content = answer.json()
    assert list(content) == ["message", "data"]
    assert content["message"] == "Leads retrieved successfully."
    report = content["data"]["report"]
    assert list(report) == ["columns", "rows", "next_page_token"]
    assert report["columns"] == COLUMNS
    for row in report["rows"]:
        assert list(row) == COLUMNS
        assert row["id"].startswith("lead_")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["created_at"])
        for each in row["lead_data"]:
            assert list(each) == ["field_name", "field_type", "field_value"]


def test_pages_cover_every_lead_once_newest_first(wire):
    pages = wire.leads_pages()
    assert [len(page) for page in pages] == [10, 10, 5]
    rows = [row for page in pages for row in page]
    assert len({row["id"] for row in rows}) == 25
    times = [row["created_at"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert times[0] == "2025-01-15 10:30:00"
    assert rows == wire.emulator.leads()


def test_a_page_beyond_the_end_is_empty_and_the_last(wire):
    token = base64.b64encode(b'{"page":99}').decode()
    report = wire.json(wire.leads_path, params={"nextPageToken": token})["data"]["report"]
    assert report == {"columns": COLUMNS, "rows": []}


@pytest.mark.parametrize(
    ("time_format", "zone", "shown"),
    [
        ("naive", "UTC", "2025-01-15 10:30:00"),
        ("naive", "Europe/Berlin", "2025-01-15 11:30:00"),
        ("z", "Europe/Berlin", "2025-01-15T10:30:00Z"),
        ("offset", "Europe/Berlin", "2025-01-15T11:30:00+01:00"),
        ("offset", "UTC", "2025-01-15T10:30:00+00:00"),
        ("epoch", "Asia/Tokyo", 1736937000),
        ("epoch_ms", "UTC", 1736937000000),
    ],
)
def test_times_are_written_in_the_format_and_zone_asked_for(serve, time_format, zone, shown):
    wire = serve(leads=3, spacing=0, time_format=time_format, timezone=zone)
    assert [row["created_at"] for row in wire.leads_rows()] == [shown] * 3, "without spacing all have one time"


def test_lead_data_is_as_free_form_as_the_real_one(serve):
    wire = serve(leads=2000, page_size=2000)
    rows = wire.leads_rows()
    values = [field["field_value"] for row in rows for field in row["lead_data"]]
    assert {type(value) for value in values} == {str, int, float, bool, type(None), list, dict}
    assert any(not str(value).isascii() for value in values)
    names = [[field["field_name"] for field in row["lead_data"]] for row in rows]
    assert any(len(each) != len(set(each)) for each in names)


def test_a_session_lists_its_own_leads_only(serve):
    wire = serve(sessions=8, sessions_page_size=0)
    everything = wire.leads_rows()
    sessions = wire.json(f"/v1/ai-agent/inbox/sessions/{wire.agent}")["sessions"]
    found = [wire.leads_rows(sessionId=session["session_id"]) for session in sessions]
    assert found[0] == everything[:2]
    assert found[3] == []
    assert found[4] == everything[8:10]
    together = [row["id"] for rows in found for row in rows]
    assert len(together) == len(set(together)) == 12


def test_leads_of_one_session_are_paged_too(serve):
    wire = serve(page_size=4)
    added = wire.emulator.add_leads(10, session_id="+49 151/1")
    assert wire.leads_rows(sessionId="nobody") == []
    pages = wire.leads_pages(sessionId="+49 151/1")
    assert [len(page) for page in pages] == [4, 4, 2]
    assert [row for page in pages for row in page] == added[::-1]


@pytest.mark.serial
def test_a_million_leads_start_at_once_and_any_page_is_quick(serve):
    wire = serve(leads=1_000_000, agents=2, page_size=100)
    token = base64.b64encode(b'{"page":10000}').decode()
    answer = wire.get(wire.leads_path, params={"nextPageToken": token})
    assert answer.elapsed.total_seconds() < 3
    report = answer.json()["data"]["report"]
    assert len(report["rows"]) == 100
    assert report["rows"][-1]["id"] == "lead_10001"
    assert "next_page_token" not in report
    [added] = wire.emulator.add_leads()
    assert wire.json(wire.leads_path)["data"]["report"]["rows"][0] == added


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(serve):
    paths = [
        lambda wire: wire.leads_path,
        lambda wire: f"/v1/ai-agent/inbox/sessions/{wire.agent}",
        lambda wire: "/v1/ai-agent/chatbot/24017",
        lambda wire: f"/v1/ai-agent/chatbot_ai_settings/24017/{wire.agent}",
    ]
    one, same, other = serve(), serve(), serve(seed=2)
    for path in paths:
        assert one.get(path(one)).content == same.get(path(same)).content
        assert one.get(path(one)).content != other.get(path(other)).content
    session = one.json(paths[1](one))["sessions"][0]["session_id"]
    messages = f"/v1/ai-agent/inbox/chats/{one.agent}/{quote(session, safe='')}"
    assert one.get(messages).content == same.get(messages).content


@pytest.mark.parametrize("query", [{"nextPageToken": ""}, {"since": "2025-01-01", "limit": "1"}])
def test_an_empty_token_and_unknown_parameters_change_nothing(wire, query):
    assert wire.json(wire.leads_path, params=query) == wire.json(wire.leads_path)


def test_rows_move_along_pages_when_leads_arrive_or_go_between_them(wire):
    everything = wire.emulator.leads()
    first = wire.json(wire.leads_path)["data"]["report"]
    second = {"nextPageToken": first["next_page_token"]}
    wire.emulator.add_leads(2)
    assert wire.json(wire.leads_path, params=second)["data"]["report"]["rows"][:2] == first["rows"][-2:]
    for row in first["rows"][:3]:
        wire.emulator.delete_lead(row["id"])
    assert wire.json(wire.leads_path, params=second)["data"]["report"]["rows"][0] == everything[11]


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"leads": 20}, [10, 10]),
        ({"leads": 20, "trailing_empty_page": True}, [10, 10, 0]),
        ({"leads": 0}, [0]),
        ({"leads": 0, "trailing_empty_page": True}, [0]),
    ],
)
def test_a_full_last_page_has_no_token_unless_an_empty_one_shall_follow(serve, settings, sizes):
    assert [len(page) for page in serve(**settings).leads_pages()] == sizes


@pytest.mark.parametrize(
    ("marker", "shown"), [("absent", {}), ("null", {"next_page_token": None}), ("empty", {"next_page_token": ""})]
)
def test_the_last_page_has_the_end_marker_of_the_setting(serve, marker, shown):
    wire = serve(leads=3, end_marker=marker)
    report = wire.json(wire.leads_path)["data"]["report"]
    assert {name: value for name, value in report.items() if name not in {"columns", "rows"}} == shown


def test_agents_share_no_lead_and_each_lists_its_own_in_every_order(wire):
    newest = wire.leads_rows()
    wire.emulator.configure(order="oldest_first")
    assert wire.leads_rows() == newest[::-1]
    wire.emulator.configure(order="none")
    scattered = wire.leads_rows()
    assert scattered not in (newest, newest[::-1])
    assert sorted(scattered, key=lambda row: row["id"]) == newest[::-1]
    assert len({row["id"] for agent in wire.emulator.chatbot_ids for row in wire.emulator.leads(agent)}) == 75
