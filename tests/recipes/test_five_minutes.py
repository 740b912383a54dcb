"""docs/duckdb.md works: its commands are run as they stand there, and print what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.airflow import free_port

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "duckdb.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(900)
def test_a_new_user_comes_from_a_clone_to_a_row_in_duckdb(tmp_path):
    blocks = BLOCK.findall(PAGE)
    assert {language for language, _ in blocks} == {"sh", "text"}
    shown = [text.strip() for language, text in blocks if language == "text"]
    script = "\n".join(text for language, text in blocks if language == "sh")
    # The page's port may be taken where the tests run.
    script = re.sub(r"\b8765\b", str(free_port()), script)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON", "VIRTUAL"))}
    cache = subprocess.run([sys.executable, "-m", "pip", "cache", "dir"], capture_output=True, text=True, check=False)
    log = tmp_path / "printed.log"
    with log.open("wb") as sink:
        shell = subprocess.Popen(
            # Whatever goes wrong, the emulator ends with the shell, and what was logged is shown.
            ["sh", "-ec", f"trap 'kill $! 2>/dev/null; tail -n 40 *.log >&2' EXIT\n{script}\ntrap - EXIT"],
            cwd=ROOT,
            env={
                **kept,
                "HOME": str(tmp_path),
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
                "NO_PROXY": "127.0.0.1",
                "PIP_CACHE_DIR": cache.stdout.strip() or str(tmp_path / "cache"),
                # pip's own word for --no-compile: of thousands of modules, few are imported here.
                "PIP_NO_COMPILE": "0",
            },
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        code = shell.wait(850)
    printed = log.read_text(encoding="utf-8", errors="replace")
    assert code == 0, printed[-4000:]
    assert [line for line in printed.splitlines() if line.startswith("[(")] == shown
    assert not (tmp_path / "robofy-duckdb").exists(), "the last step leaves something behind"
