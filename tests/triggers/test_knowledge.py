"""RobofyCrawlTrigger: one event, whatever happens, and an event loop that never stands still."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.triggers import polls
from airflow_provider_robofy.triggers.knowledge import AgentPoll, RobofyCrawlTrigger
from tests.waiting import payloads, rebuilt, start_crawl


@pytest.fixture(autouse=True)
def _polls_as_often_as_asked(monkeypatch):
    monkeypatch.setattr(polls, "SPACING", 0.0)


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=0, crawl_seconds=0.3), max_attempts=1)


def trigger(robofy, **arguments) -> RobofyCrawlTrigger:
    usual = {
        "project_id": "24017",
        "chatbot_id": robofy.chatbot_ids[0],
        "robofy_conn_id": "robofy_default",
        "poll_interval": 0.1,
        "deadline": time.time() + 10,
    }
    return RobofyCrawlTrigger(**{**usual, **arguments})


async def all_events(one: RobofyCrawlTrigger) -> list:
    return [event.payload async for event in one.run()]


def test_what_is_serialised_makes_the_same_trigger_again(robofy):
    one = trigger(robofy, run_id="r1", unknown_until=5.0)
    assert type(rebuilt(one)) is RobofyCrawlTrigger
    assert rebuilt(one).serialize() == one.serialize()
    assert one.serialize()[1] == {
        "project_id": "24017", "chatbot_id": robofy.chatbot_ids[0], "run_id": "r1", "started_at": None,
        "unknown_until": 5.0, "robofy_conn_id": "robofy_default", "poll_interval": 0.1, "deadline": one.deadline,
    }  # fmt: skip


def test_it_fires_once_when_the_crawl_is_complete(robofy):
    run_id = start_crawl(robofy)
    [event] = payloads(trigger(robofy))
    assert event["status"] == "done"
    assert (event["value"]["status"], event["value"]["run_id"]) == ("completed", run_id)
    assert json.loads(json.dumps(event)) == event
    assert robofy.chatbot_ids[0] not in json.dumps(event)


def test_it_sleeps_before_it_looks(robofy):
    robofy.configure(crawl_seconds=0)
    start_crawl(robofy)
    began = time.monotonic()
    payloads(trigger(robofy, poll_interval=0.5))
    assert time.monotonic() - began >= 0.5
    assert robofy.count("get_crawl_status") == 1


@pytest.mark.serial
def test_at_its_deadline_it_polls_once_more_and_times_out(robofy):
    robofy.configure(crawl_seconds=60)
    start_crawl(robofy)
    began = time.monotonic()
    assert payloads(trigger(robofy, poll_interval=30, deadline=time.time() + 0.5)) == [{"status": "timeout"}]
    assert 0.4 < time.monotonic() - began < 2
    assert robofy.count("get_crawl_status") == 1
    assert payloads(trigger(robofy, deadline=time.time() - 1)) == [{"status": "timeout"}]


def test_a_failed_crawl_is_an_error_that_a_retry_may_mend(robofy):
    robofy.configure(crawl_seconds=0, crawl_result="failed")
    start_crawl(robofy)
    [event] = payloads(trigger(robofy))
    assert (event["status"], event["permanent"]) == ("error", False)
    assert "'failed'" in event["message"]


def test_a_wrong_key_is_an_error_that_none_can_mend_and_shows_no_key(robofy, connect):
    connect(robofy, password="rk_wrong_4410", max_attempts=1)
    [event] = payloads(trigger(robofy))
    assert (event["status"], event["permanent"]) == ("error", True)
    assert "password field" in event["message"]
    assert "rk_wrong_4410" not in json.dumps(event)
    assert robofy.count("get_crawl_status") == 1


def test_a_connection_that_does_not_exist_is_an_error_that_names_it(robofy):
    [event] = payloads(trigger(robofy, robofy_conn_id="no_such_connection"))
    assert (event["status"], event["permanent"]) == ("error", True)
    assert "'no_such_connection'" in event["message"]


def test_a_connection_that_cannot_be_read_now_is_read_again(robofy, monkeypatch):
    start_crawl(robofy)
    read = RobofyHook.aconnection
    tries = []

    async def now_and_then(self):
        tries.append(1)
        if len(tries) < 3:
            raise OSError("the API server is restarting")
        return await read(self)

    monkeypatch.setattr(RobofyHook, "aconnection", now_and_then)
    [event] = payloads(trigger(robofy))
    assert (event["status"], len(tries)) == ("done", 3)


@pytest.mark.parametrize("kind", ["drop", "html", "not_json", "truncate", "rate_limit"])
def test_trouble_that_may_pass_does_not_end_the_wait(robofy, kind):
    robofy.fault(kind, endpoint="get_crawl_status", times=2)
    start_crawl(robofy)
    [event] = payloads(trigger(robofy))
    assert event["status"] == "done"
    assert robofy.count("get_crawl_status") >= 3


def test_a_fault_of_our_own_is_an_event_too_and_its_text_stays_in_the_log(robofy, monkeypatch):
    def poll(self, client, questions):
        raise ZeroDivisionError("planted secret words")

    monkeypatch.setattr(AgentPoll, "__call__", poll)
    [event] = payloads(trigger(robofy))
    assert (event["status"], event["permanent"]) == ("error", False)
    assert "ZeroDivisionError" in event["message"]
    assert "planted" not in json.dumps(event)


@pytest.mark.serial
def test_the_event_loop_never_stands_still(robofy):
    """Fifty triggers in one loop, as a triggerer has them, the reading of their connections included."""
    start_crawl(robofy)
    robofy.configure(crawl_seconds=1)
    longest = 0.0

    async def run() -> list:
        async def watch_the_loop() -> None:
            nonlocal longest
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - began - 0.01)

        watching = asyncio.create_task(watch_the_loop())
        events = await asyncio.gather(*(all_events(trigger(robofy, poll_interval=0.3)) for _ in range(50)))
        watching.cancel()
        return events

    payloads(trigger(robofy))  # what the first one imports is no matter of the others
    events = asyncio.run(run())
    assert {event["status"] for [event] in events} == {"done"}
    assert longest < 0.25, f"the loop stood still for {longest:.3f} s"
