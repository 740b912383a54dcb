"""Why something could not be found out, in words that hold nothing of what Robofy wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyAuthError,
    RobofyConfigError,
    RobofyNotFoundError,
    RobofyRateLimitError,
    RobofyResponseError,
)
from airflow_provider_robofy.probe.words import known

if TYPE_CHECKING:
    from airflow_provider_robofy.api.errors import RobofyError

MISSING: Final = "missing"
REFUSED: Final = "refused"
FORBIDDEN: Final = "forbidden"
LIMITED: Final = "limited"
UNREACHABLE: Final = "unreachable"
FAILED: Final = "failed"
FOREIGN: Final = "foreign"
SPENT: Final = "spent"
UNFIT: Final = "unfit"

#: How much is lost with a failure: after these, asking on is of no use.
FINAL: Final = frozenset({REFUSED, LIMITED, UNREACHABLE, SPENT})

_ADVICE: Final = {
    REFUSED: "Copy the API key from Robofy's dashboard again, and check that it belongs to this account.",
    FORBIDDEN: "The key may not read this. Check its rights in Robofy's dashboard.",
    LIMITED: "Set requests_per_minute (here --requests-per-minute) and probe again later.",
    UNREACHABLE: "Check the host, the network and the proxy settings (HTTPS_PROXY, NO_PROXY).",
    SPENT: "Probe again with larger --max-requests or --max-seconds.",
    UNFIT: "Check the ids that were given.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Say why a call came to nothing.

    :param kind: One of this module's words.
    :param what: A sentence for people.
    :param thing: For :data:`MISSING`: did Robofy say that the project or agent is what is missing?
    """

    kind: str
    what: str
    thing: bool = False

    @property
    def advice(self) -> str:
        """Say what to do about it."""
        if self.thing:
            return "Check project_id and chatbot_id: Robofy says that one of them does not exist for this key."
        return _ADVICE.get(self.kind, "Try again later; if it stays so, give the endpoint to Robofy's support.")


def failure_of(error: RobofyError, *, answered: bool) -> Failure:
    """Turn an error of the client into words of our own.

    :param error: What was raised; its own text may quote Robofy and is not used.
    :param answered: Has an earlier call of this probe been answered?
    """
    if isinstance(error, RobofyApiError):
        return _of_answer(error, answered=answered)
    if isinstance(error, RobofyConfigError):
        return Failure(UNFIT, "an id cannot be put into a path")
    if isinstance(error, RobofyResponseError):
        status = error.status or 0
        if 300 <= status < 400:
            return Failure(FOREIGN, f"HTTP {status}, a redirect that the client does not follow")
        html = " (it is HTML)" if error.content_type == "text/html" else ""
        return Failure(FOREIGN, f"HTTP {status}, but no JSON that the provider understands{html}")
    if answered:
        return Failure(FAILED, "no complete answer came")
    return Failure(UNREACHABLE, "no connection, or no complete answer")


def _of_answer(error: RobofyApiError, *, answered: bool) -> Failure:
    said = f"HTTP {error.status}" + (f" {error.code}" if error.code and known(error.code.lower()) else "")
    if isinstance(error, RobofyAuthError):
        # Once the key has opened anything, a 403 is about the one thing that was asked for.
        if error.status == 403 and answered:
            return Failure(FORBIDDEN, said)
        return Failure(REFUSED, f"the key is refused, {said}")
    if isinstance(error, RobofyRateLimitError):
        return Failure(LIMITED, f"{said}: the account asks to be asked less often")
    if isinstance(error, RobofyNotFoundError) or error.status == 405:
        thing = any(word in error.code for word in ("PROJECT", "CHATBOT", "AGENT"))
        return Failure(MISSING, said, thing=thing and error.status != 405)
    return Failure(FAILED, said)
