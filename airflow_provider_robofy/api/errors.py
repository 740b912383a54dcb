"""The exception tree of the provider.

Nothing here derives from ``AirflowException``: a sensor's ``soft_fail`` would turn such an error into a skip. The
Airflow skin reads :attr:`RobofyError.permanent` and fails the task at once where a retry cannot help.

No message holds a key, a body or a value of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from datetime import datetime


class RobofyError(Exception):
    """Say what went wrong between this provider and Robofy, and what to do about it."""

    #: Would the same task, tried again with nothing changed, fail in the same way?
    permanent: ClassVar[bool] = False


class RobofyConfigError(RobofyError):
    """Name the connection field, argument or setting that has to be mended."""

    permanent = True


class RobofyCancelledError(RobofyError):
    """Tell that the task was killed while it was talking to Robofy."""


class RobofyDataError(RobofyError):
    """Tell that rows were refused in a number that the task does not allow.

    :ivar manifest: What landed all the same, as plain JSON.
    """

    manifest: dict[str, Any] | None = None


class RobofyLandingError(RobofyError):
    """Tell that a file could not be written, read back or overwritten."""


class RobofyDatabaseError(RobofyError):
    """Tell that a database failed while rows were loaded into it; nothing of the file is in the table."""


class RobofyDatabaseRefusedError(RobofyDatabaseError):
    """Tell that a database refused what was asked of it, and would again."""

    permanent = True


class RobofyLedgerError(RobofyError):
    """Tell that the ledger of uploads cannot be used, so that nothing was uploaded."""

    permanent = True


class RobofyUncertainError(RobofyError):
    """Tell that uploads may or may not have arrived, which only a person can find out."""

    permanent = True


class RobofyCrawlError(RobofyError):
    """Tell that a crawl failed or did not end in time."""


class RobofyForeignFileError(RobofyLandingError):
    """Tell that a place holds the result of something else, which is not overwritten."""

    permanent = True


class RobofyCallError(RobofyError):
    """Describe one failed call: which endpoint, when, after how many attempts.

    :param message: What happened, in a sentence without body, key or personal data.
    :param endpoint: Endpoint name and path template, for example ``list_leads (GET /v1/...)``.
    :param requested_at: When the failing attempt was sent, UTC. Robofy's support asks for it.
    :param advice: What the reader can do next.
    """

    #: May a later attempt of the same call succeed?
    transient: bool = False
    #: Is it certain that Robofy did not act on the request? Only then is a POST repeated.
    refused: bool = False
    #: Seconds that the answer asked the caller to wait.
    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        requested_at: datetime | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.requested_at = requested_at
        self.advice = advice
        self.attempts = 1

    def __str__(self) -> str:
        """Return the sentence a person needs, with what Robofy's support asks for."""
        parts = [f"{self.endpoint}: {self.args[0]}" if self.endpoint else str(self.args[0])]
        if self.requested_at is not None:
            tries = f", attempt {self.attempts}" if self.attempts > 1 else ""
            parts.append(f"(requested at {self.requested_at:%Y-%m-%dT%H:%M:%SZ}{tries})")
        if self.advice:
            parts.append(self.advice)
        return " ".join(parts)


class RobofyConnectionError(RobofyCallError):
    """Tell that no complete answer came: refused, dropped, timed out."""


class RobofyResponseError(RobofyCallError):
    """Tell that an answer came which is not the JSON it should be.

    :param status: HTTP status of the answer.
    :param content_type: Its Content-Type, without parameters.
    """

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        requested_at: datetime | None = None,
        advice: str = "",
        status: int | None = None,
        content_type: str = "",
    ) -> None:
        super().__init__(message, endpoint=endpoint, requested_at=requested_at, advice=advice)
        self.status = status
        self.content_type = content_type


class RobofyApiError(RobofyCallError):
    """Carry the error that Robofy answered with.

    :param status: HTTP status of the answer.
    :param code: Robofy's own code, upper case, for example ``PROJECT_NOT_FOUND``; empty when it sent none.
    :param detail: Robofy's own sentence, shortened, without the ids of the call.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        detail: str = "",
        endpoint: str = "",
        requested_at: datetime | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message, endpoint=endpoint, requested_at=requested_at, advice=advice)
        self.status = status
        self.code = code
        self.detail = detail


class RobofyAuthError(RobofyApiError):
    """Tell that the API key was refused."""

    permanent = True


class RobofyNotFoundError(RobofyApiError):
    """Tell that a project, agent, session or path does not exist for this key."""

    permanent = True


class RobofyBadRequestError(RobofyApiError):
    """Tell that Robofy did not accept the parameters."""

    permanent = True


class RobofyRateLimitError(RobofyApiError):
    """Tell that the account asks too often."""

    transient = True
    refused = True


class RobofyServerError(RobofyApiError):
    """Tell that Robofy failed on its side."""
