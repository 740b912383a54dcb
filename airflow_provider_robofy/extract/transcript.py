"""Encode the messages of one session, page by page, into lines to land and lines to reject."""

from __future__ import annotations

from hashlib import blake2b
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.extract.rows import NO_OBJECT, TAKEN_NAME, TOO_DEEP, rejected_line
from airflow_provider_robofy.resources import MESSAGE_KEY, POSITION, SESSION_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from airflow_provider_robofy.extract.privacy import PrivacyPolicy

_DIGEST = 16
#: Bytes of lines that a session keeps in memory. Beyond that they are written to an unnamed file.
_IN_MEMORY = 1 << 18


class Transcript:
    """Encode the messages of one session.

    Usage::

        transcript = Transcript(session_id, stamp={"_chatbot_id": ...}, folder=folder)
        for page in pages:
            transcript.add(page.rows)

    The API's row is kept, and ``_session_id``, ``_position`` (from 0, in the API's order) and ``_message_key`` are
    added. The API is not known to give messages an id, so the key is a hash of the session, of the row, and of the
    number of equal rows before it in the session. The keys do not depend on the order of rows. ::

        {"_message_key":"5d2f...","_position":0,"_chatbot_id":"UOmf...","_session_id":"8f1c...","message":"Hello"}

    :param session_id: Id of the session.
    :param privacy: The privacy policy. The key is computed after it is applied. Default None.
    :param stamp: Fields to add to every row.
    :param folder: Folder for the lines of a long session. The file there has no name: it disappears when the process
        ends, and no other process can open it.
    """

    __slots__ = ("_copies", "_hash", "_names", "_privacy", "_stamp", "landing", "received", "rejected", "session_id")

    def __init__(
        self, session_id: str, *, stamp: Mapping[str, Any], folder: Path, privacy: PrivacyPolicy | None = None
    ) -> None:
        #: The session's id in the landed rows.
        self.session_id = session_id = session_id if privacy is None else privacy.session(session_id)
        #: Encoded lines to land, in order; likewise those of the rejected file.
        self.landing: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 (close() closes it)
        self.rejected: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 (close() closes it)
        #: Rows that the API has sent.
        self.received = 0
        self._privacy = privacy
        added = {**stamp, SESSION_ID: session_id}
        self._names = added.keys() | {MESSAGE_KEY, POSITION}
        # The added fields, encoded once for the session and not for each row.
        self._stamp = dump_line(added).removeprefix(b"{").removesuffix(b"}\n")
        # As JSON, so that the end of the id is unambiguous in the hash.
        self._hash = blake2b(dump_line(session_id), digest_size=_DIGEST)
        self._copies: dict[bytes, int] = {}

    def add(self, rows: list[Any]) -> None:
        """Encode the rows of the next page.

        :param rows: The rows as decoded from JSON. They are not changed.
        """
        lines = bytearray()
        names, stamp = self._names, self._stamp
        for position, row in enumerate(rows, self.received):
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
        self.received += len(rows)
        self.landing.write(lines)

    def close(self) -> None:
        """Release memory and files."""
        self.landing.close()
        self.rejected.close()

    def _key(self, content: bytes) -> str:
        message = self._hash.copy()
        message.update(content)
        digest = message.digest()
        copy = self._copies.get(digest, 0)
        self._copies[digest] = copy + 1
        if copy:
            digest = blake2b(b"%s %d" % (digest, copy), digest_size=_DIGEST).digest()
        return digest.hex()

    def _reject(self, position: int, reason: str, row: Any) -> None:
        try:
            kept = row if self._privacy is None else self._privacy.rejected(row)
        except (ValueError, RecursionError):
            kept = None
        facts = {"session_id": self.session_id, "position": position, "reason": reason}
        self.rejected.write(rejected_line(facts, kept))


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file in blocks of whole lines.

    :param file: File of a transcript: ``landing`` or ``rejected``. It is read from its beginning.
    """
    file.seek(0)
    while lines := file.readlines(_IN_MEMORY):
        yield b"".join(lines)
