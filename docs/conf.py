"""How Sphinx builds these pages: `make docs`. Nothing is fetched from a network."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BLOB = f"{PROJECT['urls']['Source']}/blob/main/"

# Docstrings are read by importing, and Airflow makes a home for itself when it is imported: not in the reader's own.
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
# Anchors as GitHub makes them, so that a link means the same there and here.
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
# A name of ours that leads nowhere is a mistake; those of Airflow, Python and others are not looked up.
nitpick_ignore_regex = [("py:.*", r"(?!airflow_provider_robofy\.).*")]
# What the emulator's keyword arguments are called together; they stand below Settings.
nitpick_ignore = [("py:class", "airflow_provider_robofy.emulator.settings.SettingsOptions")]
# The emulator's docstrings set names between single backticks.
default_role = "code"

# Pages of the repository's root that have their place here too, by the name of the page that stands for them.
STAND_INS = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")


def adapt(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the files of the repository's root in the place of their pages, and lead links to where they are here.

    Pages link to each other as files of the repository do, so that they can be read there as well.
    """
    path = Path(app.env.doc2path(docname))
    if docname in STAND_INS:
        path = ROOT / STAND_INS[docname]
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
    pages = {ROOT / name: f"/{page}.md" for page, name in STAND_INS.items()}

    def lead(link: re.Match[str]) -> str:
        target = (path.parent / link["path"]).resolve()
        anchor = link["anchor"] or ""
        if target in pages:
            return f"{pages[target]}{anchor}"
        if target.is_relative_to(ROOT / "docs"):
            return f"/{target.relative_to(ROOT / 'docs')}{anchor}"
        return f"{BLOB}{target.relative_to(ROOT)}{anchor}"

    # Every second piece stands between fences, and is no prose.
    pieces = re.split(r"(^```.*?^```$)", source[0], flags=re.MULTILINE | re.DOTALL)
    source[0] = "".join(piece if piece.startswith("```") else LINK.sub(lead, piece) for piece in pieces)


def say_which_are_permanent(
    _app: Sphinx, what: str, _name: str, documented: Any, _options: Any, lines: list[str]
) -> None:
    """Add to an error whether a retry may fix it, in place of the attribute that says so in the code."""
    if what == "exception" and documented.permanent:
        lines[1:1] = ["", "Permanent: the task fails at once, without a retry."]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the above with Sphinx."""
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", say_which_are_permanent)
    return {}
