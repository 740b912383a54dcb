"""What is learnt of rows."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.hooks.connection import read_connection
from airflow_provider_robofy.probe.seen import Listing, compare
from airflow_provider_robofy.probe.shapes import Shape
from airflow_provider_robofy.probe.times import ZoneEvidence
from airflow_provider_robofy.probe.words import Names
from airflow_provider_robofy.resources import LEADS

CONNECTION = read_connection(host=None, password="key-of-tests", extra={}, user_agent="tests")
NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def take(listing, *pages):
    for page in pages:
        listing.take(Shape(rows=Rows(page, None, None)), NOW)
    return listing


def study(*pages):
    return take(Listing(LEADS, CONNECTION, Names(), ZoneEvidence()), *pages)


def row(number, **more):
    return {"id": f"lead_{number}", "created_at": f"2025-01-15 10:30:{number:02d}", **more}


def test_fields_kinds_and_ids_are_counted():
    found = study([row(3, x=1), row(2, x=None), {"id": 7}, "no object", {"id": True}])
    assert (found.rows, found.no_objects) == (5, 1)
    assert found.fields["x"] == {"number": 1, "null": 1}
    assert found.counts["ids"] == {"text": 2, "number": 1, "none": 1}


def test_the_step_from_one_listing_to_the_next_does_not_count_for_the_order():
    found = study([row(1), row(2)])
    found.begin()
    take(found, [row(0), row(1)])
    assert found.times.order == "oldest_first"
    found.begin()
    take(found, [row(5), row(3)])
    assert found.times.order == "mixed"


def test_a_time_is_found_under_an_unexpected_name_and_a_count_is_none():
    rows = [{"sentAt": f"2025-01-15T10:30:0{number}Z", "talk_time": number, "a_date": "soon"} for number in range(5)]
    found = study(rows)
    assert found.time_field == "sentAt"
    assert found.times.forms == {"YYYY-MM-DDTHH:MM:SSZ": 5}
    assert study([{"last_time": 3}]).time_field is None


def test_an_object_that_is_keyed_by_people_does_not_grow_without_end():
    found = study([{f"+49151{number:08d}": 1} for number in range(1000)])
    assert len(found.fields) == 300


def test_nothing_that_was_read_is_kept():
    found = study([row(1, name="Plantina Persson", at="Plantina")])
    assert "Plantina" not in repr(vars(found))
    assert "lead_1" not in repr(vars(found))


def test_two_reads_are_compared_by_id_and_content():
    found = study([row(9), row(8), row(7)], [row(6)])
    again = study([row(10), row(9), row(8, source="x")])
    assert compare(found, again) == {"unchanged": 1, "changed": 1, "vanished": 0, "new": 1}
    shorter = study([row(9), row(7), row(6)])
    assert compare(found, shorter) == {"unchanged": 2, "changed": 0, "vanished": 1, "new": 0}


def test_a_row_that_repeats_is_counted_by_where_it_does():
    found = study([row(9), row(9)], [row(9), row(8)])
    assert (found.repeated_within, found.repeated_between) == (1, 1)
