"""An emulator with people in it, and the probe run against it as a function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.hooks.connection import read_connection
from airflow_provider_robofy.probe.account import Account
from airflow_provider_robofy.probe.asking import Bounds
from airflow_provider_robofy.probe.report import as_json, as_text
from airflow_provider_robofy.probe.survey import Prober

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator import Emulator
    from airflow_provider_robofy.probe.finding import Finding

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

    def __init__(self, account: Account, prober: Prober) -> None:
        self.survey = prober.run()
        self.text = as_text(self.survey, account)
        self.json = as_json(self.survey, account)
        self.settings = self.json["settings"]

    def __getitem__(self, at: tuple[str, str]) -> Finding:
        [found] = [one for one in self.survey.findings if (one.topic, one.name) == at]
        return found

    @property
    def said(self) -> str:
        return self.text + json.dumps(self.json, ensure_ascii=False)


def account_of(
    emulator: Emulator, *, ids: bool = True, key: str | None = None, host: str | None = None, **extra: Any
) -> Account:
    given = {"project_id": emulator.project_id, "chatbot_id": emulator.chatbot_ids[0]} if ids else {}
    connection = read_connection(
        host=host or emulator.url, password=key or emulator.api_key, extra={**given, **extra}, user_agent="tests"
    )
    return Account(connection=connection)


@pytest.fixture
def probe():
    def run(emulator: Emulator, *, bounds: Bounds | None = None, **options: Any) -> Probed:
        prober = {name: options.pop(name) for name in ("reveal", "clock", "meanwhile") if name in options}
        account = account_of(emulator, **options)
        return Probed(account, Prober(account.connection, bounds or Bounds(), **prober))

    return run
