"""`make release-check`: list what keeps this commit from being released, each with what to do."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import airflow_provider_robofy

ROOT: Final = Path(__file__).resolve().parent.parent
#: Owner of the repository in URLs, until the first release sets the real one.
PLACEHOLDER: Final = "github.com/OWNER/"
#: Files that contain the owner. A test compares the second with the first.
OWNED: Final = ("pyproject.toml", ".airflow-registry.yaml")


def problems(version: str, changelog: str, owned: dict[str, str], *, tag: str = "", changed: str = "") -> Iterator[str]:
    """Yield what is wrong, each with the remedy.

    :param version: The package's version.
    :param changelog: Text of CHANGELOG.md.
    :param owned: Name and text of each file with the owner's URLs.
    :param tag: The tag to be released, such as ``v0.1.0``. Default empty: not known yet.
    :param changed: Output of ``git status --porcelain``. Default empty: nothing has changed.
    """
    for name, text in owned.items():
        if PLACEHOLDER in text:
            yield f"{name} contains {PLACEHOLDER}: replace OWNER by the owner of the repository."
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no line '## [{version}] - <date>': turn the section Unreleased into it."
    if re.search(r"^## \[Unreleased\]\s+\S(?!# )", changelog, re.MULTILINE):
        yield "CHANGELOG.md has entries under Unreleased: move them into the version's section."
    if not re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", version):
        yield f"__version__ is {version!r}: set a version such as 0.1.0 in airflow_provider_robofy/__init__.py."
    if tag and tag != f"v{version}":
        yield f"The tag is {tag} and __version__ is {version}: tag v{version}, or change __version__."
    if changed:
        yield f"The working tree has changes; commit or remove them:\n{changed}"


def main() -> int:
    """Print the problems, and return the exit code."""
    owned = {name: (ROOT / name).read_text(encoding="utf-8") for name in OWNED}
    status = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    tag = os.environ.get("GITHUB_REF_NAME", "") if os.environ.get("GITHUB_REF_TYPE") == "tag" else ""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = airflow_provider_robofy.__version__
    found = list(problems(version, changelog, owned, tag=tag, changed=status.stdout.rstrip()))
    name = tomllib.loads(owned["pyproject.toml"])["project"]["name"]
    print("\n".join(f"- {one}" for one in found) if found else f"{name} {version} can be released.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
