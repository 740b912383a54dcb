"""A hundred thousand leads landed in each format, and read back: ``python -m benchmarks.formats``.

The formats take turns, as the contenders of :mod:`benchmarks.lead_sync` do; compared are medians, and the ratio to
``.jsonl`` of the same round. Growth of the memory includes pyarrow itself, which is imported when it is needed.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.common import MB, measure, run
from benchmarks.lead_sync import leads_of

ENDINGS = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet")


def read(path: str) -> None:
    """Read a landed file back and print the figures as JSON."""
    from airflow_provider_robofy.extract.landed import rows

    manifest = json.loads(Path(f"{path}.manifest.json").read_text(encoding="utf-8"))
    measure(lambda: sum(1 for _ in rows(manifest)))


def compare(leads: int = 100_000, rounds: int = 5) -> bool:
    """Print a table; return whether every format gives back every lead."""
    print(f"{leads:,} leads in pages of 100, {rounds} rounds, the operator in a process of its own each time")
    landed: dict[str, list[dict[str, float]]] = {ending: [] for ending in ENDINGS}
    back: dict[str, list[dict[str, float]]] = {ending: [] for ending in ENDINGS}
    sizes: dict[str, int] = {}
    with leads_of(leads) as (url, chatbot_id), tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for ending in ENDINGS:
                path = f"{folder}/{number}/leads.{ending}"
                landed[ending].append(run("benchmarks.contenders", "operator", url, chatbot_id, path))
                back[ending].append(run("benchmarks.formats", path))
                sizes[ending] = Path(path).stat().st_size
    print(f"{'':10}{'landing s':>10}{'ratio':>18}{'cpu ratio':>18}{'grown MB':>10}{'reading s':>11}{'file MB':>9}")
    for ending in ENDINGS:
        ratios = "".join(f"{_ratio(landed[ending], landed['jsonl'], of):>18}" for of in ("seconds", "cpu"))
        seconds, grown = (statistics.median(one[of] for one in landed[ending]) for of in ("seconds", "grown"))
        reading = statistics.median(one["seconds"] for one in back[ending])
        size = sizes[ending] / MB
        print(f"{ending:10}{seconds:>10.2f}{ratios}{grown / MB:>10.1f}{reading:>11.2f}{size:>9.1f}")
    return all(one["count"] == leads for runs in (*landed.values(), *back.values()) for one in runs)


def _ratio(runs: list[dict[str, float]], base: list[dict[str, float]], figure: str) -> str:
    pairs = [one[figure] / other[figure] for one, other in zip(runs, base, strict=True)]
    return f"{statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f})"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        read(sys.argv[1])
    else:
        sys.exit(0 if compare() else 1)
