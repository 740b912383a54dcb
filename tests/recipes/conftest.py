"""Examples and readers that need packages which the rest of the suite does without: ``make test-recipes``."""

from __future__ import annotations

import json
import logging
import os
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.dags.conftest import SHORTER, AirflowHome

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "example_dags"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these tests out unless their folder was asked for: collecting them imports what may not be there."""
    named = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in named) else True


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    """Give an Airflow with a database of its own and without DAGs."""
    folder = tmp_path_factory.mktemp("airflow")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__ROBOFY__LANDING_ROOT": str(folder / "landing"),
    }
    home = AirflowHome(folder, environment)
    home.airflow("db", "migrate")
    return home


@pytest.fixture
def run_dag(airflow_home: AirflowHome) -> Any:
    """Return a function that runs an example by ``airflow dags test``, with retries after a second."""

    def run(example: str, day: str, *, check: bool = True, **environment: str) -> None:
        source = EXAMPLES / example
        folder = airflow_home.folder / "dags" / source.stem
        folder.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        for long, short in SHORTER.items():
            text = re.sub(long, short, text)
        (folder / source.name).write_text(text)
        environment["AIRFLOW__CORE__DAGS_FOLDER"] = str(folder)
        done = airflow_home.airflow("dags", "test", source.stem, day, check=check, **environment)
        if not check:
            assert done.returncode, "the run was expected to fail"

    return run


class Run:
    """Run the tasks of an example one after the other in this process, as one run of the DAG."""

    def __init__(self, tasks: dict[str, Any], context: dict[str, Any]) -> None:
        self.tasks = tasks
        self.results: dict[str, Any] = {}
        self.context = context
        context["ti"].xcom_pull = lambda task_ids=None, **_: self.results[task_ids]

    def __call__(self, task_id: str) -> Any:
        """Run one task; what it returns is there for those after it."""
        task = self.tasks[task_id]
        self.context["ti"].task_id = task_id
        task.render_template_fields(self.context)
        self.results[task_id] = result = task.execute(self.context)
        return result


def tasks_of(example: str) -> dict[str, Any]:
    """Return the tasks of an example by their ids, made by the real provider packages."""
    path = EXAMPLES / example
    dag = runpy.run_path(str(path))[path.stem]()
    return {task.task_id: task for task in dag.tasks}


@pytest.fixture(scope="session")
def s3_environment() -> Iterator[dict[str, str]]:
    """Run moto's S3 with an empty bucket ``landing``; give the environment in which ``aws_default`` leads to it."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="landing")
    extra = {"endpoint_url": url, "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
    yield {"AIRFLOW_CONN_AWS_DEFAULT": json.dumps(connection)}
    server.stop()
