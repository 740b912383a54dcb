"""Foresee page tokens: from two in a row, the ones that follow, where they only count pages or rows."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: A longer token holds more than a number.
_LONGEST: Final = 512
#: A whole number that is neither text nor part of another number.
_NUMBER: Final = re.compile(r'(?<![\w".+-])\d+(?![\w".])')


@dataclass(frozen=True, slots=True)
class TokenForm:
    """How the tokens of a listing count.

    :param encode: Makes a token of its text, such as base64.
    :param before: What is before the number in the text.
    :param number: The number of the second token.
    :param after: What is after the number.
    :param step: By how much the number grows from page to page.
    """

    encode: Callable[[str], str]
    before: str
    number: int
    after: str
    step: int

    def token(self, ahead: int) -> str:
        """Return a token that is to come.

        :param ahead: How many pages after the second token; 0 is that token itself.
        """
        return self.encode(f"{self.before}{self.number + ahead * self.step}{self.after}")


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
    for decode, encode in _FORMS:
        try:
            texts = decode(first), decode(second)
        except (ValueError, binascii.Error):
            continue
        form = _counting(*texts, rows, encode)
        if form is not None and (form.token(-1), form.token(0)) == (first, second):
            return form
    return None


def _counting(first: str, second: str, rows: int, encode: Callable[[str], str]) -> TokenForm | None:
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
    return TokenForm(encode, before, number, after, step)


def _from_base64(alphabet: bytes | None) -> Callable[[str], str]:
    def decode(token: str) -> str:
        padded = token + "=" * (-len(token) % 4)
        return base64.b64decode(padded, alphabet, validate=True).decode()

    return decode


def _to_base64(alphabet: bytes | None, *, padded: bool) -> Callable[[str], str]:
    def encode(text: str) -> str:
        token = base64.b64encode(text.encode(), alphabet).decode()
        return token if padded else token.rstrip("=")

    return encode


def _plain(text: str) -> str:
    return text


_FORMS: Final[tuple[tuple[Callable[[str], str], Callable[[str], str]], ...]] = (
    (_plain, _plain),
    *(
        (_from_base64(alphabet), _to_base64(alphabet, padded=padded))
        for alphabet in (None, b"-_")
        for padded in (True, False)
    ),
)
