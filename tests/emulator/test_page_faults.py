import pytest

SECOND = {"nextPageToken": "eyJwYWdlIjoyfQ=="}


def rows(wire, **query):
    return wire.json(wire.leads_path, params=query)["data"]["report"]["rows"]


def test_duplicate_rows_repeat_the_end_of_the_page_before(wire):
    clean = wire.leads_pages()
    wire.emulator.fault("duplicate_rows", count=2)
    spoilt = wire.leads_pages()
    assert spoilt == [clean[0], clean[0][-2:] + clean[1], clean[1][-2:] + clean[2]]


def test_changed_rows_have_a_known_id_and_other_content(wire):
    wire.emulator.fault("changed_rows", count=2, page=1)
    shown = rows(wire)
    assert [row["id"] for row in shown[10:]] == [row["id"] for row in shown[:2]]
    for old, new in zip(shown, shown[10:], strict=False):
        assert old != new
        assert old["lead_data"] == new["lead_data"][:-1]


@pytest.mark.parametrize("envelope", ["bare", "named", "data", "data_list"])
def test_other_listings_can_be_spoilt_too(serve, envelope):
    wire = serve(envelope=envelope)
    path = f"/v1/ai-agent/inbox/sessions/{wire.agent}"
    wire.emulator.fault("malformed_rows", count=3, times=1)
    wire.emulator.fault("missing_list", after=1)
    assert wire.get(path).text.count("malformed") == 2
    assert "session_id" not in wire.get(path).text


def test_page_faults_combine_with_each_other_and_with_the_sending(wire):
    clean = rows(wire, **SECOND)
    wire.emulator.fault("duplicate_rows", count=1)
    wire.emulator.fault("disorder")
    wire.emulator.fault("trickle", bytes=1000, delay=0.001, chunked=True)
    shown = rows(wire, **SECOND)
    assert len(shown) == 11
    assert shown[0] == clean[-1]
    assert wire.emulator.requests[-1].faults == ("duplicate_rows", "disorder", "trickle")


@pytest.mark.parametrize(
    ("how", "check"),
    [
        ("no_id", lambda row: isinstance(row, dict) and "id" not in row),
        ("bad_date", lambda row: isinstance(row, dict) and row.get("created_at") == "soon"),
        ("not_object", lambda row: not isinstance(row, dict)),
        ("odd_id", lambda row: isinstance(row, dict) and list(row["id"]) == ["value"]),
    ],
)
def test_malformed_rows_can_be_of_one_kind(wire, how, check):
    wire.emulator.fault("malformed_rows", count=4, how=how, times=1)
    assert wire.get("/v1/account/details").status_code == 200, "other endpoints do not use it up"
    assert sum(map(check, rows(wire))) == 4


def test_disorder_swaps_rows(wire):
    clean = rows(wire)
    wire.emulator.fault("disorder", count=2)
    assert rows(wire) == [clean[9], clean[8], *clean[2:8], clean[1], clean[0]] == rows(wire), "and so it stays"


def test_malformed_rows_are_added_to_the_good_ones(wire):
    clean = rows(wire)
    wire.emulator.fault("malformed_rows", count=3, times=1)
    shown = rows(wire)
    assert [row for row in shown if row in clean] == clean
    no_id, bad_date, no_object = [row for row in shown if row not in clean]
    assert "id" not in no_id
    assert bad_date["created_at"] == "soon"
    assert bad_date["id"] not in [row["id"] for row in clean]
    assert isinstance(no_object, str)
    assert rows(wire) == clean


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        ("token_loop", {"columns", "rows", "next_page_token"}),
        ("token_unknown", {"columns", "rows", "continuation"}),
        ("token_unknown:key=cursor", {"columns", "rows", "cursor"}),
        ("missing_list", {"columns", "next_page_token"}),
    ],
)
def test_a_page_lacks_its_list_or_has_its_token_elsewhere(serve, fault, names):
    wire = serve(faults=[fault])
    report = wire.json(wire.leads_path, params=SECOND if fault == "token_loop" else {})["data"]["report"]
    assert set(report) == names
    assert SECOND["nextPageToken"] in report.values()
