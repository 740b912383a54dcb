"""Sphinx configuration of these pages, for `make docs`. It needs no network."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from sphinx.util.typing import stringify_annotation

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BLOB = f"{PROJECT['urls']['Source']}/blob/main/"

# Sphinx imports the code to read docstrings. Airflow creates its home when it is imported: here in a temporary folder.
_home = tempfile.TemporaryDirectory(prefix="robofy-docs-")
os.environ.update(
    AIRFLOW_HOME=_home.name, AIRFLOW__CORE__LOAD_EXAMPLES="False", AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING"
)
sys.path.insert(0, str(ROOT))

logging.getLogger("airflow").setLevel(logging.WARNING)

from airflow_provider_robofy import __version__  # noqa: E402

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
copyright = author  # noqa: A001 (Sphinx's name for it)
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]

# ---------------------------------------------------------------------------------------------------------- pages
# Anchors of headings as on GitHub, so that a link works there and here.
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_theme_options = {
    "source_repository": PROJECT["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}

# ------------------------------------------------------------------------------------------------------ reference
autodoc_class_signature = "mixed"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
nitpicky = True
# A reference to this package that cannot be resolved is an error. Those to Airflow, Python and others are not resolved.
nitpick_ignore_regex = [("py:.*", r"(?!airflow_provider_robofy\.).*")]
# The emulator's docstrings set names between single backticks.
default_role = "code"

# Documents in the repository's root that are pages here too: page name to file name.
ROOT_PAGES = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")


def adapt(app: Sphinx, docname: str, source: list[str]) -> None:
    """Include the documents of the repository's root, and turn links between files into links between pages.

    Pages link to each other as files of the repository, so that GitHub can show them too. GitHub draws diagrams in
    mermaid; here they are shown as text, since the tool that draws them comes from a network.
    """
    path = Path(app.env.doc2path(docname))
    if docname in ROOT_PAGES:
        path = ROOT / ROOT_PAGES[docname]
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
    pages = {ROOT / name: f"/{page}.md" for page, name in ROOT_PAGES.items()}

    def lead(link: re.Match[str]) -> str:
        target = (path.parent / link["path"]).resolve()
        anchor = link["anchor"] or ""
        if target in pages:
            return f"{pages[target]}{anchor}"
        if target.is_relative_to(ROOT / "docs"):
            return f"/{target.relative_to(ROOT / 'docs')}{anchor}"
        return f"{BLOB}{target.relative_to(ROOT)}{anchor}"

    # Every second piece is a code block and not prose.
    pieces = re.split(r"(^```.*?^```$)", source[0], flags=re.MULTILINE | re.DOTALL)
    pieces = [piece if piece.startswith("```") else LINK.sub(lead, piece) for piece in pieces]
    source[0] = "".join(pieces).replace("```mermaid\n", "```text\n")


def add_permanent(_app: Sphinx, what: str, _name: str, documented: Any, _options: Any, lines: list[str]) -> None:
    """Add a sentence to permanent errors, in place of the attribute in the code."""
    if what == "exception" and documented.permanent:
        lines[1:1] = ["", "Permanent: the task fails at once, without a retry."]


def show_plain_types(app: Sphinx, _what: str, name: str, documented: Any, *_: Any) -> None:
    """Show types without the bounds that pydantic reads in them, which are Python objects."""
    shown = app.env.current_document.autodoc_annotations.get(name, {})
    bounded = [parameter for parameter, text in shown.items() if "Annotated" in text]
    for parameter in bounded:
        shown[parameter] = stringify_annotation(get_type_hints(documented)[parameter], "smart")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the functions above with Sphinx."""
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", add_permanent)
    app.connect("autodoc-process-docstring", show_plain_types)
    return {}
