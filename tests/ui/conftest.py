"""A browser in front of a running Airflow: each started once for the tests of this folder.

They run where this folder is named, as ``make ui-test`` does, and are deselected elsewhere: they need a browser and a
package that the rest of the suite does without.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.emulator.inprocess import Emulator
from tests.processes.airflow import RunningAirflow

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

HERE = Path(__file__).parent
EXAMPLES = HERE.parent.parent / "example_dags"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A key that is found nowhere by chance.
API_KEY = "rk-6c1d0b7e-browser"
DAG_ID = "robofy_lead_sync"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless their folder was asked for."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.ui)
        item.add_marker(pytest.mark.serial)
        item.add_marker(pytest.mark.timeout(400))
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    if ours and not any(path == HERE or HERE in path.parents for path in named):
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Add to a failure where its screenshot, its page and all logs are."""
    window = item.funcargs.get("window")
    if call.when != "teardown" and window and call.excinfo and not call.excinfo.errisinstance(pytest.skip.Exception):
        call.excinfo.value.add_note(window.evidence(item.name))
    return (yield)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the browser's path; without all that is needed, skip, or fail where skipping would hide it."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    reason = ""
    if tuple(int(part) for part in version("apache-airflow").split(".")[:2]) < (3, 3):
        reason = "these pages are Airflow 3.3's"
    elif importlib.util.find_spec("playwright") is None:
        reason = "playwright is not installed; make ui-test installs it"
    elif not found:
        reason = f"no browser on PATH, none of {', '.join(BROWSERS)}; make servers installs Chromium"
    if reason and os.environ.get("CI"):
        pytest.fail(f"CI is set, so this must not be skipped: {reason}", pytrace=False)
    elif reason:
        pytest.skip(reason)
    return str(found)


@pytest.fixture(scope="session")
def robofy() -> Iterator[Emulator]:
    """Give a Robofy whose key is unlike anything else."""
    with Emulator(api_key=API_KEY) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(chromium: str, robofy: Emulator) -> Iterator[Any]:
    """Give an Airflow whose connection tests are on, with one DAG, which is paused."""
    home = Path(tempfile.mkdtemp(prefix="airflow-"))  # short and nobody's, for it shows in pictures
    running = RunningAirflow(home / "home")
    running.environment |= {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    }
    try:
        running.up()
        source = (EXAMPLES / f"{DAG_ID}.py").read_text()
        # Daily and not hourly, lest the turn of an hour bring a run between those that are counted.
        assert source.count('"@hourly"') == 1
        running.write_dag(DAG_ID, source.replace('"@hourly"', '"@daily"'))
        yield running
    finally:
        running.down()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """Give a headless browser."""
    from playwright.sync_api import sync_playwright

    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments, timeout=60_000)
        yield launched
        with suppress(Exception):  # a browser that has died by itself
            launched.close()


@pytest.fixture
def window(airflow: Any, browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Give a window of its own, without cookies, as wide as the pictures in the documents."""
    from tests.ui.window import Window  # needs playwright

    opened = Window(browser, airflow, tmp_path, secrets=(API_KEY,))
    yield opened
    opened.close()


@pytest.fixture
def screens(window: Any) -> Any:
    """Give Airflow's pages as a person sees them."""
    from tests.ui.screens import Screens

    return Screens(window)
