"""A task's context, as small as an operator needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

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


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()


@pytest.fixture
def context(ti):
    return {"ti": ti, "params": {}, "run_id": ti.run_id}


@pytest.fixture
def world(robofy_emulator_factory, tmp_path, monkeypatch):
    return World(robofy_emulator_factory(leads=12, page_size=5, agents=2), tmp_path, monkeypatch)
