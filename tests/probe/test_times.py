"""Forms of times, and what tells of a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.probe.times import ZoneEvidence, form_of, is_naive, offset_of, offset_text, span_text

NOW = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "form", "naive"),
    [
        ("2025-01-15 10:30:00", "YYYY-MM-DD HH:MM:SS", True),
        ("2025-01-15T10:30:00.123", "YYYY-MM-DDTHH:MM:SS.fff", True),
        ("2025-01-15T10:30", "YYYY-MM-DDTHH:MM", True),
        ("2025-01-15T10:30:00Z", "YYYY-MM-DDTHH:MM:SSZ", False),
        ("2025-01-15 10:30:00 +0530", "YYYY-MM-DD HH:MM:SS +HHMM", False),
        ("2025-01-15T10:30:00+05:30", "YYYY-MM-DDTHH:MM:SS+HH:MM", False),
        ("2025-01-15T10:30:00-05", "YYYY-MM-DDTHH:MM:SS+HH", False),
        (1736937000, "seconds since 1970", False),
        (1736937000123, "milliseconds since 1970", False),
        ("1736937000", "seconds since 1970, as text", False),
    ],
)
def test_forms_are_named(value, form, naive):
    assert form_of(value) == form
    assert is_naive(form) == naive


@given(st.one_of(st.text(), st.integers(-(10**7), 10**7), st.booleans(), st.none()))
def test_what_is_no_time_has_no_form_or_one_of_the_few(value):
    form = form_of(value)
    assert form is None or set(form) <= set("YMDHSTZf-:. +") or "since 1970" in form


def evidence(*, ahead: float | None = None, fresh: float | None = None, waited: float = 5, hints: tuple[str, ...] = ()):
    found = ZoneEvidence(hints=set(hints))
    if ahead is not None:
        found.newest(NOW + timedelta(seconds=ahead), NOW)
    if fresh is not None:
        at = NOW + timedelta(seconds=fresh + waited / 2)
        found.came(at, NOW, NOW + timedelta(seconds=waited))
        found.newest(at, NOW + timedelta(seconds=waited))
    return found


@given(st.integers(-12 * 4, 14 * 4).map(lambda quarters: quarters * 900), st.floats(0, 700))
def test_a_row_that_came_meanwhile_gives_any_offset_to_the_quarter_hour(offset, waited):
    assert evidence(fresh=offset, waited=waited).exact == offset


def test_one_row_in_a_long_wait_gives_no_offset():
    assert evidence(fresh=3600, waited=1800).exact is None


def test_a_row_that_came_late_does_not_pass_for_another_zone():
    found = evidence(ahead=7200)
    found.came(NOW + timedelta(seconds=3600), NOW, NOW + timedelta(seconds=5))
    assert found.least == 7200
    assert found.exact is None


@pytest.mark.parametrize(("ahead", "least"), [(-5, None), (200, None), (3500, 3600), (3600, 3600), (6900, 7200)])
def test_times_in_the_future_give_the_least_offset(ahead, least):
    assert evidence(ahead=ahead).least == least


@pytest.mark.parametrize(
    ("found", "zone"),
    [
        (evidence(), None),
        (evidence(ahead=-100_000, hints=("Asia/Tokyo",)), None),
        (evidence(ahead=7000), None),
        (evidence(ahead=7000, hints=("Asia/Tokyo",)), "Asia/Tokyo"),
        (evidence(ahead=7000, hints=("America/New_York",)), None),
        (evidence(ahead=7000, hints=("Asia/Tokyo", "Asia/Kolkata")), None),
        (evidence(fresh=3600, hints=("Europe/Berlin", "Asia/Tokyo")), "Europe/Berlin"),
        (evidence(fresh=3600, hints=("Asia/Tokyo",)), "Etc/GMT-1"),
        (evidence(fresh=-18000), "Etc/GMT+5"),
        (evidence(fresh=0), "UTC"),
        (evidence(fresh=20700), "Asia/Kathmandu"),
        (evidence(fresh=31500), None),
    ],
)
def test_a_zone_is_named_only_with_evidence(found, zone):
    assert found.zone(NOW) == zone


@given(st.integers(-12, 14))
def test_the_zones_without_a_place_have_the_offset_that_is_meant(hours):
    zone = evidence(fresh=hours * 3600).zone(NOW)
    assert zone is not None
    assert offset_of(zone, NOW) == hours * 3600


def test_offsets_and_spans_read_well():
    assert offset_text(19800) == "UTC+05:30"
    assert offset_text(-18000) == "UTC-05:00"
    assert [span_text(seconds) for seconds in (0, 119, 7500, 90000)] == ["0 s", "119 s", "2 h 5 min", "1 d 1 h"]
