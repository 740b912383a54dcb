"""Which session belongs to which task."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.landed import Shard, shards


def test_shards_are_what_expand_takes():
    assert shards(3) == [(0, 3), (1, 3), (2, 3)]


@given(st.lists(st.text(min_size=1), unique=True, max_size=50), st.integers(min_value=1, max_value=12))
def test_each_session_belongs_to_exactly_one_part(session_ids, count):
    parts = [Shard.of(one) for one in shards(count)]
    assert all(sum(part.holds(session_id) for part in parts) == 1 for session_id in session_ids)


def test_a_session_belongs_to_the_same_part_for_ever():
    # Written down, so that a change of the hash cannot pass unseen: files of two runs would overlap.
    found = [
        next(i for i, n in shards(8) if Shard(i, n).holds(one)) for one in ("a", "+4915112345678", "guest/ü\ud83d")
    ]
    assert found == [7, 6, 1]


def test_parts_are_about_equally_large():
    sizes = [sum(Shard(i, n).holds(f"session {k}") for k in range(8000)) for i, n in shards(8)]
    assert sum(sizes) == 8000
    assert min(sizes) > 850


def test_a_list_out_of_json_is_as_good_as_a_tuple():
    assert Shard.of(json.loads(json.dumps((2, 5)))) == Shard.of((2, 5)) == Shard(2, 5)
    assert Shard.of(None).is_whole
    assert Shard.of((0, 1)).is_whole


@pytest.mark.parametrize("given_shard", [(8, 8), (-1, 8), (0, 0), (0, -3)])
def test_a_part_that_does_not_exist_is_refused_with_the_range(given_shard):
    with pytest.raises(RobofyConfigError, match=r"shard=.* is out of range.*index runs from 0 to"):
        Shard.of(given_shard)


@pytest.mark.parametrize("given_shard", [3, "0/8", (1,), (1, 2, 3), (0, "8"), (0.0, 8), (True, 8), {"index": 0}, []])
def test_what_is_no_part_is_refused(given_shard):
    with pytest.raises(RobofyConfigError, match=r"shard=.* must be \(index, count\)"):
        Shard.of(given_shard)


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "8", None])
def test_a_count_below_one_is_refused(count):
    with pytest.raises(RobofyConfigError, match="at least 1"):
        shards(count)
