"""Numbers that add up, and what tells one result from another."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest

from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.landing import Manifest, identity


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "resource": "leads",
        "mode": "full",
        "project_id": "24017",
        "chatbot_id": "agent-a",
        "uri": "/data/leads.jsonl",
        "format": "jsonl",
        "rows": 10,
        "received": 16,
        "duplicates": 3,
        "outside_window": 2,
        "rejected": 1,
        "rejected_uri": "/data/leads.jsonl.rejected.jsonl",
        "undated": 0,
        "future": 0,
        "pages": 1,
        "requests": 1,
        "end_marker": "absent",
        "since": None,
        "until": None,
        "first_at": None,
        "last_at": None,
        "row_order": "unknown",
        "watermark_before": None,
        "watermark_after": None,
        "sha256": "00",
        "run_key": "dag/run/task",
        "started_at": "2025-06-01T12:00:00+00:00",
        "finished_at": "2025-06-01T12:00:00+00:00",
        "bytes": 1,
    }
    # What a later version adds does not matter here.
    more = dict.fromkeys({field.name for field in fields(Manifest) if field.default is MISSING} - values.keys())
    return Manifest(**values | more | changes)


def test_it_is_plain_json_with_every_field_of_the_design():
    content = manifest().as_dict()

    assert json.loads(json.dumps(content)) == content
    design = (
        "schema_version, resource, mode, project_id, chatbot_id, uri, format, rows, received, duplicates, "
        "outside_window, rejected, rejected_uri, undated, pages, requests, end_marker, since, until, first_at, "
        "last_at, row_order, watermark_before, watermark_after, bytes, sha256, run_key, started_at, finished_at"
    )
    assert content.keys() >= set(design.split(", "))
    assert content["schema_version"] == 1


@pytest.mark.parametrize("field", ["rows", "received", "duplicates", "outside_window", "rejected"])
@pytest.mark.parametrize("by", [-1, 1])
def test_counts_that_do_not_add_up_are_refused_with_every_count(field, by):
    changed = {"rows": 10, "received": 16, "duplicates": 3, "outside_window": 2, "rejected": 1}
    changed[field] += by

    with pytest.raises(RobofyLandingError, match="do not add up") as raised:
        manifest(**changed)

    assert all(str(count) in str(raised.value) for count in changed.values())


def test_a_window_is_identity_enough_whichever_run_reads_it():
    window = {"mode": "window", "since": "2025-01-15T00:00:00+00:00", "until": None}

    assert identity(manifest(**window, run_key="a").as_dict()) == identity(manifest(**window, run_key="b").as_dict())
    assert identity(manifest(**window).as_dict()) != identity(manifest(**window | {"until": "2025"}).as_dict())


def test_without_a_window_the_run_is_part_of_the_identity():
    assert identity(manifest(run_key="a").as_dict()) != identity(manifest(run_key="b").as_dict())
    assert identity(manifest(rows=9, duplicates=4).as_dict()) == identity(manifest().as_dict())


@pytest.mark.parametrize("mode", ["full", "window"])
@pytest.mark.parametrize("field", ["resource", "project_id", "chatbot_id"])
def test_resource_project_and_agent_are_identity_in_every_mode(field, mode):
    ours, theirs = manifest(mode=mode), manifest(**{"mode": mode, field: "other"})
    assert identity(ours.as_dict()) != identity(theirs.as_dict())


def test_a_full_run_and_a_window_are_two_purposes():
    assert identity(manifest(mode="full").as_dict()) != identity(manifest(mode="window").as_dict())
