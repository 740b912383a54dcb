"""The folder of the examples as Airflow sees it."""

from __future__ import annotations

from pathlib import Path

from airflow.utils.file import list_py_file_paths

EXAMPLES = Path(__file__).parents[2] / "example_dags"


def test_airflow_leaves_out_examples_whose_providers_are_not_everywhere():
    found = {Path(path).relative_to(EXAMPLES) for path in list_py_file_paths(str(EXAMPLES))}
    assert found == {path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*.py")}
    assert list(EXAMPLES.glob("*/*.py"))
