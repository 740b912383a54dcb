"""`make coverage`: the share of lines and branches that the tests have run, for each package."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path, PurePath

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ("num_statements", "covered_lines", "num_branches", "covered_branches")
LINE = "{:<16} {:>7} {:>7} {:>9} {:>9}"


def counted() -> dict[str, Counter[str]]:
    """Return the counts of each folder below the package, and of the modules beside them."""
    report = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", "-"]
    files = json.loads(subprocess.run(report, cwd=ROOT, check=True, capture_output=True).stdout)["files"]
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for name, file in files.items():
        inside = PurePath(name).parts[1:]
        found[inside[0] if len(inside) > 1 else "(modules)"].update({count: file["summary"][count] for count in COUNTS})
    return found


def share(part: int, whole: int) -> str:
    """Return a percentage."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def main() -> None:
    """Print the table."""
    found = dict(sorted(counted().items()))
    found["all"] = sum(found.values(), Counter())
    print(LINE.format("package", "lines", "run", "branches", "run"))
    for name, of in found.items():
        lines, lines_run, branches, branches_run = (of[count] for count in COUNTS)
        print(LINE.format(name, lines, share(lines_run, lines), branches, share(branches_run, branches)))


if __name__ == "__main__":
    main()
