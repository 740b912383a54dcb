"""A hundred thousand leads in pages of a hundred: the operator beside a hand-written loop and a bare socket.

Served by the emulator in a process of its own. The contenders take turns, so that a machine that slows down slows all
of them; compared are medians, and the ratio of neighbours.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.common import MB, emulator, run
from benchmarks.contenders import CONTENDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is promised: share of the hand-written loop's time, resident growth, and growth a lead beyond that.
MAX_RATIO, MAX_GROWTH, MAX_BYTES_A_LEAD = 0.9, 40 * MB, 130


#: Seconds that an answer takes, and the share of the ideal that a read side by side may take then.
MAX_OF_IDEAL = {0.02: 1.35, 0.05: 1.25}
#: How much slower than one page at a time it may be where the network costs nothing.
MAX_SLOWER = 1.05


@contextmanager
def leads_of(count: int, latency: float = 0.0) -> Iterator[tuple[str, str]]:
    """Serve leads, rendered beforehand; yield the URL and the agent's id."""
    with emulator("--leads", str(count), "--page-size", "100", "--prerender", "--latency", str(latency)) as address:
        yield address


def run_one(name: str, url: str, chatbot_id: str) -> dict[str, float]:
    """Run one contender in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return run("benchmarks.contenders", name, url, chatbot_id, f"{folder}/leads.jsonl")


def compare(leads: int = 100_000, rounds: int = 5) -> bool:
    """Compare the contenders and print a table; return whether the limit is met."""
    print(f"{leads:,} leads in pages of 100, {rounds} rounds, each contender in a process of its own")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    with leads_of(leads) as (url, chatbot_id):
        for _ in range(rounds):
            for name in CONTENDERS:
                results[name].append(run_one(name, url, chatbot_id))
    print(f"{'':20}{'seconds':>10}{'cpu':>8}{'grown MB':>10}   ratio to the hand-written loop (min-max)")
    ratio = growth = 0.0
    for name, runs in results.items():
        pairs = [a["seconds"] / b["seconds"] for a, b in zip(runs, results["hand-written loop"], strict=True)]
        seconds, cpu, grown = (statistics.median(one[figure] for one in runs) for figure in ("seconds", "cpu", "grown"))
        shown = f"{statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f})"
        print(f"{name:20}{seconds:>10.2f}{cpu:>8.2f}{grown / MB:>10.1f}   {shown}")
        if name == "operator":
            ratio, growth = statistics.median(pairs), grown
    slower = statistics.median(
        a["seconds"] / b["seconds"] for a, b in zip(results["operator"], results["one page at a time"], strict=True)
    )
    kept = ratio <= MAX_RATIO and growth <= MAX_GROWTH and slower <= MAX_SLOWER
    print(
        f"promised: ratio <= {MAX_RATIO}, growth <= {MAX_GROWTH / MB:.0f} MB, {slower:.2f} of one page at a time "
        f"<= {MAX_SLOWER}: {'kept' if kept else 'MISSED'}"
    )
    return kept


def side_by_side(leads: int = 100_000, rounds: int = 5) -> bool:
    """Compare pages side by side with the ideal and with a hand-written loop; return whether the limits are met.

    The ideal is the time that the answers take, eight at a time. The loop is run once, since it takes a minute.
    """
    kept = True
    for latency, limit in MAX_OF_IDEAL.items():
        ideal = leads / 100 / 8 * latency
        with leads_of(leads, latency) as (url, chatbot_id):
            loop = run_one("hand-written loop", url, chatbot_id)["seconds"]
            runs = [run_one("operator", url, chatbot_id) for _ in range(rounds)]
        seconds = statistics.median(one["seconds"] for one in runs)
        grown = max(one["grown"] for one in runs)
        kept = kept and seconds <= limit * ideal and grown <= MAX_GROWTH
        print(
            f"{leads:,} leads at {latency * 1000:.0f} ms: {seconds:.2f} s, {seconds / ideal:.2f} of the ideal "
            f"(promised: {limit}), {seconds / loop:.2f} of the hand-written loop ({loop:.1f} s), grown "
            f"{grown / MB:.0f} MB: {'kept' if seconds <= limit * ideal else 'MISSED'}"
        )
    return kept


def short_listing(rounds: int = 5) -> bool:
    """Compare a listing of three pages at 200 ms with one page after another; return whether the limit is met."""
    with leads_of(300, 0.2) as (url, chatbot_id):
        pairs = [
            run_one("operator", url, chatbot_id)["seconds"] / run_one("one page at a time", url, chatbot_id)["seconds"]
            for _ in range(rounds)
        ]
    ratio = statistics.median(pairs)
    kept = ratio <= MAX_SLOWER
    print(
        f"three pages at 200 ms: {ratio:.2f} of one page at a time ({min(pairs):.2f}-{max(pairs):.2f}; promised: "
        f"{MAX_SLOWER}): {'kept' if kept else 'MISSED'}"
    )
    return kept


def memory(leads: int = 1_000_000) -> bool:
    """Measure how resident memory grows with many leads; return whether the limit is met."""
    with leads_of(leads) as (url, chatbot_id):
        figures = run_one("operator", url, chatbot_id)
    a_lead = max(0.0, figures["grown"] - MAX_GROWTH) / leads
    kept = figures["count"] == leads and a_lead <= MAX_BYTES_A_LEAD
    print(
        f"{leads:,} leads: {figures['seconds']:.1f} s, grown {figures['grown'] / MB:.0f} MB, which is "
        f"{a_lead:.0f} bytes a lead beyond {MAX_GROWTH / MB:.0f} MB (promised: {MAX_BYTES_A_LEAD}): "
        f"{'kept' if kept else 'MISSED'}"
    )
    return kept


if __name__ == "__main__":
    sys.exit(0 if compare() else 1)
