"""One place in a store (a disk, a bucket) where a file appears whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyLandingError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Asked to make a folder, these may make a bucket.
_BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "oci", "oss", "r2", "cos"}

_PART = re.compile(r"[0-9a-f]{12}\.part")


class Store:
    """Name a file in a filesystem, and publish to it atomically.

    :param fs: Any fsspec filesystem, for example the ``fs`` of Airflow's ``ObjectStoragePath``.
    :param path: Path in that filesystem.
    :param uri: How people and manifests call it.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, uri: str) -> None:
        self.fs = fs
        self.path = path
        self.uri = uri
        self.is_local = isinstance(fs, LocalFileSystem)
        self._made: list[Path] = []

    def beside(self, suffix: str) -> Store:
        """Name the file whose name is this one's and a suffix."""
        return Store(self.fs, self.path + suffix, self.uri + suffix)

    def exists(self) -> bool:
        """Tell whether the file is there, asking the store anew.

        Not by the filesystem's own ``exists``: many take any error for absence, and what is absent is overwritten.
        """
        self.fs.invalidate_cache()
        try:
            self.fs.info(self.path)
        except FileNotFoundError:
            return False
        return True

    def size(self) -> int | None:
        """Return the file's size in bytes, asking the store anew; None where it is not there."""
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
        """Delete the file if it is there.

        Looking first, because a bucket may grant no deletion, and a versioned one notes each, needless ones too.
        """
        if self.exists():
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self.path)

    def spool_path(self) -> Path:
        """Return a fresh local name to write the file's content under before it is published.

        For a local file it lies in the same folder, so that publishing is one rename; otherwise in a private folder
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
        """Remove the folders that were made for a file which has not come to be."""
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return  # something lies in it

    def publish(self, spooled: Path, size: int) -> None:
        """Move a finished local file to where it belongs, and look whether it arrived whole.

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
