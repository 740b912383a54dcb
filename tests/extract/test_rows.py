"""What lands, what is a duplicate, what lies outside, what cannot be understood; and in which order rows come."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.rows import (
    NO_ID,
    NO_OBJECT,
    NO_TIME,
    TAKEN_NAME,
    FilteredPage,
    RowFilter,
    RowOrder,
    version_key,
)
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.resources import LEADS
from tests.extract.runs import STAMP, lead, without_stamp

FULL = Window()
DAY = Window.of("2025-01-15", "2025-01-16")
AT = "2025-01-15T10:30:00+00:00"


class Collecting(RowFilter):
    """A row filter that collects what it rejects of the last page."""

    rejected: list[tuple[int, str, Any]]

    def filter(self, rows: list[Any], reject: Any = None) -> FilteredPage:
        self.rejected = []
        return super().filter(rows, reject or (lambda *one: self.rejected.append(one)))


def row_filter(window: Window = FULL, timezone: str = "UTC", **options: Any) -> Collecting:
    return Collecting(LEADS, window=window, read_time=TimeReader(timezone).read, stamp=STAMP, **options)


def lines_of(page_: FilteredPage) -> list[bytes]:
    lines = bytes(page_.lines).splitlines(keepends=True)
    assert lines == [dump_line(row) for row in page_.rows]
    return lines


def landed(page_: FilteredPage) -> list[Any]:
    return [json.loads(line) for line in lines_of(page_)]


def ids(page_: FilteredPage) -> list[Any]:
    return [row["id"] for row in landed(page_)]


# ----------------------------------------------------------------------------------------------------------- landing
def test_a_row_lands_with_every_field_it_came_with_and_three_more():
    data = [{"field_name": "x", "field_value": None}]
    more = {"_id": "x", "_created_at_local": "y", "__v": 3, "note": "one\ntwo\r\nthree\u2028four\x00"}
    row = lead("a", name="Ánna", data=data, score=1.5, deep={"b": [1, {}]}, **more)
    before = json.dumps(row)

    rows_ = row_filter()
    page_ = rows_.filter([row])

    assert landed(page_) == [{**row, **STAMP, "_created_at": AT}]
    (line,) = lines_of(page_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert rows_.rejected == []
    assert json.dumps(row) == before, "the row of the caller stays as it was"


@pytest.mark.parametrize(
    ("time", "timezone", "utc"),
    [
        ("2025-01-15 10:30:00", "UTC", AT),
        ("2025-01-15 10:30:00", "Asia/Kolkata", "2025-01-15T05:00:00+00:00"),
        ("2025-01-15T10:30:00.123456Z", "Asia/Kolkata", "2025-01-15T10:30:00.123456+00:00"),
        (1736937000.5, "Asia/Kolkata", "2025-01-15T10:30:00.500000+00:00"),
    ],
)
def test_a_time_lands_in_utc_beside_the_one_the_api_gave(time, timezone, utc):
    (row,) = landed(row_filter(timezone=timezone).filter([lead("a", time)]))
    assert (row["_created_at"], row["created_at"]) == (utc, time)


def test_the_first_and_last_times_are_those_of_what_landed():
    rows_ = row_filter(DAY)
    assert rows_.filter([]).lines == b""
    assert (rows_.first_at, rows_.last_at) == (None, None)

    rows_.filter([lead("b", "2025-01-15 09:00:00"), lead("early", "2025-01-14 09:00:00")])
    rows_.filter([lead("late", "2025-01-16 00:00:00"), lead(None, "2025-01-15 23:00:00")])
    rows_.filter([lead("a", "2025-01-15T09:00:00+05:00"), lead("c", "2025-01-15 08:00:00")])

    assert rows_.first_at == datetime(2025, 1, 15, 4, tzinfo=UTC)
    assert rows_.last_at == datetime(2025, 1, 15, 9, tzinfo=UTC)


# --------------------------------------------------------------------------------------------------------- rejecting
REJECTED: dict[str, list[Any]] = {
    NO_OBJECT: ["text", 5, 1.5, None, True, [lead("a")], []],
    NO_ID: [{}, {"created_at": AT, "name": "Anna"}, *map(lead, (None, "", True, False, 1.0, ["a"], {"a": 1}))],
    TAKEN_NAME: [
        lead("x", **{name: value})
        for name in ("_created_at", "_project_id", "_chatbot_id")
        for value in (AT, None, "24017")
    ],
}


@pytest.mark.parametrize(("reason", "row"), [(reason, row) for reason, rows in REJECTED.items() for row in rows])
@pytest.mark.parametrize("window", [FULL, DAY])
def test_a_row_that_cannot_be_understood_is_rejected_whole(reason, row, window):
    rows_ = row_filter(window)
    page_ = rows_.filter([lead("a"), row, lead("b")])

    assert rows_.rejected == [(1, reason, row)]
    assert ids(page_) == ["a", "b"]


@pytest.mark.parametrize("row_id", [0, -1, 17, 2**63, "0", "17", " ", "a b/c", "\ud83d", "日本"])
def test_numbers_and_any_text_are_ids(row_id):
    rows_ = row_filter()

    assert ids(rows_.filter([lead(row_id), lead(f"other {row_id}")])) == [row_id, f"other {row_id}"]
    assert ids(rows_.filter([lead(row_id)])) == []
    assert rows_.duplicates == 1


NO_TIMES: list[Any] = [
    "soon",
    "",
    None,
    True,
    [],
    {},
    "2025-13-01",
    1e300,
    -1e300,
    "0001-01-01T00:00:00+14:00",
    10**400,
]


@pytest.mark.parametrize("row", [{"id": "a"}, *(lead("a", time, name="Anna") for time in NO_TIMES)])
def test_a_row_without_a_readable_time_lands_in_full_mode_and_is_rejected_in_window_mode(row):
    full, windowed = row_filter(), row_filter(DAY)
    in_full, in_window = full.filter([row, row]), windowed.filter([row])

    assert landed(in_full) == [{**row, **STAMP, "_created_at": None}]
    assert (full.undated, full.duplicates, full.first_at) == (1, 1, None)
    assert in_window.lines == b""
    assert windowed.rejected == [(0, NO_TIME, row)]
    assert (windowed.undated, windowed.outside_window) == (0, 0)


# -------------------------------------------------------------------------------------------------------- duplicates
def test_versions_that_differ_deep_inside_or_in_type_or_in_the_order_of_a_list_are_others():
    values = [{"v": 1}, {"v": 2}, {"v": "1"}, {"v": 1.0}, {"v": True}, {"v": None}, {}]
    data: list[Any] = [*([one] for one in values), [1, 2], [2, 1], [], None]
    rows_ = row_filter()

    rows_.filter([lead("a"), *(lead("a", data=one) for one in data)])

    assert rows_.duplicates == 0


@pytest.mark.parametrize("note", ["text", "\ud83d"])
def test_the_same_content_with_its_fields_in_another_order_is_the_same(note):
    rows_ = row_filter()
    row = {"id": "a", "created_at": "2025-01-15", "note": note, "data": {"x": 1, "y": [{"p": 1, "q": 2}]}}
    turned = {"data": {"y": [{"q": 2, "p": 1}], "x": 1}, "note": note, "created_at": "2025-01-15", "id": "a"}

    page_ = rows_.filter([row, turned])

    assert landed(page_) == [{**row, **STAMP, "_created_at": "2025-01-15T00:00:00+00:00"}]
    assert page_.lines == row_filter().filter([turned]).lines
    assert lines_of(page_)[0].isascii()
    assert rows_.duplicates == 1


def test_duplicates_outside_the_window_count_as_outside():
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
        ("2025-01-15T01:59:59+02:00", False),
        ("2025-01-15T22:59:59-01:00", True),
        (1736899199, False),
        (1736985599999, True),
    ],
)
def test_the_window_holds_its_first_moment_and_not_its_last(at, inside):
    rows_ = row_filter(DAY)
    assert ids(rows_.filter([lead("a", at)])) == (["a"] if inside else [])
    assert rows_.outside_window == (not inside)


def test_naive_times_meet_the_window_in_the_zone_of_the_connection():
    rows = [lead("a", "2025-01-15 05:29:59"), lead("b", "2025-01-15 05:30:00"), lead("c", "2025-01-16 05:29:59")]
    assert ids(row_filter(DAY, "Asia/Kolkata").filter(rows)) == ["b", "c"]


@pytest.mark.parametrize(
    ("since", "until", "kept"),
    [("2025-01-15", None, "bc"), (None, "2025-01-16", "ab"), ("2025-01-15", "2025-01-16", "b"), (None, None, "abc")],
)
def test_an_open_side_takes_everything_on_it(since, until, kept):
    rows = [lead("a", "1970-01-01"), lead("b", "2025-01-15"), lead("c", "9999-12-31")]
    assert ids(row_filter(Window.of(since, until)).filter(rows)) == list(kept)


@pytest.mark.parametrize(
    ("times", "all_older"),
    [
        ([], False),
        (["2025-01-14", "2025-01-13"], True),
        (["2025-01-15", "2025-01-13"], False),
        # Later than the window is not older, and nobody knows about a row without a time.
        (["2025-01-16", "2025-01-13"], False),
        (["2025-01-17"], False),
        (["2025-01-14", "soon"], False),
    ],
)
def test_a_page_is_all_older_only_if_every_row_on_it_bears_an_older_time(times, all_older):
    assert row_filter(DAY).filter([lead(time, time) for time in times]).all_older is all_older
    assert not row_filter(DAY).filter([*(lead(time, time) for time in times), "text"]).all_older
    assert not row_filter(DAY).filter([*(lead(time, time) for time in times), lead(None, "2025-01-14")]).all_older


@pytest.mark.parametrize("window", [FULL, Window.of(None, "1960-01-01")])
def test_without_a_beginning_nothing_is_older(window):
    assert not row_filter(window).filter([lead("a", "1970-01-01")]).all_older


# ------------------------------------------------------------------------------------------------------------- order
def minutes(*pairs: tuple[str, int]) -> list[Any]:
    return [lead(name, f"2025-01-15 10:{minute:02}:00") for name, minute in pairs]


PAGE = minutes(("c", 30), ("b", 20))
CHANGED = [lead("c", "2025-01-15 10:30:00", status="won"), *minutes(("b", 20), ("a", 10))]
UNDATED = [*minutes(("a", 10)), lead("u", "soon"), lead(None, "2025-01-15 11:00:00"), "x", *minutes(("b", 5))]
#: The window's beginning, pages, and the verdict.
ORDERS: dict[str, tuple[str | None, list[list[Any]], str]] = {
    "pushed along by new ones": (None, [minutes(("d", 40), ("c", 30)), PAGE, minutes(("a", 10))], "newest_first"),
    "pushed along and changed": (None, [PAGE, CHANGED], "newest_first"),
    "not on the page before": (None, [PAGE, minutes(("x", 30), ("a", 10))], "mixed"),
    "of two pages ago": (None, [minutes(("c", 30)), minutes(("b", 20)), minutes(("c", 30))], "mixed"),
    "outside the window": ("2025-01-16", [minutes(("a", 10), ("b", 5), ("c", 7))], "mixed"),
    "without a time or an id": (None, [UNDATED], "newest_first"),
}


@pytest.mark.parametrize(("since", "pages", "verdict"), ORDERS.values(), ids=ORDERS)
def test_the_order_is_that_of_rows_that_were_not_pushed_along(since, pages, verdict):
    rows_ = row_filter(Window.of(since, None))
    for page in pages:
        rows_.filter(page)
    assert rows_.order.verdict == verdict


# ------------------------------------------------------------------------------------------------------------ future
@pytest.mark.parametrize(("ahead_of", "future"), [(datetime(2025, 1, 15, 12, tzinfo=UTC), 2), (None, 0)])
def test_landed_rows_later_than_a_moment_are_counted_and_no_others(ahead_of, future):
    rows_ = row_filter(Window.of(None, "2025-01-20"), ahead_of=ahead_of)

    rows_.filter([lead("a", "2025-01-15 12:00:00"), lead("b", "2025-01-15 12:00:01"), lead("c", "2025-01-16")])
    rows_.filter([lead("b", "2025-01-15 12:00:01"), lead("d", "2025-01-21"), lead("e", "2025-01-01")])

    assert rows_.future == future


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
TIMES: Any = st.sampled_from(
    [
        *("2025-01-14 23:59:59", "2025-01-15 00:00:00", "2025-01-15T12:00:00Z", "2025-01-15T23:30:00-00:30"),
        *("2025-01-16 00:00:00", 1736937000, 1736937000123, "1736937000", "soon", "", None),
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
    many, parts_rejected = [], []
    for page in split:
        many.append(parts.filter(page))
        parts_rejected.append(parts.rejected)

    lines = [line for page_ in many for line in lines_of(page_)]
    rejected = [(reason, exact(row)) for some in parts_rejected for _, reason, row in some]
    assert lines == lines_of(one)
    assert rejected == [(reason, exact(row)) for _, reason, row in whole.rejected]
    for name in ("duplicates", "outside_window", "undated", "future", "first_at", "last_at"):
        assert getattr(parts, name) == getattr(whole, name), name
    assert len(rows) == len(lines) + parts.duplicates + parts.outside_window + len(rejected)

    # Each page's positions lead back to the rejected rows.
    for page, some in zip(split, parts_rejected, strict=True):
        assert all(page[position] is row for position, _, row in some)

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

    assert [exact(without_stamp(codec.loads(line))) for line in lines_of(page_)] == expected


@settings(max_examples=100, deadline=None)
@given(row=VALUES)
def test_any_rejected_row_can_be_written_down(row: Any) -> None:
    row = codec.loads(json.dumps(row))
    rows_ = row_filter()
    rows_.filter([[row]])
    (rejected,) = rows_.rejected
    assert exact(codec.loads(dump_line({"row": rejected[2]}))["row"]) == exact([row])


# ---------------------------------------------------------------------------------------------- order, from times alone
START = datetime(2025, 1, 1, tzinfo=UTC)


def times(*minutes: int) -> list[datetime]:
    return [START + timedelta(minutes=minute) for minute in minutes]


def watched(*pages: list[datetime]) -> RowOrder:
    order = RowOrder()
    for page in pages:
        order.watch(page)
    return order


VERDICTS: dict[str, list[list[list[int]]]] = {
    "unknown": [[], [[]], [[5]], [[5], [5], [5, 5]]],
    "newest_first": [[[5, 4, 3], [2, 1]], [[5, 5, 4], [4, 4]], [[5], [4], [], [3]]],
    "oldest_first": [[[1, 2, 3], [4]], [[1], [1], [2]]],
    "mixed": [
        *([[5, 4, 3], [4]], [[1, 2], [1]], [[1], [3], [2]], [[1, 3, 2]]),
        # Sorted page by page, but not from one page to the next.
        *([[3, 2, 1], [6, 5, 4]], [[1, 2, 3], [], [0, 1]]),
    ],
}


@pytest.mark.parametrize(
    ("verdict", "pages"), [(verdict, pages) for verdict, listings in VERDICTS.items() for pages in listings]
)
def test_the_verdict_covers_all_pages_and_the_seams_between_them(pages, verdict):
    assert watched(*[times(*page) for page in pages]).verdict == verdict


@given(st.lists(st.lists(st.integers(0, 6), max_size=5), max_size=6))
def test_rises_and_falls_are_what_comparing_every_pair_finds(pages):
    flat = [minute for page in pages for minute in page]

    order = watched(*[times(*page) for page in pages])

    assert order.rises == any(later > earlier for earlier, later in pairwise(flat))
    assert order.falls == any(later < earlier for earlier, later in pairwise(flat))


# -------------------------------------------------------------------------------------------------- knowing a row again
@pytest.mark.parametrize(
    "row_id", ["\ud83d", "\ud83d\ude00", "\U0001f600", "naïve", "日本", "a" * 100_000, "", "a\0", "\0a", 0, -1, 10**30]
)
def test_an_id_with_other_content_and_another_id_with_the_same_are_new_and_all_are_remembered(row_id):
    rows = [(row_id, b"1"), (row_id, b"2"), (f"{row_id}x", b"1"), ("a", b"1"), ("?", b"1")]
    seen = {version_key(*row) for row in rows}
    assert len(seen) == 5
    assert {version_key(*row) for row in rows} == seen


_MEASURE = """
import json, sys, tracemalloc
from airflow_provider_robofy.extract.rows import version_key
count, length = 200_000, int(sys.argv[1])
tracemalloc.start()
seen = set()
for number in range(count):
    seen.add(version_key(str(number).rjust(length, "x"), b"%d" % number))
assert len(seen) == count
now, peak = tracemalloc.get_traced_memory()
print(json.dumps([now / count, peak / count]))
"""


@pytest.mark.serial
@pytest.mark.parametrize("length", [10, 36])
def test_an_id_costs_at_most_130_bytes(length):
    done = subprocess.run([sys.executable, "-c", _MEASURE, str(length)], capture_output=True, text=True, check=True)

    held, peak = json.loads(done.stdout)

    assert held <= 130
    assert peak <= 130
