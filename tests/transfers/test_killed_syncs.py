"""Syncs that are killed at any moment, tried again or given up: the table holds each lead once, in its newest state."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.transfers.conftest import open_warehouse
from tests.transfers.killed_syncs import RUNS, listed

CHILD = Path(__file__).with_name("killed_syncs.py")


@pytest.mark.serial
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", [1, 2])
def test_syncs_killed_at_any_moment_load_every_lead_once(kind, seed, request, tmp_path, monkeypatch):
    warehouse = open_warehouse(kind, request, tmp_path, monkeypatch)
    folder = tmp_path / "landed"
    folder.mkdir()
    options = {
        "kind": kind, "connection": warehouse.connection, "folder": str(folder), "seed": seed, "kills": 25,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(CHILD), json.dumps(options)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])["killed"] >= 5
    loaded = {row["id"]: row["source"] for row in warehouse.rows()}
    assert len(warehouse.rows()) == len(loaded)
    assert loaded == {one["id"]: one["source"] for one in listed(RUNS)}
