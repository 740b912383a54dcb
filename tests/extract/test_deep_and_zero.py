"""Rows nested too deeply to be written, and times at the ends of the calendar."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.extract.cursor import Cursor
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.extract.privacy import PrivacyPolicy, check_rules
from airflow_provider_robofy.extract.rows import NO_ID, TOO_DEEP
from airflow_provider_robofy.extract.transcript import Transcript, blocks
from airflow_provider_robofy.extract.window import Window, earlier
from airflow_provider_robofy.resources import MESSAGES
from tests.extract.conftest import land_sessions, make_extraction
from tests.extract.runs import IDENTITY, NOW, lead, make_cursor_run

if TYPE_CHECKING:
    from airflow_provider_robofy.extract.cursor import CursorRun

EARLIEST, LATEST = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))  # noqa: DTZ901 (the ends)
ZERO_TIMES = ["0001-01-01T00:00:00Z", "0001-01-01 00:00:00", -62135596800, "0001-01-01T02:00:00+02:00"]


def cursor_run(target: Any, *arguments: Any, **changes: Any) -> CursorRun:
    return make_cursor_run(target.store("cursor.json"), *arguments, **changes)


def nest(depth: int = 200_000) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


# ------------------------------------------------------------------------------------------------------ too deep
@pytest.mark.parametrize(
    ("name", "with_cursor"), [("leads.jsonl", True), ("leads.csv", False), ("leads.parquet", True)]
)
def test_a_row_nested_too_deeply_is_rejected_and_all_others_land(run, pages, local_target, name, with_cursor):
    deep = [lead("deep", note=nest()), lead("deeper", lead_data=nest()), {"note": nest()}, nest()]
    cursor = cursor_run(local_target) if with_cursor else None

    manifest = run(local_target.store(name), cursor=cursor)(pages([lead("a"), *deep, lead("b")], [lead("c")]))

    assert (manifest.received, manifest.rows, manifest.rejected) == (7, 3, 4)
    lines = local_target.rows(f"{name}.rejected.jsonl")
    assert [(row["page"], row["position"], row["reason"]) for row in lines] == [
        (1, 1, TOO_DEEP),
        (1, 2, TOO_DEEP),
        (1, 3, NO_ID),
        (1, 4, "the row is not an object"),
    ]
    assert not any("row" in row for row in lines)


def lines_of(transcript: Transcript) -> tuple[list[Any], ...]:
    return tuple(
        [json.loads(line) for some in blocks(file) for line in some.splitlines()]
        for file in (transcript.landing, transcript.rejected)
    )


@pytest.mark.parametrize("private", [False, True])
def test_a_message_nested_too_deeply_is_rejected_and_the_others_keep_their_keys(tmp_path, private):
    rules = check_rules({"text": "keep", "session_id": "keep"}, "privacy")
    policy = PrivacyPolicy(rules, "k" * 32, MESSAGES) if private else None

    def read(*messages: Any) -> tuple[list[Any], ...]:
        transcript = Transcript("s", stamp={}, folder=tmp_path, privacy=policy)
        transcript.add(list(messages))
        assert transcript.counts["received"] == len(messages)
        found = lines_of(transcript)
        transcript.close()
        return found

    whole, none = read({"text": "a"}, {"text": "b"})
    landed, rejected = read({"text": "a"}, {"text": nest()}, nest(), {"text": "b"})

    assert none == []
    assert [row["_message_key"] for row in landed] == [row["_message_key"] for row in whole]
    assert [(row["text"], row["_position"]) for row in landed] == [("a", 0), ("b", 3)]
    reasons = [(row["session_id"], row["position"], row["reason"]) for row in rejected]
    assert reasons == [("s", 1, TOO_DEEP), ("s", 2, "the row is not an object")]
    assert private or not any("row" in row for row in rejected)


def test_a_large_page_of_tiny_messages_goes_to_the_file_in_parts(tmp_path):
    transcript = Transcript("s", stamp={}, folder=tmp_path)
    written: list[int] = []
    write = transcript.landing.write

    def watched(lines: Any) -> int:
        written.append(len(lines))
        return write(lines)

    transcript.landing.write = watched  # type: ignore[method-assign]

    transcript.add([{}] * 50_000)

    assert max(written) < 300_000
    assert sum(some.count(b"\n") for some in blocks(transcript.landing)) == 50_000


# ------------------------------------------------------------------------------------------- the ends of the calendar
@pytest.mark.parametrize(
    ("moment", "by", "wanted"),
    [
        (NOW, timedelta(minutes=10), NOW - timedelta(minutes=10)),
        (EARLIEST, timedelta(minutes=10), EARLIEST),
        (EARLIEST, timedelta(0), EARLIEST),
        (NOW, timedelta.max, EARLIEST),
        (NOW, timedelta.min, LATEST),
        (LATEST, timedelta(microseconds=-1), LATEST),
        (datetime(2, 1, 1, tzinfo=UTC), timedelta(days=400), EARLIEST),
    ],
)
def test_a_time_is_moved_no_further_than_the_calendar_goes(moment, by, wanted):
    assert earlier(moment, by) == wanted
    assert earlier(moment, by).tzinfo is UTC


@pytest.mark.parametrize("lag", [timedelta(0), timedelta(minutes=10), timedelta(days=400), timedelta.max])
@pytest.mark.parametrize("at", [*ZERO_TIMES, "0002-01-01 00:00:00", "9999-12-31T23:59:59.999999Z", 253402300799])
def test_a_time_at_an_end_of_the_calendar_lands_once_with_a_cursor(run, pages, local_target, at, lag):
    def landed(key: str, *leads: Any) -> Any:
        cursor = cursor_run(local_target, f"dag/{key}/t", lag=lag)
        return run(local_target.store(f"{key}.jsonl"), run_key=f"dag/{key}/t", cursor=cursor)(pages(leads))

    first = landed("1", lead("zero", at), lead("a"))
    again = landed("2", lead("new", "2025-06-01 12:00:00"), lead("zero", at), lead("a"))

    assert (first.rows, first.undated, again.rows) == (2, 0, 1)
    assert [row["id"] for row in local_target.rows("2.jsonl")] == ["new"]


@pytest.mark.parametrize("at", ZERO_TIMES)
def test_only_zero_times_leave_a_mark_at_the_beginning(run, pages, local_target, at):
    manifest = run(cursor=cursor_run(local_target))(pages([lead("zero", at)]))

    assert manifest.watermark_after == EARLIEST.isoformat()
    stored = Cursor.decode(FileCursorStore(local_target.store("cursor.json")).load(), IDENTITY, "it")
    assert stored.watermark == EARLIEST


@pytest.mark.parametrize("date", [EARLIEST, LATEST])
def test_a_servers_clock_at_an_end_of_the_calendar_is_no_matter(run, pages, local_target, date):
    manifest = run(cursor=cursor_run(local_target))(pages([lead("a")], date=date))
    assert manifest.rows == 1


def test_a_window_with_any_lag_is_read():
    assert Window.of(None, "0001-01-01T00:00:00Z").may_miss_late_rows(NOW, timedelta.max) is False
    assert Window.of(None, "2025-01-01").may_miss_late_rows(NOW, timedelta.max)


# ------------------------------------------------------------------------------------------------- nothing left over
@pytest.mark.parametrize("folder", ["new", "new/er/est"])
def test_a_messages_run_that_fails_leaves_no_folder(tmp_path, monkeypatch, folder):
    def refuse(*_: Any) -> None:
        raise RuntimeError("nothing can be read today")

    manifest = land_sessions(tmp_path / "sessions.jsonl", [{"session_id": "s"}])
    extraction = make_extraction(manifest, tmp_path / folder / "messages.jsonl")
    monkeypatch.setattr(extraction.client, "pages", refuse)

    with pytest.raises(RuntimeError, match="nothing can be read today"):
        extraction.run()

    assert [path.name for path in tmp_path.iterdir()] == ["sessions.jsonl"]
