"""The time window that a run reads: half-open, stateless, the same when it runs again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.times import TimeReader

if TYPE_CHECKING:
    from typing import Self

Bound = datetime | str | float | None

#: The API's times and a user's bounds are parsed alike, so that one value never means two times.
_TIMES = TimeReader()
# A template with a missing value renders to one of these.
_ABSENT = {"", "none", "null"}

_ZERO_LENGTH = (
    "since and until are the same moment ({moment}), so the window is empty. Airflow 3 gives cron schedules a data "
    "interval of length zero; use schedule=CronDataIntervalTimetable(...) for one that spans the time since the run "
    "before, or set the config [scheduler] create_cron_data_intervals."
)


@dataclass(frozen=True, slots=True)
class Window:
    """A time window: from ``since`` (included) to ``until`` (excluded).

    :param since: Start in UTC, or None for no start. Default None.
    :param until: End in UTC, or None for no end. Default None.
    """

    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(cls, since: Bound, until: Bound) -> Self:
        """Parse the bounds that a user gave to an operator.

        :param since: Datetime, text in any form that :class:`~airflow_provider_robofy.api.times.TimeReader` reads,
            or seconds, milliseconds or microseconds since 1970. Without a zone it is in UTC, as dates in Airflow's
            templates are. None or empty text: no start.
        :param until: In the same forms. None or empty text: no end.
        :return: The window.
        :raises RobofyConfigError: A bound is not a time, the window is empty, or ``since`` is after ``until``.
        """
        window = cls(_read("since", since), _read("until", until))
        if window.since is not None and window.until is not None:
            if window.since == window.until:
                raise RobofyConfigError(_ZERO_LENGTH.format(moment=window.since.isoformat()))
            if window.since > window.until:
                raise RobofyConfigError(
                    f"since ({window.since.isoformat()}) is after until ({window.until.isoformat()})."
                )
        return window

    @property
    def mode(self) -> str:
        """Return ``full`` where neither bound is set, else ``window``."""
        return "full" if self.since is None and self.until is None else "window"

    def may_miss_late_rows(self, now: datetime, lag: timedelta) -> bool:
        """Return whether rows of the window may still appear after it was read.

        :param now: The time of the read, in UTC.
        :param lag: How long after its own time a row may appear in the listing.
        """
        return self.until is not None and self.until > earlier(now, lag)


def earlier(moment: datetime, by: timedelta) -> datetime:
    """Return an earlier time, at most back to the year 1.

    :param moment: The time, in UTC. An API may send the year 1 for "never".
    :param by: How much earlier. Negative: later, at most up to the year 9999.
    :return: The time in UTC.
    """
    try:
        return moment - by
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if by > timedelta(0) else datetime.max.replace(tzinfo=UTC)


def _read(name: str, value: Bound) -> datetime | None:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip()  # the number 1736937000 and the text "1736937000" mean the same
        if text.lower() in _ABSENT:
            return None
        try:
            return _TIMES.read(text)
        except ValueError:
            raise RobofyConfigError(
                f"{name}={text[:60]!r} is not a date or time. Write ISO 8601, for example 2025-01-15T10:30:00+00:00."
            ) from None
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise RobofyConfigError(f"{name} must be a datetime, ISO 8601 text or an epoch, not {type(value).__name__}.")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise RobofyConfigError(f"{name} ({value.isoformat()}) lies outside the years 1 to 9999 in UTC.") from None
