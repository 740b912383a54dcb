"""The constraint files pin every Airflow supported, and mean the same behind every package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "constraints").glob("airflow-[0-9]*.txt"))
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)(?: ; [^/\\]+)?")


def pins(path: Path) -> dict[str, str]:
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            match = PIN.fullmatch(line)
            assert match, f"{path.name}: {line!r} is no plain pin"
            found[match["name"]] = match["version"]
    return found


def test_every_minor_has_its_file():
    assert [path.stem for path in FILES] == [f"airflow-{minor}" for minor in ("2.11", "3.0", "3.1", "3.2", "3.3")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_pins_its_airflow_and_all_that_the_project_asks_for(path):
    pinned = pins(path)
    minor = path.stem.removeprefix("airflow-")
    assert pinned["apache-airflow"].startswith(f"{minor}.")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    wanted = [
        *project["project"]["dependencies"],
        *(one for extra in extras.values() for one in extra),
        *groups["test"],
        *groups["mysql"],
    ]
    if path == FILES[-1]:
        wanted += [*groups["lint"], *groups["docs"], *groups["ui"]]
    missing = {re.split(r"[\[<>=~!; ]", requirement)[0] for requirement in wanted} - pinned.keys()
    assert not missing
