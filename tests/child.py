"""Run a Python of the tests' own environment as a process, to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def python(
    *arguments: object, timeout: float = 170, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, and return what it printed and its status.

    :param arguments: Such as ``-m`` and a module, or ``-c`` and code.
    :param timeout: Seconds after which the test fails.
    :param env: Variables of the environment. Default: this process's.
    :param options: Further options of :func:`subprocess.run`.
    """
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def answer_of(code: str, *arguments: object, **environment: str) -> Any:
    """Run code, and return the last line that it prints, read as JSON."""
    done = python("-c", code, *arguments, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
