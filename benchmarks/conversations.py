"""The messages of 2,000 sessions: the operator beside a hand-written loop and dlt's ``rest_api``, one server for all.

dlt is no dependency: it takes part where it can be imported, or where ``ROBOFY_BENCH_DLT`` names a Python that has it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.common import MB, emulator, run
from benchmarks.conversation_contenders import AT_A_TIME

LATENCY = 0.05
#: What is promised: share of the ideal time, of the hand-written loop's speed, and resident growth.
MAX_RATIO, MIN_SPEED_UP, MAX_GROWTH = 1.15, 1.0, 60 * MB
HAND, OPERATOR, DLT = "hand-written loop", "operator", "dlt rest_api"


def run_one(name: str, url: str, chatbot_id: str, python: str = sys.executable) -> dict[str, float]:
    """Run one contender in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return run("benchmarks.conversation_contenders", name, url, chatbot_id, folder, python=python)


def python_with_dlt() -> str | None:
    """Return an interpreter that can import dlt, or None."""
    python = os.environ.get("ROBOFY_BENCH_DLT", sys.executable)
    found = subprocess.run([python, "-c", "import dlt"], capture_output=True, check=False)
    return python if found.returncode == 0 else None


def fan_out(sessions: int = 2000, rounds: int = 3) -> bool:
    """Measure how near the operator comes to the ideal on a slow API; return whether the limit is met."""
    ideal = sessions * LATENCY / AT_A_TIME
    print(
        f"{sessions:,} sessions, {LATENCY * 1000:.0f} ms of latency, {AT_A_TIME} at a time, median of {rounds} runs: "
        f"ideal {ideal:.2f} s"
    )
    options = ("--leads", "0", "--sessions", str(sessions), "--session-ids", "uuid", "--latency", str(LATENCY))
    with emulator(*options) as (url, chatbot_id):
        runs = [run_one(OPERATOR, url, chatbot_id) for _ in range(rounds)]
        ratios = [one["seconds"] / ideal for one in runs]
        show(OPERATOR, runs, f"{statistics.median(ratios):.3f} of the ideal ({min(ratios):.3f}-{max(ratios):.3f})")
        if python := python_with_dlt():
            one = run_one(DLT, url, chatbot_id, python)
            show(DLT, [one], f"{one['seconds'] / ideal:.2f} of the ideal, one run, listing and load included")
        else:
            print(f"{DLT:20} left out: dlt cannot be imported (pip install dlt, or set ROBOFY_BENCH_DLT)")
        one = run_one(HAND, url, chatbot_id)
        show(HAND, [one], f"{one['seconds'] / ideal:.1f} of the ideal, one run")
    return promise(f"at most {MAX_RATIO} of the ideal", kept=statistics.median(ratios) <= MAX_RATIO)


def throughput(sessions: int = 2000, rounds: int = 5) -> bool:
    """Compare with the hand-written loop on a server that answers at once; return whether the limit is met."""
    print(f"{sessions:,} sessions, no latency, {rounds} rounds")
    with emulator("--leads", "0", "--sessions", str(sessions), "--session-ids", "uuid") as (url, chatbot_id):
        run_one(OPERATOR, url, chatbot_id)  # the emulator makes each page once, and remembers it
        pairs = [(run_one(HAND, url, chatbot_id), run_one(OPERATOR, url, chatbot_id)) for _ in range(rounds)]
    speed_ups = [hand["seconds"] / ours["seconds"] for hand, ours in pairs]
    show(HAND, [hand for hand, _ in pairs], "")
    found = statistics.median(speed_ups)
    show(
        OPERATOR, [ours for _, ours in pairs], f"{found:.2f} times as fast ({min(speed_ups):.2f}-{max(speed_ups):.2f})"
    )
    return promise(f"at least {MIN_SPEED_UP:g} times as fast", kept=found >= MIN_SPEED_UP)


def memory(sessions: int = 20_000, messages: int = 50) -> bool:
    """Measure how resident memory grows over many sessions; return whether the limit is met."""
    print(f"{sessions:,} sessions of {messages} messages, no latency")
    options = ("--leads", "0", "--sessions", str(sessions), "--messages", str(messages))
    with emulator(*options) as (url, chatbot_id):
        figures = run_one(OPERATOR, url, chatbot_id)
    show(OPERATOR, [figures], f"{figures['count']:,} messages")
    return promise(
        f"growth of at most {MAX_GROWTH / MB:.0f} MB",
        kept=figures["grown"] <= MAX_GROWTH and figures["count"] == sessions * messages,
    )


def show(name: str, runs: list[dict[str, float]], more: str) -> None:
    seconds, cpu, grown = (statistics.median(one[figure] for one in runs) for figure in ("seconds", "cpu", "grown"))
    print(f"{name:20}{seconds:>8.2f} s{cpu:>8.2f} s cpu{grown / MB:>8.1f} MB grown   {more}")


def promise(words: str, *, kept: bool) -> bool:
    print(f"promised: {words}: {'kept' if kept else 'MISSED'}")
    return kept


if __name__ == "__main__":
    sys.exit(0 if all([fan_out(), throughput(), memory()]) else 1)
