"""Pytest fixtures for tests of DAGs and hooks that talk to Robofy.

Usage, in a `conftest.py`::

    pytest_plugins = ["airflow_provider_robofy.emulator.pytest_plugin"]

and in a test::

    def test_my_dag_lands_every_lead(robofy_emulator):
        robofy_emulator.add_leads(3)
        ...  # connection robofy_default leads there already
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.emulator import Emulator

    RobofyEmulatorFactory = Callable[..., Emulator]
    RobofyContext = Callable[..., dict[str, Any]]


@pytest.fixture
def robofy_emulator_factory() -> Iterator[RobofyEmulatorFactory]:
    """Return a function that starts an emulator with the options given; all are stopped after the test.

    Usage::

        def test_many(robofy_emulator_factory):
            emulator = robofy_emulator_factory(leads=1000, page_size=10, faults=["drop:page=3"])
    """
    # Here, so that a project without aiohttp can load the plugin as long as no test asks for an emulator.
    from airflow_provider_robofy.emulator import Emulator

    started: list[Emulator] = []

    def start(**options: Any) -> Emulator:
        emulator = Emulator(**options).start()
        started.append(emulator)
        return emulator

    yield start
    for emulator in started:
        emulator.stop()


@pytest.fixture
def robofy_emulator(robofy_emulator_factory: RobofyEmulatorFactory, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Return a fresh emulator with its defaults, which the connection `robofy_default` leads to during the test."""
    emulator = robofy_emulator_factory()
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", emulator.connection_json())
    return emulator


@pytest.fixture
def robofy_context() -> RobofyContext:
    """Return a function that makes a task's context, to call an operator's ``execute`` with.

    Usage::

        def test_leads(robofy_emulator, robofy_context, tmp_path):
            context = robofy_context(task_id="leads")
            operator = RobofyFetchLeadsOperator(task_id="leads", output_path=f"{tmp_path}/leads.jsonl")
            manifest = operator.execute(context)
            context["ti"].xcoms  # what was pushed, by key

    Its keyword arguments are ``dag_id``, ``task_id``, ``run_id``, ``map_index``, ``try_number``, ``conf`` of the run
    and ``at``, the run's datetime; any other becomes an entry of the context, such as ``params``.
    """
    return _context


def _context(
    *,
    dag_id: str = "dag",
    task_id: str = "task",
    run_id: str = "manual__2025-01-15T00:00:00+00:00",
    map_index: int = -1,
    try_number: int = 1,
    conf: dict[str, Any] | None = None,
    at: datetime = datetime(2025, 1, 15, tzinfo=UTC),
    **more: Any,
) -> dict[str, Any]:
    xcoms: dict[str, Any] = {}
    ti = SimpleNamespace(
        dag_id=dag_id,
        task_id=task_id,
        run_id=run_id,
        map_index=map_index,
        try_number=try_number,
        xcoms=xcoms,
        xcom_push=lambda key, value, **_: xcoms.__setitem__(key, value),
        xcom_pull=lambda *_, key="return_value", **__: xcoms.get(key),
    )
    return {
        "ti": ti,
        "task_instance": ti,
        "dag_run": SimpleNamespace(
            dag_id=dag_id, run_id=run_id, run_type="manual", conf=conf or {}, start_date=at, logical_date=at
        ),
        "run_id": run_id,
        "logical_date": at,
        "data_interval_start": at,
        "data_interval_end": at,
        "ds": at.date().isoformat(),
        "ts": at.isoformat(),
        "params": {},
        **more,
    }
