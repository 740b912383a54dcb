"""Events that a trigger sends to its task: small JSON without personal data, because Airflow logs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyError

if TYPE_CHECKING:
    from collections.abc import Mapping


class RobofyTriggerError(RobofyError):
    """A trigger ended its wait with an error."""


class RobofyPermanentTriggerError(RobofyTriggerError):
    """A trigger ended its wait with an error that a retry cannot fix."""

    permanent = True


def done(value: Any) -> dict[str, Any]:
    """Return the event of a wait that has succeeded.

    :param value: The task's result. Small, because Airflow stores it in its database.
    :return: ``{"status": "done", "value": ...}``
    """
    return {"status": "done", "value": value}


def timed_out() -> dict[str, Any]:
    """Return the event of a deadline that has passed.

    :return: ``{"status": "timeout"}``
    """
    return {"status": "timeout"}


def failed(error: Exception) -> dict[str, Any]:
    """Return the event of an error.

    :param error: The error that ended the wait. Only the text of a :class:`RobofyError` goes into the event; the text
        of any other error stays in the trigger's log.
    :return: ``{"status": "error", "message": "...", "permanent": false}``
    """
    ours = isinstance(error, RobofyError)
    return {
        "status": "error",
        "message": str(error) if ours else f"The trigger failed with {type(error).__name__}. See the triggerer's log.",
        "permanent": isinstance(error, RobofyError) and error.permanent,
    }


def value_of(event: Mapping[str, Any] | None, *, on_timeout: Exception) -> Any:
    """Return the value of a trigger's event.

    :param event: The event, such as ``{"status": "done", "value": 3}``.
    :param on_timeout: The exception to raise for a deadline that has passed.
    :return: The value under ``value``.
    :raises RobofyTriggerError: The event reports an error, or its status is not known.
    """
    status = (event or {}).get("status")
    if event is not None and status == "done":
        return event.get("value")
    if status == "timeout":
        raise on_timeout
    if event is not None and status == "error":
        kind = RobofyPermanentTriggerError if event.get("permanent") else RobofyTriggerError
        raise kind(str(event.get("message")))
    raise RobofyTriggerError(
        "The trigger ended with an event that this version does not know. Its log in the triggerer has the reason; a "
        "triggerer and a worker with different versions of the provider can cause this."
    )
