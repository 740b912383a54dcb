"""Parse Robofy's timestamps, and the durations that users give.

The API documents times such as ``2025-01-15 10:30:00`` without a zone, so the zone is a setting. Other common forms are
read too if they have one meaning: ISO 8601 and RFC 3339 with an offset, ``Z``, ``UTC`` or ``GMT``; RFC 2822; seconds,
milliseconds and microseconds since 1970. A date such as ``01/02/2025`` has two meanings and is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from typing import NoReturn
from zoneinfo import ZoneInfo

from airflow_provider_robofy.api.errors import RobofyConfigError

_DOCUMENTED_LENGTH = len("2025-01-15 10:30:00")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# From these numbers on, the unit is milliseconds or microseconds: as seconds they would be after the year 5138.
_MILLISECONDS_FROM = 100_000_000_000
_MICROSECONDS_FROM = 100_000_000_000_000
#: Seconds, milliseconds and microseconds since 1970, for the years from 2001 to 2286.
_EPOCH_TEXT = re.compile(r"(\d{10}|\d{13}|\d{16})(\.\d+)?")
_NAMED_UTC = re.compile(r"(.+?)\s*(?:UTC|GMT|Z)", re.IGNORECASE)
#: ``Wed, 15 Jan 2025 10:30:00 +0100``. RFC 2822 requires the zone.
_RFC_2822 = re.compile(
    r"(?:[A-Z][a-z]{2},\s+)?\d{1,2}\s+[A-Z][a-z]{2}\s+\d{4}\s+\d{1,2}:\d\d(?::\d\d)?\s+(?:[+-]\d{4}|UTC?|GMT|Z)"
)


def read_duration(name: str, value: object, *, zero: bool = True) -> timedelta:
    """Parse a duration that a user gave.

    :param name: Name of the argument, for the error.
    :param value: A timedelta, or a number of seconds.
    :param zero: Whether it may be zero. Default True.
    :return: The duration.
    :raises RobofyConfigError: The value has another type, or is negative, not finite or too large for a timedelta.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number and not isinstance(value, timedelta):
        raise RobofyConfigError(
            f"{name} must be a timedelta or a number of seconds, not {type(value).__name__}: for example "
            f"{name}=timedelta(minutes=10) or {name}=600."
        )
    try:
        duration = value if isinstance(value, timedelta) else timedelta(seconds=float(value))  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise RobofyConfigError(
            f"{name}={str(value)[:40]} is not a duration: give a finite number of seconds, or a timedelta."
        ) from None
    if duration < timedelta(0):
        raise RobofyConfigError(f"{name} must not be negative.")
    if not duration and not zero:
        raise RobofyConfigError(f"{name} must be above 0 seconds.")
    return duration


class TimeReader:
    """Parse timestamps of the API into aware datetimes in UTC.

    Usage::

        read = TimeReader("Europe/Berlin").read
        read("2025-01-15 10:30:00")  # 09:30 UTC

    :param timezone: IANA name of the zone of timestamps that carry none. Default UTC.
    :raises RobofyConfigError: There is no such zone.
    """

    def __init__(self, timezone: str = "UTC") -> None:
        try:
            zone: tzinfo = ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise RobofyConfigError(
                f"Connection extra timezone: {timezone!r} is not an IANA zone name such as 'Europe/Berlin' or 'UTC'."
            ) from None
        self.timezone = timezone
        self._zone: tzinfo | None = None if timezone in {"UTC", "Etc/UTC"} else zone

    def read(self, value: object) -> datetime:
        """Parse a timestamp.

        A local time that occurs twice, when clocks are set back, is read as the later of the two. So is a time that
        clocks skip. The row then never has a time before a cursor's watermark that it should come after.

        :param value: ISO 8601 or RFC 2822 text, or seconds, milliseconds or microseconds since 1970.
        :return: The time in UTC.
        :raises ValueError: The value is not a time. The message does not contain it.
        """
        if self._zone is None and type(value) is str and len(value) == _DOCUMENTED_LENGTH:
            try:
                # The documented form. Appending the offset to the text is faster than replace(tzinfo=UTC).
                return datetime.fromisoformat(f"{value}+00:00")
            except ValueError:
                pass  # another form of that length
        try:
            if type(value) is str:
                try:
                    # Digits first: 13 digits can also be parsed as an ISO time of the year 1712.
                    time = _read_other_text(value) if value.isdecimal() else datetime.fromisoformat(value)
                except ValueError:
                    time = _read_other_text(value.strip())
            elif isinstance(value, int | float) and not isinstance(value, bool):
                time = _from_epoch(value)
            else:
                return _refuse()
            if time.tzinfo is None:
                return time.replace(tzinfo=UTC) if self._zone is None else self._later(time)
            return time.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            return _refuse()

    def _later(self, local: datetime) -> datetime:
        return max(local.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1))


def _read_other_text(text: str) -> datetime:
    if _EPOCH_TEXT.fullmatch(text):
        return _from_epoch(int(text) if text.isdecimal() else float(text))
    if _RFC_2822.fullmatch(text):
        # "-0000" means that the zone is not known; the time is in UTC.
        time = parsedate_to_datetime(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time
    if named := _NAMED_UTC.fullmatch(text):
        time = datetime.fromisoformat(named.group(1))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else _refuse()  # an offset as well as a zone's name
    return datetime.fromisoformat(text)


def form_of(value: object) -> str:
    """Return the form of a time that cannot be parsed, without its value, such as ``99.99.9999 99:99``.

    :param value: The value of the time field.
    :return: The text with digits as 9 and letters as a, or the name of the value's type.
    """
    if not isinstance(value, str):
        return "null" if value is None else type(value).__name__
    shown = "".join("9" if one.isdigit() else "a" if one.isalpha() else one for one in value[:40])
    return repr(shown if len(value) <= len(shown) else f"{shown}...")


def _refuse() -> NoReturn:
    raise ValueError("not a readable time") from None


def _from_epoch(number: float) -> datetime:
    size = abs(number)
    unit = 1_000_000 if size >= _MICROSECONDS_FROM else 1000 if size >= _MILLISECONDS_FROM else 1
    # Not fromtimestamp(), which loses microseconds of a large float and fails before 1970 on some systems.
    whole, rest = divmod(number, unit)
    return _EPOCH + timedelta(seconds=whole, microseconds=rest * 1_000_000 / unit)
