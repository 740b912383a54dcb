"""What a place is called: the same place in Airflow's assets and in OpenLineage's naming."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import Asset

from airflow_provider_robofy.assets.robofy import leads_asset, resource_uri
from airflow_provider_robofy.hooks.locations import Location


@pytest.mark.parametrize(
    ("path", "uri", "namespace", "name"),
    [
        ("/data/leads.jsonl", "file:///data/leads.jsonl", "file", "/data/leads.jsonl"),
        ("file:///data/leads.jsonl", "file:///data/leads.jsonl", "file", "/data/leads.jsonl"),
        ("/data//x/./leads.jsonl", "file:///data/x/leads.jsonl", "file", "/data/x/leads.jsonl"),
        ("/data/100%/a b?.jsonl", "file:///data/100%25/a%20b%3F.jsonl", "file", "/data/100%/a b?.jsonl"),
        (
            "/data/run__2025-01-15T00:00:00+00:00/ü.jsonl",
            "file:///data/run__2025-01-15T00:00:00+00:00/%C3%BC.jsonl",
            "file",
            "/data/run__2025-01-15T00:00:00+00:00/ü.jsonl",
        ),
        ("s3://lake/a/leads.jsonl", "s3://lake/a/leads.jsonl", "s3://lake", "a/leads.jsonl"),
        ("s3://aws_default@lake/a/leads.jsonl", "s3://lake/a/leads.jsonl", "s3://lake", "a/leads.jsonl"),
        ("s3a://lake/leads.jsonl", "s3://lake/leads.jsonl", "s3://lake", "leads.jsonl"),
        ("s3://lake/is it #1?.jsonl", "s3://lake/is%20it%20%231%3F.jsonl", "s3://lake", "is it #1?.jsonl"),
        ("gcs://google@lake/a.jsonl", "gs://lake/a.jsonl", "gs://lake", "a.jsonl"),
        ("abfs://azure@box/a.jsonl", "abfs://box/a.jsonl", "abfs://box", "a.jsonl"),
        ("memory:///x/a.jsonl", "memory:///x/a.jsonl", "memory://", "x/a.jsonl"),
    ],
)
def test_a_place_has_its_names_whatever_the_way_to_it_is(path, uri, namespace, name):
    assert Location.of(path) == Location(uri, namespace, name)


@pytest.mark.parametrize("path", ["/data/a b?.jsonl", "s3://conn@lake/is it #1?.jsonl", "abfs://conn@box/é.jsonl"])
def test_airflow_takes_the_uri_as_it_is(path):
    assert Asset(uri=Location.of(path).uri).uri == Location.of(path).uri


def test_a_name_that_is_no_text_has_a_place_too():
    assert Location.of("/data/\udcff.jsonl").uri == "file:///data/%ED%B3%BF.jsonl"


def test_names_are_those_of_openlineages_own_helpers():
    naming = pytest.importorskip("openlineage.client.naming.dataset")
    for path, helper in {
        "/data/leads.jsonl": naming.LocalFileSystem("/data/leads.jsonl"),
        "s3://aws_default@lake/a/leads.jsonl": naming.S3("lake", "a/leads.jsonl"),
        "gs://google@lake/a/leads.jsonl": naming.GCS("lake", "a/leads.jsonl"),
    }.items():
        location = Location.of(path)
        assert (location.namespace, location.name) == (helper.get_namespace(), helper.get_name())


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        *((uri, Location.of_uri(uri)) for uri in (
            leads_asset(24017, "a/b+c=").uri, resource_uri("messages", None, "UOmf", host="h:80"),
        )),
        ("file:///data/x.jsonl", Location.of("/data/x.jsonl")),
    ],
)  # fmt: skip
def test_an_asset_as_airflow_converts_it_and_what_an_operator_reports_are_one_dataset(uri, location):
    """Airflow finds our converter of Robofy's assets; the one of files is its own, and users declare outlets by it."""
    utils = pytest.importorskip("airflow.providers.openlineage.utils.utils")
    dataset = utils.translate_airflow_asset(Asset(uri=uri), None)
    assert (dataset.namespace, dataset.name) == (location.namespace, location.name)


@pytest.mark.parametrize("resource", ["leads", "sessions", "messages", "knowledge"])
def test_every_resource_of_an_agent_is_an_asset_that_airflow_accepts(resource):
    uri = resource_uri(resource, None, "a/b")
    assert uri == f"robofy://agents.robofy.ai/-/a%2Fb/{resource}"
    assert Asset(uri=uri).uri == uri
