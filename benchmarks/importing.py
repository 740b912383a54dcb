"""Time to import the operator, compared with Airflow's HttpOperator. The time to import Airflow is left out."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.common import ROOT

OURS, THEIRS = "airflow_provider_robofy.operators.leads", "airflow.providers.http.operators.http"
_CODE = "import sys, time, importlib, airflow; t = time.process_time(); importlib.import_module(sys.argv[1]); "
_CODE += "print(time.process_time() - t)"


#: Where ``make bench`` installs HttpOperator, with the same Airflow.
_WITH_HTTP = ROOT / ".venv-bench-http" / "bin" / "python"


def seconds(module: str, python: str = sys.executable) -> float:
    """Import a module in a fresh interpreter; return the processor seconds of it."""
    done = subprocess.run([python, "-c", _CODE, module], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def compare(rounds: int = 7) -> bool:
    """Compare the two; return whether ours costs no more."""
    if not _WITH_HTTP.exists():
        print(f"importing {OURS}: {seconds(OURS):.2f} s (HttpOperator is not here to compare with)")
        return True
    pairs = [(seconds(OURS), seconds(THEIRS, str(_WITH_HTTP))) for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    kept = ours <= theirs
    print(
        f"importing the operator: {ours:.2f} s of processor, HttpOperator {theirs:.2f} s (promised: no more): "
        f"{'kept' if kept else 'MISSED'}"
    )
    return kept


if __name__ == "__main__":
    sys.exit(0 if compare() else 1)
