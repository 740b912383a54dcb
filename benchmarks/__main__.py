"""Run every benchmark: ``python -m benchmarks``, or ``make bench``."""

from __future__ import annotations

import sys

from benchmarks import conversations, importing, lead_sync, waiting, warehouse

if __name__ == "__main__":
    kept = [importing.compare(), lead_sync.compare(), lead_sync.memory()]
    kept += [conversations.fan_out(), conversations.throughput(), conversations.memory()]
    kept += [waiting.stalls(), waiting.pages_read()]
    kept += [warehouse.compare()]
    sys.exit(0 if all(kept) else 1)
