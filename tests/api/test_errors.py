"""The exception tree: what a person reads, what a task does, and what survives a process boundary."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_robofy.api import errors
from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyAuthError,
    RobofyBadRequestError,
    RobofyCallError,
    RobofyConfigError,
    RobofyConnectionError,
    RobofyError,
    RobofyNotFoundError,
    RobofyRateLimitError,
    RobofyResponseError,
    RobofyServerError,
)

AT = datetime(2026, 2, 20, 14, 45, tzinfo=UTC)
ALL: list[Any] = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]


def test_every_error_is_a_robofy_error_and_none_is_airflows():
    assert len(ALL) >= 14
    for each in ALL:
        assert issubclass(each, RobofyError)
        assert not any("airflow.exceptions" in base.__module__ for base in each.__mro__)


def test_only_what_a_retry_cannot_fix_fails_the_task_at_once():
    for kind in (RobofyConfigError, RobofyAuthError, RobofyNotFoundError, RobofyBadRequestError):
        assert kind.permanent
    for other in (RobofyConnectionError, RobofyResponseError, RobofyRateLimitError, RobofyServerError):
        assert not other.permanent


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_survives_a_process_boundary(kind):
    error = kind("It broke.")
    if isinstance(error, RobofyCallError):
        error = kind("It broke.", endpoint="list_leads (GET /x)", requested_at=AT, advice="Mend it.")
        error.attempts, error.transient, error.retry_after = 3, True, 7.0
    if isinstance(error, RobofyApiError):
        error.status, error.code, error.detail = 404, "NOT_FOUND", "No such thing."
    if isinstance(error, RobofyResponseError):
        error.status, error.content_type = 200, "text/html"
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error), copy.copy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.args == error.args
        assert vars(again) == vars(error)


def test_the_sentence_holds_endpoint_time_attempt_and_advice_as_far_as_they_are_known():
    error = RobofyServerError("It failed, HTTP 500", endpoint="list_leads (GET /x)", requested_at=AT, advice="Wait.")
    assert str(error) == "list_leads (GET /x): It failed, HTTP 500 (requested at 2026-02-20T14:45:00Z) Wait."
    error.attempts = 3
    assert str(error) == "list_leads (GET /x): It failed, HTTP 500 (requested at 2026-02-20T14:45:00Z, attempt 3) Wait."
    assert str(RobofyConnectionError("It broke.")) == "It broke."


def test_a_refusal_for_its_rate_may_be_repeated_even_for_a_change():
    error = RobofyRateLimitError("x")
    assert error.transient
    assert error.refused
    assert not RobofyServerError("x").refused
