"""What Airflow stores of the example DAGs in its database before anything runs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.serialization import serialized_objects

EXAMPLES = sorted((Path(__file__).parents[2] / "example_dags").glob("*.py"))
#: Examples that this Airflow cannot run; they say so themselves.
NEEDS_NEWER = set() if AIRFLOW_V_3_3_PLUS else {"robofy_lead_events"}
#: What serializes a DAG; its name has changed.
STORED: Any = vars(serialized_objects).get("DagSerialization") or vars(serialized_objects)["SerializedDAG"]
KEY, SECRET = "rk_planted_key_77d0", "planted-pseudonym-secret"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_stored_example_has_no_key_and_was_made_without_a_call(path, monkeypatch, robofy_emulator_factory):
    if path.stem in NEEDS_NEWER:
        pytest.skip("needs a newer Airflow")
    robofy = robofy_emulator_factory(api_key=KEY)
    connection = json.loads(robofy.connection_json())
    connection["extra"]["pseudonym_secret"] = SECRET
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))

    stored = json.dumps(STORED.to_dict(runpy.run_path(str(path))[path.stem]()))

    assert "airflow_provider_robofy" in stored
    assert KEY not in stored
    assert SECRET not in stored
    assert robofy.count() == 0
