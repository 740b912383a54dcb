"""Waiting for leads: a thousand deferred sensors on one event loop, and what a sync with a cursor reads.

The sensors poll a server of a few lines that answers every agent the same page at once, or never, by the key it is
given. Measured is what other triggers of a triggerer feel: how long the event loop is held at a stretch, garbage
collections apart; how late polls and timeouts come; and how long the process stays when it is told to end while calls
hang.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks.common import emulator
from benchmarks.contenders import KEY, PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIGGERS, INTERVAL, SECONDS = 1000, 5.0, 30.0
#: Seconds: how long the loop may be held, timeouts and polls may be late, and an ending process may stay.
MAX_STALL, MAX_TIMEOUT_LATE, MAX_POLL_LATE, MAX_STAY = 0.05, 5.0, INTERVAL, 5.0
#: What is run: name, agents, accounts, and how many of the accounts hang.
SCENARIOS = (
    ("one agent, the API answers", 1, 1, 0),
    ("one agent, the API hangs", 1, 1, 1),
    ("200 agents on 20 accounts, the API answers", 200, 20, 0),
    ("200 agents on 20 accounts, one of which hangs", 200, 20, 1),
)
_LEAD = {"id": "lead_1", "created_at": "2025-01-15 10:30:00", "lead_data": []}


async def serve() -> None:
    """Answer every request with one page of a hundred leads, and those of a key that begins with "hangs" never."""
    body = json.dumps({"data": {"report": {"rows": [{**_LEAD, "id": f"lead_{n}"} for n in range(100)]}}}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"Bearer hangs" in head:
                    await asyncio.sleep(3600)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own and yield its URL."""
    command = [sys.executable, "-m", "benchmarks.waiting", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"port (\d+)", process.stdout.readline())
            assert found is not None
            yield f"http://127.0.0.1:{found.group(1)}"
        finally:
            process.kill()


class Stalls:
    """Measure how long the event loop was blocked at a time, without garbage collections."""

    def __init__(self) -> None:
        self.longest = self.collecting = 0.0
        self._collected = self._began = 0.0
        self.computing = 0.0

    def _on_gc(self, phase: str, _: dict[str, int]) -> None:
        # The collector walks over everything that Airflow has imported; no trigger can keep it from doing so.
        if phase == "start":
            self._began = time.monotonic()
        else:
            took = time.monotonic() - self._began
            self._collected += took
            self.collecting = max(self.collecting, took)

    async def watch(self, seconds: float) -> None:
        gc.callbacks.append(self._on_gc)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before, busy, collected = time.monotonic(), time.thread_time(), self._collected
            await asyncio.sleep(0.001)
            held = time.monotonic() - before - 0.001 - (self._collected - collected)
            self.longest = max(self.longest, held)
            self.computing = max(self.computing, time.thread_time() - busy)
        gc.callbacks.remove(self._on_gc)


async def wait_for_leads(count: int, agents: int, accounts: int, hanging: int) -> dict[str, float]:
    """Run triggers that find nothing, half of them with a deadline, and watch the event loop beside them."""
    from airflow_provider_robofy.extract.arrivals import ArrivalWatch
    from airflow_provider_robofy.hooks.robofy import RobofyHook
    from airflow_provider_robofy.triggers.leads import RobofyNewLeadsTrigger

    polled: dict[ArrivalWatch, list[float]] = defaultdict(list)
    judge = ArrivalWatch.judge

    def judge_and_note(self: ArrivalWatch, answer: Any) -> Any:
        polled[self].append(time.monotonic())
        return judge(self, answer)

    ArrivalWatch.judge = judge_and_note  # type: ignore[assignment, method-assign]
    await RobofyHook("robofy_0").aconnection()  # imports what a triggerer has imported long since
    gc.collect()
    late: list[float] = []
    triggers: list[tuple[RobofyNewLeadsTrigger, bool]] = []

    async def wait(number: int) -> None:
        agent = number % agents
        account = agent % accounts
        deadline = time.time() + (12.0 if number % 2 else 3600.0)
        trigger = RobofyNewLeadsTrigger(
            project_id=PROJECT,
            chatbot_id=f"agent-{agent}",
            since=f"2100-01-01T00:00:{number % 5:02}+00:00",
            min_count=1,
            robofy_conn_id=f"robofy_{account}",
            poll_interval=INTERVAL,
            deadline=deadline,
        )
        triggers.append((trigger, account < hanging))
        async for event in trigger.run():
            assert event.payload["status"] == "timeout", event
            late.append(time.time() - deadline)

    async def start_one_by_one() -> list[asyncio.Task[None]]:
        # As a triggerer gets them: each sensor defers when its own first poll is over.
        tasks = []
        for number in range(count):
            tasks.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(INTERVAL / TRIGGERS)
        return tasks

    stalls = Stalls()
    starting = asyncio.create_task(start_one_by_one())
    await stalls.watch(SECONDS)
    for task in await starting:
        task.cancel()
    gaps = [
        later - earlier
        for trigger, hangs in triggers
        if not hangs
        for earlier, later in zip(polled[trigger.watch], polled[trigger.watch][1:], strict=False)
    ]
    return {
        "stall": stalls.longest,
        "collecting": stalls.collecting,
        "computing": stalls.computing,
        "late": max(late, default=0.0),
        "timeouts": len(late),
        "gap": max(gaps, default=INTERVAL),
        "polls": sum(map(len, polled.values())),
    }


def child(url: str, count: str, agents: str, accounts: str, hanging: str) -> None:
    """Measure in a process of its own. The last line is the time at which it was asked to end."""
    for number in range(int(accounts)):
        key = f"hangs-{number}" if number < int(hanging) else f"key-{number}"
        extra = {"leads_order": "newest_first"}
        connection = {"conn_type": "robofy", "host": url, "password": key, "extra": extra}
        os.environ[f"AIRFLOW_CONN_ROBOFY_{number}"] = json.dumps(connection)
    figures = asyncio.run(wait_for_leads(int(count), int(agents), int(accounts), int(hanging)))
    print(json.dumps({**figures, "ended": time.time()}), flush=True)


def measure(url: str, *arguments: int) -> dict[str, float]:
    """Run a child, and add the seconds for which it stayed after it had ended."""
    command = [sys.executable, "-m", "benchmarks.waiting", "child", url, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {**figures, "stayed": time.time() - figures["ended"]}


def stalls() -> bool:
    """Measure a thousand triggers in each scenario; return whether the limits are met."""
    kept = True
    with server() as url:
        idle = measure(url, 0, 1, 1, 0)["stall"]
        print(
            f"{TRIGGERS} deferred sensors, a poll every {INTERVAL:g} s each, for {SECONDS:g} s "
            f"(an idle loop on this machine is held for {idle * 1000:.0f} ms)"
        )
        for name, *numbers in SCENARIOS:
            one = measure(url, TRIGGERS, *numbers)
            # A trigger waits for its interval and then for the next poll of its agent.
            poll_late = one["gap"] - INTERVAL
            good = (
                one["stall"] <= MAX_STALL
                and one["late"] <= MAX_TIMEOUT_LATE
                and poll_late <= MAX_POLL_LATE
                and one["stayed"] <= MAX_STAY
                and one["timeouts"] == TRIGGERS / 2
            )
            kept = kept and good
            stall, computing, collecting = (1000 * one[what] for what in ("stall", "computing", "collecting"))
            print(
                f"{name}: loop held {stall:.0f} ms (computing {computing:.0f} ms; a garbage collection "
                f"{collecting:.0f} ms), {one['timeouts']:.0f} timeouts {one['late']:.1f} s late at most, "
                f"{one['polls']:.0f} polls, those of accounts that answer {poll_late:.1f} s late at most, "
                f"process stayed {one['stayed']:.2f} s: {'kept' if good else 'MISSED'}"
            )
    print(
        f"promised: {MAX_STALL * 1000:.0f} ms, {MAX_TIMEOUT_LATE:g} s, {MAX_POLL_LATE:g} s, {MAX_STAY:g} s: "
        f"{'kept' if kept else 'MISSED'}"
    )
    return kept


def pages_read() -> bool:
    """Count the pages that a sync with a cursor reads for 250 new leads among many; return whether the limit is met."""
    import requests

    from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

    logging.disable()  # Airflow's go to where the results are printed
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
                # Not execute(), which warns where no task runner has called it.
                return task.work(task.checked({"ti": ti}))  # type: ignore[typeddict-item]

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
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["child", *arguments]:
            child(*arguments)
        case _:
            sys.exit(0 if stalls() else 1)
