"""What the probe does not do: write, ask without end, or give up because of one endpoint."""

from __future__ import annotations

import time

import pytest

from airflow_provider_robofy.api.endpoints import delete_agent, send_message
from airflow_provider_robofy.probe.ask import Asker, Bounds
from tests.probe.conftest import connection_of


def test_only_get_requests_are_sent_and_no_more_than_allowed(robofy_emulator, probe):
    found = probe(robofy_emulator)
    sent = robofy_emulator.requests
    assert {request.method for request in sent} == {"GET"}
    assert found.survey.requests == len(sent) <= Bounds().max_requests


def test_the_asker_refuses_what_would_write(robofy_emulator):
    asker = Asker(connection_of(robofy_emulator), Bounds())
    for call in (delete_agent(1, "a"), send_message({})):
        with pytest.raises(ValueError, match="only reads"):
            asker.ask(call)
    assert robofy_emulator.count() == 0


@pytest.mark.parametrize("shape", ["1", "2"])
def test_a_refused_key_ends_it_at_once(robofy_emulator_factory, probe, shape):
    emulator = robofy_emulator_factory(error_shape=shape)
    found = probe(emulator, key="a-wrong-key")
    assert found.survey.requests == emulator.count() == 1
    assert not found.survey.complete
    assert "the key is refused, HTTP 401 UNAUTHORIZED" in found.text
    assert found["answers", "errors"].value == {f"documented shape {shape}": 1}
    assert "a-wrong-key" not in found.said


def test_a_403_for_one_endpoint_costs_that_one_only(robofy_emulator_factory, probe):
    emulator = robofy_emulator_factory()
    emulator.fault("status", status=403, code="FORBIDDEN", endpoint="account_limit", times=0)
    found = probe(emulator)
    assert found["other", "account_limit"].open
    assert found["other", "list_agents"].value["answers"]


def test_a_host_that_is_not_there_ends_it_at_once(robofy_emulator, probe):
    url = robofy_emulator.url
    robofy_emulator.stop()
    found = probe(robofy_emulator, host=url, bounds=Bounds(max_requests=2, max_seconds=20), ids=False, chatbot_id="a")
    assert found.survey.ended is not None
    assert "no connection" in found.text
    assert found.survey.requests <= 2


def test_rate_limits_are_obeyed_and_reported(robofy_emulator_factory, probe):
    emulator = robofy_emulator_factory()
    emulator.fault("rate_limit", retry_after=1, endpoint="list_leads", times=2)
    found = probe(emulator)
    assert found["answers", "rate limits met"].value == {"times": 2, "retry_after": {"seconds": 2}}
    assert found["answers", "rate limit headers"].value == {"retry-after": "1"}
    assert found["leads", "path"].value == "answers"


@pytest.mark.parametrize(
    ("emulated", "bounds", "requests", "said"),
    [
        ({"faults": ["rate_limit:retry_after=0,times=0"]}, {}, 5, "requests-per-minute"),
        (
            {
                "leads": 1_000_000,
                "page_size": 5,
                "sessions_page_size": 2,
                "faults": ["status:status=503,times=0,page=3"],
            },
            {"max_requests": 9, "lead_pages": 500, "session_pages": 500},
            9,
            "used up",
        ),
        ({"faults": ["redirect:to=/v1/projects,times=0,endpoint=list_leads"]}, {"max_requests": 1}, 1, "used up"),
    ],
    ids=["only limits", "endless and failing", "redirects"],
)
def test_requests_are_bounded_whatever_comes_back(  # noqa: PLR0917
    robofy_emulator_factory, probe, emulated, bounds, requests, said
):
    emulator = robofy_emulator_factory(**emulated)
    found = probe(emulator, bounds=Bounds(**bounds))
    assert found.survey.requests == emulator.count() == requests
    assert not found.survey.complete
    assert said in found.text


def test_memory_is_bounded_by_what_one_answer_may_hold(robofy_emulator_factory, probe):
    emulator = robofy_emulator_factory(leads=2000)
    found = probe(emulator, bounds=Bounds(lead_pages=20), max_response_mb=0.1)
    assert found.survey.ended is not None
    assert "larger than max_response_mb in all" in found.survey.ended.what
    assert emulator.count("list_leads") < 5
    assert found["leads", "order"].value == "newest_first"


@pytest.mark.serial
def test_time_is_bounded_also_where_an_answer_hangs(robofy_emulator_factory, probe):
    emulator = robofy_emulator_factory()
    emulator.fault("delay", seconds=60, times=0)
    began = time.monotonic()
    found = probe(emulator, bounds=Bounds(max_seconds=1.5))
    assert time.monotonic() - began < 10
    assert not found.survey.complete


def test_the_budget_of_the_connection_is_kept(robofy_emulator_factory, probe):
    began = time.monotonic()
    found = probe(robofy_emulator_factory(), bounds=Bounds(max_requests=4), requests_per_minute=120)
    assert time.monotonic() - began >= 1.4
    assert found.survey.requests <= 4


@pytest.mark.parametrize("kind", ["html", "not_json", "wrong_shape"])
def test_an_answer_of_another_kind_is_a_finding(robofy_emulator_factory, probe, kind):
    emulator = robofy_emulator_factory()
    emulator.fault(kind, endpoint="list_sessions", times=0)
    found = probe(emulator)
    assert any(one.open for one in found.survey.findings if one.topic == "sessions")
    assert found["leads", "path"].value == "answers"
