"""What turns lines into a format: the one interface that all formats of files with columns share."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Take bytes on their way to disk."""

    def write(self, content: bytes, /) -> int:
        """Take some bytes."""
        ...


class Encoder(Protocol):
    """Write rows in another form than lines of JSON."""

    def append(self, lines: list[bytes]) -> None:
        """Add rows, each encoded as a line of JSON."""
        ...

    def finish(self) -> None:
        """Write what is still held, and what ends a file."""
        ...

    def abandon(self) -> None:
        """Let go of everything and write nothing any more. Never raises; may come after :meth:`finish`, too."""
        ...
