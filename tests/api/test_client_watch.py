"""Watching a client: what comes of each request, also of those that are sent again."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import account_limit, list_agents
from airflow_provider_robofy.api.errors import RobofyNotFoundError
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.api.transport import Lost, Received


def settings(emulator) -> Settings:
    return Settings(api_key=emulator.api_key, base_url=emulator.url, backoff=0)


def test_every_outcome_is_shown_headers_and_repeated_ones_included(robofy_emulator):
    robofy_emulator.fault("rate_limit", retry_after=0)
    robofy_emulator.fault("drop", after=1)
    seen: list[Received | Lost] = []
    with RobofyClient(settings(robofy_emulator), watch=seen.append) as client:
        client.call(account_limit())
    assert [one.status if isinstance(one, Received) else one.how for one in seen] == [429, "dropped", 200]
    assert isinstance(seen[0], Received)
    assert seen[0].headers["retry-after"] == "0"
    assert client.requests == 3


def test_the_body_of_an_error_is_shown(robofy_emulator):
    seen: list[Received | Lost] = []
    with RobofyClient(settings(robofy_emulator), watch=seen.append) as client, pytest.raises(RobofyNotFoundError):
        client.call(list_agents(1))
    assert isinstance(seen[0], Received)
    assert b"PROJECT_NOT_FOUND" in seen[0].body


def test_what_the_watcher_raises_ends_the_call(robofy_emulator):
    class EnoughError(Exception):
        pass

    def watch(outcome):
        raise EnoughError

    robofy_emulator.fault("status", status=503, times=0)
    with RobofyClient(settings(robofy_emulator), watch=watch) as client:
        with pytest.raises(EnoughError):
            client.call(account_limit())
        assert client.requests == 1
