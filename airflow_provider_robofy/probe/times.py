"""In which form an account writes times, and what can be known of their zone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_TEXT = re.compile(
    r"\d{4}-\d\d-\d\d(?P<between>[T ])\d\d:\d\d(?P<seconds>:\d\d)?(?P<fraction>[.,]\d{1,9})?(?P<blank> ?)"
    r"(?P<zone>Z|[+-]\d\d:?\d\d|[+-]\d\d)?",
    re.ASCII,
)
_MILLISECONDS_FROM = 100_000_000_000
_QUARTER = 900
_EARLIEST, _LATEST = -12 * 3600, 14 * 3600
#: Seconds by which two clocks, or a lead's time and its turning up, may differ without meaning anything.
SLACK: Final = 30.0
#: Times this far ahead of the server's clock mean that the zone is read wrongly.
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


def form_of(value: Any) -> str | None:
    """Say how a time is written, such as ``YYYY-MM-DD HH:MM:SS``; None for what is no time in a form known here."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _epoch(value) if abs(value) >= 1e8 else None
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
    if zone and zone != "Z":
        zone = {6: "+HH:MM", 5: "+HHMM", 3: "+HH"}[len(zone)]
    return f"YYYY-MM-DD{match['between']}HH:MM{seconds}{fraction}{match['blank'] if zone else ''}{zone}"


def _epoch(number: float) -> str:
    return "milliseconds since 1970" if abs(number) >= _MILLISECONDS_FROM else "seconds since 1970"


def is_naive(form: str) -> bool:
    """Tell whether times of a form name no zone."""
    return form.startswith("YYYY") and not form.endswith(("Z", "+HH:MM", "+HHMM", "+HH"))


@dataclass(slots=True)
class ZoneEvidence:
    """Collect what tells of the zone of times that name none. All times are read as if they were UTC.

    :param ahead: Seconds that the newest time lay ahead of the server's clock, at most; None before there is one.
    :param fresh: Bounds of the zone's offset, in seconds, from rows that came between two looks at the listing.
    :param hints: IANA names that the account itself gives somewhere.
    """

    ahead: float | None = None
    fresh: list[tuple[float, float]] = field(default_factory=list)
    hints: set[str] = field(default_factory=set)

    def newest(self, at: datetime, now: datetime) -> None:
        """Take the newest time of a listing, and the server's clock when it was read."""
        ahead = (at - now).total_seconds()
        self.ahead = ahead if self.ahead is None else max(ahead, self.ahead)

    def came(self, at: datetime, after: datetime, before: datetime) -> None:
        """Take the time of a row that was not there at one moment and was at a later one."""
        self.fresh.append(((at - before).total_seconds() - SLACK, (at - after).total_seconds() + SLACK))

    @property
    def least(self) -> int | None:
        """Return the smallest offset, in seconds, that leaves no row in the future; None where nothing tells."""
        if self.ahead is None or self.ahead <= FUTURE:
            return None
        return ceil((self.ahead - SLACK) / _QUARTER) * _QUARTER

    @property
    def exact(self) -> int | None:
        """Return the zone's offset in seconds where rows that came meanwhile leave just one quarter of an hour."""
        if not self.fresh:
            return None
        low, high = max(low for low, _ in self.fresh), min(high for _, high in self.fresh)
        fits = range(
            max(ceil(low / _QUARTER), _EARLIEST // _QUARTER), min(floor(high / _QUARTER), _LATEST // _QUARTER) + 1
        )
        if len(fits) != 1:
            return None
        offset = fits[0] * _QUARTER
        return offset if self.least is None or offset >= self.least else None

    def zone(self, now: datetime) -> str | None:
        """Return the zone that the evidence is good enough to set, or None.

        Either rows that came meanwhile say the offset, or times in the future rule out the zone in use and the
        account names one that fits. A zone that is only possible is not returned.
        """
        exact, least = self.exact, self.least
        if exact is not None:
            return _named(exact, self.hints, now)
        if least is not None:
            fitting = [name for name in sorted(self.hints) if offset_of(name, now) >= least]
            return fitting[0] if len(fitting) == 1 else None
        return None


def offset_of(zone: str, now: datetime) -> int:
    """Return a zone's offset from UTC in seconds."""
    offset = now.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    return int(offset.total_seconds())


def _named(offset: int, hints: Collection[str], now: datetime) -> str | None:
    fitting: Sequence[str] = [name for name in sorted(hints) if offset_of(name, now) == offset]
    if fitting:
        return fitting[0]
    if offset == 0:
        return "UTC"
    # The sign of these names is the other way round than everybody's.
    return f"Etc/GMT{-offset // 3600:+d}" if offset % 3600 == 0 else _FRACTIONS.get(offset)


def said_offset(seconds: float) -> str:
    """Write an offset as people do: ``UTC+05:30``."""
    minutes = round(abs(seconds) / 60)
    return f"UTC{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def said_span(seconds: float) -> str:
    """Write a span of time roughly: ``2 h 5 min``."""
    whole = round(abs(seconds))
    if whole < 120:
        return f"{whole} s"
    whole = round(whole / 60) * 60
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    parts = ((days, "d"), (hours, "h"), (minutes if not days else 0, "min"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def utc(at: datetime) -> datetime:
    """Return a moment in UTC, one without a zone taken as that."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
