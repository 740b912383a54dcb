"""Page tokens: base64 of a small JSON object, as in Robofy's own sample."""

from __future__ import annotations

import base64
import binascii
import json


class BadTokenError(ValueError):
    """A page token that this server never gave."""


def write(page: int) -> str:
    """
    Write the token of a page, `eyJwYWdlIjoyfQ==` for the second.

    :param page: its number from 1.
    """
    return base64.b64encode(json.dumps({"page": page}, separators=(",", ":")).encode()).decode()


def read(token: str | None) -> int:
    """
    Read a page number out of a token; none and an empty one mean the first page.

    :param token: the query parameter as it came, decoded.
    """
    if not token:
        return 1
    try:
        content = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise BadTokenError(token) from None
    page = content.get("page") if isinstance(content, dict) else None
    if isinstance(page, bool) or not isinstance(page, int) or page < 1:
        raise BadTokenError(token)
    return page
