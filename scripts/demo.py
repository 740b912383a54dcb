"""`make demo`: run a real Airflow DAG that fetches leads into a file, and check the file against its manifest.

By default the leads come from the emulator. With AIRFLOW_CONN_ROBOFY_DEFAULT set they come from a real account; then it
shows counts and paths and no row, because rows are personal data.
"""

import gzip
import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.local import (
    CONNECTION,
    ONE_LINE,
    ROOT,
    LocalAirflow,
    Trouble,
    running_emulator,
    shown,
    stop_means_exit,
    tell,
)

DAG = "robofy_lead_sync"
FOLDER = ROOT / ".demo"
WIDTH = 108
# The emulator refuses one request, fails one and sends rows twice. The counts show how the task copes.
EMULATOR = (
    "--leads=1200",
    "--fault=rate_limit:retry_after=1,endpoint=list_leads,page=2",
    "--fault=duplicate_rows:count=7,endpoint=list_leads,page=3",
    "--fault=status:status=503,endpoint=list_leads,page=5",
)
SUM = (
    ("rows", "rows"),
    ("duplicates", "duplicates"),
    ("outside_window", "outside the window"),
    ("rejected", "rejected"),
)


def say(label: str, text: str) -> None:
    """Print one aligned line."""
    print(f"{label:<10} {text}", flush=True)


def landed(landing: Path, before: set[Path]) -> list[Path]:
    """Return the manifests that this run has written."""
    return sorted(set(landing.rglob("*.manifest.json")) - before)


def check(manifest: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Compare count and hash of the file with its manifest, and return the first rows."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        raise Trouble(f"{shown(path)} is not the file that its manifest describes: the SHA-256 differs.")
    lines = (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines()
    if len(lines) != manifest["rows"]:
        raise Trouble(f"{shown(path)} has {len(lines)} lines, its manifest says {manifest['rows']} rows.")
    if manifest["received"] != sum(manifest[name] for name, _ in SUM):
        raise Trouble(f"The manifest of {shown(path)} does not add up.")
    return [json.loads(line) for line in lines[:3]]


def show(manifest_path: Path, *, rows_too: bool) -> None:
    """Print what was written."""
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    path = manifest_path.with_name(manifest_path.name.removesuffix(".manifest.json"))
    rows = check(manifest, path)
    print(f"\nLanded\n  {shown(path)}\n  {shown(manifest_path)}")
    print("\nThe manifest adds up, and the file is the one it describes")
    ahead = f" ({manifest['requests_unused']:,} asked ahead and not used)" if manifest["requests_unused"] else ""
    print(f"  {manifest['pages']:,} pages in {manifest['requests']:,} requests{ahead}, {manifest['bytes']:,} bytes")
    print(f"  received {manifest['received']:>12,}")
    for sign, (name, label) in zip("=+++", SUM, strict=True):
        print(f"  {sign} {manifest[name]:>19,}  {label}")
    if rows_too and rows:
        print("\nThe first rows")
        for row in rows:
            answers = ", ".join(f"{field['field_name']}: {field['field_value']}" for field in row["lead_data"])
            line = f"{row['id']} · {row['_created_at']} · {row['source']} · {answers}"
            print(f"  {line if len(line) <= WIDTH else f'{line[: WIDTH - 2]} …'}")


def run(stack: ExitStack) -> None:
    """Run the whole demo."""
    own_account = bool(os.environ.get(CONNECTION))
    landing = FOLDER / "landing" / ("account" if own_account else "emulator")
    if not own_account:
        shutil.rmtree(landing, ignore_errors=True)
    airflow = LocalAirflow(FOLDER, landing)
    if own_account:
        say("Robofy", f"the account that {CONNECTION} names")
    else:
        robofy = stack.enter_context(running_emulator(FOLDER / "robofy.log", *EMULATOR))
        airflow.use(robofy)
        say("Robofy", f"an emulator on {robofy.url} with {len(robofy.agents)} agents")
        say("", "with faults: one 429, one 503, some rows sent twice")
    say("Airflow", f"{airflow.version}, log in {shown(airflow.log)}")
    if not airflow.home.exists():
        say("", "creating its database, once ...")
    airflow.migrate()
    before = set(landing.rglob("*.manifest.json"))
    say("DAG", f"{DAG} ...")
    begin = time.monotonic()
    # A large account, or one with a rate limit, may need an hour.
    seconds = 3600 if own_account else 150
    airflow.run("dags", "test", DAG, seconds=seconds, failure=f"The DAG {DAG} did not succeed.")
    say("", f"succeeded in {time.monotonic() - begin:.0f} seconds")
    manifests = landed(landing, before)
    if not manifests:
        raise Trouble(f"The DAG succeeded, but there is no new manifest below {shown(landing)}.", airflow.log)
    for manifest in manifests:
        show(manifest, rows_too=not own_account)
    if own_account:
        print("\nThese are real leads. `make clean` removes them from this machine.")
    else:
        print(f"\nThe same with your own account:\n  {ONE_LINE} make demo")


def main() -> int:
    """Return the exit code."""
    stop_means_exit()
    try:
        with ExitStack() as stack:
            run(stack)
    except Trouble as trouble:
        return tell(trouble)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
