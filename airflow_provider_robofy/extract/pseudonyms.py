"""Keyed hashes that stand for personal values, in rows and in logs."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final
from unicodedata import normalize

from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.errors import RobofyConfigError

#: Shorter keys are found by trying.
_SHORTEST_KEY: Final = 16


class Pseudonyms:
    """Replace values by a keyed hash of theirs: HMAC-SHA-256.

    Usage::

        names = Pseudonyms(connection.pseudonym_secret)
        log.warning("session %s failed", names.short(session_id))
        row["email"] = names.full(row["email"])

    A plain hash of a phone number is found out by trying all numbers. With a key it is not, as long as the key is kept.
    Whoever has the key can compute the same hash: that of the value trimmed, case-folded and in NFC, in UTF-8, in
    hexadecimal.

    :param key: The same key gives the same hashes.
    """

    def __init__(self, key: str) -> None:
        self._hmac = hmac.new(key.encode(errors="surrogatepass"), digestmod=hashlib.sha256)

    def full(self, value: Any) -> str | None:
        """Return the hash of a value, 64 hexadecimal digits.

        The value is trimmed, case-folded and brought into Unicode's form NFC first, so that ``" Ann@Example.com"`` and
        ``ann@example.com`` are one person, and so is ``José`` however its é is composed. What is no text is hashed as
        its JSON. None and empty text are returned as they are.

        :param value: Any JSON.
        """
        if value is None:
            return None
        text = value if isinstance(value, str) else dump_line(value).decode()
        # Folding can decompose a letter, and meets another one in another form: so before and after.
        text = (
            text.strip().casefold() if text.isascii() else normalize("NFC", normalize("NFC", text).casefold()).strip()
        )
        return self.exact(text) if text else ""

    def exact(self, name: str) -> str:
        """Return the hash of an id, which is another one in another case: two must never become one.

        :param name: The id.
        """
        # Copying is a third cheaper than setting up the key anew for every value.
        digest = self._hmac.copy()
        digest.update(name.encode(errors="surrogatepass"))
        return digest.hexdigest()

    def short(self, value: str) -> str:
        """Return the first 16 digits of an id's hash, for a log.

        :param value: The id.
        """
        return self.exact(value)[:16]


def check_pseudonym_secret(key: str, begin: str = "The") -> None:
    """Refuse a key that is too short.

    :param key: The connection's ``pseudonym_secret``.
    :param begin: How the error begins. Default "The".
    :raises RobofyConfigError: It is.
    """
    if len(key) < _SHORTEST_KEY:
        raise RobofyConfigError(
            f"{begin} connection's extra pseudonym_secret has {len(key)} characters, so it could be found by trying. "
            f"Take {_SHORTEST_KEY} or more; a new key gives new hashes."
        )
