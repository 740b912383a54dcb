"""docs/tutorial.md works: every command is run as it stands there, in an empty home, and prints what the page shows."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from tests.processes.airflow import free_port, processes_with

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
STEP = re.compile(r"^(?:<!-- (?P<note>.+?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
#: The page's ports are taken where somebody follows the page on the machine that runs this test.
EMULATOR_PORT = "8765"
PATIENCE = 400
# Runs a command, and when the tests themselves are killed (PR_SET_PDEATHSIG) ends all of its group with it.
_TIED_TO_US = """
import ctypes, os, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
sys.exit(subprocess.call(sys.argv[1:]))
"""

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the page installs the newest Airflow, whichever this is"),
]


@dataclass(frozen=True)
class Step:
    """One fenced block, and what the page's source says about it: ``ready at``, ``save as`` or ``repeat until``."""

    note: str
    language: str
    text: str

    def noted(self, what: str) -> str:
        """Return what follows the words given, or nothing."""
        before, found, after = self.note.partition(f"{what}")
        return after.lstrip(": ") if found and (not before or before.endswith(", ")) else ""


def steps() -> list[Step]:
    page = PAGE.read_text(encoding="utf-8")
    return [Step(one["note"] or "", one["language"], one["text"]) for one in STEP.finditer(page)]


class Shells:
    """One shell that blocks are typed into, and others that a block is left running in."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._left: list[subprocess.Popen[bytes]] = []
        self._first = self._start(["sh", "-e"], home / "first.log", stdin=subprocess.PIPE)

    def _start(self, command: list[str], log: Path, stdin: int) -> subprocess.Popen[bytes]:
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", _TIED_TO_US, *command],
                cwd=ROOT,
                env=self._environment,
                stdin=stdin,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._left.append(process)
        return process

    def type(self, block: str) -> str:
        """Run a block in the first shell, where what an earlier one set still holds; return what it printed."""
        log = self._home / "first.log"
        begin = log.stat().st_size
        done = f"done {secrets.token_hex(8)}"
        assert self._first.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._first.stdin.write(f"{{\n{block}\n}} </dev/null\necho {done}\n".encode())
            self._first.stdin.flush()
        until = time.monotonic() + PATIENCE
        while True:
            printed = log.read_bytes()[begin:].decode(errors="replace")
            if printed.rstrip().endswith(done):
                return printed.rstrip().removesuffix(done)
            over = time.monotonic() > until
            if over or self._first.poll() is not None:
                pytest.fail(f"{'too slow' if over else 'failed'}:\n{block}\n{printed[-4000:]}")
            time.sleep(0.1)

    def leave(self, block: str, ready: str) -> str:
        """Run a block in a shell of its own, and return what it printed until it was ready."""
        log = self._home / f"shell-{len(self._left)}.log"
        process = self._start(["sh", "-e", "-c", block], log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while ready not in (printed := log.read_text(encoding="utf-8", errors="replace")):
            over = time.monotonic() > until
            if over or process.poll() is not None:
                pytest.fail(f"{'not ready' if over else 'ended'}:\n{block}\n{printed[-4000:]}")
            time.sleep(0.2)
        return printed

    def close(self) -> None:
        """End whatever was started here: the groups, and what Airflow put into groups of its own."""
        for process in self._left:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        for pid in processes_with(f"HOME={self._home}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def environment(tmp_path):
    """Give what a person's shell has, but for Airflow's settings and for ports that are free here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL"))}
    port = str(free_port())
    return {
        **kept,
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # pip's own word for --no-compile: of thousands of modules, few are imported here.
        "PIP_NO_COMPILE": "0",
        # pip's own settings and cache lie in the home that is hidden here.
        **{name: str(path) for name, path in _pip().items() if path.exists()},
        "AIRFLOW__API__PORT": port,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _pip() -> dict[str, Path]:
    ask = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    cache = subprocess.run([*ask, "cache", "dir"], capture_output=True, text=True, check=False).stdout.strip()
    found = {"PIP_CACHE_DIR": Path(cache)} if cache else {}
    for config in (Path.home() / ".config" / "pip" / "pip.conf", Path.home() / ".pip" / "pip.conf"):
        if "PIP_CONFIG_FILE" not in os.environ and config.exists():
            found["PIP_CONFIG_FILE"] = config
    return found


@pytest.fixture
def shells(tmp_path, environment):
    opened = Shells(tmp_path, environment)
    yield opened
    opened.close()


@pytest.mark.skipif(not shutil.which("curl"), reason="the page uses curl, which is not here")
def test_every_command_of_the_tutorial_does_what_the_page_shows(shells, tmp_path):
    ports = {EMULATOR_PORT: str(free_port())}
    folder = tmp_path / "robofy-tutorial"
    printed = ""
    for step in steps():
        text = re.sub(rf"\b{EMULATOR_PORT}\b", ports[EMULATOR_PORT], step.text)
        if step.language == "text":
            lacking = [line for line in text.splitlines() if line.strip() not in printed]
            assert not lacking, f"the page shows what was not printed: {lacking}\n{printed[-4000:]}"
        elif step.language == "python":
            (folder / step.noted("save as")).write_text(text, encoding="utf-8")
        elif ready := step.noted("ready at"):
            printed = shells.leave(text, ready)
        else:
            until = time.monotonic() + PATIENCE
            printed = shells.type(text)
            while (wanted := step.noted("repeat until")) and wanted not in printed:
                assert time.monotonic() < until, f"{wanted} does not come:\n{printed[-4000:]}"
                printed = shells.type(text)
    assert not folder.exists(), "the last step leaves something behind"


def test_the_page_holds_nothing_that_the_test_would_pass_over():
    found = steps()
    assert {step.language for step in found} == {"sh", "text", "python"}
    assert len(found) * 2 == len(re.findall(r"^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    notes = re.findall(r"<!-- (.+?) -->", PAGE.read_text(encoding="utf-8"))
    assert notes == [step.note for step in found if step.note]
    for step in found:
        assert not step.note or any(step.noted(what) for what in ("ready at", "save as", "repeat until")), step.note
    assert all(step.noted("save as") for step in found if step.language == "python")
