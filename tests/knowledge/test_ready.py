"""When an uploaded document counts as ready."""

from __future__ import annotations

import pytest

from airflow_provider_robofy.api.errors import RobofyAuthError, RobofyConnectionError, RobofyDataError
from airflow_provider_robofy.knowledge.ready import ReadyWatch

FAQ = {"name": "faq.md", "linkage_id": 6548, "asset_id": 5782}
PRICES = {"name": "prices.pdf", "linkage_id": 6549, "asset_id": 5783}


def row(status, **ids):
    return {"linkage_id": 6548, "asset_id": 5782, "status": status, **ids}


@pytest.mark.parametrize("status", ["Linked", "ACTIVE", " completed "])
def test_a_document_with_a_documented_status_is_ready(status):
    assert ReadyWatch([FAQ]).judge([row(status)]) == {"ready": 1}


@pytest.mark.parametrize(
    "rows",
    [[], [row("Linked", linkage_id=1, asset_id=2)], [row("Processing")], [row("Pondering")], [row(None)], [row(7)]],
    ids=["empty", "not listed", "processing", "unknown word", "no status", "a number"],
)
def test_anything_else_means_wait_and_is_named(rows):
    watch = ReadyWatch([FAQ])
    assert watch.judge(rows) is None
    assert "faq.md" in watch.waiting_for()


def test_one_document_that_is_not_ready_holds_the_wait():
    watch = ReadyWatch([FAQ, PRICES])
    assert watch.judge([row("Linked"), row("Processing", linkage_id=6549, asset_id=5783)]) is None
    assert watch.waiting_for() == "prices.pdf: 'Processing'"


def test_a_failed_document_is_an_error_with_its_name():
    with pytest.raises(RobofyDataError, match=r"faq\.md: 'Failed'"):
        ReadyWatch([FAQ]).judge([row("Failed")])


def test_an_older_link_of_the_same_asset_does_not_make_a_document_ready():
    assert ReadyWatch([FAQ]).judge([row("Linked", linkage_id=1)]) is None


@pytest.mark.parametrize(
    "rows", [[{"asset_id": "5782", "status": "Linked"}], [{"linkage_id": "6548", "status": "active"}]]
)
def test_either_id_is_enough_in_the_listing_as_number_or_text(rows):
    assert ReadyWatch([FAQ]).judge(rows) == {"ready": 1}


@pytest.mark.parametrize("rows", [[{"id": 1, "status": "Linked"}], [None, "x", 3]])
def test_rows_without_a_known_id_are_an_error_that_names_the_probe(rows):
    with pytest.raises(RobofyDataError, match=r"airflow_provider_robofy\.probe"):
        ReadyWatch([FAQ]).judge(rows)


def test_a_document_that_robofy_gave_no_id_is_an_error_and_not_guessed():
    with pytest.raises(RobofyDataError, match=r"hours\.md"):
        ReadyWatch([{"name": "hours.md", "linkage_id": None, "asset_id": None}])


def test_a_dropped_connection_is_tolerated_and_a_wrong_key_is_not():
    watch = ReadyWatch([FAQ])
    watch.tolerate(RobofyConnectionError("dropped"))
    with pytest.raises(RobofyAuthError):
        watch.tolerate(RobofyAuthError("no"))
