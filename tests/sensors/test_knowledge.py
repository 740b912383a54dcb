"""RobofyCrawlSensor: the same outcome in all its modes."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_robofy.api.errors import RobofyCrawlError, RobofyError
from airflow_provider_robofy.sensors.knowledge import RobofyCrawlSensor
from airflow_provider_robofy.triggers import base
from tests.waiting import finish, payloads, rebuilt, start_crawl

MODES = ["poke", "deferred"]


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=0, crawl_seconds=0), max_attempts=1)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(base, "SHORTEST_POLL", 0.1)


@pytest.fixture
def crawl(robofy):
    return lambda: start_crawl(robofy)


def sensor(mode: str, **arguments) -> RobofyCrawlSensor:
    return RobofyCrawlSensor(
        task_id="crawled",
        deferrable=mode == "deferred",
        mode="reschedule" if mode == "reschedule" else "poke",
        **{"poke_interval": 0.1, "timeout": 5, **arguments},
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seconds", [0, 0.5])
def test_a_complete_crawl_gives_the_same_result_in_every_mode(robofy, crawl, mode, seconds):
    robofy.configure(crawl_seconds=seconds)
    run_id = crawl()
    result = finish(sensor(mode), {})
    assert (result["status"], result["run_id"]) == ("completed", run_id)


def test_a_complete_crawl_is_seen_before_anything_is_deferred(robofy, crawl):
    crawl()
    assert sensor("deferred").execute({})["status"] == "completed"
    assert robofy.count("get_crawl_status") == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_timeout_fails_or_skips(robofy, crawl, mode, soft_fail):
    robofy.configure(crawl_seconds=60)
    crawl()
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        finish(sensor(mode, timeout=0.3, soft_fail=soft_fail), {})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flags", [{}, {"soft_fail": True}, {"silent_fail": True}], ids=str)
def test_a_wrong_key_fails_at_once_and_is_never_a_skip(robofy, connect, mode, flags):
    connect(robofy, password="rk_wrong_4410")
    with pytest.raises(AirflowFailException, match="password field") as caught:
        finish(sensor(mode, **flags), {})
    assert "rk_wrong_4410" not in str(caught.value)
    assert robofy.count("get_crawl_status") == 1


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_key_that_becomes_wrong_while_it_waits_deferred_fails_at_once_too(robofy, crawl, soft_fail):
    robofy.configure(crawl_seconds=60)
    crawl()
    one = sensor("deferred", soft_fail=soft_fail)
    with pytest.raises(TaskDeferred) as deferred:
        one.execute({})
    robofy.configure(api_key="another")
    [payload] = payloads(rebuilt(deferred.value.trigger))
    with pytest.raises(AirflowFailException, match="password field"):
        one.resume_execution("execute_complete", {"event": payload}, {})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_failed_crawl_fails_and_is_never_a_skip(robofy, crawl, mode, soft_fail):
    robofy.configure(crawl_result="Failed")
    crawl()
    with pytest.raises(RobofyError, match="'Failed'"):
        finish(sensor(mode, soft_fail=soft_fail), {})


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_without_a_crawl_fails_so_that_it_may_be_retried(robofy, mode):
    with pytest.raises(RobofyCrawlError, match="knows of no crawl"):
        finish(sensor(mode), {})


@pytest.mark.parametrize("mode", MODES)
def test_trouble_that_may_pass_is_waited_out(robofy, crawl, mode):
    crawl()
    robofy.fault("status", status=500, endpoint="get_crawl_status", times=2)
    robofy.fault("drop", endpoint="get_crawl_status", times=1)
    assert finish(sensor(mode), {})["status"] == "completed"


@pytest.mark.parametrize("mode", MODES)
def test_a_sensor_that_must_never_fail_skips_in_every_mode(robofy, crawl, mode):
    robofy.configure(crawl_result="Failed")
    crawl()
    with pytest.raises(AirflowSkipException):
        finish(sensor(mode, never_fail=True), {})


def test_an_unknown_word_is_warned_of_once(robofy, crawl, caplog):
    caplog.set_level(logging.WARNING, logger="airflow_provider_robofy")
    robofy.configure(crawl_result="indexed")
    crawl()
    with pytest.raises(AirflowSensorTimeout):
        sensor("poke", timeout=0.5).execute({})
    assert robofy.count("get_crawl_status") > 2
    assert caplog.text.count("'indexed'") == 1


def test_an_interval_too_short_for_leaving_the_worker_is_raised_to_the_shortest(robofy, crawl, monkeypatch):
    monkeypatch.setattr(base, "SHORTEST_POLL", 10.0)
    robofy.configure(crawl_seconds=60)
    crawl()
    one = sensor("deferred", poke_interval=1)
    with pytest.raises(TaskDeferred) as deferred:
        one.execute({})
    assert deferred.value.trigger.poll_interval == 10
    with pytest.raises(TaskDeferred) as deferred:
        sensor("deferred", poke_interval=42).execute({})
    assert deferred.value.trigger.poll_interval == 42
    poking = sensor("poke", poke_interval=1, timeout=0)
    with pytest.raises(AirflowSensorTimeout):
        poking.execute({})
    assert poking.poke_interval == 1, "a poking sensor keeps its worker and may look as often as it likes"


def test_rescheduling_asks_the_same_question_and_keeps_the_floor(robofy, crawl, monkeypatch):
    monkeypatch.setattr(base, "SHORTEST_POLL", 10.0)

    class Instance:
        dag_id, task_id, run_id, map_index, try_number, max_tries = "d", "crawled", "r", -1, 1, 0

        def get_first_reschedule_date(self, context):
            return None

    context: Any = {"ti": Instance()}
    robofy.configure(crawl_seconds=60)
    crawl()
    one = sensor("reschedule", timeout=100)
    if not hasattr(type(one), "_is_sensor"):
        pytest.skip("Airflow 2 looks reschedules up in its database")
    with pytest.raises(AirflowRescheduleException) as again:
        one.execute(context)
    assert (again.value.reschedule_date - datetime.now(UTC)).total_seconds() > 9
    robofy.configure(crawl_seconds=0)
    assert sensor("reschedule").execute(context)["status"] == "completed"


def test_the_default_of_deferrable_is_airflows_own(monkeypatch):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert RobofyCrawlSensor(task_id="crawled").deferrable is True
