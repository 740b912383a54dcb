"""Start a local Airflow and the emulator, for `make demo` and `make airflow`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
DAGS = ROOT / "example_dags"
CONNECTION = "AIRFLOW_CONN_ROBOFY_DEFAULT"
TAIL = 25  # lines of a log that are shown when something went wrong
ONE_LINE = (
    f"{CONNECTION}='"
    '{"conn_type":"robofy","password":"<your API key>",'
    '"extra":{"project_id":"<project>","chatbot_id":"<agent>"}}'
    "'"
)

REASON = re.compile(r"^(?:[\w.]+\.)?(?:Robofy\w*Error|Airflow\w*Exception): (?P<reason>.+)$", re.MULTILINE)
READY = re.compile(
    r"Robofy emulator on (?P<url>http://\S+) \(key: (?P<key>[^,)]+), project: (?P<project>[^,)]+), "
    r"agents: (?P<agents>[^)]*)\)"
)


class Trouble(Exception):  # noqa: N818 - a message for a person, not an error of the script
    """A message that says what went wrong, and the log with the details."""

    def __init__(self, sentence: str, log: Path | None = None) -> None:
        super().__init__(sentence)
        self.log = log


@dataclass(frozen=True)
class RunningEmulator:
    """A running emulator."""

    url: str
    key: str
    project: str
    agents: tuple[str, ...]

    @property
    def extra(self) -> dict[str, object]:
        """Return the extra of a connection to it."""
        return {"project_id": self.project, "chatbot_id": self.agents[0]}

    @property
    def connection(self) -> dict[str, object]:
        """Return a connection to it."""
        return {"conn_type": "robofy", "host": self.url, "password": self.key, "extra": self.extra}


def shown(path: Path | str) -> str:
    """Return a path relative to the checkout."""
    path = str(path).removeprefix("file://")
    return path.removeprefix(f"{ROOT}{os.sep}")


def stop_means_exit() -> None:
    """Make SIGTERM and SIGHUP raise, as Ctrl-C does, so that all started processes are ended."""

    def leave(number: int, _frame: FrameType | None) -> None:
        # A second signal must not interrupt the clean-up.
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)


@contextmanager
def started(
    command: list[str], log: Path, env: Mapping[str, str], *, patience: float = 10
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a group of its own, and end the whole group after the block."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, patience)


def end(process: subprocess.Popen[bytes], patience: float) -> None:
    """End a process group: first with SIGTERM, then with SIGKILL."""
    with suppress(ProcessLookupError, PermissionError):
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 2.0)):
            os.killpg(process.pid, number)
            until = time.monotonic() + wait
            while time.monotonic() < until:
                # poll() reaps the leader. When the group has no member left, killpg() raises.
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.05)


@contextmanager
def running_emulator(log: Path, *options: str) -> Iterator[RunningEmulator]:
    """Start the emulator on a free loopback port."""
    command = [sys.executable, "-m", "airflow_provider_robofy.emulator", "--port", "0", *options]
    with started(command, log, {**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        until = time.monotonic() + 30
        while not (ready := READY.search(log.read_text(encoding="utf-8", errors="replace"))):
            if process.poll() is not None:
                raise Trouble("The emulator did not start.", log)
            if time.monotonic() > until:
                raise Trouble("The emulator did not print its address within 30 seconds.", log)
            time.sleep(0.05)
        agents = tuple(agent.strip() for agent in ready["agents"].split(",") if agent.strip())
        if not agents:
            raise Trouble("The emulator has no agents.", log)
        yield RunningEmulator(ready["url"], ready["key"].strip(), ready["project"].strip(), agents)


class LocalAirflow:
    """An Airflow home in the checkout, separate from every other Airflow on this machine."""

    def __init__(self, folder: Path, landing: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.version = version("apache-airflow")
        # Each version has a home of its own: the database of another version could not be used.
        self.home = folder / f"airflow-{self.version}"
        self.log = folder / "airflow.log"
        self._migrated = self.home / ".migrated"
        # Rows of a real account may be written here, so other users get no access.
        folder.mkdir(mode=0o700, exist_ok=True)
        landing.mkdir(parents=True, exist_ok=True)
        # No proxy between two processes of this machine.
        direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        direct = f"{direct},127.0.0.1,localhost" if direct else "127.0.0.1,localhost"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        if CONNECTION in os.environ:
            kept[CONNECTION] = os.environ[CONNECTION]
        self.env = {
            **kept,
            # Airflow starts its components as `airflow ...`, and must find this one.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "NO_PROXY": direct,
            "no_proxy": direct,
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__ROBOFY__LANDING_ROOT": landing.as_uri(),
            **(settings or {}),
        }

    def use(self, robofy: RunningEmulator) -> None:
        """Set the connection robofy_default to the emulator."""
        self.env[CONNECTION] = json.dumps(robofy.connection)

    def run(self, *arguments: str, seconds: float, failure: str) -> None:
        """Run one `airflow` command with its output in the log, and raise with the given message if it fails."""
        command = [sys.executable, "-m", "airflow", *arguments]
        with started(command, self.log, self.env) as process:
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise Trouble(f"{failure} (it took longer than {seconds:.0f} seconds)", self.log) from None
        if code:
            raise Trouble(failure, self.log)

    def migrate(self) -> bool:
        """Create the database, and return whether it was new."""
        if self._migrated.exists():
            return False
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.run("db", "migrate", seconds=150, failure="Airflow could not create its database.")
        self._migrated.touch()
        return True


def tell(trouble: Trouble) -> int:
    """Print what went wrong, and return the exit code."""
    sys.stdout.flush()
    print(f"\n{trouble}", file=sys.stderr)
    if trouble.log and trouble.log.exists():
        text = trouble.log.read_text(encoding="utf-8", errors="replace")
        reasons = REASON.findall(text)
        if reasons:
            print(reasons[-1], file=sys.stderr)
        end = "\n".join(f"  | {line}" for line in text.splitlines()[-TAIL:])
        print(f"\nThe end of {shown(trouble.log)}:\n{end}", file=sys.stderr)
    return 1
