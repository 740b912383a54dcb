"""What lands, what is a duplicate, what lies outside, what cannot be understood."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.rows import NO_ID, NO_OBJECT, NO_TIME, TAKEN_NAME, FilteredPage, RowFilter
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.resources import LEADS

FULL = Window()
DAY = Window.of("2025-01-15", "2025-01-16")
STAMP = {"_project_id": "24017", "_chatbot_id": "agent-a"}


def row_filter(window: Window = FULL, timezone: str = "UTC", **options: Any) -> RowFilter:
    return RowFilter(LEADS, window=window, read_time=TimeReader(timezone).read, stamp=STAMP, **options)


def lead(row_id: Any, at: Any = "2025-01-15 10:30:00", **fields: Any) -> dict[str, Any]:
    return {"id": row_id, "created_at": at, **fields}


def lines_of(page_: FilteredPage) -> list[bytes]:
    lines = bytes(page_.lines).splitlines(keepends=True)
    assert lines == [dump_line(row) for row in page_.rows]
    return lines


def landed(page_: FilteredPage) -> list[Any]:
    return [json.loads(line) for line in lines_of(page_)]


def ids(page_: FilteredPage) -> list[Any]:
    return [row["id"] for row in landed(page_)]


# ----------------------------------------------------------------------------------------------------------- landing
def test_a_row_lands_with_every_field_it_came_with_and_three_more() -> None:
    row = lead("a", name="Ánna", data=[{"field_name": "x", "field_value": None}], score=1.5, deep={"b": [1, {}]})

    page_ = row_filter().filter([row])

    assert landed(page_) == [
        {**row, "_project_id": "24017", "_chatbot_id": "agent-a", "_created_at": "2025-01-15T10:30:00+00:00"}
    ]
    assert lines_of(page_)[0].endswith(b"\n")
    assert len(lines_of(page_)) == 1
    assert list(page_.rejected) == []


def test_a_line_break_in_a_value_does_not_break_the_line() -> None:
    (line,) = lines_of(row_filter().filter([lead("a", note="one\ntwo\r\nthree\u2028four\x00")]))

    assert line.count(b"\n") == 1
    assert json.loads(line)["note"] == "one\ntwo\r\nthree\u2028four\x00"


def test_the_rows_of_the_caller_stay_as_they_were() -> None:
    row = lead("a")
    row_filter().filter([row])
    assert row == {"id": "a", "created_at": "2025-01-15 10:30:00"}


@pytest.mark.parametrize(
    ("text", "timezone", "utc"),
    [
        ("2025-01-15 10:30:00", "UTC", "2025-01-15T10:30:00+00:00"),
        ("2025-01-15 10:30:00", "Asia/Kolkata", "2025-01-15T05:00:00+00:00"),
        ("2025-01-15T10:30:00Z", "Asia/Kolkata", "2025-01-15T10:30:00+00:00"),
        ("2025-01-15T10:30:00.123456Z", "UTC", "2025-01-15T10:30:00.123456+00:00"),
        ("2025-01-15T10:30:00+05:30", "UTC", "2025-01-15T05:00:00+00:00"),
        ("2025-01-15T10:30:00-08:00", "Asia/Kolkata", "2025-01-15T18:30:00+00:00"),
        (1736937000, "Asia/Kolkata", "2025-01-15T10:30:00+00:00"),
        (1736937000.5, "UTC", "2025-01-15T10:30:00.500000+00:00"),
        (1736937000123, "UTC", "2025-01-15T10:30:00.123000+00:00"),
        ("1736937000", "Asia/Kolkata", "2025-01-15T10:30:00+00:00"),
        # Clocks are set back here: the later of the two moments.
        ("2025-10-26 02:30:00", "Europe/Berlin", "2025-10-26T01:30:00+00:00"),
        ("2025-07-01", "UTC", "2025-07-01T00:00:00+00:00"),
    ],
)
def test_a_time_lands_in_utc_beside_the_one_the_api_gave(text: Any, timezone: str, utc: str) -> None:
    (row,) = landed(row_filter(timezone=timezone).filter([lead("a", text)]))

    assert row["_created_at"] == utc
    assert row["created_at"] == text


def test_the_first_and_last_times_are_those_of_what_landed() -> None:
    rows_ = row_filter(DAY)

    rows_.filter([lead("b", "2025-01-15 09:00:00"), lead("early", "2025-01-14 09:00:00")])
    rows_.filter([lead("late", "2025-01-16 00:00:00"), lead(None, "2025-01-15 23:00:00")])
    rows_.filter([lead("a", "2025-01-15T09:00:00+05:00"), lead("c", "2025-01-15 08:00:00")])

    assert rows_.first_at == datetime(2025, 1, 15, 4, tzinfo=UTC)
    assert rows_.last_at == datetime(2025, 1, 15, 9, tzinfo=UTC)


def test_nothing_landed_has_no_first_and_last_time() -> None:
    rows_ = row_filter()
    assert rows_.filter([]).lines == b""
    rows_.filter([lead("a", "soon")])
    assert (rows_.first_at, rows_.last_at) == (None, None)


# --------------------------------------------------------------------------------------------------------- rejecting
@pytest.mark.parametrize("row", ["text", 5, 1.5, None, True, [lead("a")], []])
@pytest.mark.parametrize("window", [FULL, DAY])
def test_a_row_that_is_no_object_is_rejected_whole(row: Any, window: Window) -> None:
    page_ = row_filter(window).filter([lead("a"), row, lead("b")])

    assert list(page_.rejected) == [(1, NO_OBJECT, row)]
    assert ids(page_) == ["a", "b"]


@pytest.mark.parametrize(
    "row",
    [
        {"created_at": "2025-01-15 10:30:00", "name": "Anna"},
        lead(None, name="Anna"),
        lead("", name="Anna"),
        lead(row_id=True, name="Anna"),
        lead(row_id=False),
        lead(1.0),
        lead(["a"]),
        lead({"a": 1}),
        {},
    ],
)
@pytest.mark.parametrize("window", [FULL, DAY])
def test_a_row_without_an_id_is_rejected_whole(row: dict[str, Any], window: Window) -> None:
    page_ = row_filter(window).filter([row, lead("b")])

    assert list(page_.rejected) == [(0, NO_ID, row)]
    assert ids(page_) == ["b"]


@pytest.mark.parametrize("row_id", [0, -1, 17, 2**63, "0", " ", "a b/c", "\ud83d", "日本"])
def test_numbers_and_any_text_are_ids(row_id: Any) -> None:
    rows_ = row_filter()

    assert ids(rows_.filter([lead(row_id)])) == [row_id]
    assert ids(rows_.filter([lead(row_id)])) == []
    assert rows_.duplicates == 1


def test_a_number_and_its_text_are_two_ids() -> None:
    rows_ = row_filter()
    assert ids(rows_.filter([lead(1), lead("1"), lead(1), lead("1")])) == [1, "1"]
    assert rows_.duplicates == 2


@pytest.mark.parametrize(
    "time", ["soon", "", None, True, [], {}, "2025-13-01", 1e300, -1e300, "0001-01-01T00:00:00+14:00", 10**400]
)
def test_a_row_without_a_readable_time_lands_in_full_mode_and_is_rejected_in_window_mode(time: Any) -> None:
    row = lead("a", time, name="Anna")

    full, windowed = row_filter(), row_filter(DAY)
    in_full, in_window = full.filter([row]), windowed.filter([row])

    assert landed(in_full) == [{**row, **STAMP, "_created_at": None}]
    assert (full.undated, full.first_at) == (1, None)
    assert in_window.lines == b""
    assert list(in_window.rejected) == [(0, NO_TIME, row)]
    assert (windowed.undated, windowed.outside_window) == (0, 0)


def test_a_row_without_the_time_field_is_undated_too() -> None:
    row = {"id": "a"}
    assert landed(row_filter().filter([row])) == [{**row, **STAMP, "_created_at": None}]
    assert list(row_filter(Window.of(None, "2025-01-16")).filter([row]).rejected) == [(0, NO_TIME, row)]


def test_an_undated_row_is_counted_once_however_often_it_comes() -> None:
    rows_ = row_filter()
    rows_.filter([lead("a", "soon"), lead("a", "soon"), lead("b", None)])
    assert (rows_.undated, rows_.duplicates) == (2, 1)


@pytest.mark.parametrize("name", ["_created_at", "_project_id", "_chatbot_id"])
@pytest.mark.parametrize("value", ["2025-01-15T10:30:00+00:00", None, "24017", "agent-a"])
@pytest.mark.parametrize("window", [FULL, DAY])
def test_a_row_with_a_field_under_a_name_of_ours_is_rejected_whole(name: str, value: Any, window: Window) -> None:
    row = lead("a", **{name: value})

    page_ = row_filter(window).filter([lead("b"), row])

    assert list(page_.rejected) == [(1, TAKEN_NAME, row)]
    assert ids(page_) == ["b"]


def test_other_fields_that_begin_with_a_low_line_land() -> None:
    row = lead("a", _id="x", _created_at_local="y", __v=3)
    assert landed(row_filter().filter([row])) == [{**row, **STAMP, "_created_at": "2025-01-15T10:30:00+00:00"}]


def test_positions_count_within_the_page() -> None:
    rows_ = row_filter()
    first = rows_.filter(["x", lead("a"), "y"])
    second = rows_.filter([lead("b"), "z"])
    assert [(position, row) for position, _, row in first.rejected] == [(0, "x"), (2, "y")]
    assert [(position, row) for position, _, row in second.rejected] == [(1, "z")]


# -------------------------------------------------------------------------------------------------------- duplicates
def test_a_row_that_comes_again_on_the_next_page_lands_once() -> None:
    rows_ = row_filter()

    first = rows_.filter([lead("a"), lead("b")])
    second = rows_.filter([lead("b"), lead("c")])
    third = rows_.filter([lead("a"), lead("c"), lead("d")])

    assert (ids(first), ids(second), ids(third)) == (["a", "b"], ["c"], ["d"])
    assert rows_.duplicates == 3


def test_two_versions_of_one_lead_both_land_and_the_later_lands_last() -> None:
    rows_ = row_filter()

    first = rows_.filter([lead("a", status="new"), lead("b")])
    second = rows_.filter([lead("a", status="won"), lead("a", status="new"), lead("a", status="won")])

    assert [row.get("status") for row in landed(first)] == ["new", None]
    assert [row["status"] for row in landed(second)] == ["won"]
    assert rows_.duplicates == 2


def test_two_versions_that_differ_deep_inside_or_in_type_only_are_two() -> None:
    rows_ = row_filter()

    rows_.filter([lead("a", data=[{"v": 1}]), lead("a", data=[{"v": 2}]), lead("a", data=[{"v": "1"}])])
    rows_.filter([lead("a", data=[{"v": 1.0}]), lead("a", data=[{"v": True}]), lead("a", data=[{"v": None}])])
    rows_.filter([lead("a", data=[{}]), lead("a", data=[]), lead("a", data=None), lead("a")])

    assert rows_.duplicates == 0


def test_the_same_content_with_its_fields_in_another_order_is_the_same() -> None:
    rows_ = row_filter()
    row = {"id": "a", "created_at": "2025-01-15 10:30:00", "data": {"x": 1, "y": [{"p": 1, "q": 2}]}}
    turned = {"data": {"y": [{"q": 2, "p": 1}], "x": 1}, "created_at": "2025-01-15 10:30:00", "id": "a"}

    assert row_filter().filter([row]).lines == row_filter().filter([turned]).lines
    assert len(lines_of(rows_.filter([row, turned]))) == 1
    assert rows_.duplicates == 1


def test_list_elements_in_another_order_are_other_content() -> None:
    rows_ = row_filter()
    rows_.filter([lead("a", data=[1, 2]), lead("a", data=[2, 1])])
    assert rows_.duplicates == 0


def test_fields_of_a_row_with_half_a_surrogate_are_sorted_likewise() -> None:
    rows_ = row_filter()
    row = {"id": "a", "note": "\ud83d", "b": {"y": 1, "x": 2}, "created_at": "2025-01-15"}

    page_ = rows_.filter([row, {"created_at": "2025-01-15", "b": {"x": 2, "y": 1}, "note": "\ud83d", "id": "a"}])

    assert landed(page_) == [{**row, **STAMP, "_created_at": "2025-01-15T00:00:00+00:00"}]
    assert codec.loads(lines_of(page_)[0])["note"] == "\ud83d"
    assert lines_of(page_)[0].isascii()
    assert rows_.duplicates == 1


def test_duplicates_outside_the_window_count_as_outside() -> None:
    rows_ = row_filter(DAY)
    rows_.filter([lead("a", "2025-01-14"), lead("a", "2025-01-14")])
    assert (rows_.outside_window, rows_.duplicates) == (2, 0)


# ------------------------------------------------------------------------------------------------------------ window
@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2025-01-14 23:59:59.999999", False),
        ("2025-01-15 00:00:00", True),
        ("2025-01-15 23:59:59.999999", True),
        ("2025-01-16 00:00:00", False),
        ("2025-01-15T02:00:00+02:00", True),
        ("2025-01-15T01:59:59+02:00", False),
        ("2025-01-15T23:00:00-01:00", False),
        ("2025-01-15T22:59:59-01:00", True),
        (1736899200, True),
        (1736899199, False),
        (1736985600000, False),
        (1736985599999, True),
    ],
)
def test_the_window_holds_its_first_moment_and_not_its_last(at: Any, inside: bool) -> None:
    rows_ = row_filter(DAY)

    page_ = rows_.filter([lead("a", at)])

    assert ids(page_) == (["a"] if inside else [])
    assert rows_.outside_window == (0 if inside else 1)


def test_naive_times_meet_the_window_in_the_zone_of_the_connection() -> None:
    rows = [lead("a", "2025-01-15 05:29:59"), lead("b", "2025-01-15 05:30:00"), lead("c", "2025-01-16 05:29:59")]
    assert ids(row_filter(DAY, "Asia/Kolkata").filter(rows)) == ["b", "c"]


@pytest.mark.parametrize(
    ("window", "kept"),
    [
        (Window.of("2025-01-15", None), ["b", "c"]),
        (Window.of(None, "2025-01-16"), ["a", "b"]),
        (Window.of("2025-01-15", "2025-01-16"), ["b"]),
        (FULL, ["a", "b", "c"]),
    ],
)
def test_an_open_side_takes_everything_on_it(window: Window, kept: list[str]) -> None:
    rows = [lead("a", "1970-01-01"), lead("b", "2025-01-15"), lead("c", "9999-12-31")]
    assert ids(row_filter(window).filter(rows)) == kept


# --------------------------------------------------------------------------------------------------------- all older
@pytest.mark.parametrize(
    ("rows", "all_older"),
    [
        ([], False),
        ([lead("a", "2025-01-14"), lead("b", "2025-01-13")], True),
        ([lead("a", "2025-01-14"), lead("a", "2025-01-14")], True),
        ([lead("a", "2025-01-15"), lead("b", "2025-01-13")], False),
        # Later than the window is not older.
        ([lead("a", "2025-01-16"), lead("b", "2025-01-13")], False),
        ([lead("a", "2025-01-17")], False),
        # Nobody knows about these.
        ([lead("a", "2025-01-14"), lead("b", "soon")], False),
        ([lead("a", "2025-01-14"), "text"], False),
        ([lead("a", "2025-01-14"), lead(None, "2025-01-14")], False),
        (["text"], False),
    ],
)
def test_a_page_is_all_older_only_if_every_row_on_it_bears_an_older_time(rows: list[Any], all_older: bool) -> None:
    assert row_filter(DAY).filter(rows).all_older is all_older


def test_without_a_beginning_nothing_is_older() -> None:
    assert not row_filter(FULL).filter([lead("a", "1970-01-01")]).all_older
    assert not row_filter(Window.of(None, "1960-01-01")).filter([lead("a", "1970-01-01")]).all_older


# ------------------------------------------------------------------------------------------------------------- order
def minutes(*pairs: tuple[str, int]) -> list[Any]:
    return [lead(name, f"2025-01-15 10:{minute:02}:00") for name, minute in pairs]


def test_rows_that_new_ones_pushed_onto_the_next_page_are_no_disorder() -> None:
    rows_ = row_filter()

    rows_.filter(minutes(("d", 40), ("c", 30), ("b", 20)))
    rows_.filter(minutes(("c", 30), ("b", 20), ("a", 10)))

    assert rows_.order.verdict == "newest_first"
    assert rows_.duplicates == 2


def test_a_pushed_row_whose_content_changed_meanwhile_is_no_disorder_either() -> None:
    rows_ = row_filter()
    rows_.filter(minutes(("c", 30), ("b", 20)))
    rows_.filter([lead("c", "2025-01-15 10:30:00", status="won"), *minutes(("b", 20), ("a", 10))])
    assert rows_.order.verdict == "newest_first"


def test_a_later_row_that_was_not_on_the_page_before_is_disorder() -> None:
    rows_ = row_filter()
    rows_.filter(minutes(("c", 30), ("b", 20)))
    rows_.filter(minutes(("x", 30), ("a", 10)))
    assert rows_.order.verdict == "mixed"


def test_a_row_of_two_pages_ago_is_disorder() -> None:
    rows_ = row_filter()
    for page in (minutes(("c", 30)), minutes(("b", 20)), minutes(("c", 30))):
        rows_.filter(page)
    assert rows_.order.verdict == "mixed"


def test_rows_outside_the_window_tell_about_the_order_too() -> None:
    rows_ = row_filter(Window.of("2025-01-16", None))
    rows_.filter(minutes(("a", 10), ("b", 5), ("c", 7)))
    assert rows_.order.verdict == "mixed"


def test_rows_without_a_time_or_an_id_say_nothing_about_the_order() -> None:
    rows_ = row_filter()
    rows_.filter([*minutes(("a", 10)), lead("u", "soon"), lead(None, "2025-01-15 11:00:00"), "x", *minutes(("b", 5))])
    assert rows_.order.verdict == "newest_first"


# ------------------------------------------------------------------------------------------------------------ future
def test_landed_rows_later_than_a_moment_are_counted_and_no_others() -> None:
    rows_ = row_filter(Window.of(None, "2025-01-20"), ahead_of=datetime(2025, 1, 15, 12, tzinfo=UTC))

    rows_.filter([lead("a", "2025-01-15 12:00:00"), lead("b", "2025-01-15 12:00:01"), lead("c", "2025-01-16")])
    rows_.filter([lead("b", "2025-01-15 12:00:01"), lead("d", "2025-01-21"), lead("e", "2025-01-01")])

    assert rows_.future == 2


def test_without_a_clock_nothing_lies_in_the_future() -> None:
    rows_ = row_filter()
    rows_.filter([lead("a", "9999-12-31")])
    assert rows_.future == 0


# -------------------------------------------------------------------------------------------------- for any rows ...
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
TIMES = st.sampled_from(
    [
        "2025-01-14 23:59:59",
        "2025-01-15 00:00:00",
        "2025-01-15T12:00:00Z",
        "2025-01-15T23:30:00-00:30",
        "2025-01-16 00:00:00",
        1736937000,
        1736937000123,
        "1736937000",
        "soon",
        "",
        None,
    ]
)
IDS = st.sampled_from(["a", "b", "c", "1", 1, 0, "\ud83d", "日本"])
GOOD_ROWS = st.builds(
    lambda row_id, at, fields: {**fields, "id": row_id, "created_at": at},
    IDS,
    TIMES,
    st.dictionaries(st.sampled_from(["name", "data", "x", "X", "ä", "\udc00"]), VALUES, max_size=2),
)
BAD_ROWS = (
    st.dictionaries(st.sampled_from(["id", "created_at", "_created_at", "_project_id", "name"]), VALUES, max_size=4)
    | st.builds(lambda row: {**row, "_chatbot_id": "other"}, GOOD_ROWS)
    | VALUES
)
ROWS = st.lists(GOOD_ROWS | BAD_ROWS, max_size=12)


def exact(value: Any) -> str:
    """Tell values apart that are equal to Python, such as 1, 1.0 and True."""
    return json.dumps(value, sort_keys=True)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), rows=ROWS, window=st.sampled_from([FULL, DAY, Window.of("2025-01-15", None)]))
def test_every_row_is_accounted_for_and_the_split_into_pages_changes_nothing(
    data: st.DataObject, rows: list[Any], window: Window
) -> None:
    # Rows as the API would have them: through JSON once, with some of them repeated.
    rows = codec.loads(json.dumps(rows))
    again = data.draw(st.lists(st.sampled_from(rows), max_size=4)) if rows else []
    rows = [*rows, *again]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    edges = [0, *cuts, len(rows)]
    split = [rows[low:high] for low, high in itertools.pairwise(edges)]

    whole, parts = row_filter(window), row_filter(window)
    one = whole.filter(rows)
    many = [parts.filter(page) for page in split]

    lines = [line for page_ in many for line in lines_of(page_)]
    rejected = [(reason, exact(row)) for page_ in many for _, reason, row in page_.rejected]
    assert lines == lines_of(one)
    assert rejected == [(reason, exact(row)) for _, reason, row in one.rejected]
    for name in ("duplicates", "outside_window", "undated", "future", "first_at", "last_at"):
        assert getattr(parts, name) == getattr(whole, name), name
    assert len(rows) == len(lines) + parts.duplicates + parts.outside_window + len(rejected)

    # Each page's positions lead back to the rejected rows.
    for page, page_ in zip(split, many, strict=True):
        assert all(page[position] is row for position, _, row in page_.rejected)

    # What landed are rows of the API, each version once, with three fields more.
    sent = {exact(row) for row in rows}
    back = [codec.loads(line) for line in lines]
    read_time = TimeReader().read
    for row in back:
        at = row.pop("_created_at")
        assert (row.pop("_project_id"), row.pop("_chatbot_id")) == ("24017", "agent-a")
        assert exact(row) in sent
        if at is None:
            assert window.mode == "full"
            with pytest.raises(ValueError, match="not a readable time"):
                read_time(row.get("created_at"))
        else:
            assert datetime.fromisoformat(at) == read_time(row["created_at"])
            assert datetime.fromisoformat(at).utcoffset() == timedelta(0)
    assert len({exact(row) for row in back}) == len(back)
    assert [exact(json.loads(line)) for line in lines] == [exact(codec.loads(line)) for line in lines]


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(GOOD_ROWS, max_size=12))
@example(rows=[lead("a"), lead("a"), lead("a", x=1)])
def test_every_version_of_every_lead_lands_in_the_order_of_its_first_coming(rows: list[Any]) -> None:
    rows = codec.loads(json.dumps(rows))
    expected = list(dict.fromkeys(exact(row) for row in rows))

    page_ = row_filter().filter(rows)

    back = [
        {name: value for name, value in codec.loads(line).items() if name not in {*STAMP, "_created_at"}}
        for line in lines_of(page_)
    ]
    assert [exact(row) for row in back] == expected


@settings(max_examples=100, deadline=None)
@given(row=VALUES)
def test_any_rejected_row_can_be_written_down(row: Any) -> None:
    row = codec.loads(json.dumps(row))
    (rejected,) = row_filter().filter([[row]]).rejected
    assert exact(codec.loads(dump_line({"row": rejected[2]}))["row"]) == exact([row])
