"""Reading Robofy's timestamps.

The API documents times such as ``2025-01-15 10:30:00`` and names no zone, so the zone is a setting. Offsets, ``Z`` and
epoch numbers are read too: other clients of the API have met them.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import NoReturn
from zoneinfo import ZoneInfo

from airflow_provider_robofy.api.errors import RobofyConfigError

# From here on a number is milliseconds: as seconds it would lie beyond the year 5138.
_MILLISECONDS_FROM = 100_000_000_000
_DOCUMENTED_LENGTH = len("2025-01-15 10:30:00")
_EPOCH_DIGITS = {10, 13}


class TimeReader:
    """Read a timestamp of the API as an aware datetime in UTC.

    Usage::

        read = TimeReader("Europe/Berlin").read
        read("2025-01-15 10:30:00")  # 09:30 UTC

    :param timezone: IANA name of the zone of timestamps that name none. Default UTC.
    :raises RobofyConfigError: The zone is unknown.
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
        """Return the instant that a value of the API means.

        A local time that occurs twice, because clocks are set back, is read as the later of the two; so is one that
        never occurs. Nothing then falls before a mark that it lies behind.

        :param value: ISO 8601 text with or without zone, or seconds or milliseconds since 1970.
        :raises ValueError: The value is no time. The message does not repeat it.
        """
        if self._zone is None and type(value) is str and len(value) == _DOCUMENTED_LENGTH:
            try:
                # The documented form. Written behind the text, the zone costs less than put in afterwards.
                return datetime.fromisoformat(f"{value}+00:00")
            except ValueError:
                pass  # another form of that length
        try:
            if type(value) is str:
                try:
                    # Digits first: 13 of them may also be an ISO time of the year 1712.
                    time = self._read_other_text(value) if value.isdecimal() else datetime.fromisoformat(value)
                except ValueError:
                    time = self._read_other_text(value.strip())
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

    @staticmethod
    def _read_other_text(text: str) -> datetime:
        if text.isdecimal() and len(text) in _EPOCH_DIGITS:
            return _from_epoch(int(text))
        return datetime.fromisoformat(text)


def _refuse() -> NoReturn:
    raise ValueError("not a readable time") from None


def _from_epoch(number: float) -> datetime:
    seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
    return datetime.fromtimestamp(seconds, UTC)
