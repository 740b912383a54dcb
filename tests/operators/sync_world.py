"""One agent of the emulator and a sync of it, run by run, as the cursor tests drive it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

NOW = datetime.now(UTC).replace(microsecond=0)


class World:
    """One agent, one task, any number of runs."""

    def __init__(self, emulator, root: Path, monkeypatch) -> None:
        self.emulator = emulator
        self.root = root
        self.agent = emulator.chatbot_ids[0]
        self.extra: dict = {}
        self.states: dict = {}
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(root))

    def arrive(self, count: int = 1, *, minutes_ago: float = 0) -> None:
        self.emulator.add_leads(count, chatbot_id=self.agent, created_at=NOW - timedelta(minutes=minutes_ago))

    def run(
        self,
        run_id: str,
        *,
        cursor="cursors",
        conf=None,
        run_type="scheduled",
        map_index=-1,
        dag_id="my_dag",
        task_id="leads",
        operator: type = RobofyFetchLeadsOperator,
        **arguments,
    ):
        connection = json.loads(self.emulator.connection_json(chatbot_id=self.agent))
        connection["extra"].update(self.extra)
        self._monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
        context = self._context(dag_id, run_id, task_id, map_index=map_index, run_type=run_type, conf=conf)
        task = operator(task_id="leads", cursor=cursor, **arguments)
        return task.execute(context)

    def advance(self, manifest, *, cursor="cursors", **arguments) -> dict[str, Any]:
        task = RobofyAdvanceCursorOperator(task_id="advance", manifest=manifest, cursor=cursor, **arguments)
        return task.execute(self._context("my_dag", "any", "advance"))

    def _context(self, dag_id, run_id, task_id, *, map_index=-1, run_type="scheduled", conf=None) -> Any:
        self.pushed: dict = {}
        ti = SimpleNamespace(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task_id,
            map_index=map_index,
            xcom_push=lambda key, value: self.pushed.update({key: value}),
        )
        return {
            "ti": ti,
            "dag_run": SimpleNamespace(run_type=run_type, conf=conf or {}),
            "asset_state_store": {asset: State(values) for asset, values in self.states.items()},
        }

    def ids(self, manifest: dict) -> list[str]:
        return [json.loads(line)["id"] for line in Path(manifest["uri"]).read_text().splitlines()]

    @property
    def state(self) -> dict:
        [path] = (self.root / "cursors").glob("*.json")
        return json.loads(path.read_text())


class State:
    """What the context gives for an asset: get and set of JSON."""

    def __init__(self, values: dict) -> None:
        self.values = values

    def get(self, key):
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key, value):
        self.values[key] = json.dumps(value)
