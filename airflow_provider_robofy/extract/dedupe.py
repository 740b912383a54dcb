"""Knowing a row again, at about a hundred bytes a row and without losing an id."""

from __future__ import annotations

from struct import Struct

_pack = Struct("<q").pack


class Seen:
    """Remember which rows have been landed: the same id with the same content.

    Ids are kept whole. Of the content only a 64-bit keyed hash is kept, so that two versions of one lead could be taken
    for one with a chance of one in 2**64; two different leads never.

    A set of byte strings, because a dictionary from id to hash takes twice the memory at a million rows.
    """

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def is_new(self, row_id: str | int, line: bytes) -> bool:
        """Remember a row, and tell whether it had not been met before.

        :param row_id: The row's id.
        :param line: The row as it lands. Only ever compared within this process: Python keys its hash per process.
        """
        keys = self._keys
        before = len(keys)
        keys.add(str(row_id).encode("utf-8", "surrogatepass") + _pack(hash(line)))
        return len(keys) > before

    def __len__(self) -> int:
        return len(self._keys)
