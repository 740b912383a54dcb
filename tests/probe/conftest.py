"""An emulator with people in it, and the probe run against it as a function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.hooks.connection import read_connection
from airflow_provider_robofy.probe.report import as_json, as_text
from airflow_provider_robofy.probe.survey import probe as run_probe

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator import Emulator
    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.probe.questions import Finding
    from airflow_provider_robofy.probe.survey import Survey

#: Whatever of this is found in an output has leaked.
PLANTED = {
    "name": "Plantina Persson",
    "mail": "plantina@planted.example",
    "phone": "+4915155500011",
    "address": "198.51.100.77",
    "id": "lead_planted_77",
    "text": "my doctor says so",
    "label": "Mother's maiden name",
    "type": "planted-type",
    "key": "sk-emulated",
}


def plant(emulator: Emulator) -> None:
    """Put somebody into every listing."""
    data = [{"field_name": PLANTED["label"], "field_type": PLANTED["type"], "field_value": PLANTED["name"]}]
    data.append({"field_name": "email", "field_type": "email", "field_value": PLANTED["mail"]})
    emulator.add_leads(1, id=PLANTED["id"], ip_address=PLANTED["address"], lead_data=data)
    odd: dict[str, Any] = {PLANTED["phone"]: 1}
    emulator.add_session(PLANTED["phone"], user_profile_name=PLANTED["name"], **odd)
    emulator.add_message(PLANTED["phone"], PLANTED["text"], sender=PLANTED["name"], plantina_persson=PLANTED["mail"])


class Probed:
    """What a probe said."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.text = as_text(survey)
        self.json = as_json(survey)
        self.settings = self.json["settings"]

    def __getitem__(self, at: tuple[str, str]) -> Finding:
        [found] = [one for one in self.survey.findings if (one.topic, one.name) == at]
        return found

    @property
    def said(self) -> str:
        return self.text + json.dumps(self.json, ensure_ascii=False)


def connection_of(
    emulator: Emulator, *, ids: bool = True, key: str | None = None, host: str | None = None, **extra: Any
) -> RobofyConnection:
    given = {"project_id": emulator.project_id, "chatbot_id": emulator.chatbot_ids[0]} if ids else {}
    return read_connection(
        host=host or emulator.url, password=key or emulator.api_key, extra={**given, **extra}, user_agent="tests"
    )


@pytest.fixture
def probe():
    def run(emulator: Emulator, **options: Any) -> Probed:
        names = ("bounds", "reveal", "clock", "meanwhile")
        how = {name: options.pop(name) for name in names if name in options}
        return Probed(run_probe(connection_of(emulator, **options), **how))

    return run
