"""What Airflow's provider registry is told is what the package holds: no name that is not there, none left out."""

from __future__ import annotations

import inspect
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger

from airflow_provider_robofy.get_provider_info import get_provider_info
from tests.offered import offered

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / ".airflow-registry.yaml"
KINDS: dict[str, Any] = {
    "operators": BaseOperator,
    "transfers": BaseOperator,
    "sensors": BaseSensorOperator,
    "triggers": BaseTrigger,
    "hooks": BaseHook,
    "other": object,
}

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the registry reads the repository, not a distribution")
REGISTRY: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
ENTRIES = [(kind, entry) for kind in KINDS for entry in REGISTRY.get(kind, ())]
NAMED = [entry["module"] for _, entry in ENTRIES]


def test_it_has_the_fields_that_the_registry_knows_and_no_others():
    head = {"package-name", "display-name", "description", "docs-url", "source-url"}
    assert head <= set(REGISTRY) <= head | set(KINDS)


def test_it_says_of_the_package_what_the_package_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert REGISTRY["package-name"] == project["name"] == get_provider_info()["package-name"]
    assert REGISTRY["display-name"] == get_provider_info()["name"]
    assert REGISTRY["docs-url"] == project["urls"]["Documentation"]
    assert REGISTRY["source-url"] == project["urls"]["Source"]


@pytest.mark.parametrize(("kind", "entry"), ENTRIES, ids=[name.rpartition(".")[2] for name in NAMED])
def test_what_it_names_is_there_and_is_what_it_is_named(kind, entry):
    assert set(entry) == {"module", "description"}
    assert NAMED.count(entry["module"]) == 1
    module, _, name = entry["module"].rpartition(".")
    found = getattr(import_module(module), name)
    assert found.__module__ == module, f"{name} is only imported there"
    assert inspect.getdoc(found)
    if inspect.isclass(found):
        assert issubclass(found, KINDS[kind])
    else:
        assert kind == "other"


def test_every_class_of_the_provider_info_is_named():
    assert sorted({f"{one.__module__}.{name}" for name, one in offered().items()} - set(NAMED)) == []
