"""Measure messages and leads of 2,000 sessions: the operators beside a hand-written loop and dlt's ``rest_api``.

dlt has an environment of its own, which ``make bench`` makes; without it, it is left out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile

from benchmarks.common import MB, ROOT, emulator, run
from benchmarks.conversation_contenders import AT_A_TIME

LATENCY = 0.05
#: What is promised: share of the ideal time, of the hand-written loop's speed, and resident growth.
MAX_RATIO, MIN_SPEED_UP, MAX_GROWTH = 1.15, 1.0, 60 * MB
HAND, OPERATOR, LEADS, DLT = "hand-written loop", "operator", "leads of sessions", "dlt rest_api"


def run_one(name: str, url: str, chatbot_id: str, python: str = sys.executable) -> dict[str, float]:
    """Run one contender in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return run("benchmarks.conversation_contenders", name, url, chatbot_id, folder, python=python)


def fan_out(sessions: int = 2000, rounds: int = 3) -> bool:
    """Measure how near the operator comes to the ideal on a slow API; return whether the limit is met."""
    ideal = sessions * LATENCY / AT_A_TIME
    print(
        f"{sessions:,} sessions, {LATENCY * 1000:.0f} ms of latency, {AT_A_TIME} at a time, median of {rounds} runs: "
        f"ideal {ideal:.2f} s"
    )
    leads = str(2 * sessions)
    options = ("--leads", leads, "--sessions", str(sessions), "--session-ids", "uuid", "--latency", str(LATENCY))
    with emulator(*options) as (url, chatbot_id):
        runs = [run_one(OPERATOR, url, chatbot_id) for _ in range(rounds)]
        ratios = [one["seconds"] / ideal for one in runs]
        show(OPERATOR, runs, f"{statistics.median(ratios):.3f} of the ideal ({min(ratios):.3f}-{max(ratios):.3f})")
        of_leads = [run_one(LEADS, url, chatbot_id) for _ in range(rounds)]
        ratio = statistics.median(one["seconds"] for one in of_leads) / ideal
        show(LEADS, of_leads, f"{ratio:.3f} of the ideal")
        if (python := ROOT / ".venv-bench-dlt" / "bin" / "python").exists():
            one = run_one(DLT, url, chatbot_id, str(python))
            show(DLT, [one], f"{one['seconds'] / ideal:.2f} of the ideal, one run, listing and load included")
        else:
            print(f"{DLT:20} left out: make bench makes its environment")
        one = run_one(HAND, url, chatbot_id)
        show(HAND, [one], f"{one['seconds'] / ideal:.1f} of the ideal, one run")
    return promise(f"at most {MAX_RATIO} of the ideal", kept=max(statistics.median(ratios), ratio) <= MAX_RATIO)


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
