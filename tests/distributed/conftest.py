"""An Airflow over several workers and triggerers: ``make distributed-test``."""

from __future__ import annotations

import os
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.processes.airflow import COMPONENTS, RunningAirflow
from tests.warehouse.servers import NoServerError, postgresql, redis

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
WORKERS, TRIGGERERS = ("worker-1", "worker-2"), ("triggerer-1", "triggerer-2")
WORKER = ["celery", "worker", "--skip-serve-logs", "--without-gossip", "--without-mingle"]
# Airflow has this folder of its home on its path. Its own name tells each process's tasks and triggers apart.
HOST_NAME = "import os\n\n\ndef component():\n    return os.environ['COMPONENT']\n"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these tests out unless their folder was asked for: collecting them imports what may not be there."""
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in named) else True


@pytest.fixture(scope="session")
def servers() -> Iterator[tuple[Path, str]]:
    """Run PostgreSQL, with databases ``airflow`` and ``warehouse``, and Redis; give the socket's folder and the URL."""
    missing = [name for name in ("celery", "airflow.providers.celery") if find_spec(name) is None]
    with ExitStack() as running:
        try:
            folder = running.enter_context(postgresql("fsync=off", "full_page_writes=off", "max_connections=200"))
            broker = running.enter_context(redis())
        except NoServerError as error:
            missing.append(str(error))
        if missing:
            skip_or_fail = pytest.fail if os.environ.get("CI") else pytest.skip
            skip_or_fail(f"missing: {', '.join(missing)}. make servers and make distributed-test install all of it")
        with psycopg.connect(host=str(folder), user="postgres", autocommit=True) as database:
            for name in ("airflow", "warehouse"):
                database.execute(f"CREATE DATABASE {name}")
        yield folder, broker


@pytest.fixture(scope="session")
def airflow(servers: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give an Airflow with two workers and two triggerers, all of them up."""
    folder, broker = servers
    components = {name: command for name, command in COMPONENTS.items() if name != "triggerer"}
    components |= dict.fromkeys(TRIGGERERS, COMPONENTS["triggerer"])
    components |= {name: [*WORKER, "--celery-hostname", name] for name in WORKERS}
    running = RunningAirflow(tmp_path_factory.mktemp("distributed") / "airflow", components)
    running.environment |= {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "host_name.component",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "3",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql://postgres@/airflow?host={folder}",
        # How soon what a killed worker ran, or had fetched from the broker, is tried again.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    }
    config = running.folder / "config"
    config.mkdir(parents=True)
    (config / "host_name.py").write_text(HOST_NAME)
    try:
        running.up()
        logs = [running.component_log(name) for name in WORKERS]
        running.until(lambda: all(" ready." in log.read_text() for log in logs), "both workers are ready")
        running.until(lambda: triggerers_of(running) == set(TRIGGERERS), "both triggerers are up", timeout=90)
        yield running
    finally:
        running.down()


def triggerers_of(airflow: Any) -> set[str]:
    """Return the triggerers that are alive."""
    return {job["hostname"] for job in airflow._ask("GET", "jobs?job_type=TriggererJob&is_alive=true")["jobs"]}
