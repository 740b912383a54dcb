"""The table of resources agrees with the typed models, and with itself."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.models import InboxSession, Lead
from airflow_provider_robofy.resources import LEADS, RESOURCES, SESSIONS, resource_named


@pytest.mark.parametrize(("resource", "model"), [(LEADS, Lead), (SESSIONS, InboxSession)])
def test_a_typed_model_has_the_fields_that_the_api_sends(resource, model):
    assert list(model.model_fields) == [field.name for field in resource.sent]


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=list(RESOURCES))
def test_every_field_that_has_a_role_is_a_field(resource):
    names = [field.name for field in resource.fields]
    assert len(set(names)) == len(names)
    roles = {resource.key, resource.id, resource.time, resource.landed_time} - {None}
    assert roles <= set(names)


@pytest.mark.parametrize("name", ["agents", "", None, 5, ["leads"]])
def test_a_name_that_is_no_resource_finds_none(name):
    assert resource_named(name) is None
