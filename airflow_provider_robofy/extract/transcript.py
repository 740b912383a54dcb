"""Encode what is read of one session, page by page, into lines to land and lines to reject."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from datetime import UTC, datetime
from hashlib import blake2b
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.endpoints import list_leads, list_session_messages
from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.rows import FUTURE, NO_OBJECT, TAKEN_NAME, TOO_DEEP, RowFilter, rejected_line
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.resources import (
    CONVERSATIONS,
    LEADS,
    MESSAGE_COUNT,
    MESSAGE_KEY,
    MESSAGES,
    POSITION,
    SESSION_ID,
    TRANSCRIPT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.api.errors import RobofyError
    from airflow_provider_robofy.extract.landed import LandedSessions
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy

_UTC = TimeReader()
_DIGEST = 16
#: Bytes of lines that a session keeps in memory. Beyond that they are written to an unnamed file.
_IN_MEMORY = 1 << 18
#: Bytes of a conversation that lands as one row. A longer one fails.
LONGEST_CONVERSATION = 16_000_000


class SessionRows(ABC):
    """Base of what is read of one session: its rows, encoded, and the counts and times of the manifest.

    :param session_id: Id of the session.
    :param stamp: Fields to add to every row.
    :param folder: Folder for the lines of a long session. The file there has no name: it disappears when the process
        ends, and no other process can open it.
    :param privacy: The privacy policy. Default None.
    :param times: Parser of the API's times, for rows that have a known time. Default: UTC.
    """

    #: Name of the resource that lands, and of the endpoint that it is read from.
    resource: ClassVar[str]
    endpoint: ClassVar[str] = "list_session_messages"

    def __init__(
        self,
        session_id: str,
        *,
        stamp: Mapping[str, Any],
        folder: Path,
        privacy: PrivacyPolicy | None = None,
        times: TimeReader = _UTC,
    ) -> None:
        self.session_id = session_id
        #: The session's id in the landed rows.
        self.landed_id = session_id if privacy is None else privacy.session(session_id)
        #: Encoded lines to land, in order; likewise those of the rejected file.
        self.landing: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 (close() closes it)
        self.rejected: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 (close() closes it)
        #: Counts of the manifest by its fields: ``pages``, ``received`` and, where rows have a known time, others.
        self.counts: Counter[str] = Counter()
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        #: The error for which the session could not be read to its end; the rows are not valid then.
        self.error: RobofyError | None = None
        self._privacy = privacy
        self._added = {**stamp, SESSION_ID: self.landed_id}
        self._times = times
        self._begin()

    def _begin(self) -> None:  # noqa: B027 (not every encoder needs it)
        """Prepare for the first page."""

    @staticmethod
    def call(sessions: LandedSessions, session_id: str) -> Call[Rows]:
        """Return the call for the first page.

        :param sessions: The landed sessions.
        :param session_id: Id of the session.
        """
        return list_session_messages(sessions.chatbot_id, session_id)

    @abstractmethod
    def add(self, rows: list[Any]) -> None:
        """Encode the rows of the next page.

        :param rows: The rows as decoded from JSON. They are not changed.
        """

    def finish(self) -> None:  # noqa: B027 (most encoders have nothing left to do)
        """Encode what needs all rows."""

    def close(self) -> None:
        """Release memory and files."""
        self.landing.close()
        self.rejected.close()

    def _reject(self, position: int, reason: str, row: Any) -> None:
        facts = {"session_id": self.landed_id, "position": position, "reason": reason}
        self.rejected.write(rejected_line(facts, row, self._privacy))


class Transcript(SessionRows):
    """Encode the messages of one session, one row each.

    Usage::

        transcript = Transcript(session_id, stamp={"_chatbot_id": ...}, folder=folder)
        for page in pages:
            transcript.add(page.rows)

    The API's row is kept, and ``_session_id``, ``_position`` (from 0, in the API's order) and ``_message_key`` are
    added. The API is not known to give messages an id, so the key is a hash of the session, of the row, and of the
    number of equal rows before it in the session. The keys do not depend on the order of rows. ::

        {"_message_key":"5d2f...","_position":0,"_chatbot_id":"UOmf...","_session_id":"8f1c...","message":"Hello"}

    The arguments are those of :class:`SessionRows`. The key is computed after the privacy policy is applied.
    """

    resource = MESSAGES.name

    def _begin(self) -> None:
        self._names = self._added.keys() | {MESSAGE_KEY, POSITION}
        # The added fields, encoded once for the session and not for each row.
        self._stamp = dump_line(self._added).removeprefix(b"{").removesuffix(b"}\n")
        # As JSON, so that the end of the id is unambiguous in the hash.
        self._hash = blake2b(dump_line(self.landed_id), digest_size=_DIGEST)
        self._copies: dict[bytes, int] = {}

    def add(self, rows: list[Any]) -> None:
        """Encode the rows of the next page.

        :param rows: The rows as decoded from JSON. They are not changed.
        """
        lines = bytearray()
        names, stamp = self._names, self._stamp
        for position, row in enumerate(rows, self.counts["received"]):
            if type(row) is not dict:
                self._reject(position, NO_OBJECT, row)
            elif not names.isdisjoint(row):
                self._reject(position, TAKEN_NAME, row)
            else:
                try:
                    content = dump_line(row if self._privacy is None else self._privacy.land(row))
                except (ValueError, RecursionError):
                    self._reject(position, TOO_DEEP, row)
                    continue
                key = self._key(content).encode()
                fields = b"," + content[1:] if content != b"{}\n" else b"}\n"
                lines += b'{"_message_key":"%b","_position":%d,%b%b' % (key, position, stamp, fields)
                if len(lines) >= _IN_MEMORY:
                    self.landing.write(lines)
                    lines = bytearray()
        self.counts["received"] += len(rows)
        self.landing.write(lines)

    def _key(self, content: bytes) -> str:
        message = self._hash.copy()
        message.update(content)
        digest = message.digest()
        copy = self._copies.get(digest, 0)
        self._copies[digest] = copy + 1
        if copy:
            digest = blake2b(b"%s %d" % (digest, copy), digest_size=_DIGEST).digest()
        return digest.hex()


class Conversation(SessionRows):
    """Encode the messages of one session into one row.

    The arguments are those of :class:`SessionRows`. The row, in which each message is as the API sent it::

        {"_chatbot_id":"UOmf...","_session_id":"8f1c...","_message_count":2,"_transcript":[{"message":"Hello"},...]}
    """

    resource = CONVERSATIONS.name

    def _begin(self) -> None:
        self._messages = bytearray()
        self._count = 0

    def add(self, rows: list[Any]) -> None:
        """Encode the messages of the next page.

        :param rows: The messages as decoded from JSON. They are not changed.
        :raises RobofyDataError: The conversation is too long for one row.
        """
        for position, row in enumerate(rows, self._count + self.counts["received"]):
            if type(row) is not dict:
                self._reject(position, NO_OBJECT, row)
                self.counts["received"] += 1
                continue
            try:
                # As deeply nested as it lands, so that what is too deep is found here.
                content = dump_line([[row if self._privacy is None else self._privacy.land(row)]])[2:-3]
            except (ValueError, RecursionError):
                self._reject(position, TOO_DEEP, row)
                self.counts["received"] += 1
                continue
            self._messages += b",%b" % content if self._count else content
            self._count += 1
            if len(self._messages) > LONGEST_CONVERSATION:
                raise RobofyDataError(
                    f"the conversation has more than {LONGEST_CONVERSATION // 1_000_000} MB, which is too long for one "
                    "row. Read it with rows='messages'."
                )

    def finish(self) -> None:
        """Write the row. It counts as received, as each rejected message does."""
        fields = dump_line({**self._added, MESSAGE_COUNT: self._count}).removesuffix(b"}\n")
        self.landing.write(b'%b,"%b":[%b]}\n' % (fields, TRANSCRIPT.encode(), bytes(self._messages)))
        self._messages = bytearray()
        self.counts["received"] += 1


class SessionLeads(SessionRows):
    """Encode the leads of one session. The sessions must have a project.

    The arguments are those of :class:`SessionRows`.
    """

    resource = LEADS.name
    endpoint = "list_leads"

    def _begin(self) -> None:
        self._rows = RowFilter(
            LEADS,
            window=Window(),
            read_time=self._times.read,
            stamp=self._added,
            privacy=self._privacy,
            keep_rows=False,
            ahead_of=datetime.now(UTC) + FUTURE,
        )
        #: The ids on the first page.
        self.first_ids: tuple[str, ...] | None = None

    @staticmethod
    def call(sessions: LandedSessions, session_id: str) -> Call[Rows]:
        """Return the call for the first page; see :meth:`SessionRows.call`."""
        return list_leads(sessions.project_id or "", sessions.chatbot_id, session_id=session_id)

    def add(self, rows: list[Any]) -> None:
        """Encode the leads of the next page.

        :param rows: The leads as decoded from JSON. They are not changed.
        """
        if self.first_ids is None:
            self.first_ids = tuple(sorted(str(row.get(LEADS.key)) for row in rows if type(row) is dict))
        first = self.counts["received"]
        page = self._rows.filter(rows, lambda position, *rest: self._reject(first + position, *rest))
        self.landing.write(page.lines)
        self.counts["received"] += len(rows)

    def finish(self) -> None:
        """Take the counts and times."""
        rows = self._rows
        self.counts.update(duplicates=rows.duplicates, undated=rows.undated, future=rows.future)
        self.first_at, self.last_at = rows.first_at, rows.last_at


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file in blocks of whole lines.

    :param file: File of a session's rows: ``landing`` or ``rejected``. It is read from its beginning.
    """
    file.seek(0)
    while lines := file.readlines(_IN_MEMORY):
        yield b"".join(lines)
