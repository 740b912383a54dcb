"""The documents say what is there: links lead somewhere, code compiles, tables are complete."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import textwrap
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

import airflow_provider_robofy
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.emulator import Emulator
from airflow_provider_robofy.emulator.command import _parser
from airflow_provider_robofy.emulator.control import OPERATIONS
from airflow_provider_robofy.emulator.faults import KINDS
from airflow_provider_robofy.extract.manifest import Manifest
from airflow_provider_robofy.get_provider_info import get_provider_info
from tests.child import python
from tests.offered import offered

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airflow_provider_robofy"
DOCUMENTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
FENCE = re.compile(r"^```([\w{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [textwrap.dedent(code) for name, code in found if name == language]


def cells(text: str, heading: str) -> list[list[str]]:
    """Return the cells of each row of the table that begins with a heading."""
    _, _, table = text.partition(f"\n| {heading} |")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.split("\n\n")[0].splitlines()[2:]]
    assert rows, f"there is no table that begins with {heading!r}"
    return rows


def names(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def first_names(text: str, heading: str) -> list[str]:
    """Return the names in the first column of a table."""
    return [name for row in cells(text, heading) for name in names(row[0])]


def anchors(path: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


CODE = [
    pytest.param(path, code, id=f"{short(path)}-{number}")
    for path in DOCUMENTS
    for number, code in enumerate(blocks(path, "python"), 1)
]
IS_A_DAG = re.compile(r"\bDAG\(|^@dag\b", re.MULTILINE)
DAGS = [one for one in CODE if IS_A_DAG.search(str(one.values[1]))]


# ---------------------------------------------------------------------------------------------------------- links
@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_relative_links_lead_somewhere(path):
    dead = []
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target) if target else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_files_that_are_named_are_there(path):
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    named = re.findall(r"`((?:example_dags|tests|benchmarks|constraints|scripts|docs)/[\w./-]+)`", prose)
    assert [name for name in named if not (ROOT / name).exists()] == []


# ----------------------------------------------------------------------------------------------------------- code


def keywords(one: Any) -> set[str]:
    """Return what a class takes by keyword, its bases' keywords included where it hands them on."""
    taken: set[str] = set()
    for base in one.__mro__:
        if "__init__" in vars(base):
            taken |= set(inspect.signature(base.__init__).parameters)
    return taken | ({"inlets", "outlets"} if issubclass(one, BaseOperator) else set())


@pytest.mark.parametrize(("path", "code"), CODE)
def test_python_uses_only_arguments_that_exist(path, code):
    classes = offered()
    wrong = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in {"partial", "expand"}:
            called = called.value.func if isinstance(called.value, ast.Call) else called.value
        if isinstance(called, ast.Attribute) and called.attr == "partial":
            called = called.value
        name = called.id if isinstance(called, ast.Name) else ""
        if name.startswith("Robofy"):
            assert name in classes, f"{path.name} names {name}, which does not exist"
            known = keywords(classes[name])
            wrong += [f"{name}({one.arg}=)" for one in node.keywords if one.arg and one.arg not in known]
    assert wrong == []


@pytest.fixture(scope="module")
def parsed(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """Return what Airflow's own parser finds in each documented DAG, as it would in a dags folder.

    In a process of its own, because Airflow reads its home when it is imported. Each file has a folder of its own,
    because two pages may show DAGs of the same name.
    """
    home = tmp_path_factory.mktemp("documented")
    for one in DAGS:
        folder = home / "dags" / str(one.id).replace("/", "_")
        folder.mkdir(parents=True)
        (folder / "documented.py").write_text(str(one.values[1]), encoding="utf-8")
    script = """
import json, pathlib, sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models.dagbag import DagBag
found = {}
for folder in pathlib.Path(sys.argv[1]).iterdir():
    bag = DagBag(str(folder))
    found[folder.name] = {"errors": bag.import_errors, "tasks": [len(dag.tasks) for dag in bag.dags.values()]}
print(json.dumps(found))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": str(ROOT),
    }
    done = python("-c", script, home / "dags", env=environment, cwd=home)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", [str(one.id) for one in DAGS])
def test_dags_are_dags_in_this_airflow(name, parsed):
    found = parsed[name.replace("/", "_")]
    assert not found["errors"], found["errors"]
    assert found["tasks"], "no DAG was found"
    assert all(found["tasks"]), "a DAG has no tasks"


@pytest.mark.parametrize("path", DOCUMENTS, ids=short)
def test_make_targets_exist(path):
    makefile = text_of("Makefile")
    targets = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE))
    known = {word for line in targets for word in line.split()} | {"test-lowest", "test-3.0", "test-3.1", "test-3.2"}
    text = path.read_text(encoding="utf-8")
    used = re.findall(r"(?:^|`)make ((?:[a-z][\w.-]* ?)+)(?:`|$)", text, re.MULTILINE)
    assert {word for words in used for word in words.split()} <= known


# --------------------------------------------------------------------------------------------------------- tables
def test_the_tables_of_the_connection_name_every_field_and_endpoint():
    text = text_of("docs/connection.md")
    [form] = get_provider_info()["connection-types"]
    assert first_names(text, "field") == ["password", "host", *form["conn-fields"]]
    endpoints = [[cell.strip("`") for cell in row] for row in cells(text, "endpoint name")]
    assert {name: (method, path) for name, method, path, *_ in endpoints} == dict(ENDPOINTS)


def test_the_table_of_the_manifest_names_every_field():
    _, _, text = text_of("docs/fetching-leads.md").partition("## The manifest")
    assert sorted(first_names(text, "field")) == sorted(field.name for field in fields(Manifest))


def test_the_emulators_faults_options_and_calls_are_the_documented_ones():
    text = text_of("docs/testing-your-dags.md")
    faults = {names(row[0])[0]: set(names(row[2])) for row in cells(text, "kind")}
    assert faults == {name: set(kind.options) for name, kind in KINDS.items()}
    known = {flag for action in _parser()._actions for flag in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known
    assert {tuple(call.replace("ID", "").split()) for call in first_names(text, "call")} == set(OPERATIONS)
    offered = [name for row in cells(text, "to") for name in re.findall(r"`(\w+)", "|".join(row))]
    assert [name for name in offered if not hasattr(Emulator, name)] == []


def test_every_module_is_in_the_table_of_the_architecture():
    there = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    said = first_names(text_of("docs/architecture.md"), "module")
    lacking = [f"| `{name}` | {headline(name)} |" for name in sorted(there - set(said))]
    assert not lacking, "docs/architecture.md lacks these lines:\n" + "\n".join(lacking)
    assert sorted(set(said) - there) == [], "docs/architecture.md names modules that are gone"
    assert len(said) == len(set(said))


def headline(name: str) -> str:
    docstring = ast.get_docstring(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))) or ""
    return re.split(r"\.(?:\s|$)", " ".join(docstring.split()), maxsplit=1)[0].replace("``", "`")


def test_every_dependency_has_its_reason():
    project = tomllib.loads(text_of("pyproject.toml"))
    groups = {
        name: group
        for name, group in project["dependency-groups"].items()
        if name != "recipes" and not name.startswith("bench-")
    }
    needed = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *groups.values(),
    ]
    reasons = text_of("CONTRIBUTING.md").partition("## Dependencies")[2].partition("## Constraints")[0]
    bare = {re.split(r"[\[<>=~!; ]", one)[0] for group in needed for one in group}
    assert bare - set(names(reasons)) == set()


def test_the_emulator_shares_no_code_with_the_rest():
    others = re.compile(r"airflow_provider_robofy(?!\.emulator)[.\s]")
    imports = [
        line
        for path in (PACKAGE / "emulator").glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(?:from|import) airflow_provider_robofy", line)
    ]
    assert [line for line in imports if others.search(line)] == []


def test_every_test_that_a_promise_of_security_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text_of("SECURITY.md"))
    assert len(named) > 15
    assert [f"{path}::{name}" for path, name in named if f"\ndef {name}(" not in text_of(path)] == []


def test_the_version_in_the_changelog_is_the_packages():
    assert airflow_provider_robofy.__version__ in text_of("CHANGELOG.md")
