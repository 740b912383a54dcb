"""Files of a store: read, compared by version, and published whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.spool import PART_LENGTH, Spool, new_spool

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Asked to make a folder, these may make a bucket.
_BUCKETS: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "wasb", "oci", "oss", "r2", "cos"}

#: Bytes that a key may have in S3, GCS and Azure.
_LONGEST_KEY: Final = 1_024
_MD5: Final = re.compile(r"[0-9a-f]{32}")
#: What tells two versions of a file apart, as filesystems call it.
_VERSION: Final = ("size", "ETag", "etag", "generation", "ino", "mtime", "LastModified", "last_modified", "created")


@dataclass(eq=False)
class Store:
    """Read one file of a filesystem, and publish it whole or not at all.

    :param fs: Any fsspec filesystem, for example the ``fs`` of Airflow's ``ObjectStoragePath``.
    :param path: Path in that filesystem.
    :param uri: Its name in messages and manifests.
    """

    fs: AbstractFileSystem
    path: str
    uri: str

    def __post_init__(self) -> None:
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self._made: list[Path] = []

    def beside(self, suffix: str) -> Store:
        """Return the store of the file whose name is this one's and a suffix."""
        return Store(self.fs, self.path + suffix, self.uri + suffix)

    def exists(self) -> bool:
        """Return whether the file exists, without a cache.

        Not by the filesystem's own ``exists``: many take any error for absence, and what is absent is overwritten.
        """
        return self._info() is not None

    def size(self) -> int | None:
        """Return the file's size in bytes, without a cache; None where it does not exist."""
        found = self._info()
        return None if found is None else int(found["size"])

    def version(self) -> tuple[Any, ...] | None:
        """Return what differs once somebody has replaced the file, as far as the filesystem tells; None without a file.

        On a disk and in the large object stores even an equal file that is written again is another version.
        """
        found = self._info()
        return None if found is None else _version(found)

    def _info(self) -> dict[str, Any] | None:
        self.fs.invalidate_cache()
        try:
            found: dict[str, Any] = self.fs.info(self.path)
        except FileNotFoundError:
            return None
        return found

    def check_length(self, argument: str, *suffixes: str) -> None:
        """Refuse a path that is too long for the file, for what goes beside it, or for the spools of these.

        :param argument: What the user gave the path as, for the error.
        :param suffixes: What is added to the name for the files beside it.
        :raises RobofyConfigError: It is too long.
        """
        added = max((len(suffix) for suffix in suffixes), default=0)
        if self.is_local:
            folder = Path(self.path).parent
            # Not by Path.is_dir, which raises for a name that is too long.
            there = next((one for one in (folder, *folder.parents) if os.path.isdir(one)), Path("/"))  # noqa: PTH112
            most = os.pathconf(there, "PC_NAME_MAX")
            added += PART_LENGTH
            lengths = [len(os.fsencode(part)) for part in Path(self.path).parts]
            lengths[-1] += added
            what, longest = "a name", max(lengths)
        elif _BUCKETS & set(_protocols(self.fs)):
            most, what = _LONGEST_KEY, "the key"
            longest = len(self.path.partition("/")[2].encode()) + added
        else:
            return
        if longest > most:
            raise RobofyConfigError(
                f"{argument}: {what} in {self.uri} is too long. It takes {longest} bytes, with the {added} that are "
                f"added to the last name for the files beside it, and the store takes {most}. Shorten the path."
            )

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
        of the temporary directory. What a killed attempt left under such a name is removed, and what was left there for
        other files more than a day ago.
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
        return new_spool(folder, stem)

    def tidy(self) -> None:
        """Remove the folders that were made for a file which was not published, where they are empty."""
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return  # it is not empty

    def publish(self, spooled: Path, size: int) -> tuple[Any, ...]:
        """Move a finished local file to its destination, and check that it arrived whole.

        :param spooled: The local file.
        :param size: Its size in bytes.
        :return: The version that was sent, to compare with :meth:`version`. Where a store names no MD5 as ETag, as S3
            does, it may be the version that another writer has sent in the same moment.
        :raises RobofyLandingError: The store shows another size than was sent.
        """
        version, sent = None, ""
        if self.is_local:
            spooled.chmod(0o666 & ~_umask())
            version = _version(self.fs.info(str(spooled)))
            spooled.replace(self.path)
        else:
            with spooled.open("rb") as file:
                sent = _md5(file)
            try:
                self.fs.put_file(str(spooled), self.path)
            except FileNotFoundError:
                if not spooled.exists() or _BUCKETS & set(_protocols(self.fs)):
                    raise
                self.fs.makedirs(self.fs._parent(self.path), exist_ok=True)  # noqa: SLF001 (fsspec's own idiom)
                self.fs.put_file(str(spooled), self.path)
            spooled.unlink()
        found = self._info() or {}
        if found.get("size") != size:
            raise RobofyLandingError(
                f"{self.uri} was written with {size} bytes, but the store shows {found.get('size')}."
            )
        etag = str(found.get("ETag")).strip('"')
        # Under encryption by KMS an ETag only looks like an MD5; then the content decides.
        if _MD5.fullmatch(etag) and etag != sent and self._md5() != sent:
            found = {**found, "ETag": sent}  # it is another writer's
        return version or _version(found)

    def _md5(self) -> str:
        with self.open() as file:
            return _md5(file)


def _version(found: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells two versions of a file apart.

    :param found: What the filesystem says of it.
    """
    # On a disk ``created`` is the time of a change to the inode, which renaming is.
    return tuple(str(found.get(name)) for name in _VERSION if name != "created" or "ino" not in found)


def _md5(file: Any) -> str:
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _protocols(fs: AbstractFileSystem) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _umask() -> int:
    # There is no way to read it but to set it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
