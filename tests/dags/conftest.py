"""A real Airflow with a home of its own: SQLite, the example DAGs, and commands run as a user runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.child import python

if TYPE_CHECKING:
    import subprocess

EXAMPLES = Path(__file__).parents[2] / "example_dags"
TIMEOUT = 240
#: What the examples wait for a retry or between two polls, and what they wait here: the shortest poll that is allowed.
SHORTER = {
    r'"retry_delay": timedelta\(\w+=\d+\)': '"retry_delay": timedelta(seconds=1)',
    r"\bpoll_interval=30\b": "poll_interval=10",
}


def copy_examples(folder: Path) -> None:
    folder.mkdir()
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text()
        for long, short in SHORTER.items():
            text = re.sub(long, short, text)
        (folder / path.name).write_text(text)


@dataclass
class AirflowHome:
    """Run commands against one Airflow, and look into what it stored."""

    folder: Path
    environment: dict[str, str]

    @property
    def landing(self) -> Path:
        return self.folder / "landing"

    def airflow(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        # The same interpreter, so that the suite runs against the Airflow it was started with.
        environment = {**self.environment, **environment}
        done = python("-m", "airflow", *arguments, timeout=TIMEOUT, env=environment, cwd=self.folder)
        done.stdout, done.stderr = without_mask_requests(done.stdout), without_mask_requests(done.stderr)
        if check and done.returncode:
            pytest.fail(f"airflow {' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    def run_dag(self, dag_id: str, day: str, *arguments: str, check: bool = True, **environment: str) -> str:
        """Run a DAG as ``airflow dags test`` does, and return what it printed."""
        done = self.airflow("dags", "test", dag_id, day, *arguments, check=check, **environment)
        return done.stdout + done.stderr

    def landed(self) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Return every manifest with the rows beside it, in the order of their starts."""
        manifests = [json.loads(path.read_text()) for path in self.landing.rglob("*.manifest.json")]
        manifests.sort(key=lambda manifest: manifest["started_at"])
        return [(one, [json.loads(line) for line in Path(one["uri"]).read_text().splitlines()]) for one in manifests]

    def stored(self) -> str:
        """Return everything that Airflow keeps in its database, as text."""
        with sqlite3.connect(self.folder / "airflow.db") as database:
            return "\n".join(database.iterdump())

    def everything_written(self) -> str:
        """Return all logs and the database; not what landed."""
        files = [path for path in self.folder.rglob("*.log") if path.is_file()]
        logs = without_mask_requests("\n".join(path.read_text(errors="replace") for path in files))
        return f"{logs}\n{self.stored()}"


def without_mask_requests(printed: str) -> str:
    """Leave out lines in which Airflow 3.0 itself prints, at debug level, the secrets that a task asks it to mask."""
    if not version("apache-airflow").startswith("3.0."):
        return printed
    return "\n".join(line for line in printed.splitlines() if "msg=MaskSecret(value=" not in line)


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> AirflowHome:
    folder = tmp_path_factory.mktemp("airflow")
    copy_examples(folder / "dags")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment.update(
        AIRFLOW_HOME=str(folder),
        COLUMNS="1000",  # Airflow 3.0 breaks the lines of an error where the terminal ends
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=str(folder / "dags"),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{folder}/airflow.db",
        AIRFLOW__ROBOFY__LANDING_ROOT=str(folder / "landing"),
        PATH=os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")]),
    )
    home = AirflowHome(folder, environment)
    home.airflow("db", "migrate")
    home.airflow("pools", "set", "robofy", "4", "Calls to Robofy at a time")
    return home


@pytest.fixture
def airflow_home(migrated_home: AirflowHome) -> AirflowHome:
    """Give the migrated home, without what an earlier test landed."""
    shutil.rmtree(migrated_home.landing, ignore_errors=True)
    return migrated_home
