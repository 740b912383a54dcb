"""Finding the documents that a folder, a glob, a file or a list of those means."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.knowledge.document import (
    EMPTY,
    FILES,
    MAX_BYTES,
    TEXTS,
    TOO_LARGE,
    VANISHED,
    Document,
    kind_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fsspec import AbstractFileSystem

WRONG_KIND: Final = f"its type is not one that Robofy takes ({', '.join((*FILES, *TEXTS))})"
LEADS_OUT: Final = "it is a link that leads out of the folder"
NO_FILE: Final = "it is not a regular file"
NAME_NOT_UTF8: Final = "its name is not UTF-8"

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Refused:
    """Hold a file that is not uploaded, and why.

    :param size: Bytes, or None where that is not known.
    """

    name: str
    uri: str
    reason: str
    size: int | None = None


@dataclass(slots=True)
class Found:
    """Hold what a source means.

    :param documents: What can be uploaded, by name.
    :param refused: What cannot, by name.
    :param hidden: Files that were left out because they, or a folder of theirs, are hidden.
    """

    documents: list[Document] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class _Hit:
    """A file as it was listed: where, how it is called below its source, and what is known of it."""

    path: str
    name: str
    size: int | None = None
    etag: str | None = None
    reason: str | None = None


class Source:
    """Name one path that documents come from: a file, a folder with all below it, or a glob.

    :param fs: Any fsspec filesystem.
    :param path: Path in it.
    :param uri: How people call it.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, uri: str) -> None:
        self.fs = fs
        self.is_local = isinstance(fs, LocalFileSystem)
        self.path = os.path.abspath(path) if self.is_local else path.rstrip("/")  # noqa: PTH100 - resolves no link
        # A local path has one name, whether it was given with file://, relative or with a slash at its end.
        self.uri = self.path if self.is_local else uri.rstrip("/")

    def holds(self, fs: AbstractFileSystem, path: str) -> bool:
        """Tell whether a path lies in the folder that this source reads."""
        if not isinstance(fs, type(self.fs)):
            return False
        folder, place = self._folder(), path
        if self.is_local:
            folder, place = os.path.realpath(folder), os.path.realpath(place)
        return f"{place.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")

    def folder_uri(self) -> str:
        """Return how people call the folder of a glob; of anything else the path itself."""
        scheme, found, _ = self.uri.partition("://")
        return f"{scheme}://{self._folder()}" if found else self._folder()

    def _folder(self) -> str:
        """Return the folder of a glob; of anything else the path itself."""
        parts = self.path.split("/")
        magic = next((at for at, part in enumerate(parts) if _MAGIC.search(part)), None)
        if magic is None or self._info() is not None:
            return self.path
        return "/".join(parts[:magic]) or "/"

    def _info(self) -> dict[str, Any] | None:
        try:
            info: dict[str, Any] = self.fs.info(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return info

    def hits(self) -> Iterator[_Hit]:
        """Yield every file, hidden ones too.

        :raises RobofyDataError: There is nothing under this path.
        """
        self.fs.invalidate_cache()
        info = self._info()
        if info is not None and (Path(self.path).is_dir() if self.is_local else info["type"] == "directory"):
            yield from self._local_folder() if self.is_local else self._listed(self.fs.find(self.path, detail=True))
        elif info is not None:
            # Named by the user, so neither hidden nor led astray by a link.
            yield self._hit(self.path, PurePosixPath(self.path).name, info)
        elif _MAGIC.search(self.path):
            yield from self._listed(self.fs.glob(self.path, detail=True))
        else:
            raise RobofyDataError(f"source {self.uri} is not there.")

    def _listed(self, infos: dict[str, dict[str, Any]]) -> Iterator[_Hit]:
        folder = self._folder().rstrip("/")
        inside = _Inside(folder)
        for path, info in infos.items():
            if path.endswith("/") or (Path(path).is_dir() if self.is_local else info["type"] == "directory"):
                continue
            name = path.removeprefix(folder).lstrip("/")
            if self.is_local and inside.leaves(path):
                yield _Hit(path, name, reason=LEADS_OUT)
            else:
                yield self._hit(path, name, info)

    def _local_folder(self) -> Iterator[_Hit]:
        inside = _Inside(self.path)
        closed: list[OSError] = []
        for folder, folders, files in os.walk(self.path, onerror=closed.append):
            names = files + [name for name in folders if Path(folder, name).is_symlink()]
            for name in names:
                path = f"{folder}/{name}"
                shown = os.path.relpath(path, self.path)
                if inside.leaves(path):
                    yield _Hit(path, shown, reason=LEADS_OUT)
                elif name not in folders:  # a linked folder within is met where it really is
                    yield self._hit(path, shown, {})
        for error in closed:
            if error.filename == self.path:
                raise RobofyDataError(f"source {self.uri} cannot be read ({type(error).__name__}).")
            # Else what lies in there would pass for removed.
            shown = os.path.relpath(error.filename, self.path)
            yield _Hit(error.filename, shown, reason=f"it is a folder that cannot be read ({type(error).__name__})")

    def _hit(self, path: str, name: str, info: dict[str, Any]) -> _Hit:
        if not self.is_local:
            etag = info.get("ETag") or info.get("etag")
            return _Hit(path, name, info.get("size"), str(etag) if etag else None)
        try:
            status = os.stat(path)  # noqa: PTH116 - thousands of files
        except FileNotFoundError:
            return _Hit(path, name, reason=VANISHED)
        except OSError as error:
            return _Hit(path, name, reason=f"it cannot be read ({type(error).__name__})")
        return _Hit(path, name, status.st_size, reason=None if stat.S_ISREG(status.st_mode) else NO_FILE)

    def uri_of(self, path: str) -> str:
        """Name a file of this source as the source is named."""
        if self.is_local:
            return path
        scheme, _, rest = self.uri.partition("://")
        # The part before an @ names an Airflow connection, and belongs to the URI only.
        conn, at, _ = rest.partition("/")[0].rpartition("@")
        return f"{scheme}://{conn}{at}{path}"


class _Inside:
    """Tell whether links below a folder lead out of it; each folder is looked up once."""

    def __init__(self, folder: str) -> None:
        self._root = os.path.realpath(folder)
        self._real: dict[str, str] = {}

    def leaves(self, path: str) -> bool:
        folder, name = os.path.split(path)
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder)
        where = os.path.realpath(path) if os.path.islink(path) else f"{real}/{name}"  # noqa: PTH114 - as above
        return not f"{where}/".startswith(f"{self._root.rstrip('/')}/")


def find(sources: Iterable[Source]) -> Found:
    """List what sources mean. Nothing is read but names and sizes.

    A document's name is its path below its source, with ``-`` for ``/``: Robofy shows names, and a server may cut a
    name at its slashes, which would make one of two ``index.md``.

    :raises RobofyDataError: A source is not there.
    :raises RobofyConfigError: There is no source.
    """
    found = Found()
    hits: dict[str, tuple[_Hit, Source]] = {}
    sources = list(sources)
    if not sources:
        raise RobofyConfigError("source is an empty list: give at least one path.")
    for source in sources:
        for hit in source.hits():
            if any(part.startswith(".") for part in hit.name.split("/")[:-1]) or (
                hit.name.rpartition("/")[2].startswith(".") and hit.path != source.path
            ):
                found.hidden += 1
            else:
                hits.setdefault(source.uri_of(hit.path), (hit, source))
    named: dict[str, list[tuple[_Hit, str]]] = {}
    for hit, source in hits.values():
        name, uri = unicodedata.normalize("NFC", hit.name.replace("/", "-")), source.uri_of(hit.path)
        if reason := hit.reason or _fault(name, hit.size):
            found.refused.append(Refused(_shown(name), _shown(uri), reason, hit.size))
        else:
            named.setdefault(name, []).append((hit, uri))
            found.documents.append(
                Document(name=name, uri=uri, size=hit.size or 0, etag=hit.etag, fs=source.fs, path=hit.path)
            )
    for name, same in named.items():
        if len(same) > 1:
            where = ", ".join(sorted(uri for _, uri in same)[:5])
            reason = f"{len(same)} files have this name: {where}"
            found.refused += [Refused(name, uri, reason, hit.size) for hit, uri in same]
    found.documents = sorted((one for one in found.documents if len(named[one.name]) == 1), key=lambda one: one.name)
    found.refused.sort(key=lambda one: (one.name, one.uri))
    return found


def _fault(name: str, size: int | None) -> str | None:
    if _shown(name) != name:
        return NAME_NOT_UTF8
    if kind_of(name) not in TEXTS and kind_of(name) not in FILES:
        return WRONG_KIND
    if size == 0:
        return EMPTY
    return TOO_LARGE if size is not None and size > MAX_BYTES else None


def _shown(text: str) -> str:
    """Write a file name out although it may hold bytes that are no UTF-8."""
    return text.encode(errors="backslashreplace").decode()
