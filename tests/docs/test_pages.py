"""The documents as a whole: copies that are no copies, a place for every class, and a build without a warning."""

from __future__ import annotations

import os
import re
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from scripts import arguments
from tests.child import python
from tests.offered import offered

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))
COPY = re.compile(r"^<!-- (example_dags/\S+): (\w+) -->\n(?:```python\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
REGION = re.compile(r"^ *# \[START (\w+)\]\n(.*?)^ *# \[END (\w+)\]$", re.MULTILINE | re.DOTALL)


# ------------------------------------------------------------------------------------------------------- examples
def regions(path: Path) -> dict[str, str]:
    found = REGION.findall(path.read_text(encoding="utf-8"))
    assert all(start == end for start, _, end in found), f"{path.name}: a region ends under another name"
    return {name: textwrap.dedent(code) for name, code, _ in found}


def squeezed(code: str) -> str:
    return re.sub(r"\n{2,}", "\n\n", code)


COPIES = [
    pytest.param(example, name, code, id=f"{page.relative_to(DOCS)}-{name}")
    for page in PAGES
    for example, name, code in COPY.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("example", "name", "code"), COPIES)
def test_what_a_page_shows_of_an_example_is_what_stands_there(example, name, code):
    """Copies, because GitHub shows no included file; compared, because copies go stale."""
    there = regions(ROOT / example)
    assert name in there, f"{example} has no region {name}"
    # ruff formats Markdown as well, and sets more empty lines between functions that are not in one.
    assert squeezed(code) == squeezed(there[name]), f"put this into the page:\n```python\n{there[name]}```"


# ------------------------------------------------------------------------------------------------------ reference
@pytest.mark.parametrize("name", sorted(offered()))
def test_every_class_of_the_provider_info_is_in_the_reference_and_on_a_page(name):
    reference = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    assert f".. autoclass:: {offered()[name].__module__}.{name}\n" in reference
    assert f"`{name}`" in (DOCS / "index.md").read_text(encoding="utf-8")
    guides = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md") if path.name != "index.md"]
    assert any(name in guide for guide in guides)


# ------------------------------------------------------------------------------------------------------ arguments
@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the page is written on an Airflow that has every class")
def test_the_tables_of_arguments_are_those_of_the_docstrings():
    written = {path.rpartition(".")[2] for path in arguments.ENTRIES}
    assert set(offered()) - {"RobofyHook"} - written == set()
    assert arguments.PAGE.read_text(encoding="utf-8") == arguments.page(), "run `make arguments`"


# ---------------------------------------------------------------------------------------------------------- build
@pytest.mark.packaging
@pytest.mark.skipif(find_spec("sphinx") is None, reason="Sphinx is not in this environment; `make docs` needs it")
def test_the_documents_build_without_a_warning_and_without_a_network(tmp_path):
    nowhere, html = "http://127.0.0.1:9", tmp_path / "html"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    options = ["-W", "--keep-going", "-q", "-E", "-b", "html", "-d", tmp_path / "doctrees"]
    proxies = {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere}
    done = python("-m", "sphinx", *options, DOCS, html, env={**environment, "HOME": str(tmp_path), **proxies})
    assert done.returncode == 0, done.stderr[-4000:]
    built = {path.relative_to(html).with_suffix(".md") for path in html.rglob("*.html")}
    assert {path.relative_to(DOCS) for path in PAGES} <= built
    changelog = (html / "changelog.html").read_text(encoding="utf-8")
    assert "Keep a Changelog" in changelog
    assert not (tmp_path / "airflow").exists(), "Airflow made itself a home in the reader's"
    operators = (html / "reference" / "operators.html").read_text(encoding="utf-8")
    assert "Land an agent" in operators
    assert "Parameters" in operators
