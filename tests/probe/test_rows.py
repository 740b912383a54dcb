"""What is learnt of rows."""

from __future__ import annotations

from airflow_provider_robofy.probe.leads import compare
from airflow_provider_robofy.probe.rows import RowsStudy


def study(*pages, times=("created_at",), ids=("id",)):
    found = RowsStudy(times=times, ids=ids)
    for page in pages:
        found.take(page)
    return found


def row(number, **more):
    return {"id": f"lead_{number}", "created_at": f"2025-01-15 10:30:{number:02d}", **more}


def test_fields_kinds_and_ids_are_counted():
    found = study([row(3, x=1), row(2, x=None), {"id": 7}, "no object", {"id": True}])
    assert (found.rows, found.no_objects) == (5, 1)
    assert found.fields["x"].rows == 2
    assert found.fields["x"].kinds == {"number": 1, "null": 1}
    assert found.id_kinds == {"text": 2, "number": 1, "none": 1}


def test_rows_pushed_onto_the_next_page_say_nothing_of_the_order():
    found = study([row(9), row(8)], [row(9), row(8), row(7)])
    assert found.times.order == "newest_first"
    assert (found.repeated_within, found.repeated_between) == (0, 2)
    assert study([row(1), row(1)]).repeated_within == 1


def test_the_way_from_one_listing_to_the_next_says_nothing_of_the_order():
    found = study([row(1), row(2)])
    found.begin()
    found.take([row(0), row(1)])
    assert found.times.order == "oldest_first"
    found.begin()
    found.take([row(5), row(3)])
    assert found.times.order == "mixed"


def test_a_time_is_found_under_an_unexpected_name_and_a_count_is_none():
    rows = [{"sentAt": f"2025-01-15T10:30:0{number}Z", "talk_time": number, "a_date": "soon"} for number in range(5)]
    found = study(rows)
    assert found.time_field == "sentAt"
    assert found.times.read == 5
    assert study([{"last_time": 3}]).time_field is None


def test_an_object_that_is_keyed_by_people_does_not_grow_without_end():
    found = study([{f"+49151{number:08d}": 1} for number in range(1000)])
    assert len(found.fields) == 300
    assert found.more_fields


def test_nothing_that_was_read_is_kept():
    found = study([row(1, name="Plantina Persson", at="Plantina")], ids=("id",))
    assert "Plantina" not in repr(vars(found))
    assert "lead_1" not in repr(vars(found))


def test_two_looks_are_compared_by_id_and_content():
    found = study([row(9), row(8), row(7)], [row(6)])
    before = found.hashes([row(9), row(8), row(7)])
    after = found.hashes([row(10), row(9), row(8, source="x")])
    second = compare(before, set(found.seen), after, 60)
    assert (second.same, second.changed, second.new, second.gone) == (1, 1, 1, 0)
    shorter = compare(before, set(found.seen), found.hashes([row(9), row(7), row(6)]), 60)
    assert (shorter.same, shorter.changed, shorter.new, shorter.gone) == (2, 0, 0, 1)
