"""Robofy's timestamps in every form that has been met, and the local times that occur twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.times import TimeReader, read_duration

MOMENT = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
ZONES = ["UTC", "Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]


@pytest.mark.parametrize(
    "value",
    [
        # Without a zone, and with one.
        *("2025-01-15 10:30:00", "2025-01-15T10:30:00", "2025-01-15T10:30", "2025-01-15T10:30:00.000000"),
        *("20250115T103000", "  2025-01-15 10:30:00\n"),
        *("2025-01-15T10:30:00Z", "2025-01-15t10:30:00z", "2025-01-15T10:30:00.000000000Z"),
        *("2025-01-15 10:30:00 UTC", "2025-01-15 10:30:00 utc", "2025-01-15T10:30:00GMT"),
        *("2025-01-15 10:30:00+00:00", "2025-01-15 12:30:00+02:00", "2025-01-15T16:00:00+0530"),
        "2025-01-15 05:30:00-05",
        # As in the header of a mail.
        *("Wed, 15 Jan 2025 10:30:00 GMT", "Wed, 15 Jan 2025 11:30:00 +0100", "15 Jan 2025 10:30 -0000"),
        # Seconds, milliseconds, microseconds.
        *(1736937000, 1736937000.0, "1736937000", "1736937000.0", " 1736937000 "),
        *(1736937000000, 1736937000000.0, "1736937000000", 1736937000000000, "1736937000000000"),
        "\u0661\u0667\u0663\u0666\u0669\u0663\u0667\u0660\u0660\u0660",
    ],
)
def test_one_moment_is_read_in_each_of_its_forms(value):
    read = TimeReader().read(value)
    assert read == MOMENT
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, [], {}, b"2025-01-15", "", " ", "soon", "UTC", "secret \ud83d"),
        # No such day or hour; day or month first; a zone that has no fixed offset, or two of them.
        *("2025-13-01 00:00:00", "2025-02-30 00:00:00", "2025-01-15 25:00:00", "0000-00-00 00:00:00"),
        *("15/01/2025", "01/15/2025 10:30 AM", "15.01.2025 10:30", "Wed, 15 Jan 2025 10:30:00"),
        *("Wed, 15 Jan 2025 10:30:00 CET", "2025-01-15 10:30:00+02:00 UTC"),
        # Beyond any unit, and beyond the calendar.
        *(float("nan"), float("inf"), -float("inf"), 10**30, -(10**30), "9" * 5000, "17369370001"),
        *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_what_is_no_time_is_refused_without_being_repeated(value):
    for zone in ("UTC", "Europe/Berlin"):
        with pytest.raises(ValueError, match=r"^not a readable time$") as caught:
            TimeReader(zone).read(value)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "year"),
    [("0001-01-01T00:00:00Z", 1), ("0001-01-01 00:00:00", 1), (-62135596800, 1), (0, 1970), (-1, 1969)],
)
def test_a_zero_time_is_a_date_like_any_other(value, year):
    assert TimeReader().read(value).year == year


def test_no_microsecond_of_a_number_is_lost():
    assert TimeReader().read(1736937000123456) == MOMENT + timedelta(microseconds=123456)
    assert TimeReader().read("1736937000.25") == MOMENT + timedelta(seconds=0.25)


@pytest.mark.parametrize("number", [1712010211234, 1701010000000, 1712312359999, 1709251530000])
def test_milliseconds_as_text_are_not_taken_for_a_date_of_the_year_1712(number):
    """Thirteen digits may be YYYYMMDD, any separator, HHMM."""
    assert TimeReader().read(str(number)) == datetime.fromtimestamp(number / 1000, UTC)


@given(st.integers(10**12, 10**13 - 1))
def test_milliseconds_mean_the_same_as_number_and_as_text(number):
    read = TimeReader("Europe/Berlin").read
    assert read(str(number)) == read(number)


@pytest.mark.parametrize(
    ("zone", "local", "utc"),
    [
        ("Europe/Berlin", "2025-01-15 10:30:00", "2025-01-15T09:30:00+00:00"),
        ("Europe/Berlin", "2025-07-15 10:30:00", "2025-07-15T08:30:00+00:00"),
        ("Asia/Kolkata", "2025-01-15 10:30:00", "2025-01-15T05:00:00+00:00"),
        # Clocks set back: the hour from two to three comes twice, and the later one is meant.
        ("Europe/Berlin", "2025-10-26 01:59:59", "2025-10-25T23:59:59+00:00"),
        ("Europe/Berlin", "2025-10-26 02:00:00", "2025-10-26T01:00:00+00:00"),
        ("Europe/Berlin", "2025-10-26 03:00:00", "2025-10-26T02:00:00+00:00"),
        # Clocks set forward: the hour never comes, and the later reading is taken.
        ("Europe/Berlin", "2025-03-30 02:30:00", "2025-03-30T01:30:00+00:00"),
        # Half an hour of it.
        ("Australia/Lord_Howe", "2025-04-06 01:45:00", "2025-04-05T15:15:00+00:00"),
    ],
)
def test_a_time_without_zone_is_read_in_the_connections_zone(zone, local, utc):
    assert TimeReader(zone).read(local).isoformat() == utc


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("value", ["2025-10-26T02:30:00Z", "2025-10-26 03:30:00+01:00", 1761445800])
def test_a_zone_of_its_own_goes_before_the_connections(zone, value):
    assert TimeReader(zone).read(value) == datetime(2025, 10, 26, 2, 30, tzinfo=UTC)


@given(
    st.datetimes(min_value=datetime(1902, 1, 1), max_value=datetime(2400, 1, 1)),
    st.sampled_from(ZONES),
    st.sampled_from([" ", "T"]),
)
def test_what_a_zones_clock_shows_is_read_back_and_never_earlier(moment, zone, between):
    moment = moment.replace(tzinfo=UTC)
    shown = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    read = TimeReader(zone).read(shown.isoformat(between))
    assert read >= moment
    assert read.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == shown
    assert read == moment or read - moment <= timedelta(days=1)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_a_time_with_an_offset_is_read_back(local, offset):
    moment = local.replace(tzinfo=offset)
    assert TimeReader("Europe/Berlin").read(moment.isoformat()) == moment


@given(st.text() | st.integers() | st.floats() | st.none())
def test_anything_is_a_time_in_utc_or_refused(value):
    try:
        read = TimeReader("America/New_York").read(value)
    except ValueError as refused:
        assert str(refused) == "not a readable time"  # noqa: PT017
    else:
        assert read.tzinfo is UTC


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/passwd", "GMT+1 ", "\x00", "Berlin"]
)
def test_an_unknown_zone_is_refused_by_its_field(zone):
    with pytest.raises(RobofyConfigError, match=r"Connection extra timezone: .* is not an IANA zone name"):
        TimeReader(zone)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(600, 600), (0, 0), (0.5, 0.5), (timedelta(days=7), 604_800), (timedelta(0), 0)],
)
def test_a_duration_is_a_timedelta_or_seconds(value, seconds):
    assert read_duration("lag", value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("lag must be a timedelta or a number of seconds, not", [True, "600", None, [600], datetime(2025, 1, 15)]),
        ("lag must not be negative", [-1, -1e-3, timedelta(seconds=-1)]),
        ("lag=.* is not a duration", [float("nan"), float("inf"), float("-inf"), 10**400, 1e15]),
    ],
)
def test_what_is_no_duration_is_refused_under_its_name(words, values):
    for value in values:
        with pytest.raises(RobofyConfigError, match=f"^{words}") as raised:
            read_duration("lag", value)
        assert type(value).__name__ in str(raised.value) or "timedelta" not in words
        assert len(str(raised.value)) < 200


@pytest.mark.parametrize("value", [0, 0.0, timedelta(0), 1e-9])
def test_zero_can_be_refused(value):
    with pytest.raises(RobofyConfigError, match="poll_interval must be above 0"):
        read_duration("poll_interval", value, zero=False)
