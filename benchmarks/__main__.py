"""Run every benchmark and write docs/benchmarks.md: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import io
import os
import platform
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks import conversations, formats, importing, lead_sync, peer_table, waiting, warehouse
from benchmarks.common import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


class _Both(io.StringIO):
    """Keep what is printed, and show it too."""

    def write(self, text: str) -> int:
        sys.stderr.write(text)
        return super().write(text)


def main() -> bool:
    """Run all; return whether every limit was kept."""
    table = peer_table.compare()
    with redirect_stdout(_Both()) as printed:
        kept = [lead_sync.compare(), lead_sync.side_by_side(), lead_sync.short_listing(), lead_sync.memory()]
        kept += [conversations.fan_out(), conversations.throughput(), conversations.memory()]
        kept += [formats.compare(), warehouse.compare(), warehouse.few_into_many()]
        kept += [waiting.stalls(), waiting.pages_read(), importing.compare()]
    machine = f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, Python {platform.python_version()}"
    PAGE.write_text(
        f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, with Airflow {version("apache-airflow")} on {machine}.
The emulator serves prepared bytes from another process of the same machine. The contenders take turns, so that a slow
moment slows all of them. Seconds are medians of five rounds, at 50 ms of one, and leave out imports.

## Beside other tools

{table}

![Seconds for 100,000 leads at 0 ms](images/benchmark.svg)

*bare socket* receives the bytes and parses nothing but the token: no client can be faster one page after another.
*hand-written loop* is twenty lines of `requests` and `json`. `HttpOperator` uses a `pagination_function`, *dlt* its
`rest_api` source with files of JSON lines, *singer-sdk* a tap whose messages go to a file: each as its documentation
shows it (`benchmarks/peers.py`). Only the operator removes duplicates, hashes the file and writes a manifest.

The goals at 0 ms were set before anything was measured. Those beside `HttpOperator` and dlt ask for what HTTP and the
decoding of JSON alone take here, about half of the operator's time, and every tool needs these.

## Everything measured

Each line ends with the limit that is promised, and whether it was kept.

```text
{printed.getvalue().strip()}
```
"""
    )
    print(f"Written: {PAGE}")
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
