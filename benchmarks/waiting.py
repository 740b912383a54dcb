"""Waiting for leads: a thousand deferred sensors on one event loop, and what a sync with a cursor reads.

The stall is the longest stretch for which the event loop was held: what every other trigger of a triggerer would feel.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from types import SimpleNamespace
from typing import Any

from benchmarks.contenders import KEY, PROJECT
from benchmarks.stand import emulator, run

TRIGGERS, POLL, SECONDS = 1000, 10.0, 25.0
#: What is promised: seconds that the loop is held at most.
MAX_STALL = 0.05


async def watch(chatbot_id: str, count: int) -> dict[str, float]:
    """Run triggers that find nothing, and a heartbeat beside them."""
    from airflow_provider_robofy.hooks.robofy import RobofyHook
    from airflow_provider_robofy.triggers.leads import RobofyNewLeadsTrigger

    await RobofyHook().aconnection()  # imports what a triggerer has imported long since
    gc.collect()
    deadline = time.time() + 3600

    async def wait() -> None:
        trigger = RobofyNewLeadsTrigger(
            project_id=PROJECT,
            chatbot_id=chatbot_id,
            since="2100-01-01T00:00:00+00:00",
            min_count=1,
            robofy_conn_id="robofy_default",
            poll_interval=POLL,
            deadline=deadline,
        )
        async for _ in trigger.run():
            pass

    async def start_one_by_one() -> list[asyncio.Task[None]]:
        # As a triggerer gets them: each sensor defers when its own first look is over.
        tasks = []
        for _ in range(count):
            tasks.append(asyncio.create_task(wait()))
            await asyncio.sleep(POLL / TRIGGERS)
        return tasks

    starting = asyncio.create_task(start_one_by_one())
    worst = busiest = collecting = began = 0.0

    def collected(phase: str, _: dict[str, int]) -> None:
        # The collector walks over everything that Airflow has imported; no trigger can keep it from doing so.
        nonlocal collecting, began
        if phase == "start":
            began = time.monotonic()
        else:
            collecting = max(collecting, time.monotonic() - began)

    gc.callbacks.append(collected)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        before, busy = time.monotonic(), time.thread_time()
        await asyncio.sleep(0.001)
        worst = max(worst, time.monotonic() - before - 0.001)
        busiest = max(busiest, time.thread_time() - busy)
    tasks = await starting
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    gc.callbacks.remove(collected)
    return {"stall": worst, "busy": busiest, "collecting": collecting}


def child(url: str, chatbot_id: str, count: str) -> None:
    """Measure in a process of its own."""
    extra = {"project_id": PROJECT, "chatbot_id": chatbot_id, "leads_order": "newest_first"}
    connection = {"conn_type": "robofy", "host": url, "password": KEY, "extra": extra}
    os.environ["AIRFLOW_CONN_ROBOFY_DEFAULT"] = json.dumps(connection)
    print(json.dumps(asyncio.run(watch(chatbot_id, int(count)))))


def stalls() -> bool:
    """Measure the longest stall with a thousand triggers, the API answering and hanging; tell whether it is kept."""
    kept = True
    for what, latency in (("answers", "0"), ("hangs", "3600")):
        with emulator("--leads", "1000", "--latency", latency) as (url, chatbot_id):
            idle = run("benchmarks.waiting", url, chatbot_id, "0")["stall"]
            figures = run("benchmarks.waiting", url, chatbot_id, str(TRIGGERS))
        stall = figures["stall"]
        kept = kept and stall <= MAX_STALL
        print(
            f"{TRIGGERS} deferred sensors, a look every {POLL:g} s each, the API {what}: longest stall "
            f"{stall * 1000:.0f} ms, longest stretch of computing {figures['busy'] * 1000:.0f} ms, longest garbage "
            f"collection {figures['collecting'] * 1000:.0f} ms (an idle loop on this machine: {idle * 1000:.0f} ms; "
            f"promised: {MAX_STALL * 1000:.0f} ms): {'kept' if stall <= MAX_STALL else 'MISSED'}"
        )
    return kept


def pages_read() -> bool:
    """Count the pages that a sync with a cursor reads for 250 new leads among many; tell whether it is as promised."""
    import requests

    from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

    kept = True
    for leads in (1_000, 100_000):
        with tempfile.TemporaryDirectory() as folder, emulator("--leads", str(leads)) as (url, chatbot_id):
            extra = {"project_id": PROJECT, "chatbot_id": chatbot_id, "leads_order": "newest_first"}
            connection = {"conn_type": "robofy", "host": url, "password": KEY, "extra": extra}
            os.environ["AIRFLOW_CONN_ROBOFY_DEFAULT"] = json.dumps(connection)
            os.environ["AIRFLOW__ROBOFY__LANDING_ROOT"] = folder

            def sync(run_id: str) -> dict[str, Any]:
                ti = SimpleNamespace(dag_id="bench", run_id=run_id, task_id="leads", map_index=-1)
                task = RobofyFetchLeadsOperator(task_id="leads", cursor="cursors")
                return task.execute({"ti": ti})  # type: ignore[typeddict-item]

            sync("first")
            requests.post(f"{url}/_robofy_emulator/leads", json={"count": 250}, timeout=30)
            manifest = sync("second")
        most = -(-manifest["rows"] // 100) + 1
        kept = kept and manifest["rows"] == 250 and manifest["pages"] <= most + 1
        print(
            f"250 new leads after {leads:,}: {manifest['rows']} landed, {manifest['pages']} pages read "
            f"(promised: {most} and those of the lag)"
        )
    return kept


if __name__ == "__main__":
    child(*sys.argv[1:])
