"""The stretch of time that a run reads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pendulum
import pytest

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.window import Window

NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "bound",
    [
        *(NOON, datetime(2025, 1, 15, 12), NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))),
        *("2025-01-15T12:00:00Z", "2025-01-15T12:00:00+00:00", "2025-01-15T13:00:00+01:00", "2025-01-15 12:00:00"),
        *("  2025-01-15T12:00  ", "20250115T120000Z", "Wed, 15 Jan 2025 13:00:00 +0100", "2025-01-15 12:00:00 UTC"),
        *(1736942400, "1736942400000"),
        pendulum.datetime(2025, 1, 15, 13, tz="Europe/Berlin"),
    ],
)
def test_a_bound_is_read_as_utc_however_it_is_written(bound):
    window = Window.of(bound, None)

    assert window.since is not None
    assert window.since.isoformat() == "2025-01-15T12:00:00+00:00"
    assert (window.until, window.mode) == (None, "window")


@pytest.mark.parametrize("number", [1, 1.5, -1736942400, float("nan"), float("inf"), 1e300])
def test_a_number_that_is_no_epoch_is_refused(number):
    with pytest.raises(RobofyConfigError, match=r"since=.* is not a date or time"):
        Window.of(number, None)


def test_a_date_alone_is_its_first_moment():
    assert Window.of("2025-01-15", "2025-01-16") == Window(
        datetime(2025, 1, 15, tzinfo=UTC), datetime(2025, 1, 16, tzinfo=UTC)
    )


@pytest.mark.parametrize("absent", [None, "", "  ", "None", "none", "null", "NULL"])
def test_what_a_template_makes_of_nothing_leaves_the_side_open(absent):
    assert Window.of(absent, absent) == Window(None, None)
    assert Window.of(absent, absent).mode == "full"
    assert Window.of(absent, NOON).mode == "window"


@pytest.mark.parametrize("until", [NOON, "2025-01-15T13:00:00+01:00", "2025-01-15 12:00"])
def test_an_empty_window_is_an_error_that_explains_airflow_3s_cron_intervals(until):
    with pytest.raises(RobofyConfigError, match=r"CronDataIntervalTimetable.*create_cron_data_intervals") as raised:
        Window.of(NOON, until)

    assert "2025-01-15T12:00:00+00:00" in str(raised.value)
    assert raised.value.permanent


def test_a_backward_window_is_an_error_that_names_both_bounds():
    with pytest.raises(RobofyConfigError) as raised:
        Window.of("2025-01-16", "2025-01-15")

    assert str(raised.value) == "since (2025-01-16T00:00:00+00:00) is after until (2025-01-15T00:00:00+00:00)."


@pytest.mark.parametrize(
    "text", ["yesterday", "15.01.2025", "2025-13-01", "173694240", "01/02/2025", "{{ x }}", "x" * 500]
)
@pytest.mark.parametrize("name", ["since", "until"])
def test_an_unreadable_bound_is_an_error_that_names_it_and_stays_short(name, text):
    with pytest.raises(RobofyConfigError, match=f"^{name}='") as raised:
        Window.of(**{"since": None, "until": None, name: text})

    assert "ISO 8601" in str(raised.value)
    assert len(str(raised.value)) < 200
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("value", [date(2025, 1, 15), True, ["2025-01-15"], timedelta(days=1)])
def test_a_bound_of_another_type_is_an_error_that_names_the_type(value):
    with pytest.raises(RobofyConfigError, match=rf"until must be a datetime.*not {type(value).__name__}"):
        Window.of(None, value)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_bound_that_utc_cannot_hold_is_a_configuration_error(text):
    with pytest.raises(RobofyConfigError, match="since"):
        Window.of(text, None)
    with pytest.raises(RobofyConfigError, match="since"):
        Window.of(datetime.fromisoformat(text), None)


@pytest.mark.parametrize(
    ("minutes", "late"), [(None, False), (-1440, False), (-10, False), (-9.999, True), (0, True), (1440, True)]
)
def test_late_rows_may_be_missed_by_a_window_that_ends_within_the_lag(minutes, late):
    until = None if minutes is None else NOON + timedelta(minutes=minutes)
    assert Window(None, until).may_miss_late_rows(NOON, timedelta(minutes=10)) is late
