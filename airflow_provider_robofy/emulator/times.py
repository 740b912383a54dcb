"""Times as the API writes them, and as a person gives them to the control API."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_robofy.emulator.settings import Settings


def zone_of(settings: Settings) -> tzinfo:
    """
    Return the zone of naive timestamps; UTC without the zone database, which a slim container may lack.

    :param settings: where its name is.
    """
    return UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)


def now(settings: Settings) -> int:
    """
    Return this server's time in whole seconds since 1970, its clock's error included.

    :param settings: where that error is.
    """
    return int(time.time() + settings.clock_offset)


def writer(settings: Settings) -> Callable[[int], str | int]:
    """
    Return the function that writes seconds since 1970 the way the settings ask for.

    :param settings: zone and format.
    """
    zone = zone_of(settings)
    match settings.time_format:
        case "z":
            return lambda moment: datetime.fromtimestamp(moment, UTC).isoformat()[:19] + "Z"
        case "offset":
            return lambda moment: datetime.fromtimestamp(moment, zone).isoformat()
        case "epoch":
            return lambda moment: moment
        case "epoch_ms":
            return lambda moment: moment * 1000
        case _:
            return lambda moment: datetime.fromtimestamp(moment, zone).isoformat(" ")[:19]


def read(value: Any, settings: Settings) -> int:
    """
    Read a time given by a person: a datetime, ISO 8601 text, or seconds since 1970.

    :param value: what was given; without a zone it counts as one in the zone of the settings.
    :param settings: where that zone is.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no time")  # noqa: TRY004 - callers report one kind of bad value
    if isinstance(value, int | float):
        return int(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no time: give ISO 8601 or seconds since 1970") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no time: give ISO 8601 or seconds since 1970")  # noqa: TRY004 - as above
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone_of(settings))
    return int(value.timestamp())
