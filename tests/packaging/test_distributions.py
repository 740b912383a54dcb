"""What is built is what should be shipped: no more, no less."""

from __future__ import annotations

import email
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from trove_classifiers import classifiers

from airflow_provider_robofy import __version__
from tests.child import python

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_robofy"
NAME = f"{PACKAGE}-{__version__}"
PYTHON = re.compile(r"Programming Language :: Python :: (\d+\.\d+)")

pytestmark = pytest.mark.packaging


def build(source: Path, target: Path, *options: str) -> None:
    done = python("-m", "hatchling", "build", "--directory", target, *options, cwd=source)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    build(ROOT, target, "--target", "sdist")
    build(ROOT, target, "--target", "wheel")
    return target


@pytest.fixture(scope="module")
def wheel(dist):
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    return email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def bare_name(requirement: str) -> str:
    return re.split(r"[\[<>=~!; ]", requirement)[0]


def source_files() -> set[str]:
    """The package's own files: caches aside, all of them are wanted."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    shipped = {name for name in wheel.namelist() if not name.startswith(f"{NAME}.dist-info/")}
    assert shipped == source_files()
    assert {Path(name).suffix for name in shipped} == {".py", ".typed"}
    assert not [name for name in shipped if re.search(r"/(test_|tests/|conftest\.py)", name)]
    assert {
        f"{PACKAGE}/py.typed",
        f"{PACKAGE}/get_provider_info.py",
        f"{PACKAGE}/emulator/__main__.py",
    } <= shipped


def test_the_wheel_made_from_the_sdist_is_the_same(dist, wheel, tmp_path):
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    build(tmp_path / NAME, tmp_path / "again", "--target", "wheel")
    with zipfile.ZipFile(tmp_path / "again" / f"{NAME}-py3-none-any.whl") as again:
        assert {item.filename: item.CRC for item in again.infolist()} == {
            item.filename: item.CRC for item in wheel.infolist()
        }


def test_the_sdist_can_be_tested_and_holds_nothing_private(dist):
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    top = {name.split("/")[0] for name in names}
    assert {"pyproject.toml", "LICENSE", "README.md", "Makefile", "tests", "constraints", PACKAGE} <= top
    assert not {name for name in top if name.startswith(".") and name != ".gitignore"}
    assert not {name for name in names if name.endswith((".pyc", ".db", ".log")) or "__pycache__" in name}


def test_metadata(metadata):
    assert metadata["Name"] == "airflow-provider-robofy"
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Framework :: Apache Airflow :: Provider" in metadata.get_all("Classifier")
    assert {line.split(",")[0] for line in metadata.get_all("Project-URL")} == {
        "Source",
        "Documentation",
        "Changelog",
        "Issues",
    }


def test_the_readme_on_a_package_index_has_urls_of_this_version_for_links_and_images(metadata, project):
    shown = metadata.get_payload()
    assert metadata["Description-Content-Type"] == "text/markdown"
    leads_to = re.findall(r"\]\(([^)\s]+)\)", shown)
    source, tag = project["project"]["urls"]["Source"], f"v{__version__}"
    files = [url.removeprefix(f"{source}/blob/{tag}/") for url in leads_to if url.startswith(f"{source}/blob/")]
    raw = source.replace("github.com", "raw.githubusercontent.com")
    images = [url.removeprefix(f"{raw}/{tag}/") for url in leads_to if url.startswith(raw)]
    assert {Path(name).suffix for name in images} == {".png", ".svg"}
    assert [name for name in (*files, *images) if not (ROOT / name.partition("#")[0]).exists()] == []
    assert [url for url in leads_to if not url.startswith("https://")] == []


def test_nobody_gets_the_projects_own_tools(metadata, project):
    required = metadata.get_all("Requires-Dist")
    plain = {requirement for requirement in required if "extra ==" not in requirement}
    assert plain == set(project["project"]["dependencies"])
    tools = {bare_name(requirement) for group in project["dependency-groups"].values() for requirement in group}
    assert "pytest" in tools
    assert not {bare_name(requirement) for requirement in required} & tools


def test_the_extras_are_those_of_the_project_and_bring_what_they_name(metadata, project):
    extras = project["project"]["optional-dependencies"]
    assert metadata.get_all("Provides-Extra") == sorted(extras)
    for extra, requirements in extras.items():
        brought = [line for line in metadata.get_all("Requires-Dist") if f"extra == '{extra}'" in line]
        assert sorted(map(bare_name, brought)) == sorted(map(bare_name, requirements))


def test_every_extra_is_installed_by_the_check_of_the_distributions(project):
    script = (ROOT / "scripts" / "check_dist.sh").read_text(encoding="utf-8")
    asked = re.search(r"\$wheel\[([a-z,]+)\]", script)
    assert asked
    assert set(asked[1].split(",")) == set(project["project"]["optional-dependencies"])


def test_classifiers_exist_and_fit_what_is_required_and_pinned(metadata):
    given = metadata.get_all("Classifier")
    assert set(given) <= set(classifiers)
    assert len(given) == len(set(given))
    assert [one for one in given if one.startswith("License")] == []  # the licence expression says it
    least = metadata["Requires-Python"].removeprefix(">=")
    minors = sorted(tuple(map(int, found[1].split("."))) for one in given if (found := PYTHON.fullmatch(one)))
    assert minors[0] == tuple(map(int, least.split(".")))
    assert minors == [(3, minor) for minor in range(minors[0][1], minors[-1][1] + 1)]
