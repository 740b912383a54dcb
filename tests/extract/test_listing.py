"""One run, from the first page to the published manifest."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.errors import RobofyConnectionError, RobofyDataError, RobofyLandingError
from airflow_provider_robofy.api.pages import Page
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract import listing as listing_module
from airflow_provider_robofy.extract.landing import Landing
from airflow_provider_robofy.extract.listing import Progress
from tests.extract.runs import NOW, STAMP, lead, without_stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

START = "2025-01-15T10:30:00+00:00"


@pytest.fixture(autouse=True)
def _hear_everything(caplog):
    caplog.set_level(logging.INFO, "airflow_provider_robofy")


def day(number: int) -> str:
    return f"2025-01-{number:02} 10:00:00"


def leads_of(*days: int) -> list[dict[str, Any]]:
    return [lead(f"d{number}", day(number)) for number in days]


def ids(target: Any, name: str = "leads.jsonl") -> list[Any]:
    return [row["id"] for row in target.rows(name)]


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def strays(folder) -> list[Any]:
    return [path for path in folder.rglob("*") if path.is_file()]


# ------------------------------------------------------------------------------------------------------------- whole
def test_a_full_run_lands_everything_and_accounts_for_it(run, pages, local_target):
    listing = pages(
        [lead("a", name="Ánna"), lead("b", "soon"), "text"],
        [lead("a", name="Ánna"), lead("a", name="Anna"), lead("c", "2025-01-14T23:00:00-05:00")],
        end_marker="null",
    )

    manifest = run()(listing, requests=3).as_dict()

    files = local_target.files()
    assert files.keys() == {"leads.jsonl", "leads.jsonl.manifest.json", "leads.jsonl.rejected.jsonl"}
    assert local_target.rows() == [
        lead("a", name="Ánna") | STAMP | {"_created_at": START},
        lead("b", "soon") | STAMP | {"_created_at": None},
        lead("a", name="Anna") | STAMP | {"_created_at": START},
        lead("c", "2025-01-14T23:00:00-05:00") | STAMP | {"_created_at": "2025-01-15T04:00:00+00:00"},
    ]
    assert local_target.rows("leads.jsonl.rejected.jsonl") == [
        {"page": 1, "position": 2, "reason": "the row is not an object", "row": "text"}
    ]
    uri, content = local_target.store().uri, files["leads.jsonl"]
    wanted = {
        "schema_version": 1,
        "resource": "leads",
        "mode": "full",
        "project_id": "24017",
        "chatbot_id": "agent-a",
        "uri": uri,
        "format": "jsonl",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": 4,
        "received": 6,
        "duplicates": 1,
        "outside_window": 0,
        "rejected": 1,
        "undated": 1,
        "future": 0,
        "rejected_uri": f"{uri}.rejected.jsonl",
        "pages": 2,
        "requests": 3,
        "end_marker": "null",
        "since": None,
        "until": None,
        "first_at": "2025-01-15T04:00:00+00:00",
        "last_at": START,
        "row_order": "newest_first",
        "watermark_before": None,
        "watermark_after": None,
        "run_key": "dag/run/task",
        "started_at": NOW.isoformat(),
        "finished_at": NOW.isoformat(),
    }
    assert {name: manifest.get(name) for name in wanted} == wanted
    assert json.loads(json.dumps(manifest)) == manifest == local_target.manifest()


def test_a_window_run_lands_the_window_and_says_so(run, pages, local_target):
    listing = pages(leads_of(18, 17, 16), [*leads_of(15, 14), lead("u", "soon"), lead(None, day(15))])

    manifest = run(since="2025-01-15", until="2025-01-17")(listing)

    assert ids(local_target) == ["d16", "d15"]
    bounds = ("2025-01-15T00:00:00+00:00", "2025-01-17T00:00:00+00:00")
    assert (manifest.mode, manifest.since, manifest.until) == ("window", *bounds)
    assert (manifest.rows, manifest.outside_window, manifest.rejected, manifest.undated) == (2, 3, 2, 0)
    assert (manifest.first_at, manifest.last_at) == ("2025-01-15T10:00:00+00:00", "2025-01-16T10:00:00+00:00")
    rejected = local_target.rows("leads.jsonl.rejected.jsonl")
    assert [(row["page"], row["position"]) for row in rejected] == [(2, 2), (2, 3)]


@pytest.mark.parametrize("name", ["leads.jsonl", "leads.jsonl.gz"])
def test_an_empty_listing_lands_an_empty_file_and_a_manifest(run, pages, local_target, name):
    manifest = run(local_target.store(name))(pages([]))

    content = local_target.files()[name]
    assert (gzip.decompress(content) if name.endswith(".gz") else content) == b""
    assert (manifest.rows, manifest.received, manifest.pages, manifest.row_order) == (0, 0, 1, "unknown")
    assert (manifest.bytes, manifest.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (manifest.first_at, manifest.last_at, manifest.rejected_uri) == (None, None, None)


@pytest.mark.parametrize("name", ["leads.jsonl", "leads.jsonl.gz"])
def test_the_same_data_gives_the_same_bytes_at_another_time_in_another_place(run, pages, local_target, name):
    rows = [lead(f"l{number}", day(1 + number % 28), note="ü" * number) for number in range(400)]
    turned = [dict(reversed(row.items())) for row in rows]

    first = run(local_target.store(f"one/{name}"))(pages(rows[:150], rows[150:]))
    later = run(local_target.store(f"two/{name}"), now=lambda: NOW + timedelta(days=400))
    second = later(pages(turned[:7], turned[7:100], [], turned[100:]))

    files = local_target.files()
    assert files[f"one/{name}"] == files[f"two/{name}"]
    assert (first.sha256, first.bytes, first.rows) == (second.sha256, second.bytes, second.rows)


# -------------------------------------------------------------------------------------------------------- early stop
def watched(listing: list[Page], asked: list[int]) -> Iterator[Page]:
    for page in listing:
        asked.append(page.number)
        yield page


SINCE_15 = {"since": "2025-01-15", "order": "newest_first"}
#: Options, the days of each page, how many pages are read, and the days that land.
STOPS = {
    "after a page that is all older": (SINCE_15, [[20, 19], [16, 15], [14, 13], [12], [10]], 3, [20, 19, 16, 15]),
    "not while one row is in the window": (SINCE_15, [[20], [15, 14], [13], [12]], 3, [20, 15]),
    "not before the window": ({**SINCE_15, "until": "2025-01-16"}, [[20, 19], [18], [15, 14], [5], [4]], 4, [15]),
    "not at a row that was pushed along": (SINCE_15, [[20, 19, 18], [19, 18, 14], [14, 13], [12]], 3, [20, 19, 18]),
    "not at an empty page": (SINCE_15, [[20], [], [19], [5], [4]], 4, [20, 19]),
}  # fmt: skip


@pytest.mark.parametrize(("options", "days", "read", "landed"), STOPS.values(), ids=STOPS)
def test_newest_first_stops_once_all_is_older(*, run, pages, local_target, caplog, options, days, read, landed):
    asked: list[int] = []

    manifest = run(**options)(watched(pages(*[leads_of(*page) for page in days]), asked))

    assert asked == list(range(1, read + 1))
    assert ids(local_target) == [f"d{number}" for number in landed]
    assert (manifest.end_marker, manifest.pages, manifest.row_order) == ("early", read, "newest_first")
    assert warnings(caplog) == []


#: Options, and the days of pages that are all read. In the first three a row is out of order: within a page, between
#: two pages, and on the very page that would end the read.
WHOLE = {
    "within": (SINCE_15, [[20, 21], [10], [16], [9], [8]]),
    "between": (SINCE_15, [[20], [21], [10], [16], [9], [8]]),
    "at the end": (SINCE_15, [[20], [10, 11], [16], [9], [8]]),
    "order unknown": ({"order": "unknown", "since": "2025-01-15"}, [[20], [10], [9], [8]]),
    "no beginning": ({"order": "newest_first"}, [[20], [10], [9], [8]]),
    "older at last": (SINCE_15, [[20], [10]]),
}


@pytest.mark.parametrize(("options", "days"), WHOLE.values(), ids=WHOLE)
def test_otherwise_everything_is_read_and_a_row_out_of_order_is_warned_about_once(
    *, run, pages, local_target, caplog, options, days
):
    manifest = run(**options)(pages(*[leads_of(*page) for page in days], end_marker="empty"))

    disorder = len(days) > 3 and options == SINCE_15
    assert (manifest.end_marker, manifest.pages) == ("empty", len(days))
    assert manifest.row_order == ("mixed" if disorder else "newest_first")
    assert ("d16" in ids(local_target)) == disorder
    assert len(warnings(caplog)) == disorder
    assert all("leads_order=newest_first" in one and "listing to its end" in one for one in warnings(caplog))


def test_an_undated_row_among_older_ones_keeps_the_read_going(run, pages):
    listing = pages(leads_of(20), [*leads_of(10), lead("u", "soon")], leads_of(9), leads_of(8))
    manifest = run(**SINCE_15)(listing)
    assert (manifest.pages, manifest.end_marker, manifest.rejected) == (3, "early", 1)


# ----------------------------------------------------------------------------------------------------------- failing
def failing_on(page: int, listing: list[Page], error: BaseException) -> Iterator[Page]:
    for each in listing:
        if each.number == page:
            raise error
        yield each


@pytest.mark.parametrize("earlier", [False, True], ids=["first", "again"])
@pytest.mark.parametrize(
    ("page", "name", "error"),
    [
        (1, "leads.jsonl.gz", RobofyConnectionError("dropped")),
        (2, "leads.jsonl", RobofyConnectionError("dropped")),
        (3, "leads.jsonl.gz", KeyboardInterrupt()),
        (3, "leads.jsonl", MemoryError()),
    ],
)
def test_a_failure_on_any_page_leaves_what_was_there_and_logs_no_summary(
    *, run, pages, target, spool_folder, caplog, page, name, error, earlier
):
    store = target.store(name)
    if earlier:
        run(store)(pages([lead("old"), "rejected"]))
    before = target.files()
    assert len(before) == (3 if earlier else 0)
    caplog.clear()

    with pytest.raises(type(error)):
        run(store)(failing_on(page, pages([lead("new1"), 5], [lead("new2")], [lead("new3")]), error))

    assert target.files() == before
    assert strays(spool_folder) == []
    assert not any(message.startswith("Landed") for message in caplog.messages)


def test_a_place_that_is_taken_is_refused_before_the_first_request(run, pages):
    run()(pages([lead("a")]))
    asked: list[int] = []

    with pytest.raises(RobofyLandingError, match="belongs to another result"):
        run(chatbot_id="agent-b")(watched(pages([lead("b")]), asked))

    assert asked == []


def test_a_place_that_was_taken_while_reading_is_refused_too(run, pages, local_target):
    def meanwhile() -> Iterator[Page]:
        yield from pages([lead("mine")])
        run(chatbot_id="agent-b")(pages([lead("theirs")]))

    with pytest.raises(RobofyLandingError, match="chatbot_id is 'agent-b' there and 'agent-a' here"):
        run()(meanwhile())

    assert ids(local_target) == ["theirs"]


def test_counts_that_do_not_add_up_publish_nothing(run, pages, local_target, monkeypatch):
    spool_ = Landing.spool

    def forgetful(self: Any) -> Any:
        spool = spool_(self)
        spool.rows = -1
        return spool

    monkeypatch.setattr(Landing, "spool", forgetful)
    with pytest.raises(RobofyLandingError, match="do not add up"):
        run()(pages([lead("a")]))
    assert local_target.files() == {}


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_too_many_rejected_rows_fail_the_run_after_everything_is_published(run, pages, local_target, allowed):
    listing = pages([lead("a"), "bad", lead(None)])

    if allowed < 2:
        match = f"2 of 3 rows were rejected, and max_rejected is {allowed}"
        with pytest.raises(RobofyDataError, match=match) as raised:
            run(max_rejected=allowed)(listing)
        assert raised.value.manifest == local_target.manifest()
        assert local_target.store().uri + ".rejected.jsonl" in str(raised.value)
    else:
        assert run(max_rejected=allowed)(listing).rejected == 2

    assert ids(local_target) == ["a"]
    assert len(local_target.rows("leads.jsonl.rejected.jsonl")) == local_target.manifest()["rejected"] == 2


# ------------------------------------------------------------------------------------------------------------ clocks
@pytest.mark.parametrize(("date", "started"), [(None, 0), (-3, -3), (3, 0)])
def test_the_start_is_the_earlier_of_the_clock_and_the_first_answers_date(run, pages, date, started):
    moment = None if date is None else NOW + timedelta(minutes=date)
    listing = pages([lead("a")], [lead("b")], date=moment)
    listing[1] = Page(2, listing[1].rows, listing[1].end_marker, NOW - timedelta(days=1))

    manifest = run()(listing)

    assert manifest.started_at == (NOW + timedelta(minutes=started)).isoformat()
    assert manifest.finished_at == NOW.isoformat()


def test_rows_more_than_five_minutes_ahead_land_with_a_warning_that_names_the_zone(run, pages, local_target, caplog):
    start = NOW - timedelta(minutes=1)
    edge = lead("edge", (start + timedelta(minutes=5)).isoformat())
    assert run()(pages([edge], date=start)).future == 0
    assert warnings(caplog) == []
    over = lead("over", (start + timedelta(minutes=5, seconds=1)).isoformat())

    manifest = run(timezone="Asia/Kolkata")(pages([edge, over, lead("far", "2030-01-01 00:00:00")], date=start))

    assert ids(local_target) == ["edge", "over", "far"]
    assert manifest.future == 2
    (warning,) = warnings(caplog)
    assert all(part in warning for part in ("2 rows", "timezone", "'Asia/Kolkata'"))


@pytest.mark.parametrize(
    ("until", "date", "warned"),
    [
        ("2025-06-01T11:50:00Z", None, False),
        ("2025-06-01T11:50:01Z", None, True),
        # The API's clock is behind ours: by it, the window ended too recently.
        ("2025-06-01T11:50:00Z", NOW - timedelta(minutes=1), True),
    ],
)
def test_a_window_that_ends_within_the_lag_is_read_with_a_warning(*, run, pages, caplog, until, date, warned):
    manifest = run(since="2025-01-01", until=until)(pages([lead("a")], [lead("b")], date=date))

    assert manifest.rows == 2
    assert len(warnings(caplog)) == warned
    assert all("lag (0:10:00)" in one and "Shift since and until back" in one for one in warnings(caplog))


# -------------------------------------------------------------------------------------------------------------- logs
def test_progress_is_logged_now_and_then_and_a_summary_once(run, pages, caplog, monkeypatch):
    clock, progress = iter(range(0, 1000, 4)), listing_module.Progress
    monkeypatch.setattr(listing_module, "Progress", lambda log, what: progress(log, what, lambda: float(next(clock))))

    run()(pages(*[[lead(f"a{page}"), lead(f"b{page}")] for page in range(1, 8)]), requests=9)

    assert [message for message in caplog.messages if message.startswith("Reading")] == [
        "Reading leads: 3 pages, 6 rows, 0 rows/s",
        "Reading leads: 6 pages, 12 rows, 0 rows/s",
    ]
    (summary,) = [message for message in caplog.messages if message.startswith("Landed")]
    counts = "received 14, duplicates 0, outside the window 0, rejected 0; 7 pages, 9 requests, 32.0 s; in /"
    assert summary.startswith(f"Landed 14 leads (full): {counts}")
    assert summary.endswith("leads.jsonl")


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
    *, run, pages, caplog, order, listing, hinted
):
    run(order=order)(pages(*[leads_of(*days) for days in listing]))

    hints = [message for message in caplog.messages if "leads_order=newest_first" in message]
    assert len(hints) == hinted
    assert warnings(caplog) == []


def test_no_log_line_and_no_manifest_holds_what_a_row_holds(run, pages, local_target, caplog):
    planted = "anna@secret.example"
    rows = [lead("id-" + planted, email=planted), lead("x", planted), {"email": planted}, planted]
    rows += [lead("y", "2040-01-01", email=planted), lead("z", _created_at=planted)]

    manifest = run()(pages(rows, rows[::-1]))

    assert manifest.rejected == 6
    assert planted not in caplog.text
    assert planted not in json.dumps(manifest.as_dict())
    assert planted.encode() in local_target.files()["leads.jsonl"]
    assert planted.encode() in local_target.files()["leads.jsonl.rejected.jsonl"]


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


# ------------------------------------------------------------------------------- with the real client and an emulator
@pytest.fixture
def fetch(robofy_emulator_factory, run, local_target):
    """A function that lands what an emulator lists, with the emulator in its attribute ``robofy``."""
    robofy = robofy_emulator_factory(leads=95, page_size=10, agents=1)

    def fetch(name="leads.jsonl", **options):
        agent = {"project_id": robofy.project_id, "chatbot_id": robofy.chatbot_ids[0]}
        landing = run(local_target.store(name), now=lambda: datetime.now(UTC), **agent, **options)
        with RobofyClient(Settings(api_key=robofy.api_key, base_url=robofy.url)) as client:
            return landing(client.pages(list_leads(**agent)), 0)

    fetch.robofy = robofy  # type: ignore[attr-defined]
    return fetch


def test_what_the_api_lists_is_what_lands_and_windows_side_by_side_land_it_once(fetch, local_target):
    whole = fetch()
    assert [without_stamp(row) for row in local_target.rows()] == fetch.robofy.leads()
    assert (whole.rows, whole.pages, whole.received) == (95, 10, 95)
    times = sorted(row["_created_at"] for row in local_target.rows())
    bounds = [None, times[20], times[21], times[60], None]

    for number, (since, until) in enumerate(itertools.pairwise(bounds)):
        manifest = fetch(f"{number}.jsonl", since=since, until=until)
        assert manifest.received == manifest.rows + manifest.outside_window

    parts = [row for number in range(4) for row in local_target.rows(f"{number}.jsonl")]
    assert sorted(parts, key=lambda row: row["id"]) == sorted(local_target.rows(), key=lambda row: row["id"])


def test_bad_rows_of_the_api_are_kept_and_the_good_ones_land(fetch, local_target):
    fetch.robofy.fault("malformed_rows", endpoint="list_leads", page=2, count=3)
    fetch.robofy.fault("duplicate_rows", endpoint="list_leads", page=5, count=4)
    fetch.robofy.fault("changed_rows", endpoint="list_leads", page=7, count=2)

    manifest = fetch()

    assert (manifest.rows, manifest.duplicates, manifest.rejected, manifest.undated) == (98, 4, 2, 1)
    assert manifest.received == 95 + 3 + 4 + 2
    reasons = {row["reason"] for row in local_target.rows("leads.jsonl.rejected.jsonl")}
    assert reasons == {"the row is not an object", "the row has no id"}
    assert {row["id"] for row in fetch.robofy.leads()} < {row["id"] for row in local_target.rows()}


# ------------------------------------------------------------------------------------------------------------- progress
LONG = [f"Reading leads: {pages} pages, {pages}00 rows, 200 rows/s" for pages in (20, 40, 60)]


@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([(9.99, 5)], []),
        ([(100, 5), (0, 6)], ["Reading leads: 5 pages, 500 rows, 5 rows/s"]),
        ([(0.5, tick) for tick in range(1, 70)], LONG),
    ],
    ids=["a short read", "after a long silence", "a long read"],
)
def test_it_speaks_at_most_every_ten_seconds(caplog, reports, said):
    caplog.set_level(logging.INFO)
    clock = [1000.0]
    progress = Progress(logging.getLogger("test"), "leads", lambda: clock[-1])
    for seconds, pages in reports:
        clock.append(clock[-1] + seconds)
        progress.report(pages, pages * 100)
    assert caplog.messages == said
    assert progress.seconds == pytest.approx(clock[-1] - 1000)
