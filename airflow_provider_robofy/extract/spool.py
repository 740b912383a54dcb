"""A private local file that becomes a landed one: locked while it is written, counted and hashed on the way."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import re
import time
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.extract.formats import JsonLinesWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Self

    from airflow_provider_robofy.extract.columns import Sink, Writer

_PART: Final = re.compile(r"[0-9a-f]{12}\.part")
#: Any spool of this provider, whatever it is of: beside a local file, and for a remote one.
_ANY_PART: Final = re.compile(r"(\..+|[0-9a-f]{24})\.[0-9a-f]{12}\.part")
#: What a spool's name has beyond its file's: a dot before, a dot, 12 digits and the ending after.
PART_LENGTH: Final = 19
#: Age in seconds from which a spool that no process writes is removed, whatever it is of.
_ABANDONED_AFTER: Final = 24 * 3600.0
#: So many folders beside the target's, the newest first, are searched for such spools.
_FOLDERS_TO_SWEEP: Final = 1_000


class Spool:
    """Write a private local file before anybody else can see it, and count and hash it on the way.

    Usage::

        with Spool(path, compress=True) as spool:
            spool.append(lines)
            spool.finish()
            store.publish(spool.path, spool.bytes)

    Leaving the ``with`` removes the file if it is still there, whatever happened. Until then the file is locked, which
    tells it from what a killed process left: the system unlocks that.

    :param path: Where to write; created with mode 0600, must not exist.
    :param compress: Write gzip. The same content gives the same bytes: the header contains no time and no name.
    :param writer: Makes the writer of the rows. Default: as lines of JSON.
    """

    #: Always False: pyarrow asks a file whether it is closed.
    closed: Final = False

    def __init__(
        self, path: Path, *, compress: bool = False, writer: Callable[[Sink], Writer] = JsonLinesWriter
    ) -> None:
        self.path = path
        #: Rows that were written.
        self.rows = 0
        #: Size of the file on disk, so after compression.
        self.bytes = 0
        #: Has the ``with`` been left? Then nothing is written any more.
        self._left = False
        self._hash = hashlib.sha256()
        descriptor = _create_locked(path)
        # Of its own, because the lock has to outlast the file's closing: published it is only after that.
        self._lock = os.dup(descriptor)
        self._file: IO[bytes] = os.fdopen(descriptor, "wb")
        self._gzip = gzip.GzipFile(filename="", mode="wb", fileobj=self, mtime=0, compresslevel=6) if compress else None
        self._writer = writer(self._gzip or self)

    def append(self, lines: bytes | bytearray, rows: Iterable[dict[str, Any]] | None = None) -> None:
        """Add rows.

        :param lines: The rows as lines of JSON.
        :param rows: The same rows. Default: not at hand, so that a format with columns decodes the lines.
        """
        self.rows += lines.count(b"\n")
        self._writer.write(lines, map(codec.loads, BytesIO(lines)) if rows is None else rows)

    def write(self, content: bytes | bytearray) -> int:
        """Write bytes as they are (``gzip`` and writers call this, and some once more when they are collected)."""
        if self._left:
            return len(content)
        self._hash.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        """Do nothing; ``gzip`` and pyarrow call it."""

    def finish(self) -> None:
        """Write what is buffered, sync it to the disk and close the file."""
        self._writer.finish()
        if self._gzip is not None:
            self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    @property
    def sha256(self) -> str:
        """Return the hash of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        try:
            self._file.close()
        finally:
            # Closing writes what was still buffered, which a full disk refuses once more.
            self.path.unlink(missing_ok=True)
            os.close(self._lock)


def _create_locked(path: Path) -> int:
    """Create a file that must not exist, lock it, and return its descriptor."""
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever looked for left-over files in the moment before the lock may have removed it.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError:
            return descriptor  # a filesystem without locks
        os.close(descriptor)


def _remove_left_over(path: Path, *, min_age: float = 0) -> None:
    """Remove a spool if no process writes it any more.

    :param path: The spool.
    :param min_age: Age in seconds below which it stays. Where the filesystem has no locks it stays for a day at least.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return  # it is gone, or not ours to touch
    try:
        age = time.time() - os.fstat(descriptor).st_mtime
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            min_age = _ABANDONED_AFTER
        if age >= min_age:
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the spools of killed runs that are older than a day, in a folder and in the folders beside it.

    By default each run lands in a folder of its own, so no other run would ever come across them.

    :param folder: Folder of a local file that is about to be written.
    """
    now = time.time()
    beside: list[tuple[float, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder.parent) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    beside.append((entry.stat().st_mtime, entry.path))
    for changed, path in sorted(beside, reverse=True)[:_FOLDERS_TO_SWEEP]:
        # A spool that was left for a day left its folder unchanged for a day too, unless another run landed there.
        if now - changed >= _ABANDONED_AFTER:
            _sweep_folder(Path(path))


def _sweep_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        found = [path for path in folder.iterdir() if _ANY_PART.fullmatch(path.name)]
        for path in found:
            _remove_left_over(path, min_age=_ABANDONED_AFTER)
        if found:
            folder.rmdir()  # refused where something else is in it


def new_spool(folder: Path, stem: str) -> Path:
    """Return a new path for a spool, after removing what killed runs have left in the folder.

    :param folder: The folder.
    :param stem: How the names of this file's spools begin. What was left under such a name is removed at once, and what
        was left for other files when it is a day old.
    """
    for found in folder.iterdir():
        # No other file's: .leads.jsonl. is how the name of leads.jsonl.gz begins, too.
        if found.name.startswith(stem) and _PART.fullmatch(found.name, len(stem)):
            _remove_left_over(found)
        elif _ANY_PART.fullmatch(found.name):
            _remove_left_over(found, min_age=_ABANDONED_AFTER)
    return folder / f"{stem}{os.urandom(6).hex()}.part"
