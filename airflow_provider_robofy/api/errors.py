"""The exceptions of the provider.

None derives from ``AirflowException``, because a sensor with ``soft_fail`` would turn that into a skip. Operators and
sensors read :attr:`RobofyError.permanent`, and fail the task at once where a retry cannot help.

No message contains a key, a body or a value of a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from datetime import datetime


class RobofyError(Exception):
    """Base of all errors of this provider. The message says what went wrong and what to do."""

    #: Whether a retry without any change would fail in the same way.
    permanent: ClassVar[bool] = False

    @property
    def may_pass(self) -> bool:
        """Return whether a later poll may succeed, so that a sensor goes on."""
        return isinstance(self, RobofyCallError) and not self.permanent


class RobofyConfigError(RobofyError):
    """A connection field, argument or setting must be changed; the message names it."""

    permanent = True


class RobofyCancelledError(RobofyError):
    """The task was killed while it was calling Robofy."""


class RobofyDataError(RobofyError):
    """More rows were rejected, or more documents failed, than the task allows.

    :ivar manifest: Manifest of the file that was written all the same, as a dictionary.
    """

    manifest: dict[str, Any] | None = None


class RobofyLandingError(RobofyError):
    """A file could not be written, read back or overwritten."""


class RobofyDatabaseError(RobofyError):
    """A database failed while a file was loaded. The table contains no row of the file."""


class RobofyDatabaseRefusedError(RobofyDatabaseError):
    """A database refused the load, and would refuse a retry too."""

    permanent = True


class RobofyLedgerError(RobofyError):
    """The ledger of uploads cannot be used, so nothing was uploaded."""

    permanent = True


class RobofyUncertainError(RobofyError):
    """It is not known whether uploads have arrived. Check at Robofy before you repeat them."""

    permanent = True


class RobofyCrawlError(RobofyError):
    """A crawl failed or did not end in time."""


class RobofyForeignFileError(RobofyLandingError):
    """The output path belongs to another agent, window or run, and is not overwritten."""

    permanent = True


class RobofyCallError(RobofyError):
    """One call failed. The message has endpoint, time and number of attempts.

    :param message: What happened, without body, key or personal data.
    :param endpoint: Endpoint name and path template, for example ``list_leads (GET /v1/...)``. Default empty.
    :param requested_at: When the failed attempt was sent, in UTC. Robofy's support asks for it. Default None.
    :param advice: What to do next. Default empty.
    :param status: HTTP status of the answer; None where none came. Default None.
    :param content_type: Its Content-Type, without parameters. Default empty.
    :param code: Robofy's error code in upper case, for example ``PROJECT_NOT_FOUND``. Default empty: it sent none.
    :param detail: Robofy's error message, shortened, without the ids of the call. Default empty.
    """

    #: Whether a later attempt of the same call may succeed.
    transient: bool = False
    #: Whether it is certain that Robofy did not act on the request. Only then is a POST repeated.
    refused: bool = False
    #: Seconds to wait, from the answer's ``Retry-After``; None without that header.
    retry_after: float | None = None
    #: How often the call was sent.
    attempts: int = 1
    #: Page of the listing that could not be read, from 1; None for other calls.
    page: int | None = None

    def __init__(
        self,
        message: str,
        *,
        endpoint: str = "",
        requested_at: datetime | None = None,
        advice: str = "",
        status: int | None = None,
        content_type: str = "",
        code: str = "",
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.endpoint = endpoint
        self.requested_at = requested_at
        self.advice = advice
        self.status = status
        self.content_type = content_type
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        """Return the message with endpoint, time, attempts and advice."""
        parts = [f"{self.endpoint}: {self.args[0]}" if self.endpoint else str(self.args[0])]
        if self.requested_at is not None:
            tries = f", attempt {self.attempts}" if self.attempts > 1 else ""
            page = f"page {self.page}, " if self.page is not None else ""
            parts.append(f"({page}requested at {self.requested_at:%Y-%m-%dT%H:%M:%SZ}{tries})")
        if self.advice:
            parts.append(self.advice)
        return " ".join(parts)


class RobofyConnectionError(RobofyCallError):
    """No complete answer came: the connection was refused or dropped, or a timeout passed."""


class RobofyResponseError(RobofyCallError):
    """The answer is not the JSON that the endpoint returns."""


class RobofyApiError(RobofyCallError):
    """Robofy answered with an error."""

    #: How the message begins.
    summary: ClassVar[str] = "Robofy answered that the call failed"


class RobofyAuthError(RobofyApiError):
    """Robofy refused the API key."""

    permanent = True
    summary = "Robofy refused the API key"


class RobofyNotFoundError(RobofyApiError):
    """A project, agent, session or path does not exist for this key."""

    permanent = True
    summary = "Robofy found no such resource"


class RobofyBadRequestError(RobofyApiError):
    """Robofy did not accept the parameters."""

    permanent = True
    summary = "Robofy did not accept the request"


class RobofyRateLimitError(RobofyApiError):
    """The account sends too many requests."""

    transient = True
    refused = True
    summary = "Robofy limits the rate of requests"


class RobofyServerError(RobofyApiError):
    """Robofy failed on its side."""

    summary = "Robofy failed"
