"""Reading one session: its messages, or why there are none."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.endpoints import list_session_messages
from airflow_provider_robofy.api.errors import RobofyAuthError, RobofyCallError, RobofyError, RobofyNotFoundError
from airflow_provider_robofy.extract.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_provider_robofy.api.aio import AsyncRobofyClient
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy, Pseudonyms

#: After so many failures in sequence the others are not tried any more: with all its attempts each takes seconds.
FEWEST_TO_GIVE_UP = 50
#: Failures that the log tells one by one.
_TOLD = 10

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReadSession:
    """Hold what came of one session.

    :param session_id: Which one.
    :param transcript: Its messages; of use only without an error.
    :param pages: Pages they came on.
    :param error: Why it could not be read to its end, or None.
    """

    session_id: str
    transcript: Transcript
    pages: int = 0
    error: RobofyError | None = None

    @property
    def is_gone(self) -> bool:
        """Tell whether the session does not exist any more, which is no failure."""
        return isinstance(self.error, RobofyNotFoundError)

    def failure(self, name: str) -> bytes:
        """Return the line of the file of failed sessions.

        :param name: What the log calls the session.
        """
        error = self.error
        facts: dict[str, Any] = {}
        if isinstance(error, RobofyCallError):
            facts = {
                "endpoint": error.endpoint,
                "status": getattr(error, "status", None),
                "attempts": error.attempts,
                "requested_at": error.requested_at,
            }
        message = error.args[0] if error is not None else None
        return dump_line(
            {
                "session_id": self.transcript.session_id,
                "session": name,
                "error": type(error).__name__,
                "message": message,
                **facts,
            }
        )

    def close(self) -> None:
        """Let go of the messages."""
        self.transcript.close()


class SessionReader:
    """Read sessions of one agent.

    :param client: How to ask.
    :param chatbot_id: The agent.
    :param stamp: Fields to add to every message.
    :param folder: Where long sessions wait until they are written.
    :param pseudonyms: What a session is called in the log.
    :param privacy: What becomes of personal data, or None.
    :param at_a_time: Sessions read at a time. A short outage strikes so many at once.
    """

    def __init__(
        self,
        client: AsyncRobofyClient,
        *,
        chatbot_id: str,
        stamp: Mapping[str, Any],
        folder: Path,
        pseudonyms: Pseudonyms,
        privacy: PrivacyPolicy | None,
        at_a_time: int,
    ) -> None:
        self._client = client
        self._chatbot_id = chatbot_id
        self._stamp = stamp
        self._folder = folder
        self._pseudonyms = pseudonyms
        self._privacy = privacy
        self._patience = max(FEWEST_TO_GIVE_UP, 5 * at_a_time)
        self._failures = self._in_sequence = 0

    async def read(self, session_id: str) -> ReadSession:
        """Return a session's messages, all of its pages, or the error that stands for them.

        :raises RobofyError: Something is wrong that would be wrong with every session: the key, the agent.
        """
        transcript = Transcript(session_id, stamp=self._stamp, folder=self._folder, privacy=self._privacy)
        read = ReadSession(session_id, transcript)
        try:
            self._check_hope()
            async for page in self._client.pages(list_session_messages(self._chatbot_id, session_id)):
                read.transcript.add(page.rows)
                read.pages += 1
        except RobofyError as error:
            read.close()
            if isinstance(error, RobofyAuthError) or _is_about_more(error):
                raise
            read.error = error
            if not read.is_gone:
                self._note(session_id, error)
                return read
        except BaseException:
            read.close()
            raise
        self._in_sequence = 0
        return read

    def _check_hope(self) -> None:
        if self._in_sequence >= self._patience:
            raise RobofyError(f"not asked any more, because {self._in_sequence} sessions in sequence had failed")

    def _note(self, session_id: str, error: RobofyError) -> None:
        self._failures += 1
        self._in_sequence += 1
        if self._failures <= _TOLD:
            _log.warning("Session %s failed: %s", self._pseudonyms.short(session_id), error)
        if self._failures == _TOLD:
            _log.warning("Further failures are not told here; all are in the file of failed sessions.")
        if self._in_sequence == self._patience:
            _log.error("%s sessions in sequence have failed. The others are not asked any more.", self._patience)


def _is_about_more(error: RobofyError) -> bool:
    """Tell whether "not found" means something that the session is only a part of."""
    code = error.code if isinstance(error, RobofyNotFoundError) else ""
    return "SESSION" not in code and any(word in code for word in ("PROJECT", "CHATBOT", "AGENT"))
