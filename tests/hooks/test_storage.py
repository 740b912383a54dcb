"""Where paths of users lead to."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.hooks.storage import place


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", "/landing/")


@pytest.mark.parametrize("argument", ["output_path", "cursor", "ledger_path"])
@pytest.mark.parametrize("path", ["../x.jsonl", "..", "a/../../x.jsonl", "a/..", " ../x ", "./../x", "a//../../../x"])
def test_a_relative_path_does_not_leave_the_landing_root(path, argument):
    with pytest.raises(RobofyConfigError, match=rf"{argument}=.*landing root"):
        place(path, argument)


@pytest.mark.parametrize(
    "path", ["None", " None ", "None/leads.jsonl", "leads/None.jsonl.gz", "s3://bucket/None/x", "/a/None", ""]
)
def test_a_path_made_of_a_missing_value_is_refused_under_its_name(path):
    with pytest.raises(RobofyConfigError, match=r"ledger_path=.*no value"):
        place(path, "ledger_path")


@pytest.mark.parametrize(
    "path", ["a/x.jsonl", "a..b/x..jsonl", "..a/x", "a/.../x", "./x", "Nonesuch/leads.jsonl", "none.jsonl"]
)
def test_other_relative_paths_are_below_it(path):
    assert place(path, "output_path") == f"/landing/{path}"


@pytest.mark.parametrize("path", ["/elsewhere/../x", "s3://conn@bucket/a/../x", "/a/NoneLeft", "s3://none/x"])
def test_an_absolute_path_is_taken_as_it_is(path):
    assert place(path, "output_path") == path
