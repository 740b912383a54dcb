"""An Airflow as it runs in earnest: each component a process of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from sqlalchemy import create_engine, inspect, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPONENTS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
FINISHED = {"success", "failed"}
# Becomes the component, after asking the kernel to kill it (9) when the tests themselves are killed (PR_SET_PDEATHSIG).
_TIED_TO_US = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class RunningAirflow:
    """Start the components, talk to them, and end any of them.

    Usage::

        airflow.connect("robofy_default", json.loads(emulator.connection_json()))
        airflow.write_dag("my_dag", source)
        run_id = airflow.trigger("my_dag")
        airflow.restart("triggerer")
        assert airflow.wait_for_run("my_dag", run_id) == "success"

    Everything goes through the REST API, since each ``airflow`` command would take seconds to start.

    :param folder: Home of this Airflow; must be empty.
    :param components: Name of each process to its ``airflow`` command. Default one of each kind, for LocalExecutor.
    """

    def __init__(self, folder: Path, components: dict[str, list[str]] = COMPONENTS) -> None:
        self.folder = folder
        self.components = components
        self.dags = folder / "dags"
        self.landing = folder / "landing"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.environment = self._environment()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._http = requests.Session()
        self._http.trust_env = False

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__ENABLE_XCOM_DESERIALIZE_SUPPORT": "True",  # Airflow 3.0 refuses it by default
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            "AIRFLOW__ROBOFY__LANDING_ROOT": str(self.landing),
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    # ------------------------------------------------------------------------------------------------- processes
    def up(self) -> None:
        """Make the database, start all components, and return when every one of them reports that it is healthy."""
        # What a component has started would outlive it.
        self._on_sigterm = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by a signal", 143))
        self.dags.mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"airflow db migrate failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        for name in self.components:
            self.start(name)
        self.until(self.healthy, "Airflow is up", timeout=150)
        # The first request of a task makes the API stand still for seconds, in which others would time out.
        self._http.get(f"{self.url}/execution/health", timeout=120).raise_for_status()

    def start(self, name: str) -> None:
        """Start one component.

        :param name: Its name in ``components``; it is the process's COMPONENT in its environment.
        """
        with self.component_log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-c", _TIED_TO_US, "-m", "airflow", *self.components[name]],
                env={**self.environment, "COMPONENT": name},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to a component and all that it has started, tasks too, and wait until it is gone."""
        process = self._processes.pop(name)
        # By parents: a task runs in a group of its own.
        for pid in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        process.wait(30)

    def restart(self, name: str) -> None:
        """Kill a component as a crash would, and start it again."""
        self.kill(name)
        self.start(name)

    def down(self) -> None:
        """End every process that belongs to this Airflow."""
        for name in list(self._processes):
            self.kill(name)
        # A task may have outlived what started it; whatever bears our home in its environment is ours.
        for pid in processes_with(f"AIRFLOW_HOME={self.folder}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def healthy(self) -> bool:
        """Tell whether every component has reported in."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended by itself:\n{self.component_log(name).read_text()[-3000:]}")
        try:
            health = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("scheduler", "dag_processor", "triggerer")
        return all((health.get(part) or {}).get("status") == "healthy" for part in parts)

    def component_log(self, name: str) -> Path:
        """Return the file that a component writes to, over all its starts."""
        return self.folder / f"{name}.out"

    # ------------------------------------------------------------------------------------------------ connections
    def connect(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Store a connection, replacing the one of that id.

        :param connection: As in ``AIRFLOW_CONN_...``: conn_type, host, login, password, schema, extra.
        """
        body = {
            "connection_id": conn_id,
            "conn_type": connection["conn_type"],
            **{name: connection.get(name) for name in ("host", "login", "password", "schema")},
            "extra": json.dumps(connection.get("extra") or {}),
        }
        if self._ask("PATCH", f"connections/{conn_id}", missing_ok=True, json=body) is None:
            self._ask("POST", "connections", json=body)

    # ----------------------------------------------------------------------------------------------------- DAGs
    def write_dag(self, dag_id: str, source: str, *, timeout: float = 60) -> None:
        """Put a DAG file into the DAGs folder, and wait until Airflow knows it."""
        (self.dags / f"{dag_id}.py").write_text(source)

        def known() -> bool:
            if self._ask("GET", f"dags/{dag_id}", missing_ok=True) is not None:
                return True
            errors = self._ask("GET", "importErrors")["import_errors"]
            mine = [one["stack_trace"] for one in errors if one["filename"].endswith(f"{dag_id}.py")]
            if mine:
                raise RuntimeError(f"{dag_id} cannot be imported:\n{mine[0]}")
            return False

        self.until(known, f"DAG {dag_id} is known", timeout=timeout)

    def pause(self, dag_id: str) -> None:
        """Pause a DAG."""
        self._ask("PATCH", f"dags/{dag_id}", json={"is_paused": True})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Trigger a run and return its id."""
        run = self._ask("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return a DAG's runs as the REST API shows them, oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", f"dags/{dag_id}/dagRuns?order_by=id&limit=100")["dag_runs"]
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self._ask("GET", f"dags/{dag_id}/dagRuns/{_quoted(run_id)}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 120) -> str:
        """Wait until a run has ended, and return its state."""
        self.until(lambda: self.run_state(dag_id, run_id) in FINISHED, f"{dag_id} {run_id} ended", timeout=timeout)
        return self.run_state(dag_id, run_id)

    # ----------------------------------------------------------------------------------------------------- tasks
    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return a task instance as the REST API shows it: state, try_number, trigger ..."""
        found: dict[str, Any] = self._ask("GET", f"dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}")
        return found

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, mapped ones too, as the REST API shows them."""
        path = f"dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances?limit=100"
        found: list[dict[str, Any]] = self._ask("GET", path)["task_instances"]
        return found

    def wait_for_task(self, dag_id: str, run_id: str, task_id: str, *states: str, timeout: float = 120) -> None:
        """Wait until a task is in one of the states."""
        self.until(
            lambda: self.task(dag_id, run_id, task_id)["state"] in states,
            f"{task_id} is {' or '.join(states)}",
            timeout=timeout,
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task pushed, or None."""
        path = f"dags/{dag_id}/dagRuns/{_quoted(run_id)}/taskInstances/{task_id}/xcomEntries/{key}?deserialize=true"
        found = self._ask("GET", path, missing_ok=True)
        return None if found is None else found["value"]

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return all that a task and its trigger have logged, over all tries."""
        folder = self.folder / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        return "\n".join(path.read_text() for path in sorted(folder.glob("*")) if path.is_file())

    def stored(self) -> str:
        """Return everything that Airflow keeps in its database, as text."""
        engine = create_engine(self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        with contextlib.closing(engine.connect()) as database:
            tables = inspect(database).get_table_names()
            rows = [row for table in tables for row in database.execute(text(f'SELECT * FROM "{table}"'))]
        engine.dispose()
        return "\n".join(str([bytes(v) if isinstance(v, memoryview) else v for v in row]) for row in rows)

    def everything_written(self) -> str:
        """Return all logs, what the components printed, and the database."""
        files = [*self.folder.rglob("*.log"), *self.folder.glob("*.out")]
        texts = [path.read_text(errors="replace") for path in files if path.is_file()]
        return "\n".join([*texts, self.stored()])

    # --------------------------------------------------------------------------------------------------- waiting
    def until(self, condition: Callable[[], bool], what: str, *, timeout: float = 60) -> None:
        """Wait until something is so; where it never is, fail and show how the components' output ends."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                tails = [f"--- {name}\n{self.component_log(name).read_text()[-1500:]}" for name in self.components]
                raise TimeoutError("\n".join([f"after {timeout:g} s it is not so that {what}", *tails]))
            time.sleep(0.5)

    def _ask(self, method: str, path: str, *, missing_ok: bool = False, **options: Any) -> Any:
        if "Authorization" not in self._http.headers:
            token = self._http.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        answer = self._http.request(method, f"{self.url}/api/v2/{path}", timeout=30, **options)
        if missing_ok and answer.status_code == 404:
            return None
        if not answer.ok:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status_code} {answer.text[:500]}")
        return answer.json()


def _quoted(run_id: str) -> str:
    return quote(run_id, safe="")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The process's name, in parentheses, may contain anything.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children[parent].append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += children[one]
    return found


def processes_with(setting: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if setting.encode() in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)
