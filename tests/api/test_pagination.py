"""A listing moves on, ends, and does not run in circles."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import endpoints, pages
from airflow_provider_robofy.api.client import Answered
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.errors import RobofyResponseError
from airflow_provider_robofy.api.pages import Listing

AT = datetime(2026, 2, 20, 14, 45, tzinfo=UTC)


def answered(*rows, token=None, end="absent"):
    return Answered(Rows(list(rows), token, None if token else end), AT, AT)


def test_the_token_goes_back_as_a_query_parameter_beside_the_others():
    listing = Listing(endpoints.list_leads(7, "c", session_id="s"))
    assert listing.call is not None
    assert listing.call.target() == "/v1/ai-agent/leads/7/c?sessionId=s"
    listing.accept(answered(1, token="a+b=="))
    assert listing.call.target() == "/v1/ai-agent/leads/7/c?sessionId=s&nextPageToken=a%2Bb%3D%3D"
    listing.accept(answered(2, token="c"))
    assert listing.call.target() == "/v1/ai-agent/leads/7/c?sessionId=s&nextPageToken=c"


def test_pages_are_numbered_and_the_last_one_says_how_it_ended():
    listing = Listing(endpoints.list_projects())
    first = listing.accept(answered(1, 2, token="a"))
    last = listing.accept(answered(end="empty"))
    assert (first.number, first.rows, first.end_marker, first.date) == (1, [1, 2], None, AT)
    assert (last.number, last.rows, last.end_marker) == (2, [], "empty")
    assert listing.call is None
    assert listing.pages == 2


@pytest.mark.parametrize("period", [1, 2, 5])
def test_a_token_that_was_met_before_is_an_error(period):
    listing = Listing(endpoints.list_leads(7, "secret-agent"))
    for number in range(period):
        listing.accept(answered(1, token=f"secret-{number}"))
    with pytest.raises(RobofyResponseError, match=f"page {period + 1} repeats the token of an earlier page") as caught:
        listing.accept(answered(1, token="secret-0"))
    assert "secret" not in str(caught.value)
    assert caught.value.endpoint.startswith("list_leads (GET")
    assert caught.value.requested_at == AT


def test_empty_pages_without_end_are_an_error(monkeypatch):
    monkeypatch.setattr(pages, "MAX_EMPTY_PAGES", 3)
    listing = Listing(endpoints.list_projects())
    for number in range(10):
        listing.accept(answered(*([1] if number % 3 == 2 else []), token=str(number)))
    listing.accept(answered(token="x"))
    with pytest.raises(RobofyResponseError, match="3 pages in sequence hold no row"):
        listing.accept(answered(token="y"))


@given(st.lists(st.tuples(st.lists(st.integers(), max_size=3), st.text(min_size=1)), unique_by=lambda page: page[1]))
def test_every_listing_that_moves_on_is_read_to_its_end(pages):
    listing = Listing(endpoints.list_projects())
    rows, sent = [], []
    for items, token in pages:
        assert listing.call is not None
        sent.append(listing.call.query.get("nextPageToken"))
        rows += listing.accept(answered(*items, token=token)).rows
    listing.accept(answered())
    assert rows == [item for items, _ in pages for item in items]
    assert sent == [None, *(token for _, token in pages)][: len(pages)]
    assert listing.call is None
