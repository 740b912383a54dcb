"""A running Airflow for every test in this folder: started once, ended with the last of them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes.airflow import COMPONENTS, RunningAirflow

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a running Airflow, and leave it out where there is no Airflow 3 to run."""
    old = version("apache-airflow").startswith("2.")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.realprocesses)
            item.add_marker(pytest.mark.timeout(400))
            if old:
                item.add_marker(pytest.mark.skip(reason="these components are Airflow 3's"))


@pytest.fixture(scope="session")
def _airflow_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    airflow = RunningAirflow(tmp_path_factory.mktemp("running") / "airflow")
    try:
        airflow.up()
        yield airflow
    finally:
        airflow.down()


@pytest.fixture
def running_airflow(_airflow_processes: Any) -> Any:
    """Give the running Airflow, all its components up again if a test before has ended one."""
    airflow = _airflow_processes
    for name in COMPONENTS:
        if name not in airflow._processes:
            airflow.start(name)
    airflow.until(airflow.healthy, "Airflow is up", timeout=120)
    return airflow
