"""What a trigger tells the task that it wakes: small, plain, without personal data (Airflow logs it)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyError

if TYPE_CHECKING:
    from collections.abc import Mapping


class RobofyTriggerError(RobofyError):
    """A trigger ended its wait with an error."""


class RobofyPermanentTriggerError(RobofyTriggerError):
    """The same, where a retry would have the same error."""

    permanent = True


def done(value: Any) -> dict[str, Any]:
    """Return the event of a wait that is over.

    :param value: What the task returns; small, since it travels through Airflow's database.
    """
    return {"status": "done", "value": value}


def timed_out() -> dict[str, Any]:
    """Return the event of a deadline that has passed."""
    return {"status": "timeout"}


def failed(error: Exception) -> dict[str, Any]:
    """Return the event of an error. The text of one that is not ours stays in the trigger's log.

    :param error: What ended the wait.
    """
    ours = isinstance(error, RobofyError)
    return {
        "status": "error",
        "message": str(error) if ours else f"The trigger failed with {type(error).__name__}; its log says more.",
        "permanent": isinstance(error, RobofyError) and error.permanent,
    }


def value_of(event: Mapping[str, Any] | None, *, on_timeout: Exception) -> Any:
    """Return what a trigger waited for.

    :param event: What it sent.
    :param on_timeout: What to raise where its deadline has passed.
    :raises RobofyTriggerError: It met an error, or sent nothing that can be understood.
    """
    status = (event or {}).get("status")
    if event is not None and status == "done":
        return event.get("value")
    if status == "timeout":
        raise on_timeout
    if event is not None and status == "error":
        kind = RobofyPermanentTriggerError if event.get("permanent") else RobofyTriggerError
        raise kind(str(event.get("message")))
    raise RobofyTriggerError("The trigger ended without saying what it found. Its log, in the triggerer, may tell.")
