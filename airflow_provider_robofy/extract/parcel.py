"""Lines that wait until it is their turn: in memory while they are few, in an unnamed file beyond."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IN_MEMORY = 1 << 18


class Parcel:
    """Collect lines, and give them back in order.

    Usage::

        parcel = Parcel(folder)
        parcel.append(lines)
        for some in parcel.lines():
            spool.append(some)
        parcel.close()

    :param folder: Where the file lies that takes what is too much for memory. It bears no name there, so nothing is
        left of it when the process is killed, and nobody else can open it.
    :param in_memory: Bytes to hold in memory at most.
    """

    __slots__ = ("_file", "_folder", "_held", "_in_memory", "_size", "count")

    def __init__(self, folder: Path, *, in_memory: int = _IN_MEMORY) -> None:
        #: Lines so far.
        self.count = 0
        self._folder = folder
        self._in_memory = in_memory
        self._held: list[bytes] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def append(self, lines: list[bytes]) -> None:
        """Add lines, each with its newline at the end and nowhere else."""
        self.count += len(lines)
        self._held += lines
        self._size += sum(map(len, lines))
        if self._size > self._in_memory:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (close() closes it)
            self._file.write(b"".join(self._held))
            self._held, self._size = [], 0

    def lines(self) -> Iterator[list[bytes]]:
        """Yield the lines, many at a time."""
        if self._file is not None:
            self._file.seek(0)
            while some := self._file.readlines(self._in_memory):
                yield some
        if self._held:
            yield self._held

    def close(self) -> None:
        """Let go of everything."""
        self._held = []
        if self._file is not None:
            self._file.close()
