"""What Airflow learns of the provider, asked of Airflow itself, each time in a process of its own."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import entry_points, version
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

import airflow_provider_robofy
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.hooks.connection import read_connection
from tests.child import answer_of

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
[FORM] = get_provider_info()["connection-types"]


def test_asking_for_the_metadata_imports_nothing_else():
    code = """
import sys
before = set(sys.modules)
from airflow_provider_robofy.get_provider_info import get_provider_info
get_provider_info()
after = sorted(set(sys.modules) - before)
import json
print(json.dumps(after))
"""
    assert answer_of(code) == ["airflow_provider_robofy", "airflow_provider_robofy.get_provider_info"]


def test_airflows_own_schema_accepts_it():
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(get_provider_info())] == []


def test_it_is_plain_json_and_made_anew_each_time():
    first = get_provider_info()
    assert json.loads(json.dumps(first)) == first
    first["connection-types"].clear()
    assert get_provider_info()["connection-types"]


def test_the_entry_point_leads_to_it():
    [entry] = [each for each in entry_points(group="apache_airflow_provider") if "robofy" in each.value]
    assert entry.load() is get_provider_info
    assert entry.dist is not None
    assert entry.dist.name == get_provider_info()["package-name"]


def test_the_hook_that_it_names_is_of_the_type_and_name_that_it_says():
    module, _, name = FORM["hook-class-name"].rpartition(".")
    hook = getattr(import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (FORM["connection-type"], FORM["hook-name"])


def test_airflow_lists_the_provider_its_hook_its_setting_and_masks_its_secrets():
    secrets = [name for name, field in FORM["conn-fields"].items() if field["schema"].get("format") == "password"]
    assert secrets
    code = f"""
import json
from airflow.configuration import conf
from airflow.providers.common.compat.sdk import redact as hide
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
hook = manager.hooks["robofy"]
print(json.dumps({{
    "version": manager.providers["airflow-provider-robofy"].version,
    "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.hook_name, hook.connection_testable],
    "declared": "airflow-provider-robofy" in {{package for package, _ in manager.provider_configs}},
    "set": conf.get("robofy", "landing_root", fallback=""),
    "masked": hide(dict.fromkeys({secrets!r}, "a value")),
}}))
"""
    assert answer_of(code, AIRFLOW__ROBOFY__LANDING_ROOT="s3://bucket/robofy") == {
        "version": airflow_provider_robofy.__version__,
        "hook": [FORM["hook-class-name"], "robofy_conn_id", "Robofy", True],
        "declared": True,
        "set": "s3://bucket/robofy",
        "masked": dict.fromkeys(secrets, "***"),
    }


def offered() -> list[tuple[str, Any, Any]]:
    """Return each value that the form offers: the field's name, the value, and what the reader makes of it."""
    found: list[tuple[str, Any, Any]] = []
    for name, field in FORM["conn-fields"].items():
        schema = field["schema"]
        if "integer" in schema["type"]:
            found.append((name, schema["minimum"], schema["minimum"]))
        if "object" in schema["type"]:
            text = FORM["ui-field-behaviour"]["placeholders"][name]
            found += [(name, text, json.loads(text)), (name, json.loads(text), json.loads(text))]
        if "enum" in schema:
            found += [(name, value, value) for value in schema["enum"]] + [(name, None, schema["default"])]
    return found


@pytest.mark.parametrize(("name", "value", "expected"), offered())
def test_whatever_the_form_offers_the_reader_takes(name, value, expected):
    connection = read_connection(host=None, password="key", extra={name: value}, user_agent="test")
    read = getattr(connection, name) if hasattr(connection, name) else getattr(connection.settings, name)
    assert read == expected


@pytest.mark.skipif(AIRFLOW >= (3, 0), reason="Airflow 3 has another form")
def test_the_form_of_airflow_2_has_every_field():
    code = """
import json
from airflow.providers_manager import ProvidersManager
manager = ProvidersManager()
widgets = {name: info for name, info in manager.connection_form_widgets.items() if "__robofy__" in name}
fields = {name: info.field.field_class.__name__ for name, info in widgets.items()}
print(json.dumps([fields, manager.field_behaviours["robofy"]]))
"""
    fields, behaviour = answer_of(code)
    assert set(fields) == {f"extra__robofy__{name}" for name in FORM["conn-fields"]}
    kinds = {"pseudonym_secret": "PasswordField", "read_timeout": "IntegerField", "timezone": "StringField"}
    assert {name: fields[f"extra__robofy__{name}"] for name in kinds} == kinds
    assert behaviour["relabeling"] == FORM["ui-field-behaviour"]["relabeling"]
    assert set(behaviour["hidden_fields"]) == set(FORM["ui-field-behaviour"]["hidden-fields"])


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has another form")
@pytest.mark.skipif(AIRFLOW == (3, 0), reason="Airflow 3.0 shows no provider's fields without the FAB packages")
def test_the_form_of_airflow_3_has_every_field():
    code = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
[form] = [each for each in HookMetaService.hook_meta_data() if each.connection_type == "robofy"]
print(json.dumps(form.model_dump(mode="json")))
"""
    form = answer_of(code)
    assert set(form["extra_fields"]) == set(FORM["conn-fields"])
    for name, field in FORM["conn-fields"].items():
        shown = form["extra_fields"][name]
        assert shown["schema"]["title"] == field["label"]
        assert shown["schema"].get("format") == field["schema"].get("format")
        assert shown["description"] == field["description"]
    assert form["standard_fields"]["password"]["title"] == "API key"
    assert form["standard_fields"]["login"]["hidden"]
