"""A manifest whose sessions do not add up is never written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.landing import MessagesManifest, identity
from airflow_provider_robofy.extract.privacy import Pseudonyms

COUNTS = st.integers(min_value=0, max_value=9)


def manifest(**changes) -> MessagesManifest:
    values: dict[str, Any] = dict.fromkeys(MessagesManifest.__dataclass_fields__, 0)
    values |= {"resource": "messages", "mode": "window", "shard": [1, 4], "sessions_uri": "/s.jsonl", **changes}
    return MessagesManifest(**values)


@given(asked=COUNTS, read=COUNTS, gone=COUNTS, failed=COUNTS)
def test_it_exists_only_if_read_gone_and_failed_make_asked(asked, read, gone, failed):
    counts = {"sessions_asked": asked, "sessions_read": read, "sessions_gone": gone, "sessions_failed": failed}
    if asked == read + gone + failed:
        assert manifest(**counts).as_dict().items() >= counts.items()
    else:
        with pytest.raises(RobofyLandingError, match="do not add up"):
            manifest(**counts)


def test_rows_have_to_add_up_as_well():
    with pytest.raises(RobofyLandingError, match="rows received"):
        manifest(received=1)


def test_its_identity_holds_the_sessions_file_and_the_shard():
    ours = identity(manifest().as_dict())
    assert (ours["sessions_uri"], ours["shard"]) == ("/s.jsonl", [1, 4])
    assert "shard" not in identity({"resource": "leads", "mode": "window"})


def test_a_pseudonym_is_the_same_for_one_key_and_tells_nothing_without_it():
    names = Pseudonyms("key")
    assert names.short("+4915112345678") == Pseudonyms("key").short("+4915112345678")
    assert len({names.short("+4915112345678"), names.short("a"), Pseudonyms("other").short("+4915112345678")}) == 3
    assert len(names.short("half \ud83d")) == 16
