"""Numbers that add up, and what tells one result from another."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.manifest import Manifest, MessagesManifest, identity

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


# ---------------------------------------------------------------------------------------------------------- messages
NUMBERS = st.integers(min_value=0, max_value=9)


def messages_manifest(**changes) -> MessagesManifest:
    values: dict[str, Any] = dict.fromkeys(MessagesManifest.__dataclass_fields__, 0)
    values |= {"resource": "messages", "mode": "window", "shard": [1, 4], "sessions_uri": "/s.jsonl", **changes}
    return MessagesManifest(**values)


@given(asked=NUMBERS, read=NUMBERS, gone=NUMBERS, failed=NUMBERS)
def test_it_exists_only_if_read_gone_and_failed_make_asked(asked, read, gone, failed):
    counts = {"sessions_asked": asked, "sessions_read": read, "sessions_gone": gone, "sessions_failed": failed}
    if asked == read + gone + failed:
        assert messages_manifest(**counts).as_dict().items() >= counts.items()
    else:
        with pytest.raises(RobofyLandingError, match="do not add up"):
            messages_manifest(**counts)


def test_rows_of_messages_have_to_add_up_as_well():
    with pytest.raises(RobofyLandingError, match="rows received"):
        messages_manifest(received=1)


def test_the_identity_of_messages_holds_the_sessions_file_and_the_shard():
    ours = identity(messages_manifest().as_dict())
    assert (ours["sessions_uri"], ours["shard"]) == ("/s.jsonl", [1, 4])
    assert "shard" not in identity({"resource": "leads", "mode": "window"})
