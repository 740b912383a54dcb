"""The probe's row about linked assets: the ids and the status words that waiting and pruning rest on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import requests

from airflow_provider_robofy.api.endpoints import list_linked_assets
from airflow_provider_robofy.probe.answer import read_answer
from airflow_provider_robofy.probe.others import about_endpoint
from airflow_provider_robofy.probe.words import Names

TEXT = "/v1/ai-agent/link_content/24017"


def upload(emulator) -> None:
    for name in ("a.md", "b.md"):
        body = {"chatbot_id": emulator.chatbot_ids[0], "content": name, "file_name": name}
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        assert requests.post(emulator.url + TEXT, json=body, headers=headers, timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("status", "said"), [("Linked", "statuses: linked (2)"), ("Planted Words", "statuses: another word (2)")]
)
@pytest.mark.parametrize("envelope", [None, "bare", "named", "data"])
def test_it_says_which_ids_and_status_words_the_rows_have(robofy_emulator_factory, probe, status, said, envelope):
    emulator = robofy_emulator_factory(leads=0, sessions=0, processing_result=status, envelope=envelope)
    upload(emulator)
    found = probe(emulator)["other", "list_linked_assets"]
    assert "linkage_id, asset_id" in found.found
    assert said in found.found
    assert "2 rows on the first page" in found.found
    assert "planted" not in found.found.lower()
    assert not found.advice


def test_rows_without_an_id_that_the_provider_knows_are_reported():
    payload = {"assets": [{"identifier": 5, "status": "active"}]}
    answer = read_answer(payload, list_linked_assets("1", "c").read, datetime.now(UTC))
    found = about_endpoint("list_linked_assets", answer, Names())
    assert "looks for an id under linkage_id, asset_id. Report this finding." in found.advice


def test_an_agent_without_assets_has_a_row_too(robofy_emulator_factory, probe):
    found = probe(robofy_emulator_factory(leads=0, sessions=0))["other", "list_linked_assets"]
    assert "0 rows on the first page" in found.found
    assert "statuses" not in found.found
