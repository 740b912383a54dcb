"""The three modes of a sensor, short pauses, and a connection that leads to an emulator."""

from __future__ import annotations

import json
import time
from importlib import import_module

import pytest

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.triggers import base, polls
from tests.sensors.legs import Rescheduled

MODES = ["poke", "reschedule", "deferred"]


@pytest.fixture
def connect(monkeypatch):
    def connect(emulator, password=None, **extra):
        connection = json.loads(emulator.connection_json())
        connection["extra"].update({"max_attempts": 1, "total_timeout": 20, **extra})
        if password:
            connection["password"] = password
        monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
        return emulator

    return connect


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(base, "SHORTEST_POLL", 0.1)
    monkeypatch.setattr(polls, "SPACING", 0.0)
    monkeypatch.setattr(RobofyClient, "_sleep", lambda self, seconds: time.sleep(min(seconds, 0.02)))


@pytest.fixture(params=MODES)
def mode(request, monkeypatch):
    if request.param == "reschedule":
        # Airflow 2.11 asks its database when the task was first rescheduled; there is none here.
        base = import_module("airflow.sensors.base")
        if hasattr(base, "_orig_start_date"):
            monkeypatch.setattr(base, "_orig_start_date", lambda *_, **__: Rescheduled.first)
    return request.param
