"""Airflow's own collector of lineage, as a task has it where a plugin reads lineage, and operators to fill it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat import sdk

from tests.knowledge.conftest import bucket, s3_endpoint  # noqa: F401 (fixtures)
from tests.operators.conftest import context, ti  # noqa: F401 (fixtures)

PLANTED = {
    "key": "rk_planted_key_8c1f27d0",
    "pseudonym_secret": "planted-pseudonym-key-51d2",
    "email": "planted.person@example.com",
    "phone": "+4915100099887",
    "address": "203.0.113.77",
    "said": "My planted card number is 4711-0815",
}


class Collected:
    """Airflow's collector, read."""

    def __init__(self, collector: Any) -> None:
        self._collector = collector

    @property
    def _all(self) -> Any:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

        return get_hook_lineage_collector().collected_assets

    @property
    def inputs(self) -> list[str]:
        return [one.asset.uri for one in self._all.inputs]

    @property
    def outputs(self) -> list[str]:
        return [one.asset.uri for one in self._all.outputs]

    @property
    def extras(self) -> list[tuple[str, Any]]:
        return [(one.key, one.value) for one in self._all.extra]

    @property
    def text(self) -> str:
        return json.dumps([self.inputs, self.outputs, self.extras])


@pytest.fixture
def collector(monkeypatch):
    """Give the collector that Airflow makes where somebody reads it, instead of the one that forgets."""
    real = sdk.HookLineageCollector()
    # Both places where compat.lineage.hook may find it are lazy, so a plain attribute goes before them.
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: real, raising=False)
    return Collected(real)


@pytest.fixture
def extract():
    """Return a function that asks OpenLineage's provider as its listener does when a task has ended."""
    manager = pytest.importorskip("airflow.providers.openlineage.extractors.manager")
    states = pytest.importorskip("airflow.utils.state").TaskInstanceState

    def names(datasets: Any) -> list[tuple[str, str]]:
        return [(one.namespace, one.name) for one in datasets]

    def extract(operator: Any, state: str = "SUCCESS") -> SimpleNamespace:
        raw = manager.ExtractorManager().extract_metadata(
            SimpleNamespace(run_id="r"), operator, states[state], SimpleNamespace()
        )
        return SimpleNamespace(inputs=names(raw.inputs), outputs=names(raw.outputs), raw=raw)

    return extract


def plant(robofy, **extra: Any) -> str:
    """Put somebody into every listing of an account that has the planted key; return its connection."""
    email = {"field_name": "email", "field_type": "email", "field_value": PLANTED["email"]}
    robofy.add_leads(1, ip_address=PLANTED["address"], lead_data=[email])
    robofy.add_session(PLANTED["phone"])
    robofy.add_message(PLANTED["phone"], PLANTED["said"])
    connection = json.loads(robofy.connection_json())
    connection["extra"].update(pseudonym_secret=PLANTED["pseudonym_secret"], **extra)
    return json.dumps(connection)


@pytest.fixture
def robofy(robofy_emulator_factory, monkeypatch):
    """An account with planted personal data, which robofy_default leads to."""
    robofy = robofy_emulator_factory(api_key=PLANTED["key"], leads=25, page_size=10, sessions=6)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", plant(robofy))
    return robofy


@pytest.fixture
def there(robofy) -> str:
    """Return where in Robofy the agent is, as assets have it."""
    return f"robofy://{robofy.url.removeprefix('http://')}/{robofy.project_id}/{robofy.chatbot_ids[0]}"


@pytest.fixture
def planted() -> dict[str, str]:
    return PLANTED
