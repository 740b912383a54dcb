"""Reading a status that is documented nowhere, and what a wait makes of it."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

import pytest

from airflow_provider_robofy.api.errors import (
    RobofyAuthError,
    RobofyCancelledError,
    RobofyConfigError,
    RobofyConnectionError,
    RobofyCrawlError,
    RobofyNotFoundError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.knowledge.crawl import CrawlStatus, CrawlWatch


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("running", "running"), ("Crawling", "running"), ("IN_PROGRESS", "running"), ("in progress", "running"),
        ("In-Progress", "running"), ("Queued", "running"), ("completed", "completed"), ("COMPLETED", "completed"),
        (" Completed ", "completed"), ("Done", "completed"), ("failed", "failed"), ("Failed", "failed"),
        ("ERROR", "failed"), ("not_started", "idle"), ("indexing", "unknown"), ("incomplete", "unknown"),
        ("not completed", "unknown"),
    ],
)  # fmt: skip
def test_words_are_read_without_case(word, state):
    assert CrawlStatus.read({"message": "x", "data": {"status": word}}).state == state


@pytest.mark.parametrize(
    ("payload", "state"),
    [
        ({"status": "completed"}, "completed"),
        ({"data": {"status": "completed"}}, "completed"),
        ({"data": {"crawl": {"crawl_status": "failed"}}}, "failed"),
        ({"data": [{"status": "completed"}]}, "completed"),
        ([{"state": "completed"}], "completed"),
        ({"status": "success", "data": {"status": "running"}}, "running"),
        ({"status": "success", "crawl": {"status": "running"}}, "running"),
        ({"status": "success"}, "unknown"),
        ({"status": "completed", "data": {"status": "running"}}, "running"),
        ({"data": {"status": "indexing", "pages": [{"status": "completed"}]}}, "unknown"),
        ({"data": {"status": "running", "pages": [{"status": "failed"}]}}, "running"),
        ({"data": {"pages": [{"status": "completed"}, {"status": "running"}]}}, "running"),
        ({"data": [{"status": "completed"}, {"status": "failed"}]}, "unknown"),
        ({"data": {"status": 3}}, "unknown"),
        ({"data": {"status": ""}}, "unknown"),
        ({"data": None}, "unknown"),
        (None, "unknown"),
        ([], "unknown"),
        ("completed", "unknown"),
    ],
)
def test_the_word_is_found_in_any_wrapping_and_doubt_is_no_end(payload, state):
    assert CrawlStatus.read(payload).state == state


def test_among_several_crawls_the_one_asked_about_counts():
    payload = {"data": [{"run_id": "a", "status": "failed"}, {"run_id": "b", "status": "completed"}]}
    assert CrawlStatus.read(payload, run_id="b").state == "completed"
    assert CrawlStatus.read(payload, run_id="a").state == "failed"
    assert CrawlStatus.read(payload, run_id="c").state == "unknown"


def test_whether_a_crawl_began_after_a_moment_is_no_where_nobody_knows():
    moment = datetime(2026, 2, 20, 14, tzinfo=UTC)
    times = TimeReader("Europe/Berlin")
    for started, expected in {"2026-02-20 15:00:00": True, "2026-02-20 14:59:59": False, "soon": False}.items():
        status = CrawlStatus.read({"status": "completed", "started_at": started})
        assert status.began_after(moment, times) is expected
    assert not CrawlStatus.read({"status": "completed"}).began_after(moment, times)


def watch(**options) -> CrawlWatch:
    return CrawlWatch(**options)


def test_a_completed_crawl_gives_its_result_with_the_run_that_was_waited_for():
    payload = {"data": {"status": "Completed", "run_id": "r2", "started_at": "2026-02-20 14:45:00", "pages": ["x"]}}
    assert watch().judge(payload) == {"status": "Completed", "run_id": "r2", "started_at": "2026-02-20 14:45:00"}
    mine = watch(run_id="r2").judge(payload)
    assert mine is not None
    assert mine["run_id"] == "r2"


@pytest.mark.parametrize("word", ["completed", "failed"])
def test_the_status_of_another_run_or_of_an_earlier_start_decides_nothing(word, caplog):
    caplog.set_level(logging.WARNING)
    status = {"data": {"status": word, "run_id": "old", "started_at": "2020-02-20 14:45:00"}}
    assert watch(run_id="new").judge(status) is None
    assert "another run than the one waited for, 'new'" in caplog.text
    assert watch(started_at="2026-02-20 14:45:00").judge(status) is None
    nameless = {"data": {"status": word, "started_at": "2020-02-20 14:45:00"}}
    assert watch(run_id="new", started_at="2026-02-20 14:45:00").judge(nameless) is None


def test_a_status_without_run_and_start_is_taken_for_ours():
    assert watch(run_id="new", started_at="2026-02-20 14:45:00").judge({"status": "completed"}) is not None


@pytest.mark.parametrize(
    "word", ["cancelled", "Canceled", "aborted", "STOPPED", "expired", "timed_out", "Timed Out", "rejected", "errored"]
)
def test_every_word_of_an_end_that_is_no_success_ends_the_wait(word):
    with pytest.raises(RobofyCrawlError, match=word):
        watch().judge({"status": word})


def test_a_failed_crawl_raises_with_robofys_word():
    with pytest.raises(RobofyCrawlError, match="'Failed'") as caught:
        watch(run_id="r1").judge({"status": "Failed"})
    assert "r1" in str(caught.value)
    assert not caught.value.permanent


def test_an_unknown_word_means_still_running_and_is_warned_of_once(caplog):
    caplog.set_level(logging.WARNING)
    one = watch()
    assert [one.judge({"status": "indexing"}) for _ in range(3)] == [None, None, None]
    assert caplog.text.count("'indexing'") == 1
    assert watch().judge({}) is None
    assert "no status word" in caplog.text


@pytest.mark.parametrize(
    "error", [RobofyConnectionError("x"), RobofyServerError("x"), RobofyResponseError("x", status=200)], ids=repr
)
def test_trouble_that_may_pass_is_waited_out(error):
    watch().tolerate(error)


@pytest.mark.parametrize("error", [RobofyAuthError("x"), RobofyConfigError("x"), RobofyCancelledError("x")], ids=repr)
def test_what_no_later_poll_can_pass_is_raised(error):
    with pytest.raises(type(error)):
        watch(unknown_until=time.time() + 60).tolerate(error)


def test_a_crawl_just_started_may_be_unknown_for_a_while():
    watch(unknown_until=time.time() + 60).tolerate(RobofyNotFoundError("x"))
    with pytest.raises(RobofyNotFoundError):
        watch(unknown_until=time.time() - 1).tolerate(RobofyNotFoundError("x"))
    with pytest.raises(RobofyCrawlError, match="knows of no crawl"):
        watch().tolerate(RobofyNotFoundError("x"))
