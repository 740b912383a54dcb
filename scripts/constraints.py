"""Pins, for every Airflow minor supported, all packages of a run-time and test environment.

Writes constraints/airflow-<name>.txt as plain `name==version ; marker` lines: no index address, no path, so that
the files mean the same behind every mirror. Markers keep one file true for all Pythons that the minor is tested on.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# The last patch release of each minor, and the groups that its environment has.
AIRFLOWS = {
    "2.11": ("2.11.2", ["test", "mysql"]),
    "3.0": ("3.0.6", ["test", "mysql"]),
    "3.1": ("3.1.8", ["test", "mysql"]),
    "3.2": ("3.2.2", ["test", "mysql"]),
    "3.3": ("3.3.2", ["test", "mysql", "lint", "docs", "ui", "distributed"]),
    # Each package that pyproject.toml names for users, in the lowest version that it allows.
    "lowest": ("2.11.0", ["test", "mysql"]),
    # An environment of its own: Google's packages need an older protobuf than the others take.
    "recipes": ("3.3.2", ["test", "mysql", "recipes"]),
}

# What a minor's own metadata allows but what breaks it: found by `airflow dags test`, which was tried on each.
TOO_NEW = {
    "lowest": {"universal-pathlib<0.3": "the bound that 2.11.2 has; ObjectStoragePath of 2.11.0 opens nothing with it"},
    "3.0": {
        "fastapi<0.118": "the bound that 3.1 has; newer ones refuse what 3.0's tasks send to the execution API",
        "pyjwt<2.11": "newer ones refuse the issuer of 3.0's tokens, and the API server does not start",
        "universal-pathlib<0.3": "the bound that 3.1 has; ObjectStoragePath opens nothing with it",
    },
    "3.2": {
        "fastapi<0.137": "the bound that 3.3 has; with newer ones 3.2's execution API does not start",
        "svcs<26": "with 26.2 the execution API that dag.test() runs in its process has no registry",
    },
}

PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==[A-Za-z0-9.!+_-]+( ; [^/\\]+)?")


def pins(version: str, rules: list[str], *options: str) -> list[str]:
    """The resolved packages, one a line."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml"),
        "--all-extras",
        *("--universal", "--python-version", "3.11", "--constraint", "-"),
        *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet"),
        *options,
    ]
    text = "\n".join([f"apache-airflow=={version}", *rules])
    answer = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"No set of packages fits Airflow {version}:\n{answer.stderr}")
    lines = answer.stdout.split("\n")[:-1]
    strange = [line for line in lines if not PIN.fullmatch(line)]
    if strange:
        sys.exit(f"Airflow {version}: these lines are no plain pins: {strange}")
    return lines


def lowest(version: str) -> list[str]:
    """The lowest versions of what pyproject.toml names for users; what these need in turn, and tests, stay new."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    direct = {re.split(r"[^a-z0-9.-]", one)[0] for one in named}
    return [pin for pin in pins(version, [], "--resolution=lowest-direct") if pin.partition("==")[0] in direct]


def main(minors: list[str]) -> None:
    """Writes the files of the minors named, or all."""
    for minor in minors or AIRFLOWS:
        version, groups = AIRFLOWS[minor]
        too_new = TOO_NEW.get(minor, {})
        rules = [*too_new, *(lowest(version) if minor == "lowest" else [])]
        lines = pins(version, rules, *(f"--group={group}" for group in groups))
        head = [
            f"# Airflow {version}: run time and {', '.join(groups)}. Made by `make constraints`; not edited by hand."
        ]
        head += [f"# {rule}: {reason}" for rule, reason in too_new.items()]
        path = ROOT / "constraints" / f"airflow-{minor}.txt"
        text = "\n".join([*head, *lines, ""])
        # An unchanged file keeps its time, so that no environment is made anew for it.
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {len(lines)} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
