"""Sync leads into a table, run after run, each killed at moments that a seed chooses. Started by test_killed_syncs.py.

A sync fetches with a cursor that it leaves in place, loads, and moves the cursor. A killed one is tried again, as
Airflow does it; some runs are given up. It knows no Airflow, so that a try is quick.

Usage: python killed_syncs.py '{"kind": "sqlite", "connection": {...}, "folder": "...", "seed": 1, "kills": 30}'
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from typing import Any

from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import NextCursor, move_cursor
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.extract.landed import hold, open_uri
from airflow_provider_robofy.extract.listing import ListingRun
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.resources import LEADS
from airflow_provider_robofy.warehouse.database import open_database
from airflow_provider_robofy.warehouse.load import Load
from airflow_provider_robofy.warehouse.table import TableName
from tests.extract.runs import IDENTITY, NOW, lead, make_cursor_run, make_pages
from tests.transfers.crashing_load import connect

RUNS, NEW_LEADS, TRIES, LAG = 16, 40, 4, timedelta(minutes=10)


def listed(number: int) -> list[dict[str, Any]]:
    """Return what the source lists in a run: some leads come late, and some are changed by the run after."""
    leads = []
    for run in range(number + 1):
        at = NOW + timedelta(minutes=run)
        for n in range(NEW_LEADS):
            late = timedelta(minutes=n % 8)
            state = "new" if run == number or n % 5 else "changed"
            leads.append(lead(f"{run}-{n}", (at - late).isoformat(), source=state))
    return leads


def sync(options: dict[str, Any], number: int) -> None:
    """Run one sync."""
    now, key = NOW + timedelta(minutes=number), f"dag/run-{number}/leads"
    cursor = open_uri(f"{options['folder']}/cursor.json")
    manifest = ListingRun(
        resource=LEADS,
        project_id="24017",
        chatbot_id="agent-a",
        window=Window(),
        lag=LAG,
        times=TimeReader(),
        order="unknown",
        run_key=key,
        store=open_uri(f"{options['folder']}/{number}.jsonl"),
        cursor=make_cursor_run(cursor, key, now=now, lag=LAG),
        advance_cursor=False,
        now=lambda: now,
    ).land(make_pages(listed(number)), int)
    if not manifest.rows:
        return
    body = manifest.as_dict()
    with (
        hold(body, open_uri(manifest.uri)) as held,
        open_database(
            lambda: connect(options["kind"], options["connection"]), "Connection 'x'", lambda: None
        ) as database,
    ):
        Load(database=database, table=TableName.of("t"), manifest=body, mode="upsert", chunk_size=10).run(held)
    after = NextCursor.read(open_uri(str(manifest.cursor_next_uri)), body)
    move_cursor(FileCursorStore(cursor), IDENTITY, replace(after.after, owed=()), reset=False)


def attempt(options: dict[str, Any], number: int, seconds: float | None) -> bool | None:
    """Run one sync in a process of its own; return whether it succeeded, or None where it was killed first.

    :param seconds: When it is killed. None: never.
    """
    child = os.fork()
    if child == 0:
        sync(options, number)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # a child that has ended is still there to be killed
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else status == 0


def main(options: dict[str, Any]) -> None:
    """Run all syncs; print how many tries were killed and how many runs given up."""
    for module in ("sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql"):
        import_module(module)
    dice = random.Random(options["seed"])
    killed, given_up, usual = 0, 0, 0.0
    assert attempt(options, 0, None)
    for number in range(1, RUNS):
        for _ in range(TRIES):
            # What a whole sync takes on this machine now.
            deadly, began = usual and killed < options["kills"], time.monotonic()
            outcome = attempt(options, number, dice.uniform(0, usual) if deadly else None)
            if outcome:
                usual = usual or time.monotonic() - began
                break
            assert outcome is None, f"run {number} failed"
            killed += 1
        else:
            given_up += 1
    assert attempt(options, RUNS, None)
    print(json.dumps({"killed": killed, "given_up": given_up}))  # noqa: T201


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
