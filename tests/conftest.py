"""Set the environment that Airflow reads when it is first imported, and divide the suite into its two parts.

Each worker of pytest-xdist imports this module, so each has an Airflow home of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_home = tempfile.mkdtemp(prefix="robofy-tests-")
os.environ.update(
    AIRFLOW_HOME=_home,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_home}/airflow.db",
)
for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_") or name.endswith(("_PROXY", "_proxy"))]:
    del os.environ[name]

pytest_plugins = ["airflow_provider_robofy.emulator.pytest_plugin"]

# Two shared cores: how long a property takes says nothing about the code.
settings.register_profile("robofy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("robofy")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option by which ``make test`` runs the suite in two parts.

    Not an expression for ``-m``: pytest takes only the last one, which is left to whoever runs the tests.
    """
    parser.addoption(
        "--part",
        choices=["parallel", "serial"],
        help="only the tests that can run side by side, or only those that cannot",
    )


@pytest.hookimpl(optionalhook=True)  # xdist may be missing
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each worker whole files, and all tests of the running Airflow to one worker, so that it is started once."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class ByAirflowAndFile(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "tests/processes" if file.startswith("tests/processes/") else file

    return ByAirflowAndFile(config, log)


#: What waits longest comes first, so that no worker begins it when the others have nothing left to do.
SLOWEST = ("processes", "test_tutorial.py", "dags")


@pytest.hookimpl(trylast=True)  # some folders mark their tests when they are collected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of the other part, and begin with those that wait longest."""
    items.sort(key=lambda item: [name not in item.path.parts for name in SLOWEST])
    if part := config.getoption("--part"):
        others = [item for item in items if (part == "serial") != bool(item.get_closest_marker("serial"))]
        if others:
            config.hook.pytest_deselected(items=others)
            left_out = set(others)
            items[:] = [item for item in items if item not in left_out]


def pytest_unconfigure() -> None:
    """Remove the Airflow home."""
    shutil.rmtree(_home, ignore_errors=True)
