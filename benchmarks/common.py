"""Shared by all benchmarks: the emulator in a process of its own, and each contender in another one."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MB = 1e6
ROOT = Path(__file__).parent.parent


@contextmanager
def emulator(*options: str) -> Iterator[tuple[str, str]]:
    """Serve one agent from another process; yield its URL and the agent's id."""
    command = [sys.executable, "-m", "airflow_provider_robofy.emulator", "--port", "0", "--agents", "1", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if found := re.search(r"on (http\S+) .*agents: ([^\s,)]+)", line):
                    yield found.group(1), found.group(2)
                    return
            raise RuntimeError("the emulator did not start")
        finally:
            server.terminate()


def run(module: str, *arguments: str, python: str = sys.executable) -> dict[str, float]:
    """Run one contender in a process of its own, and return its figures."""
    done = subprocess.run([python, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(fetch: Callable[[], int]) -> None:
    """Run a contender and print its figures as JSON. Importing, which Airflow takes seconds for, lies behind it."""
    before = resident()
    began, busy = time.perf_counter(), time.process_time()
    count = fetch()
    seconds, cpu = time.perf_counter() - began, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "grown": max(0, peak - before), "count": count}))


def resident() -> int:
    """Return this process's resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
