"""Foresee page tokens: from two in a row, the ones that follow, where they only count pages or rows."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Final

#: A longer token holds more than a number.
_LONGEST: Final = 512
#: A whole number that is neither text nor part of another number.
_NUMBER: Final = re.compile(r'(?<![\w".+-])\d+(?![\w".])')


#: Plain text, and base64 in both alphabets with and without padding.
_FORMS: Final = ((None, True), (b"+/", True), (b"+/", False), (b"-_", True), (b"-_", False))


@dataclass(frozen=True, slots=True)
class TokenForm:
    """How the tokens of a listing count.

    :param alphabet: The last two characters of its base64; None for plain text.
    :param padded: Does its base64 end in ``=`` where the length asks for it?
    :param before: What is before the number in the text.
    :param number: The number of the second token.
    :param after: What is after the number.
    :param step: By how much the number grows from page to page.
    """

    alphabet: bytes | None
    padded: bool
    before: str
    number: int
    after: str
    step: int

    def token(self, ahead: int) -> str:
        """Return a token that is to come.

        :param ahead: How many pages after the second token; 0 is that token itself.
        """
        text = f"{self.before}{self.number + ahead * self.step}{self.after}"
        if self.alphabet is None:
            return text
        token = base64.b64encode(text.encode(), self.alphabet).decode()
        return token if self.padded else token.rstrip("=")


def foresee(first: str, second: str, rows: int) -> TokenForm | None:
    """Return the form of two tokens in a row, or None where the next one cannot be foreseen.

    The text of a token is a whole number, or JSON in which one whole number grows and everything else stays as it is;
    plain or in base64, with any padding, order of keys and spacing. docs.robofy.ai (List Leads) shows
    ``eyJwYWdlIjoyfQ==``, which is ``{"page":2}``. The number counts pages, or rows: a number that grows by something
    else is an id or a time. A form is accepted only where it makes both tokens anew, byte for byte.

    :param first: The token that the first of two pages in a row names.
    :param second: The token that the second one names.
    :param rows: How many rows the second page has.
    """
    if max(len(first), len(second)) > _LONGEST:
        return None
    for alphabet, padded in _FORMS:
        try:
            texts = _text(first, alphabet), _text(second, alphabet)
        except (ValueError, binascii.Error):
            continue
        form = _counting(*texts, rows, alphabet, padded=padded)
        if form is not None and (form.token(-1), form.token(0)) == (first, second):
            return form
    return None


def _counting(first: str, second: str, rows: int, alphabet: bytes | None, *, padded: bool) -> TokenForm | None:
    """Return the form of two texts that differ in one whole number, if that counts pages or rows."""
    try:
        if not all(isinstance(json.loads(text), int | dict) for text in (first, second)):
            return None
    except (ValueError, RecursionError):
        return None
    pairs = list(zip(_NUMBER.finditer(first), _NUMBER.finditer(second), strict=False))
    changed = [(old, new) for old, new in pairs if old.group() != new.group()]
    if len(changed) != 1:
        return None
    old, new = changed[0]
    before, after, number = second[: new.start()], second[new.end() :], int(new.group())
    step = number - int(old.group())
    if step not in {1, rows} or step < 1:
        return None
    return TokenForm(alphabet, padded, before, number, after, step)


def _text(token: str, alphabet: bytes | None) -> str:
    if alphabet is None:
        return token
    return base64.b64decode(token + "=" * (-len(token) % 4), alphabet, validate=True).decode()
