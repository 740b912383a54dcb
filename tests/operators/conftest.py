"""A task's context, as small as an operator needs it, a connection to an emulator, and files to work on."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.knowledge.conftest import bucket, s3_endpoint  # noqa: F401 (fixtures)
from tests.operators.sync_world import World


@dataclass
class TaskInstance:
    dag_id: str = "my_dag"
    run_id: str = "manual__2025-01-15T00:00:00+00:00"
    task_id: str = "leads"
    map_index: int = -1
    pushed: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        self.pushed[key] = value

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        return self.pushed[key]


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()


@pytest.fixture
def context(ti):
    return {"ti": ti, "params": {}, "run_id": ti.run_id}


@pytest.fixture
def world(robofy_emulator_factory, tmp_path, monkeypatch):
    return World(robofy_emulator_factory(leads=12, page_size=5, agents=2), tmp_path, monkeypatch)


@pytest.fixture
def connect(monkeypatch):
    """Point robofy_default at an emulator: host and password by their names, all others are extras."""

    def connect(emulator, **changes):
        connection = json.loads(emulator.connection_json())
        connection.update({name: changes.pop(name) for name in ("host", "password") if name in changes})
        # One page after another, so that tests can count requests.
        connection["extra"].update({"max_attempts": 2, "total_timeout": 20, "max_parallel_pages": 1, **changes})
        monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
        return emulator

    return connect


@pytest.fixture
def landing(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))
    return tmp_path / "landing"


@pytest.fixture
def docs(tmp_path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "faq.md").write_text("Opening hours")
    (folder / "prices.pdf").write_bytes(b"%PDF-1.7 prices")
    return folder


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    """Pause before a retry as it should be, but in a test's time."""
    monkeypatch.setattr(RobofyClient, "_sleep", lambda self, seconds: time.sleep(min(seconds, 0.02)))


def lines(path) -> list[dict]:
    """Return the rows of a file of JSON lines."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def fetch(operator, context, path, **arguments) -> dict[str, Any]:
    """Run a fetch operator, and return its manifest."""
    manifest: dict[str, Any] = operator(task_id="fetch", output_path=str(path), **arguments).execute(context)
    return manifest


def fetch_leads(context, path, **arguments):
    return fetch(RobofyFetchLeadsOperator, context, path, **arguments)


def fetch_sessions(context, path, **arguments):
    return fetch(RobofyFetchSessionsOperator, context, path, **arguments)


def fetch_messages(context, path, sessions, **arguments):
    return fetch(RobofyFetchMessagesOperator, context, path, sessions=sessions, **arguments)
