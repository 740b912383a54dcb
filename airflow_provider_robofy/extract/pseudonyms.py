"""Speaking of somebody without saying who: a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from airflow_provider_robofy.api.codec import dump_line


class Pseudonyms:
    """Give values a name that stands for them: HMAC-SHA-256.

    Usage::

        names = Pseudonyms(connection.pseudonym_key)
        log.warning("session %s failed", names.short(session_id))
        row["email"] = names.full(row["email"])

    A plain hash of a phone number is found out by trying all numbers. With a key it is not, as long as the key is kept.
    Whoever holds the key can make the same name: ``hmac(key, value.strip().casefold())`` in UTF-8, in hexadecimal.

    :param key: The same key gives the same names.
    """

    def __init__(self, key: str) -> None:
        self._hmac = hmac.new(key.encode(errors="surrogatepass"), digestmod=hashlib.sha256)

    def full(self, value: Any) -> str | None:
        """Return the name of a value, 64 hexadecimal digits.

        The value is trimmed and case-folded first, so that ``" Ann@Example.com"`` and ``ann@example.com`` are one
        person. What is no text is named by its JSON. What says nothing, None or empty text, has no name and stays.
        """
        if value is None:
            return None
        text = value if isinstance(value, str) else dump_line(value).decode()
        text = text.strip().casefold()
        return self.exact(text) if text else ""

    def exact(self, name: str) -> str:
        """Return the name of an id, which is another one in another case: two must never become one."""
        # Copying is a third cheaper than setting up the key anew for every value.
        digest = self._hmac.copy()
        digest.update(name.encode(errors="surrogatepass"))
        return digest.hexdigest()

    def short(self, value: str) -> str:
        """Return the first 16 digits of a value's name, for a log."""
        return self.exact(value)[:16]
