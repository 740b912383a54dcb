"""A private local file that rows are written to, hashed and counted, before anybody else can see them."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from airflow_provider_robofy.extract.formats.encoder import Encoder, Sink


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
    :param encode: Makes what writes the rows in another form; None writes the lines as they are.
    """

    def __init__(self, path: Path, *, compress: bool, encode: Callable[[Sink], Encoder] | None = None) -> None:
        self.path = path
        self.rows = 0
        #: Of the file as it lies on disk, so of the compressed one.
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self, mtime=0, compresslevel=6) if compress else None
        self._encoder = encode(self._gzip or self) if encode else None

    def append(self, lines: list[bytes]) -> None:
        """Add encoded lines, each with its newline."""
        self.rows += len(lines)
        if self._encoder is not None:
            self._encoder.append(lines)
            return
        content = b"".join(lines)
        if self._gzip is not None:
            self._gzip.write(content)
        else:
            self.write(content)

    def write(self, content: bytes) -> int:
        """Take bytes as they go to disk (``gzip`` and encoders call this)."""
        self._hash.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        """Exist because ``gzip`` calls it."""

    def finish(self) -> None:
        """Bring everything to disk and close the file."""
        if self._encoder is not None:
            self._encoder.finish()
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
            if self._encoder is not None:
                self._encoder.abandon()
            self._file.close()
        finally:
            # Closing writes what was still buffered, which a full disk refuses once more.
            self.path.unlink(missing_ok=True)
