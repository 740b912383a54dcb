"""RobofyCrawlWebsiteOperator against the emulator: one crawl, whatever is retried."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_robofy.api.endpoints import list_projects
from airflow_provider_robofy.api.errors import RobofyConnectionError, RobofyCrawlError, RobofyError
from airflow_provider_robofy.operators import crawl as module
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.triggers import base
from airflow_provider_robofy.triggers.knowledge import RobofyCrawlTrigger
from tests.waiting import payloads, rebuilt

SITE = "https://example.com"


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(
        robofy_emulator_factory(leads=0, crawl_seconds=0.3, crawl_running="Crawling", crawl_result="COMPLETED")
    )


def task(**arguments) -> RobofyCrawlWebsiteOperator:
    return RobofyCrawlWebsiteOperator(
        task_id="crawl", **{"start_urls": [SITE], "poll_interval": 0.1, "timeout": 10, **arguments}
    )


@pytest.fixture
def retry(context, ti):
    """The context of a second try, in a run that began two hours ago unless told otherwise."""

    def make(began: datetime | None = None):
        ti.try_number = 2
        return {**context, "dag_run": SimpleNamespace(start_date=began or datetime.now(UTC) - timedelta(hours=2))}

    return make


def test_a_crawl_is_started_and_waited_for(robofy, context, ti):
    result = task().execute(context)
    [crawl] = robofy.crawls()
    assert result["run_id"] == crawl["run_id"] == ti.pushed["run_id"]
    assert result["status"] == "COMPLETED"
    assert json.loads(json.dumps(result)) == result


def test_every_documented_option_goes_to_the_api_under_its_own_name(robofy, context):
    task(
        start_urls=[SITE, " http://example.com/docs "],
        chatbot_id=robofy.chatbot_ids[1],
        include_urls=["https://example.com/docs"],
        exclude_urls="https://example.com/shop",
        max_pages=200,
        max_depth=3,
        use_sitemap=True,
        is_main_website=True,
        crawl_mode=1,
        vector_provider=2,
        wait_for_completion=False,
    ).execute(context)
    assert robofy.crawls()[0]["request"] == {
        "start_urls": [{"url": SITE}, {"url": "http://example.com/docs"}],
        "project_id": "24017",
        "chatbot_id": robofy.chatbot_ids[1],
        "include_urls": ["https://example.com/docs"],
        "exclude_urls": ["https://example.com/shop"],
        "max_crawl_pages": 200,
        "max_crawl_depth": 3,
        "use_sitemap": "1",
        "is_main_website": True,
        "crawl_mode": 1,
        "vector_provider": 2,
    }


def test_without_waiting_the_task_returns_at_once_sends_what_is_given_and_asks_for_no_status(robofy, context, ti):
    result = task(wait_for_completion=False).execute(context)
    assert (result["status"], result["run_id"]) == ("crawling", ti.pushed["run_id"])
    assert set(robofy.crawls()[0]["request"]) == {"start_urls", "project_id", "chatbot_id"}
    assert robofy.count("get_crawl_status") == 0


@pytest.mark.parametrize(
    "urls",
    [
        "ftp://example.com", "example.com", "https://", "javascript:alert(1)", "https://exa mple.com", "https://[::1",
        "", [],
    ],
)  # fmt: skip
def test_an_address_that_is_not_http_is_refused_before_any_call(robofy, context, urls):
    with pytest.raises(AirflowFailException, match="start_urls"):
        task(start_urls=urls if isinstance(urls, list) else [SITE, urls]).execute(context)
    assert robofy.count() == 0


@pytest.mark.parametrize(
    ("crawl", "timeout", "words"),
    [
        ({"crawl_result": "Failed"}, 10, "'Failed'"),
        ({"crawl_seconds": 60}, 0.3, r"0\.3 seconds"),
        ({"crawl_result": "indexed"}, 1, "1 seconds"),
    ],
    ids=["failed", "too slow", "ends with an unknown word"],
)
def test_a_crawl_that_does_not_end_well_fails_the_task_which_may_be_retried(robofy, context, ti, crawl, timeout, words):  # noqa: PLR0917
    robofy.configure(**crawl)
    with pytest.raises(RobofyCrawlError, match=words):
        task(timeout=timeout).execute(context)
    assert ti.pushed["run_id"] == robofy.crawls()[0]["run_id"], "pushed before the wait"


def test_trouble_with_the_status_does_not_end_the_wait(robofy, context):
    robofy.fault("status", status=500, endpoint="get_crawl_status", times=3)
    assert task().execute(context)["status"] == "COMPLETED"


def test_a_status_that_robofy_does_not_know_yet_is_waited_for_only_so_long(robofy, context, monkeypatch):
    robofy.fault("status", status=404, code="NOT_FOUND", endpoint="get_crawl_status", times=2)
    assert task().execute(context)["status"] == "COMPLETED"
    robofy.fault("status", status=404, code="NOT_FOUND", endpoint="get_crawl_status", times=None)
    monkeypatch.setattr(module, "GRACE", 0.2)
    with pytest.raises(AirflowFailException, match="'get_crawl_status'"):
        task().execute(context)


# ---------------------------------------------------------------------------------------------------------- retries


def test_a_first_try_starts_a_crawl_although_another_is_running(robofy, context):
    robofy.configure(crawl_seconds=60)
    task(wait_for_completion=False).execute(context)
    task(wait_for_completion=False).execute(context)
    assert len(robofy.crawls()) == 2


def test_a_retry_waits_for_the_crawl_that_is_running_and_starts_none(robofy, context, ti, retry):
    robofy.configure(crawl_seconds=2)
    with pytest.raises(RobofyCrawlError):
        task(timeout=0.2).execute(context)
    ti.pushed.clear()
    result = task().execute(retry())
    assert len(robofy.crawls()) == 1
    assert (result["status"], result["run_id"]) == ("COMPLETED", robofy.crawls()[0]["run_id"])
    assert ti.pushed["run_id"] == result["run_id"]


def test_a_start_whose_answer_was_lost_is_found_by_the_retry(robofy, context, retry):
    robofy.configure(crawl_seconds=1)
    robofy.fault("drop", endpoint="add_website")
    with pytest.raises(RobofyConnectionError):
        task().execute(context)
    assert task().execute(retry())["run_id"] == robofy.crawls()[0]["run_id"]
    assert len(robofy.crawls()) == 1


@pytest.mark.parametrize(("began", "crawls"), [(-timedelta(hours=2), 1), (timedelta(minutes=5), 2)])
def test_a_complete_crawl_counts_for_a_retry_if_it_began_after_the_run(robofy, context, retry, began, crawls):
    task().execute(context)
    assert task().execute(retry(datetime.now(UTC) + began))["status"] == "COMPLETED"
    assert len(robofy.crawls()) == crawls


@pytest.mark.parametrize("word", ["Failed", "not_started"])
def test_a_retry_after_a_failed_crawl_starts_another(robofy, context, retry, word):
    robofy.configure(crawl_result=word, crawl_seconds=0)
    task(wait_for_completion=False).execute(context)
    task(wait_for_completion=False).execute(retry())
    assert len(robofy.crawls()) == 2


@pytest.mark.parametrize("answer", [None, {}, {"status": "success", "data": []}, {"message": "No crawl found"}])
def test_a_status_without_a_run_is_no_run_so_the_retry_starts_one(robofy, retry, monkeypatch, answer):
    if answer is not None:  # None: the emulator's own answer for an agent that was never crawled
        monkeypatch.setattr(module, "crawl_status", lambda client, **ids: answer)
    task(wait_for_completion=False).execute(retry())
    assert len(robofy.crawls()) == 1


@pytest.mark.parametrize("answer", [{"status": "failed"}, {"run_id": "r", "status": "Error"}])
def test_a_crawl_that_was_not_started_fails_the_task(robofy, context, monkeypatch, answer):
    monkeypatch.setattr(module, "add_website", lambda body: replace(list_projects(), read=lambda _: answer))
    with pytest.raises(RobofyCrawlError, match="did not start a crawl"):
        task(wait_for_completion=False).execute(context)


def test_a_retry_that_cannot_read_the_status_starts_nothing(robofy, retry):
    robofy.fault("status", status=500, endpoint="get_crawl_status", times=None)
    with pytest.raises(RobofyError):
        task().execute(retry())
    assert robofy.crawls() == []


# --------------------------------------------------------------------------------------------------------- deferred


def test_deferred_it_ends_as_it_does_without(robofy, context, ti, monkeypatch):
    monkeypatch.setattr(base, "SHORTEST_POLL", 0.1)
    one = task(deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        one.execute(context)
    assert ti.pushed["run_id"] == robofy.crawls()[0]["run_id"]
    assert isinstance(deferred.value.trigger, RobofyCrawlTrigger)
    assert deferred.value.timeout > timedelta(seconds=one.timeout)

    [event] = payloads(rebuilt(deferred.value.trigger))

    result = one.resume_execution(deferred.value.method_name, {"event": event}, context)
    assert result == {"status": "COMPLETED", "run_id": ti.pushed["run_id"], "started_at": result["started_at"]}
    assert len(robofy.crawls()) == 1


def test_deferred_it_looks_no_more_often_than_every_ten_seconds(robofy, context):
    with pytest.raises(TaskDeferred) as deferred:
        task(deferrable=True, poll_interval=1).execute(context)
    assert deferred.value.trigger.poll_interval == 10


def test_the_default_of_deferrable_is_airflows_own(monkeypatch):
    assert task().deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert task().deferrable is True
    assert task(deferrable=False).deferrable is False


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        ({"status": "timeout"}, RobofyCrawlError, "10 seconds"),
        ({"status": "error", "message": "key refused", "permanent": True}, AirflowFailException, "key refused"),
        ({"status": "error", "message": "it failed", "permanent": False}, RobofyError, "it failed"),
        ({"status": "who knows"}, RobofyError, "does not know"),
        (None, RobofyError, "does not know"),
    ],
)
def test_what_a_trigger_met_fails_the_task_in_the_same_way(robofy, context, event, kind, words):
    with pytest.raises(kind, match=words):
        task().execute_complete(context, event)
