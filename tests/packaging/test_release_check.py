"""`make release-check`: a commit that is not ready is refused with what to do, and a ready one passes."""

from __future__ import annotations

import pytest

from scripts.release_check import problems

READY = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2025-06-01\n\n### Added\n"
URLS = {"pyproject.toml": 'Source = "https://github.com/somebody/airflow-provider-robofy"'}


def test_a_ready_commit_passes():
    assert list(problems("0.1.0", READY, URLS, tag="v0.1.0")) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"owned": {"pyproject.toml": 'Source = "https://github.com/OWNER/x"'}}, "pyproject.toml"),
        ({"changelog": "## [Unreleased]\n"}, "## [0.1.0]"),
        ({"changelog": READY.replace("[Unreleased]\n", "[Unreleased]\n\nTo be released.\n")}, "under Unreleased"),
        ({"version": "0.1.0.dev1", "changelog": READY.replace("0.1.0", "0.1.0.dev1")}, "__version__"),
        ({"tag": "v0.2.0"}, "v0.2.0"),
        ({"changed": " M README.md"}, "README.md"),
    ],
)
def test_what_is_not_ready_is_named(change, named):
    given = {"version": "0.1.0", "changelog": READY, "owned": URLS, **change}
    [problem] = problems(**given)
    assert named in problem
