"""Time to import the operator, compared with Airflow's HttpOperator. The time to import Airflow is left out."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys

OURS, THEIRS = "airflow_provider_robofy.operators.leads", "airflow.providers.http.operators.http"
_CODE = "import sys, time, importlib, airflow; t = time.process_time(); importlib.import_module(sys.argv[1]); "
_CODE += "print(time.process_time() - t)"


def seconds(module: str) -> float:
    """Import a module in a fresh interpreter; return the processor seconds of it."""
    done = subprocess.run([sys.executable, "-c", _CODE, module], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def compare(rounds: int = 7) -> bool:
    """Compare the two; return whether ours costs no more."""
    try:
        found = importlib.util.find_spec("airflow.providers.http") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        print(f"importing {OURS}: {seconds(OURS):.2f} s (apache-airflow-providers-http is not here to compare with)")
        return True
    pairs = [(seconds(OURS), seconds(THEIRS)) for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    kept = ours <= theirs
    print(
        f"importing the operator: {ours:.2f} s of processor, HttpOperator {theirs:.2f} s (promised: no more): "
        f"{'kept' if kept else 'MISSED'}"
    )
    return kept


if __name__ == "__main__":
    sys.exit(0 if compare() else 1)
