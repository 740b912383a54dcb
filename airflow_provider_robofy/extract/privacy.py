"""Speaking of somebody without saying who."""

from __future__ import annotations

import hashlib
import hmac


class Pseudonyms:
    """Give ids a name that can be written into a log: a keyed hash.

    Usage::

        names = Pseudonyms(connection.pseudonym_key)
        log.warning("session %s failed", names.of(session_id))

    A WhatsApp session id is a phone number, and a plain hash of one is found out by trying all numbers; with a key it
    is not, as long as the key is kept.

    :param key: The same key gives the same names.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def of(self, value: str) -> str:
        """Return the name of an id: 16 hexadecimal digits."""
        return hmac.new(self._key, value.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]
