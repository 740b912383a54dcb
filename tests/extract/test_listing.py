"""One run, from the first page to the published manifest."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.api.client import Page, RobofyClient
from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.errors import (
    RobofyConnectionError,
    RobofyDataError,
    RobofyError,
    RobofyLandingError,
)
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract import listing as listing_module
from airflow_provider_robofy.extract.landing import Landing

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
MakeRun = Callable[..., Any]
MakePages = Callable[..., list[Page]]


@pytest.fixture(autouse=True)
def _hear_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "airflow_provider_robofy")


def lead(row_id: Any, at: Any = "2025-01-15 10:30:00", **fields: Any) -> dict[str, Any]:
    return {"id": row_id, "created_at": at, **fields}


def day(number: int) -> str:
    return f"2025-01-{number:02} 10:00:00"


def newest_first(*days: int) -> list[dict[str, Any]]:
    return [lead(f"d{number}", day(number)) for number in days]


def ids(target: Any, name: str = "leads.jsonl") -> list[Any]:
    return [row["id"] for row in target.rows(name)]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# ------------------------------------------------------------------------------------------------------------- whole
def test_a_full_run_lands_everything_and_accounts_for_it(run: MakeRun, pages: MakePages, local_target: Any) -> None:
    listing = pages(
        [lead("a", name="Ánna"), lead("b", "soon"), "text"],
        [lead("a", name="Ánna"), lead("a", name="Anna"), lead("c", "2025-01-14T23:00:00-05:00")],
        end_marker="null",
    )

    manifest = run()(listing, requests=3).as_dict()

    files = local_target.files()
    assert files.keys() == {"leads.jsonl", "leads.jsonl.manifest.json", "leads.jsonl.rejected.jsonl"}
    stamp = {"_project_id": "24017", "_chatbot_id": "agent-a"}
    assert local_target.rows() == [
        lead("a", name="Ánna") | stamp | {"_created_at": "2025-01-15T10:30:00+00:00"},
        lead("b", "soon") | stamp | {"_created_at": None},
        lead("a", name="Anna") | stamp | {"_created_at": "2025-01-15T10:30:00+00:00"},
        lead("c", "2025-01-14T23:00:00-05:00") | stamp | {"_created_at": "2025-01-15T04:00:00+00:00"},
    ]
    assert local_target.rows("leads.jsonl.rejected.jsonl") == [
        {"page": 1, "position": 2, "reason": "the row is not an object", "row": "text"}
    ]
    assert (
        manifest.items()
        >= {
            "schema_version": 1,
            "resource": "leads",
            "mode": "full",
            "project_id": "24017",
            "chatbot_id": "agent-a",
            "uri": local_target.store().uri,
            "format": "jsonl",
            "rows": 4,
            "received": 6,
            "duplicates": 1,
            "outside_window": 0,
            "rejected": 1,
            "rejected_uri": local_target.store().uri + ".rejected.jsonl",
            "undated": 1,
            "future": 0,
            "pages": 2,
            "requests": 3,
            "end_marker": "null",
            "since": None,
            "until": None,
            "first_at": "2025-01-15T04:00:00+00:00",
            "last_at": "2025-01-15T10:30:00+00:00",
            "row_order": "newest_first",
            "watermark_before": None,
            "watermark_after": None,
            "bytes": len(files["leads.jsonl"]),
            "sha256": hashlib.sha256(files["leads.jsonl"]).hexdigest(),
            "run_key": "dag/run/task",
            "started_at": "2025-06-01T12:00:00+00:00",
            "finished_at": "2025-06-01T12:00:00+00:00",
        }.items()
    )
    assert local_target.manifest() == manifest


def test_a_window_run_lands_the_window_and_says_so(run: MakeRun, pages: MakePages, local_target: Any) -> None:
    listing = pages(newest_first(18, 17, 16), [*newest_first(15, 14), lead("u", "soon"), lead(None, day(15))])

    manifest = run(since="2025-01-15", until="2025-01-17")(listing)

    assert ids(local_target) == ["d16", "d15"]
    assert (manifest.mode, manifest.since, manifest.until) == (
        "window",
        "2025-01-15T00:00:00+00:00",
        "2025-01-17T00:00:00+00:00",
    )
    assert (manifest.rows, manifest.outside_window, manifest.rejected, manifest.undated) == (2, 3, 2, 0)
    assert (manifest.first_at, manifest.last_at) == ("2025-01-15T10:00:00+00:00", "2025-01-16T10:00:00+00:00")
    assert [(row["page"], row["position"]) for row in local_target.rows("leads.jsonl.rejected.jsonl")] == [
        (2, 2),
        (2, 3),
    ]


@pytest.mark.parametrize("name", ["leads.jsonl", "leads.jsonl.gz"])
def test_an_empty_listing_lands_an_empty_file_and_a_manifest(
    run: MakeRun, pages: MakePages, local_target: Any, name: str
) -> None:
    import gzip

    manifest = run(local_target.store(name))(pages([]))

    content = local_target.files()[name]
    assert (gzip.decompress(content) if name.endswith(".gz") else content) == b""
    assert (manifest.rows, manifest.received, manifest.pages, manifest.row_order) == (0, 0, 1, "unknown")
    assert (manifest.bytes, manifest.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (manifest.first_at, manifest.last_at, manifest.rejected_uri) == (None, None, None)


@pytest.mark.parametrize("name", ["leads.jsonl", "leads.jsonl.gz"])
def test_the_same_data_gives_the_same_bytes_at_another_time_in_another_place(
    run: MakeRun, pages: MakePages, local_target: Any, name: str
) -> None:
    rows = [lead(f"l{number}", day(1 + number % 28), note="ü" * number) for number in range(400)]
    turned = [dict(reversed(row.items())) for row in rows]

    first = run(local_target.store(f"one/{name}"))(pages(rows[:150], rows[150:]))
    second = run(local_target.store(f"two/{name}"), now=lambda: NOW + timedelta(days=400))(
        pages(turned[:7], turned[7:100], [], turned[100:])
    )

    files = local_target.files()
    assert files[f"one/{name}"] == files[f"two/{name}"]
    assert (first.sha256, first.bytes, first.rows) == (second.sha256, second.bytes, second.rows)
    assert first.sha256 == hashlib.sha256(files[f"one/{name}"]).hexdigest()


# -------------------------------------------------------------------------------------------------------- early stop
def watched(listing: list[Page], asked: list[int]) -> Iterator[Page]:
    for page in listing:
        asked.append(page.number)
        yield page


def test_newest_first_stops_after_the_first_page_that_is_all_older(
    run: MakeRun, pages: MakePages, local_target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []
    listing = pages(
        newest_first(20, 19), newest_first(16, 15), newest_first(14, 13), newest_first(12, 11), newest_first(10)
    )

    manifest = run(since="2025-01-15", order="newest_first")(watched(listing, asked))

    assert asked == [1, 2, 3]
    assert ids(local_target) == ["d20", "d19", "d16", "d15"]
    assert (manifest.end_marker, manifest.pages, manifest.received, manifest.outside_window) == ("early", 3, 6, 2)
    assert warnings(caplog) == []


def test_a_page_with_one_row_left_in_the_window_does_not_end_the_read(run: MakeRun, pages: MakePages) -> None:
    asked: list[int] = []
    listing = pages(newest_first(20), newest_first(15, 14), newest_first(13), newest_first(12))

    run(since="2025-01-15", order="newest_first")(watched(listing, asked))

    assert asked == [1, 2, 3]


def test_a_first_page_later_than_the_window_does_not_end_the_read(
    run: MakeRun, pages: MakePages, local_target: Any
) -> None:
    listing = pages(newest_first(20, 19), newest_first(18, 17), newest_first(15, 14), newest_first(5), newest_first(4))

    manifest = run(since="2025-01-15", until="2025-01-16", order="newest_first")(listing)

    assert ids(local_target) == ["d15"]
    assert (manifest.pages, manifest.end_marker) == (4, "early")


def test_a_last_page_that_is_all_older_ends_as_the_api_said(run: MakeRun, pages: MakePages) -> None:
    manifest = run(since="2025-01-15", order="newest_first")(
        pages(newest_first(20), newest_first(10), end_marker="empty")
    )
    assert (manifest.pages, manifest.end_marker) == (2, "empty")


@pytest.mark.parametrize(
    "listing",
    [
        # Out of order within a page, between two pages, and on the very page that would end the read.
        [[20, 21], [10], [16], [9]],
        [[20], [21], [10], [16], [9]],
        [[20], [10, 11], [16], [9]],
    ],
)
def test_one_row_out_of_order_means_reading_to_the_end_with_one_warning(
    run: MakeRun,
    pages: MakePages,
    local_target: Any,
    caplog: pytest.LogCaptureFixture,
    listing: list[list[int]],
) -> None:
    manifest = run(since="2025-01-15", order="newest_first")(pages(*[newest_first(*days) for days in listing]))

    assert "d16" in ids(local_target)
    assert (manifest.end_marker, manifest.pages, manifest.row_order) == ("absent", len(listing), "mixed")
    (warning,) = warnings(caplog)
    assert "leads_order=newest_first" in warning
    assert "Reading the listing to its end" in warning


def test_rows_pushed_along_by_new_leads_do_not_spoil_the_early_stop(
    run: MakeRun, pages: MakePages, local_target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    listing = pages(newest_first(20, 19, 18), newest_first(19, 18, 14), newest_first(14, 13), newest_first(12))

    manifest = run(since="2025-01-15", order="newest_first")(listing)

    assert ids(local_target) == ["d20", "d19", "d18"]
    assert (manifest.end_marker, manifest.pages, manifest.row_order) == ("early", 3, "newest_first")
    assert warnings(caplog) == []


def test_an_undated_row_among_older_ones_keeps_the_read_going(run: MakeRun, pages: MakePages) -> None:
    listing = pages(newest_first(20), [*newest_first(10), lead("u", "soon")], newest_first(9), newest_first(8))
    manifest = run(since="2025-01-15", order="newest_first")(listing)
    assert (manifest.pages, manifest.end_marker, manifest.rejected) == (3, "early", 1)


@pytest.mark.parametrize("options", [{"order": "unknown", "since": "2025-01-15"}, {"order": "newest_first"}])
def test_without_newest_first_or_without_a_beginning_everything_is_read(
    run: MakeRun, pages: MakePages, options: dict[str, Any]
) -> None:
    asked: list[int] = []
    listing = pages(newest_first(20), newest_first(10), newest_first(9), newest_first(8))
    manifest = run(**options)(watched(listing, asked))
    assert asked == [1, 2, 3, 4]
    assert manifest.end_marker == "absent"


def test_an_empty_page_does_not_end_the_read(run: MakeRun, pages: MakePages, local_target: Any) -> None:
    run(since="2025-01-15", order="newest_first")(pages(newest_first(20), [], newest_first(19)))
    assert ids(local_target) == ["d20", "d19"]


# ----------------------------------------------------------------------------------------------------------- failing
def failing_on(page: int, listing: list[Page], error: BaseException) -> Iterator[Page]:
    for each in listing:
        if each.number == page:
            raise error
        yield each


@pytest.mark.parametrize(
    ("page", "name", "error"),
    [
        (1, "leads.jsonl.gz", RobofyConnectionError("dropped")),
        (2, "leads.jsonl", RobofyConnectionError("dropped")),
        (3, "leads.jsonl.gz", KeyboardInterrupt()),
        (3, "leads.jsonl", MemoryError()),
    ],
)
def test_a_failure_on_any_page_leaves_the_earlier_files_as_they_were(
    *,
    run: MakeRun,
    pages: MakePages,
    target: Any,
    spool_folder: Path,
    page: int,
    name: str,
    error: BaseException,
) -> None:
    store = target.store(name)
    run(store)(pages([lead("old"), "rejected"]))
    before = target.files()
    assert before.keys() == {name, f"{name}.manifest.json", f"{name}.rejected.jsonl"}
    listing = pages([lead("new1"), 5], [lead("new2")], [lead("new3")])

    with pytest.raises(type(error)):
        run(store)(failing_on(page, listing, error))

    assert target.files() == before
    assert [path for path in spool_folder.rglob("*") if path.is_file()] == []


def test_a_failure_of_the_first_run_leaves_nothing(
    run: MakeRun, pages: MakePages, target: Any, spool_folder: Path
) -> None:
    with pytest.raises(RobofyConnectionError, match="dropped"):
        run(target.store())(failing_on(2, pages([lead("a")], [lead("b")]), RobofyConnectionError("dropped")))

    assert target.files() == {}
    assert [path for path in spool_folder.rglob("*") if path.is_file()] == []


def test_a_place_that_is_taken_is_refused_before_the_first_request(
    run: MakeRun, pages: MakePages, local_target: Any
) -> None:
    run()(pages([lead("a")]))
    asked: list[int] = []

    with pytest.raises(RobofyLandingError, match="belongs to another result"):
        run(chatbot_id="agent-b")(watched(pages([lead("b")]), asked))

    assert asked == []


def test_a_place_that_was_taken_while_reading_is_refused_too(run: MakeRun, pages: MakePages, local_target: Any) -> None:
    def meanwhile() -> Iterator[Page]:
        yield from pages([lead("mine")])
        run(chatbot_id="agent-b")(pages([lead("theirs")]))

    with pytest.raises(RobofyLandingError, match="chatbot_id is 'agent-b' there and 'agent-a' here"):
        run()(meanwhile())

    assert ids(local_target) == ["theirs"]


def test_counts_that_do_not_add_up_publish_nothing(
    run: MakeRun, pages: MakePages, local_target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool_ = Landing.spool

    def forgetful(self: Any) -> Any:
        spool = spool_(self)
        spool.rows = -1
        return spool

    monkeypatch.setattr(Landing, "spool", forgetful)
    with pytest.raises(RobofyLandingError, match="do not add up"):
        run()(pages([lead("a")]))
    assert local_target.files() == {}


@pytest.mark.parametrize(("allowed", "fails"), [(0, True), (1, True), (2, False)])
def test_too_many_rejected_rows_fail_the_run_after_everything_is_published(
    run: MakeRun, pages: MakePages, local_target: Any, allowed: int, fails: bool
) -> None:
    a_run = run(max_rejected=allowed)

    if fails:
        with pytest.raises(
            RobofyDataError, match=f"2 of 3 rows were rejected, and max_rejected is {allowed}"
        ) as raised:
            a_run(pages([lead("a"), "bad", lead(None)]))
        assert raised.value.manifest == local_target.manifest()
        assert local_target.store().uri + ".rejected.jsonl" in str(raised.value)
    else:
        assert a_run(pages([lead("a"), "bad", lead(None)])).rejected == 2

    assert ids(local_target) == ["a"]
    assert len(local_target.rows("leads.jsonl.rejected.jsonl")) == 2
    assert local_target.manifest()["rejected"] == 2


# ------------------------------------------------------------------------------------------------------------ clocks
@pytest.mark.parametrize(
    ("date", "started"),
    [(None, NOW), (NOW - timedelta(minutes=3), NOW - timedelta(minutes=3)), (NOW + timedelta(minutes=3), NOW)],
)
def test_the_start_is_the_earlier_of_the_clock_and_the_first_answers_date(
    run: MakeRun, pages: MakePages, date: datetime | None, started: datetime
) -> None:
    listing = pages([lead("a")], [lead("b")], date=date)
    listing[1] = Page(2, listing[1].rows, listing[1].end_marker, NOW - timedelta(days=1))

    manifest = run()(listing)

    assert manifest.started_at == started.isoformat()
    assert manifest.finished_at == NOW.isoformat()


def test_rows_more_than_five_minutes_ahead_land_with_a_warning_that_names_the_zone(
    run: MakeRun, pages: MakePages, local_target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    start = NOW - timedelta(minutes=1)
    rows = [
        lead("edge", (start + timedelta(minutes=5)).isoformat()),
        lead("over", (start + timedelta(minutes=5, seconds=1)).isoformat()),
        lead("far", "2030-01-01 00:00:00"),
    ]

    manifest = run(timezone="Asia/Kolkata")(pages(rows, date=start))

    assert ids(local_target) == ["edge", "over", "far"]
    assert manifest.future == 2
    (warning,) = warnings(caplog)
    assert "2 rows" in warning
    assert "timezone" in warning
    assert "'Asia/Kolkata'" in warning


def test_rows_up_to_now_give_no_warning(run: MakeRun, pages: MakePages, caplog: pytest.LogCaptureFixture) -> None:
    assert run()(pages([lead("a", NOW.isoformat())])).future == 0
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("until", "date", "warned"),
    [
        ("2025-06-01T11:50:00Z", None, False),
        ("2025-06-01T11:50:01Z", None, True),
        ("2025-07-01", None, True),
        # The API's clock is behind ours: by it, the window ended too recently.
        ("2025-06-01T11:50:00Z", NOW - timedelta(minutes=1), True),
        (None, None, False),
    ],
)
def test_a_window_that_ends_within_the_lag_is_read_with_a_warning(
    *,
    run: MakeRun,
    pages: MakePages,
    caplog: pytest.LogCaptureFixture,
    until: str | None,
    date: datetime | None,
    warned: bool,
) -> None:
    manifest = run(since="2025-01-01", until=until)(pages([lead("a")], [lead("b")], date=date))

    assert manifest.rows == 2
    assert len(warnings(caplog)) == warned
    if warned:
        assert "lag (0:10:00)" in warnings(caplog)[0]
        assert "Shift since and until back" in warnings(caplog)[0]


# -------------------------------------------------------------------------------------------------------------- logs
def test_progress_is_logged_at_most_every_ten_seconds_and_a_summary_once(
    run: MakeRun, pages: MakePages, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(listing_module, "Progress", _with_clock(lambda: float(next(clock))))

    run()(pages(*[[lead(f"a{page}"), lead(f"b{page}")] for page in range(1, 8)]), requests=9)

    assert [message for message in caplog.messages if message.startswith("Reading")] == [
        "Reading leads: 3 pages, 6 rows, 0 rows/s",
        "Reading leads: 6 pages, 12 rows, 0 rows/s",
    ]
    (summary,) = [message for message in caplog.messages if message.startswith("Landed")]
    assert summary.startswith(
        "Landed 14 leads (full): received 14, duplicates 0, outside the window 0, rejected 0; 7 pages, 9 requests, "
        "32.0 s; in /"
    )
    assert summary.endswith("leads.jsonl")


def _with_clock(monotonic: Callable[[], float]) -> Callable[..., listing_module.Progress]:
    progress = listing_module.Progress
    return lambda log, what: progress(log, what, monotonic)


def test_a_failed_run_logs_no_summary(run: MakeRun, pages: MakePages, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RobofyConnectionError):
        run()(failing_on(2, pages([lead("a")], [lead("b")]), RobofyConnectionError("dropped")))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("order", "listing", "hinted"),
    [
        ("unknown", [[20, 19], [18]], True),
        ("unknown", [[20, 19, 18]], False),
        ("newest_first", [[20, 19], [18]], False),
        ("unknown", [[20, 21], [18]], False),
        ("unknown", [[18], [19]], False),
        ("unknown", [[18], [18]], False),
    ],
)
def test_a_listing_that_came_newest_first_over_several_pages_suggests_the_setting(
    *,
    run: MakeRun,
    pages: MakePages,
    caplog: pytest.LogCaptureFixture,
    order: str,
    listing: list[list[int]],
    hinted: bool,
) -> None:
    run(order=order)(pages(*[newest_first(*days) for days in listing]))

    hints = [message for message in caplog.messages if "leads_order=newest_first" in message]
    assert len(hints) == hinted
    assert warnings(caplog) == []


def test_no_log_line_and_no_manifest_holds_what_a_row_holds(
    run: MakeRun, pages: MakePages, local_target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    planted = "anna@secret.example"
    rows = [lead("id-" + planted, email=planted), lead("x", planted), {"email": planted}, planted]
    rows += [lead("y", "2040-01-01", email=planted), lead("z", _created_at=planted)]

    manifest = run()(pages(rows, rows[::-1]))

    assert manifest.rejected == 6
    assert planted not in caplog.text
    assert planted not in json.dumps(manifest.as_dict())
    assert planted.encode() in local_target.files()["leads.jsonl"]
    assert planted.encode() in local_target.files()["leads.jsonl.rejected.jsonl"]


# ------------------------------------------------------------------------------- with the real client and an emulator
@pytest.fixture
def robofy(robofy_emulator_factory: Any) -> Any:
    return robofy_emulator_factory(leads=95, page_size=10, agents=1)


def client_of(emulator: Any) -> RobofyClient:
    return RobofyClient(Settings(api_key=emulator.api_key, base_url=emulator.url))


def fetch(emulator: Any, run: Any) -> Any:
    chatbot_id = emulator.chatbot_ids[0]
    run.project_id, run.chatbot_id, run.now = emulator.project_id, chatbot_id, lambda: datetime.now(UTC)
    with client_of(emulator) as client:
        return run(client.pages(list_leads(emulator.project_id, chatbot_id)), 0)


def test_what_the_api_lists_is_what_lands(run: MakeRun, robofy: Any, local_target: Any) -> None:
    manifest = fetch(robofy, run())

    stamp = {"_project_id", "_chatbot_id", "_created_at"}
    back = [{name: value for name, value in row.items() if name not in stamp} for row in local_target.rows()]
    assert back == robofy.leads()
    assert (manifest.rows, manifest.pages, manifest.received) == (95, 10, 95)


def test_windows_side_by_side_land_every_lead_once(run: MakeRun, robofy: Any, local_target: Any) -> None:
    fetch(robofy, run(local_target.store("all.jsonl")))
    times = sorted(row["_created_at"] for row in local_target.rows("all.jsonl"))
    bounds = [None, times[20], times[21], times[60], None]

    for number, (since, until) in enumerate(itertools.pairwise(bounds)):
        manifest = fetch(robofy, run(local_target.store(f"{number}.jsonl"), since=since, until=until))
        assert manifest.received == manifest.rows + manifest.outside_window

    parts = [row for number in range(4) for row in local_target.rows(f"{number}.jsonl")]
    assert len(parts) == 95
    assert sorted(parts, key=lambda row: row["id"]) == sorted(local_target.rows("all.jsonl"), key=lambda row: row["id"])


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("token_loop", {"page": 4}),
        ("html", {"page": 3, "times": 99}),
        ("missing_list", {"page": 3}),
        ("wrong_shape", {"page": 2, "times": 99}),
    ],
)
def test_a_listing_that_goes_wrong_midway_leaves_the_earlier_files(
    run: MakeRun, robofy: Any, local_target: Any, fault: str, options: dict[str, Any]
) -> None:
    fetch(robofy, run())
    before = local_target.files()
    robofy.add_leads(3)
    robofy.fault(fault, endpoint="list_leads", **options)

    with pytest.raises(RobofyError):
        fetch(robofy, run())

    assert local_target.files() == before


def test_bad_rows_of_the_api_are_kept_and_the_good_ones_land(run: MakeRun, robofy: Any, local_target: Any) -> None:
    robofy.fault("malformed_rows", endpoint="list_leads", page=2, count=3)
    robofy.fault("duplicate_rows", endpoint="list_leads", page=5, count=4)
    robofy.fault("changed_rows", endpoint="list_leads", page=7, count=2)

    manifest = fetch(robofy, run())

    assert (manifest.rows, manifest.duplicates, manifest.rejected, manifest.undated) == (98, 4, 2, 1)
    assert manifest.received == 95 + 3 + 4 + 2
    assert {row["reason"] for row in local_target.rows("leads.jsonl.rejected.jsonl")} == {
        "the row is not an object",
        "the row has no id",
    }
    assert {row["id"] for row in robofy.leads()} < {row["id"] for row in local_target.rows()}


@pytest.mark.parametrize(
    ("time", "form"),
    [
        ("03/04/2025 10:30 PM", "'99/99/9999 99:99 aa'"),
        ("vor 3 Stunden", "'aaa 9 aaaaaaa'"),
        (None, "null"),
        ([2025, 1, 15], "list"),
        ("x" * 500, f"'{'a' * 40}...'"),
    ],
)
def test_times_that_cannot_be_read_are_warned_about_once_by_their_form(run, pages, caplog, time, form):
    manifest = run()(pages([lead("1", time), lead("2", time)]))
    assert (manifest.rows, manifest.undated) == (2, 2)
    [said] = [record.message for record in caplog.records if "no time that can be read" in record.message]
    assert said.startswith(f"2 rows have no time that can be read (the first one is of the form {form})")
    assert "robofy.probe" in said
