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
    """Base of all errors of this provider: what went wrong, and what to do about it."""

    #: Would the same task, tried again with nothing changed, fail in the same way?
    permanent: ClassVar[bool] = False

    @property
    def may_pass(self) -> bool:
        """Return whether a sensor should go on: the next poll may succeed where this one failed."""
        return isinstance(self, RobofyCallError) and not self.permanent


class RobofyConfigError(RobofyError):
    """A connection field, argument or setting has to be changed; the message names it."""

    permanent = True


class RobofyCancelledError(RobofyError):
    """The task was killed while it was talking to Robofy."""


class RobofyDataError(RobofyError):
    """More rows were rejected, or more documents failed, than the task allows.

    :ivar manifest: What landed all the same, as plain JSON.
    """

    manifest: dict[str, Any] | None = None


class RobofyLandingError(RobofyError):
    """A file could not be written, read back or overwritten."""


class RobofyDatabaseError(RobofyError):
    """A database failed while rows were loaded into it; nothing of the file is in the table."""


class RobofyDatabaseRefusedError(RobofyDatabaseError):
    """A database refused the load, and would again."""

    permanent = True


class RobofyLedgerError(RobofyError):
    """The ledger of uploads cannot be used, so nothing was uploaded."""

    permanent = True


class RobofyUncertainError(RobofyError):
    """Uploads may or may not have arrived, which only a person can find out."""

    permanent = True


class RobofyCrawlError(RobofyError):
    """A crawl failed or did not end in time."""


class RobofyForeignFileError(RobofyLandingError):
    """The output path holds the result of something else, which is not overwritten."""

    permanent = True


class RobofyCallError(RobofyError):
    """One call failed: which endpoint, when, after how many attempts.

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
        #: Page of the listing that could not be read, from 1; None for other calls.
        self.page: int | None = None

    def __str__(self) -> str:
        """Return the sentence a person needs, with what Robofy's support asks for."""
        parts = [f"{self.endpoint}: {self.args[0]}" if self.endpoint else str(self.args[0])]
        if self.requested_at is not None:
            tries = f", attempt {self.attempts}" if self.attempts > 1 else ""
            page = f"page {self.page}, " if self.page is not None else ""
            parts.append(f"({page}requested at {self.requested_at:%Y-%m-%dT%H:%M:%SZ}{tries})")
        if self.advice:
            parts.append(self.advice)
        return " ".join(parts)


class RobofyConnectionError(RobofyCallError):
    """No complete answer came: refused, dropped, timed out."""


class RobofyResponseError(RobofyCallError):
    """An answer came that is not the JSON it should be.

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
    """Robofy answered with an error.

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
    """Robofy refused the API key."""

    permanent = True


class RobofyNotFoundError(RobofyApiError):
    """A project, agent, session or path does not exist for this key."""

    permanent = True


class RobofyBadRequestError(RobofyApiError):
    """Robofy did not accept the parameters."""

    permanent = True


class RobofyRateLimitError(RobofyApiError):
    """The account sends too many requests."""

    transient = True
    refused = True


class RobofyServerError(RobofyApiError):
    """Robofy failed on its side."""
