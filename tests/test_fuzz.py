"""Mutated answers over everything that reads one: only errors of ours come out, whatever an answer holds."""

from __future__ import annotations

import contextlib
import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.api.transport import Received, Transport
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.sensors.knowledge import RobofyCrawlSensor
from airflow_provider_robofy.sensors.leads import RobofyNewLeadsSensor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEAD = {"id": "lead_1", "created_at": "2025-01-15 10:30:00", "source": "chatbot", "lead_data": [{"field_name": "a"}]}
SAMPLES: list[Any] = [
    {"message": "ok", "data": {"report": {"rows": [LEAD], "next_page_token": "2"}}},
    {"sessions": [{"session_id": "s", "last_message_time": "2025-01-15 10:30:00", "user_profile_name": "Ann"}]},
    {"data": [{"message": "hello", "created_at": 1736937000}]},
    {"data": {"agents": [{"chatbot_id": "agent", "name": "Agent"}]}},
    {"projects": [{"project_id": 24017, "name": "Project"}]},
    {"linkage_id": 101, "chatbot_id": "agent", "asset_id": 98765, "status": "active"},
    {"data": {"status": "Uploaded", "asset_url": "https://example.com"}},
    {"run_id": "r", "status": "crawling", "started_at": "2026-02-20 14:45:00"},
    {"data": {"status": "completed", "run_id": "r"}},
    {"error": {"code": "INTERNAL_ERROR", "message": "no"}},
    [LEAD],
]
#: What may stand in place of any value.
ODD: list[Any] = [
    *(None, "", "2", "failed", "0001-01-01T00:00:00Z", "\ud83d", 10**30, -62135596800, 2**64, True, 1.5, [], {}, [[]]),
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything within a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, of in inner for one in places(of, (*path, key)))]


@st.composite
def answers(draw: st.DrawFn) -> Received:
    """Draw a documented answer with some of its values replaced or removed, or something that is no JSON."""
    value = copy.deepcopy(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        *path, last = draw(st.sampled_from(places(value)[1:] or [("x",)]))
        inner = value
        for key in path:
            inner = inner[key]
        if draw(st.integers(0, 4)):
            inner[last] = copy.deepcopy(draw(st.sampled_from(ODD) | VALUES))
        elif isinstance(inner, dict):
            inner.pop(last, None)
        if not places(value)[1:]:
            break
    body = json.dumps(value).encode()
    body = draw(st.sampled_from([body] * 8 + [body[:-1], b"", b"<html>", b"\xff" + body, body * 2]))
    status = draw(st.sampled_from([200] * 8 + [201, 204, 302, 400, 401, 404, 429, 500, 503]))
    return Received(status, {"content-type": "application/json"}, body)


def context() -> Any:
    ti = SimpleNamespace(
        dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=2, xcom_push=lambda **_: None, id="x"
    )
    return {"ti": ti, "run_id": "r", "dag_run": SimpleNamespace(conf={}, start_date=None), "params": {}}


def read_all(hook: RobofyHook) -> None:
    for listing in (hook.iter_leads, hook.iter_sessions, lambda: hook.iter_messages("s"), hook.list_agents):
        with contextlib.suppress(RobofyError):
            list(listing())
    with contextlib.suppress(RobofyError):
        hook.list_projects()
    with contextlib.suppress(RobofyError):
        hook.request("GET", "/v1/account/limit")
    assert isinstance(hook.test_connection()[0], bool)


def run(task: Any) -> None:
    try:
        task.execute(context())
    except (RobofyError, AirflowFailException):
        pass
    except AirflowException as error:  # what Airflow's sensors end with
        assert type(error).__name__ in {"AirflowSensorTimeout", "AirflowSkipException"}  # noqa: PT017


@pytest.fixture
def answering(monkeypatch):
    """A function that lets every request get these answers in turn."""
    extra = {"project_id": "24017", "chatbot_id": "agent", "max_attempts": 2}
    connection = {"conn_type": "robofy", "password": "rk_test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    monkeypatch.setattr(RobofyClient, "_sleep", lambda *_: None)

    def answering(*given_answers: Received) -> None:
        count = 0

        def send(*_: Any) -> Received:
            nonlocal count
            count += 1
            if count > 2000:
                raise AssertionError("it never ends")
            return given_answers[count % len(given_answers)]

        monkeypatch.setattr(Transport, "send", send)

    return answering


def run_all(folder: Path) -> None:
    run(RobofyNewLeadsSensor(task_id="t", min_count=3, timeout=0, poke_interval=0.01))
    run(RobofyCrawlSensor(task_id="t", timeout=0, poke_interval=0.01))
    run(RobofyCrawlWebsiteOperator(task_id="t", start_urls="https://example.com", wait_for_completion=False))
    ledger = folder / "ledger.json"
    ledger.unlink(missing_ok=True)
    run(RobofyUploadKnowledgeOperator(task_id="t", text="hello", name="hello.md", ledger_path=str(ledger)))


def mutants(sample: Any) -> Iterator[Any]:
    """Yield the sample with each of its values replaced by each odd one."""
    for *path, last in places(sample)[1:]:
        for odd in ODD:
            value = copy.deepcopy(sample)
            inner = value
            for key in path:
                inner = inner[key]
            inner[last] = copy.deepcopy(odd)
            yield value


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: ", ".join(map(str, sample)))
def test_an_odd_value_anywhere_gives_only_errors_of_ours(answering, tmp_path, sample):
    is_listing = isinstance(sample, list) or bool(
        {"report", "rows", "sessions"} & {str(p[-1]) for p in places(sample)[1:]}
    )
    for value in mutants(sample):
        answering(Received(200, {"content-type": "application/json"}, json.dumps(value).encode()))
        if is_listing:
            read_all(RobofyHook())
            run(RobofyNewLeadsSensor(task_id="t", min_count=3, timeout=0, poke_interval=0.01))
        else:
            run_all(tmp_path)


@settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(given_answers=st.lists(answers(), min_size=1, max_size=4))
def test_answers_with_several_faults_give_only_errors_of_ours(answering, tmp_path, given_answers):
    answering(*given_answers)
    read_all(RobofyHook())
    run_all(tmp_path)
