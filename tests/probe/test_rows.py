"""What is learnt of rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.hooks.connection import read_connection
from airflow_provider_robofy.probe.answer import Answer
from airflow_provider_robofy.probe.questions import about_listing
from airflow_provider_robofy.probe.seen import Listing
from airflow_provider_robofy.probe.times import ZoneEvidence
from airflow_provider_robofy.probe.words import Names
from airflow_provider_robofy.resources import LEADS

CONNECTION = read_connection(host=None, password="key-of-tests", extra={}, user_agent="tests")
NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


def page(*rows, seconds=0):
    at = NOW + timedelta(seconds=seconds)
    return Answer(payload=list(rows), fields={}, rows=Rows(list(rows), None, None), trouble="", at=at)


def study(*runs, reveal=False):
    return Listing(LEADS, CONNECTION, Names(reveal=reveal), ZoneEvidence(), [list(run) for run in runs])


def found(listing, name):
    [one] = [one for one in about_listing(listing) if one.name == name]
    return one


def row(number, **more):
    return {"id": f"lead_{number}", "created_at": f"2025-01-15 10:30:{number:02d}", **more}


def test_fields_kinds_and_ids_are_counted():
    listing = study([page(row(3, x=1), row(2, x=None), {"id": 7}, "no object", {"id": True})])
    assert found(listing, "fields").found.endswith("1 row no objects")
    assert listing.fields["x"] == {"number": 1, "null": 1}
    assert found(listing, "ids").value == {"text": 2, "number": 1, "none": 1}


def test_the_step_from_one_listing_to_the_next_does_not_count_for_the_order():
    first, second = [page(row(1), row(2))], [page(row(0), row(1))]
    assert study(first, second).times.order == "oldest_first"
    assert study(first, second, [page(row(5), row(3))]).times.order == "mixed"


def test_a_row_that_new_ones_pushed_onto_the_next_page_does_not_count_for_the_order():
    assert study([page(row(9), row(8)), page(row(9), row(7))]).times.order == "newest_first"


def test_a_time_is_found_under_an_unexpected_name_and_a_count_is_none():
    rows = [{"sentAt": f"2025-01-15T10:30:0{number}Z", "talk_time": number, "a_date": "soon"} for number in range(5)]
    times = study([page(*rows)]).times
    assert times.name == "sentAt"
    assert times.forms == {"YYYY-MM-DDTHH:MM:SSZ": 5}
    assert study([page({"last_time": 3})]).times.name is None


def test_an_object_that_is_keyed_by_people_does_not_make_the_report_grow_without_end():
    rows = [{f"name of {chr(97 + number % 26) * (number // 26 + 1)}": 1} for number in range(1000)]
    fields = found(study([page(*rows)], reveal=True), "fields")
    assert 0 < len(fields.value) <= 300
    assert len(fields.found) < 3000


def test_a_value_is_in_no_repr_where_an_error_could_show_it():
    listing = study([page(row(1, name="Plantina Persson", at="Plantina"))])
    assert "Plantina" not in repr(listing) + repr(listing.answers)
    assert "lead_1" not in repr(listing) + repr(listing.answers)


def test_two_reads_are_compared_by_id_and_content():
    listing = study([page(row(9), row(8), row(7)), page(row(6))])
    again = page(row(10), row(9), row(8, source="x"), seconds=5)
    assert listing.compare(again) == {"seconds": 5, "unchanged": 1, "changed": 1, "vanished": 0, "new": 1}
    shorter = page(row(9), row(7), row(6))
    assert listing.compare(shorter) == {"seconds": 0, "unchanged": 2, "changed": 0, "vanished": 1, "new": 0}


def test_a_row_that_repeats_is_counted_by_where_it_does():
    listing = study([page(row(9), row(9)), page(row(9), row(8))])
    assert found(listing, "duplicates").value == {"within": 1, "between": 1}
