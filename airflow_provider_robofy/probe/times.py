"""In which form an account writes times, and what can be known of their zone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from airflow_provider_robofy.api.times import TimeReader

if TYPE_CHECKING:
    from datetime import datetime

_TEXT: Final = re.compile(
    r"\d{4}-\d\d-\d\d(?P<between>[T ])\d\d:\d\d(?P<seconds>:\d\d)?(?P<fraction>[.,]\d{1,9})?(?P<blank> ?)"
    r"(?P<zone>Z|[+-]\d\d:?\d\d|[+-]\d\d)?",
    re.ASCII,
)
_OFFSETS: Final = {6: "+HH:MM", 5: "+HHMM", 3: "+HH"}
_MILLISECONDS_FROM: Final = 100_000_000_000
_LEAST_EPOCH: Final = 1e8
_QUARTER: Final = 900
_EARLIEST, _LATEST = -12 * 4, 14 * 4  # offsets of zones, in quarters of an hour
#: Seconds by which two clocks, or a lead's time and its arrival, may differ without meaning anything.
SLACK: Final = 30.0
#: Times this many seconds ahead of the server's clock mean that the zone is read wrongly.
FUTURE: Final = 300.0
#: Zones whose offset is no whole hour and that know no summer time: the well-known ones.
_FRACTIONS: Final = {
    12_600: "Asia/Tehran",
    16_200: "Asia/Kabul",
    19_800: "Asia/Kolkata",
    20_700: "Asia/Kathmandu",
    23_400: "Asia/Yangon",
    34_200: "Australia/Darwin",
}
_read = TimeReader("UTC").read


def moment(value: Any) -> datetime | None:
    """Return the time that a value means in UTC, or None.

    :param value: A field's value. A small number is a count or a flag, and no moment in January 1970.
    """
    if isinstance(value, int | float) and form_of(value) is None:
        return None
    try:
        return _read(value)
    except ValueError:
        return None


def form_of(value: Any) -> str | None:
    """Return how a time is written, such as ``YYYY-MM-DD HH:MM:SS``; None for what is no time in a known form.

    :param value: A field's value.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _epoch(value) if abs(value) >= _LEAST_EPOCH else None
    if not isinstance(value, str):
        return None
    if value.isdecimal() and len(value) in {10, 13}:
        return f"{_epoch(int(value))}, as text"
    match = _TEXT.fullmatch(value.strip())
    if match is None:
        return None
    seconds = ":SS" if match["seconds"] else ""
    fraction = f".{'f' * (len(match['fraction']) - 1)}" if match["fraction"] else ""
    zone = match["zone"] or ""
    zone = match["blank"] + _OFFSETS.get(len(zone), zone) if zone else ""
    return f"YYYY-MM-DD{match['between']}HH:MM{seconds}{fraction}{zone}"


def _epoch(number: float) -> str:
    return "milliseconds since 1970" if abs(number) >= _MILLISECONDS_FROM else "seconds since 1970"


def is_naive(form: str) -> bool:
    """Return whether times of a form name no zone.

    :param form: As :func:`form_of` returns it.
    """
    return form.startswith("YYYY") and not form.endswith(("Z", *_OFFSETS.values()))


@dataclass(slots=True)
class ZoneEvidence:
    """Collect evidence of the zone of times that name none. All times are read as if they were UTC.

    :param ahead: Seconds that the newest time lay ahead of the server's clock, at most; None before there is one.
    :param fresh: Bounds of the zone's offset, in seconds, from rows that came between two reads of the listing.
    :param hints: IANA names that the account itself gives somewhere.
    """

    ahead: float | None = None
    fresh: list[tuple[float, float]] = field(default_factory=list)
    hints: set[str] = field(default_factory=set)

    def newest(self, at: datetime, now: datetime) -> None:
        """Add the newest time of a listing.

        :param at: The time.
        :param now: The server's clock when it was read.
        """
        ahead = (at - now).total_seconds()
        self.ahead = ahead if self.ahead is None else max(ahead, self.ahead)

    def came(self, at: datetime, after: datetime, before: datetime) -> None:
        """Add the time of a row that came between two moments.

        :param at: The time.
        :param after: The server's clock when the row was not there yet.
        :param before: The server's clock when it was there.
        """
        self.fresh.append(((at - before).total_seconds() - SLACK, (at - after).total_seconds() + SLACK))
        self.newest(at, before)

    @property
    def least(self) -> int | None:
        """Return the smallest offset, in seconds, that leaves no row in the future; None where nothing shows it."""
        if self.ahead is None or self.ahead <= FUTURE:
            return None
        return ceil((self.ahead - SLACK) / _QUARTER) * _QUARTER

    @property
    def exact(self) -> int | None:
        """Return the offset in seconds where rows that came meanwhile leave just one quarter of an hour, else None."""
        if not self.fresh:
            return None
        low = max(_EARLIEST, *(ceil(low / _QUARTER) for low, _ in self.fresh))
        high = min(_LATEST, *(floor(high / _QUARTER) for _, high in self.fresh))
        offset = low * _QUARTER
        return offset if low == high and (self.least is None or offset >= self.least) else None

    def zone(self, now: datetime) -> str | None:
        """Return the zone that the evidence is good enough to set, or None.

        Either rows that came meanwhile show the offset, or times in the future rule out the zone in use and the
        account names one that fits. A zone that is only possible is not returned.

        :param now: The moment at which offsets of zones count.
        """
        exact, least = self.exact, self.least
        if exact is None:
            fitting = [name for name in self.hints if least is not None and offset_of(name, now) >= least]
            return fitting[0] if len(fitting) == 1 else None
        named = [name for name in sorted(self.hints) if offset_of(name, now) == exact]
        if named or exact == 0:
            return named[0] if named else "UTC"
        # The sign of these names is opposite to the usual one.
        return f"Etc/GMT{-exact // 3600:+d}" if exact % 3600 == 0 else _FRACTIONS.get(exact)


def offset_of(zone: str, now: datetime) -> int:
    """Return a zone's offset from UTC in seconds.

    :param zone: IANA name.
    :param now: The moment at which it counts.
    """
    offset = now.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    return int(offset.total_seconds())


def offset_text(seconds: float) -> str:
    """Return an offset as people write it, such as ``UTC+05:30``.

    :param seconds: East of UTC.
    """
    minutes = round(abs(seconds) / 60)
    return f"UTC{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def span_text(seconds: float) -> str:
    """Return a span of time roughly, such as ``2 h 5 min``.

    :param seconds: Its length; a sign is left out.
    """
    whole = round(abs(seconds))
    if whole < 120:
        return f"{whole} s"
    whole = round(whole / 60) * 60
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    parts = ((days, "d"), (hours, "h"), (minutes if not days else 0, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
