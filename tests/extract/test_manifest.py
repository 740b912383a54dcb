"""Numbers that add up, and what tells one result from another."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest

from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.landing import Manifest, identity

COUNTS = {"rows": 10, "received": 16, "duplicates": 3, "outside_window": 2, "rejected": 1}
WINDOW = {"mode": "window", "since": "2025-01-15T00:00:00+00:00", "until": None}


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(Manifest) if field.default is MISSING)
    values |= {"resource": "leads", "mode": "full", "project_id": "24017", "chatbot_id": "agent-a", "run_key": "a"}
    return Manifest(**values | COUNTS | changes)


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("by", [-1, 1])
def test_counts_that_do_not_add_up_are_refused_with_every_count(field, by):
    changed = COUNTS | {field: COUNTS[field] + by}

    with pytest.raises(RobofyLandingError, match="do not add up") as raised:
        manifest(**changed)

    assert all(str(count) in str(raised.value) for count in changed.values())


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ({}, {"rows": 9, "duplicates": 4}, True),
        # Without a window the run is part of the identity; a window is identity enough, whichever run reads it.
        ({}, {"run_key": "b"}, False),
        (WINDOW, WINDOW | {"run_key": "b"}, True),
        (WINDOW, WINDOW | {"until": "2025"}, False),
        ({}, {"mode": "window"}, False),
        *(({"mode": mode}, {"mode": mode, field: "other"}, False) for mode in ("full", "window")
          for field in ("resource", "project_id", "chatbot_id")),
    ],
)  # fmt: skip
def test_what_a_file_is_for_is_its_identity(ours, theirs, same):
    assert (identity(manifest(**ours).as_dict()) == identity(manifest(**theirs).as_dict())) == same
