"""The documents that a file, a folder, a glob or a list of those contains: found, checked and read."""

from __future__ import annotations

import codecs
import os
import re
import stat
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

#: The largest document, in bytes. Robofy documents it for Add File; texts obey it too.
MAX_BYTES: Final = 10 * 1024 * 1024
#: Suffixes that go through Add Text Content.
TEXTS: Final = ("txt", "md", "markdown", "html", "json")
#: Suffixes that go through Add File, with their media types.
FILES: Final = {
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "doc": "application/msword",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
EMPTY: Final = "it is empty"
TOO_LARGE: Final = f"it is larger than {MAX_BYTES // 2**20} MB, which is what Robofy takes at most"
NOT_UTF8: Final = "it is not UTF-8 text"
VANISHED: Final = "it vanished between listing and reading"
WRONG_KIND: Final = f"its type is not one that Robofy takes ({', '.join((*FILES, *TEXTS))})"
LEADS_OUT: Final = "it is a link that leads out of the folder"
NO_FILE: Final = "it is not a regular file"
NAME_NOT_UTF8: Final = "its name is not UTF-8"
HIDDEN: Final = "it is hidden"
_CLOSED: Final = "it is a folder that cannot be read"

_MAGIC = re.compile(r"[*?[]")
#: Beginnings of names that are left out: hidden files and folders, and the lock files of an open Office document.
_HIDDEN = (".", "~$")


class UnusableError(RobofyDataError):
    """Report in a few words why a document cannot be uploaded."""


def kind_of(name: str) -> str:
    """Return the suffix of a name.

    :param name: A file name.
    :return: The suffix in lower case, without the dot; empty if the name has none.
    """
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if stem and dot else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Describe one document.

    :param name: Name that Robofy gets; unique within a source.
    :param uri: Address for people.
    :param size: Bytes as listed, or None if unknown.
    :param etag: The store's own identifier of the content, or None.
    :param fault: Why the document cannot be uploaded, as far as its listing shows; None if nothing speaks against it.
    :param load: Returns the content; of a large document the first ``MAX_BYTES + 1`` bytes are enough.
    """

    name: str
    uri: str
    size: int | None = None
    etag: str | None = None
    fault: str | None = None
    load: Callable[[], bytes] = field(repr=False)

    @property
    def kind(self) -> str:
        """Return the suffix, which decides how the document is uploaded."""
        return kind_of(self.name)

    def read(self) -> bytes:
        """Return the content.

        :raises UnusableError: The content cannot be read, is empty or is too large.
        """
        try:
            content = self.load()
        except FileNotFoundError:
            raise UnusableError(VANISHED) from None
        except Exception as error:  # noqa: BLE001 - each store raises errors of its own
            raise UnusableError(f"it cannot be read ({type(error).__name__})") from None
        if not content.removeprefix(codecs.BOM_UTF8):
            raise UnusableError(EMPTY)
        if len(content) > MAX_BYTES:
            raise UnusableError(TOO_LARGE)
        return content


@dataclass(slots=True)
class Found:
    """The content of a source.

    :param documents: Documents that can be uploaded, sorted by name.
    :param refused: Documents with a fault, sorted by name.
    :param hidden: Number of files that were left out because they, or a folder above them, are hidden.
    :param empty: Addresses of the sources without any file, hidden ones left out.
    """

    documents: list[Document] = field(default_factory=list)
    refused: list[Document] = field(default_factory=list)
    hidden: int = 0
    empty: list[str] = field(default_factory=list, compare=False)


def find(sources: Iterable[Source]) -> Found:
    """List the documents of sources. Only names and sizes are read.

    The name of a document is its path below its source, with ``-`` for ``/``: Robofy shows names, and a server may cut
    a name at its slashes, so that one of two ``index.md`` would replace the other.

    :param sources: The sources; a file that is in several is listed once.
    :return: The documents, usable and refused.
    :raises RobofyDataError: A source does not exist.
    :raises RobofyConfigError: There is no source.
    """
    sources = list(sources)
    if not sources:
        raise RobofyConfigError("source is an empty list: give at least one path.")
    found = Found()
    by_uri: dict[str, Document] = {}
    for source in sources:
        is_empty = True
        for document in source.documents():
            if document.fault == HIDDEN:
                found.hidden += 1
            else:
                is_empty = False
                by_uri.setdefault(document.uri, document)
        if is_empty:
            found.empty.append(source.uri)
    by_name = defaultdict(list)
    for document in sorted(by_uri.values(), key=lambda one: (one.name, one.uri)):
        if document.fault is None:
            by_name[document.name].append(document)
        else:
            found.refused.append(replace(document, name=_printable(document.name), uri=_printable(document.uri)))
    for same in by_name.values():
        if len(same) == 1:
            found.documents += same
        else:
            fault = f"{len(same)} files have this name: {', '.join(one.uri for one in same[:5])}"
            found.refused += [replace(one, fault=fault) for one in same]
    found.refused.sort(key=lambda one: (one.name, one.uri))
    return found


class Source:
    """List one path: a file, a folder with everything below it, or a glob.

    :param fs: Any fsspec filesystem.
    :param path: Path in that filesystem.
    :param uri: Address of the path for people.
    """

    def __init__(self, fs: AbstractFileSystem, path: str, uri: str) -> None:
        self.fs = fs
        self.is_local = isinstance(fs, LocalFileSystem)
        self.path = os.path.abspath(path) if self.is_local else path.rstrip("/")  # noqa: PTH100 - resolves no link
        # A local path has one name, whether it was given with file://, relative or with a slash at its end.
        self.uri = self.path if self.is_local else uri.rstrip("/")

    def holds(self, fs: AbstractFileSystem, path: str) -> bool:
        """Return whether a path lies in the folder that this source reads.

        :param fs: Filesystem of the path.
        :param path: The path.
        """
        if not isinstance(fs, type(self.fs)):
            return False
        folder = self._folder()
        if self.is_local:
            folder, path = os.path.realpath(folder), os.path.realpath(path)
        return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")

    def folder_uri(self) -> str:
        """Return the address of a glob's folder, or of anything else the address itself."""
        scheme, found, _ = self.uri.partition("://")
        return f"{scheme}://{self._folder()}" if found else self._folder()

    def documents(self) -> Iterator[Document]:
        """Yield every file, including hidden ones and those that cannot be uploaded, which have a fault.

        :raises RobofyDataError: The path does not exist or cannot be read.
        """
        self.fs.invalidate_cache()
        info = self._info()
        if info is not None and (Path(self.path).is_dir() if self.is_local else info["type"] == "directory"):
            yield from self._local_folder() if self.is_local else self._listed(self.fs.find(self.path, detail=True))
        elif info is not None:
            # The user named this very file, so it may be hidden, and a link may lead anywhere.
            yield self._document(self.path, PurePosixPath(self.path).name, info)
        elif _MAGIC.search(self.path):
            yield from self._listed(self.fs.glob(self.path, detail=True))
        else:
            raise RobofyDataError(f"source {self.uri} is not there.")

    def _folder(self) -> str:
        """Return the folder of a glob, or of anything else the path itself."""
        parts = self.path.split("/")
        magic = next((position for position, part in enumerate(parts) if _MAGIC.search(part)), None)
        if magic is None or self._info() is not None:
            return self.path
        return "/".join(parts[:magic]) or "/"

    def _info(self) -> dict[str, Any] | None:
        try:
            info: dict[str, Any] = self.fs.info(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return info

    def _listed(self, infos: dict[str, dict[str, Any]]) -> Iterator[Document]:
        folder = self._folder().rstrip("/")
        leads_out = _links_out_of(folder)
        for path, info in infos.items():
            if self._is_folder(path, info):
                continue
            name = path.removeprefix(folder).lstrip("/")
            fault = _hidden(name) or (LEADS_OUT if self.is_local and leads_out(path) else None)
            yield self._document(path, name, info, fault)
        yield from self._closed_folders(folder)

    def _is_folder(self, path: str, info: dict[str, Any]) -> bool:
        if self.is_local:
            return Path(path).is_dir()
        # A folder that was made in S3's console is an empty object. s3fs before 2026.2 drops the slash at its end.
        is_marker = info.get("size") == 0 and not kind_of(path)
        return path.endswith("/") or info["type"] == "directory" or is_marker

    def _closed_folders(self, folder: str) -> Iterator[Document]:
        """Yield the folders that cannot be read, which fsspec leaves out: what is in them would count as removed."""
        pattern = None if folder == self.path.rstrip("/") else self.path[len(folder) :].strip("/").split("/")
        if pattern is None and _lists_in_one(self.fs):
            return
        folders = [""]
        while folders:
            below = folders.pop()
            try:
                infos = self.fs.ls(f"{folder}/{below}".rstrip("/") or "/", detail=True)
            except OSError as error:
                yield self._document(
                    f"{folder}/{below}", below, {}, _hidden(below) or f"{_CLOSED} ({type(error).__name__})"
                )
                continue
            for info in infos:
                name = info["name"].rstrip("/").removeprefix(folder).lstrip("/")
                # A link inside leads to a folder that is listed where it really is.
                is_folder = info["type"] == "directory" and not info.get("islink") and name != below
                if is_folder and (pattern is None or _may_match(name.split("/"), pattern)):
                    folders.append(name)

    def _local_folder(self) -> Iterator[Document]:
        leads_out = _links_out_of(self.path)
        closed: list[OSError] = []
        for folder, folders, files in os.walk(self.path, onerror=closed.append):
            for name in files + [name for name in folders if Path(folder, name).is_symlink()]:
                path = f"{folder}/{name}"
                fault = LEADS_OUT if leads_out(path) else None
                if fault or name not in folders:  # a linked folder inside is listed where it really is
                    below = os.path.relpath(path, self.path)
                    yield self._document(path, below, {}, _hidden(below) or fault)
        for error in closed:
            if error.filename == self.path:
                raise RobofyDataError(f"source {self.uri} cannot be read ({type(error).__name__}).")
            # Without this its documents would be reported as removed.
            below = os.path.relpath(error.filename, self.path)
            yield self._document(error.filename, below, {}, _hidden(below) or f"{_CLOSED} ({type(error).__name__})")

    def _document(self, path: str, below: str, info: dict[str, Any], fault: str | None = None) -> Document:
        size = None if self.is_local else info.get("size")
        etag = None if self.is_local else info.get("ETag") or info.get("etag")
        if self.is_local and fault is None:
            try:
                status = os.stat(path)  # noqa: PTH116 - thousands of files
            except FileNotFoundError:
                fault = VANISHED
            except OSError as error:
                fault = f"it cannot be read ({type(error).__name__})"
            else:
                size, fault = status.st_size, None if stat.S_ISREG(status.st_mode) else NO_FILE
        name = unicodedata.normalize("NFC", below.replace("/", "-"))
        return Document(
            name=name,
            uri=self._uri_of(path),
            size=size,
            etag=str(etag) if etag else None,
            fault=fault or _fault(name, size),
            load=partial(self.fs.cat_file, path, start=0, end=MAX_BYTES + 1),
        )

    def _uri_of(self, path: str) -> str:
        if self.is_local:
            return path
        scheme, _, rest = self.uri.partition("://")
        # The part before an @ is the id of an Airflow connection, which only the URI has.
        conn, at, _ = rest.partition("/")[0].rpartition("@")
        return f"{scheme}://{conn}{at}{path}"


def _lists_in_one(fs: AbstractFileSystem) -> bool:
    """Return whether a store lists a folder with all below it in one go, as object stores do, and not by walking."""
    if isinstance(fs, AsyncFileSystem):
        return type(fs)._find is not AsyncFileSystem._find  # noqa: SLF001 - fsspec's own interface for stores
    return type(fs).find is not AbstractFileSystem.find


def _may_match(below: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a glob may match something in a folder, both given from the glob's folder on."""
    for position, name in enumerate(below):
        if position < len(pattern) and "**" in pattern[position]:
            return True
        if position >= len(pattern) - 1 or not fnmatchcase(name, pattern[position]):
            return False
    return True


def _links_out_of(folder: str) -> Callable[[str], bool]:
    """Return a function that says whether a path below a folder is, or is behind, a link out of it."""
    real_folder = cache(os.path.realpath)
    root = f"{real_folder(folder).rstrip('/')}/"

    def leads_out(path: str) -> bool:
        parent, name = os.path.split(path)
        real = os.path.realpath(path) if os.path.islink(path) else f"{real_folder(parent)}/{name}"  # noqa: PTH114
        return not f"{real}/".startswith(root)

    return leads_out


def _hidden(below: str) -> str | None:
    return HIDDEN if any(part.startswith(_HIDDEN) for part in below.split("/")) else None


def _fault(name: str, size: int | None) -> str | None:
    if _printable(name) != name:
        return NAME_NOT_UTF8
    if kind_of(name) not in TEXTS and kind_of(name) not in FILES:
        return WRONG_KIND
    if size == 0:
        return EMPTY
    return TOO_LARGE if size is not None and size > MAX_BYTES else None


def _printable(text: str) -> str:
    """Return a file name as text, although it may have bytes that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()
