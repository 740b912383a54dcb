"""Pytest fixtures for tests of DAGs and hooks that talk to Robofy.

Usage, in a `conftest.py`::

    pytest_plugins = ["airflow_provider_robofy.emulator.pytest_plugin"]

and in a test::

    def test_my_dag_lands_every_lead(robofy_emulator):
        robofy_emulator.add_leads(3)
        ...  # connection robofy_default leads there already
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.emulator import Emulator

    RobofyEmulatorFactory = Callable[..., Emulator]


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
