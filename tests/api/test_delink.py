"""The path and body of a delink that a connection sets, and a request made of them."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import delink_asset
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.overrides import fill, placeholders
from airflow_provider_robofy.api.settings import Settings

IDS = {"project_id": "24017", "chatbot_id": "a/b+c=", "linkage_id": 6548, "asset_id": "x-1"}


@pytest.mark.parametrize(
    ("template", "body"),
    [
        ({"id": "{linkage_id}"}, {"id": 6548}),
        ({"id": "no {linkage_id}", "n": 1, "t": True, "x": None}, {"id": "no 6548", "n": 1, "t": True, "x": None}),
        ({"a": [{"b": ["{asset_id}", "{linkage_id}"]}]}, {"a": [{"b": ["x-1", 6548]}]}),
        ({"id": "{chatbot_id}:{asset_id}", "{": "}"}, {"id": "a/b+c=:x-1", "{": "}"}),
    ],
)
def test_a_body_is_filled_in_and_a_number_stays_a_number(template, body):
    assert fill(template, IDS) == body


def test_an_id_with_braces_is_not_filled_in_again():
    assert fill({"id": "{asset_id} {linkage_id}"}, {"asset_id": "{linkage_id}", "linkage_id": 1}) == {
        "id": "{linkage_id} 1"
    }


def test_the_placeholders_of_a_body_are_found_at_any_depth():
    assert placeholders({"a": [{"b": "{asset_id}-{chatbot_id}"}]}) == {"asset_id", "chatbot_id"}
    assert placeholders(None) == set()


def test_the_request_has_the_path_and_body_of_the_connection(robofy_emulator_factory):
    body = {"link": "{linkage_id}", "agent": "{chatbot_id}"}
    path = "/v2/{project_id}/{chatbot_id}/links"
    emulator = robofy_emulator_factory(delink_body=body, paths={"delink_asset": "/v2/{projectId}/{chatbotId}/links"})
    settings = Settings(
        api_key=emulator.api_key, base_url=emulator.url, endpoints={"delink_asset": {"path": path, "body": body}}
    )
    assert settings.delink_body == body
    assert settings.path_of("delink_asset") == path
    values = {**IDS, "chatbot_id": emulator.chatbot_ids[-1]}
    emulator.configure(delink_otherwise="ignore")
    with RobofyClient(settings) as client:
        client.call(delink_asset({"link": 6548}, values))
    assert emulator.delinks() == [{"body": {"link": 6548}, "names": []}]


def test_a_path_with_a_placeholder_that_a_call_cannot_fill_names_it():
    with pytest.raises(RobofyConfigError, match=r"delink_asset has the placeholder 'linkage_id'.*no value"):
        delink_asset({"link": 6548}).target("/v2/{linkage_id}")


def test_without_an_object_there_is_no_body():
    for endpoints in ({}, {"delink_asset": "/v2/delink"}):
        settings = Settings(api_key="k", endpoints=endpoints)
        assert settings.delink_body is None
        assert settings.path_of("delink_asset") == endpoints.get("delink_asset")
