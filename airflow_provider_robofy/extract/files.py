"""Files on their way to a store: written and hashed on the local disk, then published whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import tempfile
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.formats import JsonLinesWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from fsspec import AbstractFileSystem

    from airflow_provider_robofy.extract.columns import Sink, Writer

# Asked to make a folder, these may make a bucket.
_BUCKETS: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "oci", "oss", "r2", "cos"}

_PART: Final = re.compile(r"[0-9a-f]{12}\.part")


class Spool:
    """Write a private local file before anybody else can see it, and count and hash it on the way.

    Usage::

        with Spool(path, compress=True) as spool:
            spool.append(lines)
            spool.finish()
            store.publish(spool.path, spool.bytes)

    Leaving the ``with`` removes the file if it is still there, whatever happened.

    :param path: Where to write; created with mode 0600, must not exist.
    :param compress: Write gzip. The same content gives the same bytes: the header contains no time and no name.
    :param writer: Makes the writer of the rows. Default: as lines of JSON.
    """

    def __init__(
        self, path: Path, *, compress: bool = False, writer: Callable[[Sink], Writer] = JsonLinesWriter
    ) -> None:
        self.path = path
        #: Rows that were written.
        self.rows = 0
        #: Size of the file on disk, so after compression.
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._file: IO[bytes] = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
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
        """Write bytes as they are (``gzip`` and writers call this)."""
        self._hash.update(content)
        self.bytes += len(content)
        return self._file.write(content)

    def flush(self) -> None:
        """Do nothing; ``gzip`` calls it."""

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
        try:
            self._writer.abandon()
            if self._gzip is not None:
                self._gzip.fileobj = None  # type: ignore[assignment] # otherwise it writes when it is collected
            self._file.close()
        finally:
            # Closing writes what was still buffered, which a full disk refuses once more.
            self.path.unlink(missing_ok=True)


class Store:
    """Read one file of a filesystem, and publish it whole or not at all.

    :param fs: Any fsspec filesystem, for example the ``fs`` of Airflow's ``ObjectStoragePath``.
    :param path: Path in that filesystem.
    :param uri: Its name in messages and manifests.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, uri: str) -> None:
        self.fs = fs
        self.path = path
        self.uri = uri
        self.is_local = isinstance(fs, LocalFileSystem)
        self._made: list[Path] = []

    def beside(self, suffix: str) -> Store:
        """Return the store of the file whose name is this one's and a suffix."""
        return Store(self.fs, self.path + suffix, self.uri + suffix)

    def exists(self) -> bool:
        """Return whether the file exists, without a cache.

        Not by the filesystem's own ``exists``: many take any error for absence, and what is absent is overwritten.
        """
        self.fs.invalidate_cache()
        try:
            self.fs.info(self.path)
        except FileNotFoundError:
            return False
        return True

    def size(self) -> int | None:
        """Return the file's size in bytes, without a cache; None where it does not exist."""
        self.fs.invalidate_cache()
        try:
            return int(self.fs.size(self.path))
        except FileNotFoundError:
            return None

    def read(self) -> bytes:
        """Return a small file's content."""
        content: bytes = self.fs.cat_file(self.path)
        return content

    def open(self) -> Any:
        """Open the file for reading bytes."""
        return self.fs.open(self.path, "rb")

    def remove(self) -> None:
        """Delete the file if it exists.

        It is checked first, because a bucket may grant no deletion, and a versioned one notes each, needless ones too.
        """
        if self.exists():
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self.path)

    def write(self, content: bytes) -> None:
        """Replace the file by this content, whole or not at all.

        :param content: All of it.
        """
        with Spool(self.spool_path()) as spool:
            spool.write(content)
            spool.finish()
            self.publish(spool.path, spool.bytes)

    def spool_path(self) -> Path:
        """Return a new local path to write the file's content to before it is published.

        For a local file it is in the same folder, so that publishing is one rename; otherwise in a private folder
        of the temporary directory. What a killed attempt left under such a name is removed.
        """
        if self.is_local:
            folder, stem = Path(self.path).parent, f".{Path(self.path).name}."
            self._made = [one for one in (folder, *folder.parents) if not one.exists()] or self._made
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = Path(tempfile.gettempdir()) / f"airflow-robofy-{os.getuid()}"
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                raise RobofyLandingError(f"{folder} belongs to somebody else. Set TMPDIR to a folder of your own.")
            stem = f"{hashlib.sha256(self.uri.encode()).hexdigest()[:24]}."
        for left_over in folder.iterdir():
            # No other file's: .leads.jsonl. is how the name of leads.jsonl.gz begins, too.
            if left_over.name.startswith(stem) and _PART.fullmatch(left_over.name, len(stem)):
                left_over.unlink(missing_ok=True)
        return folder / f"{stem}{os.urandom(6).hex()}.part"

    def tidy(self) -> None:
        """Remove the folders that were made for a file which was not published, where they are empty."""
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return  # it is not empty

    def publish(self, spooled: Path, size: int) -> None:
        """Move a finished local file to its destination, and check that it arrived whole.

        :param spooled: The local file.
        :param size: Its size in bytes.
        :raises RobofyLandingError: The store shows another size than was sent.
        """
        if self.is_local:
            spooled.chmod(0o666 & ~_umask())
            spooled.replace(self.path)
        else:
            try:
                self.fs.put_file(str(spooled), self.path)
            except FileNotFoundError:
                if not spooled.exists() or _BUCKETS & set(_protocols(self.fs)):
                    raise
                self.fs.makedirs(self.fs._parent(self.path), exist_ok=True)  # noqa: SLF001 (fsspec's own idiom)
                self.fs.put_file(str(spooled), self.path)
            spooled.unlink()
        if (found := self.size()) != size:
            raise RobofyLandingError(f"{self.uri} was written with {size} bytes, but the store shows {found}.")


def _protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
