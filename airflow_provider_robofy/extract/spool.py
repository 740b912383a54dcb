"""A private local file that rows are written to, hashed and counted, before anybody else can see them."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


class Spool:
    """Write lines, and know afterwards how many, how long and with which hash.

    Usage::

        with Spool(path, compress=True) as spool:
            spool.write(lines)
            spool.finish()
            publish(spool.path)

    Leaving the ``with`` removes the file if it is still there, whatever happened.

    :param path: Where to write; created with mode 0600, must not exist.
    :param compress: Write gzip. The same lines give the same bytes: the header bears no time and no name.
    """

    def __init__(self, path: Path, *, compress: bool) -> None:
        self.path = path
        self.rows = 0
        #: Of the file as it lies on disk, so of the compressed one.
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self, mtime=0, compresslevel=6) if compress else None

    def append(self, lines: list[bytes]) -> None:
        """Add encoded lines, each with its newline."""
        self.rows += len(lines)
        content = b"".join(lines)
        if self._gzip is not None:
            self._gzip.write(content)
        else:
            self.write(content)

    def write(self, content: bytes) -> int:
        """Take bytes as they go to disk (``gzip`` calls this)."""
        self._hash.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        """Exist because ``gzip`` calls it."""

    def finish(self) -> None:
        """Bring everything to disk and close the file."""
        if self._gzip is not None:
            self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        """Return the hash of what was written so far, in hex."""
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        finally:
            # Closing writes what was still buffered, which a full disk refuses once more.
            self.path.unlink(missing_ok=True)
