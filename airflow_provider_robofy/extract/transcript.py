"""What was said in one session, row by row: what lands, and what cannot be understood."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.extract.parcel import Parcel
from airflow_provider_robofy.extract.sieve import NO_OBJECT, TAKEN_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_provider_robofy.extract.privacy import PrivacyPolicy

_DIGEST = 16


class Transcript:
    """Collect the messages of one session.

    Usage::

        transcript = Transcript(session_id, stamp={"_chatbot_id": ...}, folder=folder)
        for page in pages:
            transcript.add(page.rows)

    A row lands as it came, with ``_session_id``, ``_position`` (its place in the API's order, from 0) and
    ``_message_key``. The API is not known to give messages an id, so the key is a hash of the session, of all that the
    row says, and of how many equal rows of the session came before it. Equal rows cannot be told apart, so whichever
    of them comes first, the keys are the same in every order.

    :param session_id: The session.
    :param privacy: What becomes of personal data, or None. The key is made of what lands, so it tells no more.
    :param stamp: Fields to add to every row.
    :param folder: Where long sessions wait for their turn; see :class:`~airflow_provider_robofy.extract.parcel.Parcel`.
    """

    __slots__ = ("_copies", "_hash", "_names", "_privacy", "_stamp", "landing", "received", "rejected", "session_id")

    def __init__(
        self, session_id: str, *, stamp: Mapping[str, Any], folder: Path, privacy: PrivacyPolicy | None = None
    ) -> None:
        #: What the session is called in what lands.
        self.session_id = session_id = session_id if privacy is None else privacy.session(session_id)
        #: Encoded lines to land, in order; likewise those of the rejected file.
        self.landing = Parcel(folder)
        self.rejected = Parcel(folder)
        #: Rows that came.
        self.received = 0
        self._privacy = privacy
        added = {**stamp, "_session_id": session_id}
        self._names = added.keys() | {"_message_key", "_position"}
        # Encoded once a session and not once a row: what goes between a row's own key and the row's fields.
        self._stamp = dump_line(added).removeprefix(b"{").removesuffix(b"}\n")
        # As JSON, so that it says itself where the id ends and the row begins.
        self._hash = blake2b(dump_line(session_id), digest_size=_DIGEST)
        self._copies: dict[bytes, int] = {}

    def add(self, rows: list[Any]) -> None:
        """Take the rows of the next page."""
        lines: list[bytes] = []
        names, stamp = self._names, self._stamp
        for position, row in enumerate(rows, self.received):
            if type(row) is not dict:
                self._reject(position, NO_OBJECT, row)
            elif not names.isdisjoint(row):
                self._reject(position, TAKEN_NAME, row)
            else:
                content = dump_line(row if self._privacy is None else self._privacy.land(row))
                key = self._key(content).encode()
                fields = b"," + content[1:] if content != b"{}\n" else b"}\n"
                lines.append(b'{"_message_key":"%b","_position":%d,%b%b' % (key, position, stamp, fields))
        self.received += len(rows)
        self.landing.append(lines)

    def close(self) -> None:
        """Let go of everything."""
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
        kept = row if self._privacy is None else self._privacy.rejected(row)
        line = {"session_id": self.session_id, "position": position, "reason": reason, "row": kept}
        self.rejected.append([dump_line(line)])
