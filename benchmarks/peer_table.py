"""A hundred thousand leads by the operator, and by what people would use instead; the contenders take turns.

``make bench`` makes an environment for each of the others. Without it (``python -m benchmarks.peer_table``) a contender
whose environment is not there is left out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile

from benchmarks.common import MB, ROOT, run
from benchmarks.lead_sync import leads_of

#: Contenders, and the environments of those that have one of their own.
CONTENDERS = {
    "bare socket": "",
    "operator": "",
    "hand-written loop": "",
    "HttpOperator": ".venv-bench-http",
    "singer-sdk": ".venv-bench-singer",
    "dlt": ".venv-bench-dlt",
}
#: At 0 ms, the operator's share of another one's time: what is aimed at.
GOALS = {"hand-written loop": 0.55, "HttpOperator": 0.25, "dlt": 0.10}
CHART = ROOT / "docs" / "images" / "benchmark.svg"

Runs = dict[str, list[dict[str, float]]]


def compare(leads: int = 100_000, rounds: int = 5) -> str:
    """Run all contenders at 0 ms, and once each at 50 ms; return a Markdown table, and draw the chart."""
    names = [name for name, folder in CONTENDERS.items() if not folder or (ROOT / folder).exists()]
    near, far = (_runs(names, leads, latency, count) for latency, count in ((0.0, rounds), (0.05, 1)))
    columns = [f"{leads:,} leads in pages of 100", "seconds at 0 ms", "times the operator's", "CPU seconds", "grown MB"]
    columns += ["seconds at 50 ms", "goal for the operator's share at 0 ms"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name in names:
        seconds, cpu, grown = (statistics.median(one[of] for one in near[name]) for of in ("seconds", "cpu", "grown"))
        pairs = [one["seconds"] / ours["seconds"] for one, ours in zip(near[name], near["operator"], strict=True)]
        ratio = f"{statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f})"
        goal = ""
        if name in GOALS:
            share = 1 / statistics.median(pairs)
            goal = f"{GOALS[name]}: {share:.2f}, {'reached' if share <= GOALS[name] else 'missed'}"
        far_seconds = far[name][0]["seconds"]
        lines.append(
            f"| {name} | {seconds:.2f} | {ratio} | {cpu:.2f} | {grown / MB:.0f} | {far_seconds:.1f} | {goal} |"
        )
        counts = {one["count"] for one in (*near[name], *far[name])}
        if name != "bare socket" and counts != {leads}:
            raise RuntimeError(f"{name} read {counts} leads instead of {leads}")
    CHART.write_text(_chart({name: statistics.median(one["seconds"] for one in near[name]) for name in names}))
    return "\n".join(lines)


def _runs(names: list[str], leads: int, latency: float, rounds: int) -> Runs:
    runs: Runs = {name: [] for name in names}
    with leads_of(leads, latency) as (url, chatbot_id):
        for _ in range(rounds):
            for name in names:
                folder = CONTENDERS[name]
                module = "benchmarks.peers" if folder else "benchmarks.contenders"
                python = str(ROOT / folder / "bin" / "python") if folder else sys.executable
                with tempfile.TemporaryDirectory() as output:
                    runs[name].append(run(module, name, url, chatbot_id, f"{output}/leads.jsonl", python=python))
                print(f"{latency * 1000:.0f} ms, {name}: {runs[name][-1]['seconds']:.2f} s", file=sys.stderr)
    return runs


def _chart(seconds: dict[str, float]) -> str:
    """Return a bar chart as SVG: one bar a contender, its length the seconds."""
    longest, height = max(seconds.values()), 28
    size = f'width="640" height="{height * len(seconds) + 10}" font-family="sans-serif" font-size="14"'
    label = 'role="img" aria-label="Seconds for 100,000 leads at 0 ms"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>']
    for number, (name, value) in enumerate(seconds.items()):
        top = 5 + number * height
        width = max(2, round(400 * value / longest))
        colour = "#0b7285" if name == "operator" else "#adb5bd"
        parts.append(f'<text x="150" y="{top + 17}" text-anchor="end" fill="#868e96">{name}</text>')
        parts.append(f'<rect x="160" y="{top + 3}" width="{width}" height="{height - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{166 + width}" y="{top + 17}" fill="#868e96">{value:.2f} s</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    print(compare())
