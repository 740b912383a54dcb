"""The messages of one session, encoded as they come: what lands, and what is rejected."""

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
#: Bytes of lines that a session keeps in memory; what is more goes to a file without a name.
_IN_MEMORY = 1 << 18


class Transcript:
    """The messages of one session.

    Usage::

        transcript = Transcript(session_id, stamp={"_chatbot_id": ...}, folder=folder)
        for page in pages:
            transcript.add(page.rows)

    A row lands as it came, with ``_session_id``, ``_position`` (its position in the API's order, from 0) and
    ``_message_key``. The API is not known to give messages an id, so the key is a hash of the session, of all that the
    row says, and of how many equal rows of the session came before it. Equal rows cannot be told apart, so whichever
    of them comes first, the keys are the same in every order.

    :param session_id: The session.
    :param privacy: What becomes of personal data, or None. The key is made of what lands, so it tells no more.
    :param stamp: Fields to add to every row.
    :param folder: Where the lines of a long session wait to be written. The file has no name there, so nothing is left
        of it when the process is killed, and nobody else can open it.
    """

    __slots__ = ("_copies", "_hash", "_names", "_privacy", "_stamp", "landing", "received", "rejected", "session_id")

    def __init__(
        self, session_id: str, *, stamp: Mapping[str, Any], folder: Path, privacy: PrivacyPolicy | None = None
    ) -> None:
        #: What the session is called in what lands.
        self.session_id = session_id = session_id if privacy is None else privacy.session(session_id)
        #: Encoded lines to land, in order; likewise those of the rejected file.
        self.landing: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 (close() closes it)
        self.rejected: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 (close() closes it)
        #: Rows that came.
        self.received = 0
        self._privacy = privacy
        added = {**stamp, SESSION_ID: session_id}
        self._names = added.keys() | {MESSAGE_KEY, POSITION}
        # Encoded once a session and not once a row: what goes between a row's own key and the row's fields.
        self._stamp = dump_line(added).removeprefix(b"{").removesuffix(b"}\n")
        # As JSON, so that it says itself where the id ends and the row begins.
        self._hash = blake2b(dump_line(session_id), digest_size=_DIGEST)
        self._copies: dict[bytes, int] = {}

    def add(self, rows: list[Any]) -> None:
        """Take the rows of the next page.

        :param rows: The rows as the API sent them; they are not changed.
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
        """Free memory and files."""
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
    """Yield the lines of a file from its beginning, many at a time and each whole.

    :param file: One of a transcript's.
    """
    file.seek(0)
    while lines := file.readlines(_IN_MEMORY):
        yield b"".join(lines)
