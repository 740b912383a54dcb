"""One document that an agent is to learn: what it is called, of which kind it is, and how its bytes are read."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.body import PIECE, escaped
from airflow_provider_robofy.api.errors import RobofyDataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec import AbstractFileSystem

#: What Robofy takes at most (documented for Add File; held for texts too).
MAX_BYTES: Final = 10 * 1024 * 1024
#: Kinds that go through Add Text Content.
TEXTS: Final = ("txt", "md", "markdown", "html", "json")
#: Kinds that go through Add File, with their media types.
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
CHANGED: Final = "it changed while it was uploaded"

# A remote file is read ahead by this much, whatever its filesystem would like (s3fs: 50 MB).
_READ_AHEAD = 1 << 20


class UnusableError(RobofyDataError):
    """Say in a few words why a document cannot be uploaded."""


def kind_of(name: str) -> str:
    """Return a name's suffix in lower case, without the dot; empty where it has none."""
    stem, dot, suffix = name.rpartition(".")
    return suffix.lower() if stem and dot else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Name one document in a filesystem.

    :param name: What Robofy is told that it is called; unique within a source.
    :param uri: How people call it.
    :param size: Bytes as listed.
    :param etag: What the store says changes with every content, or None.
    """

    name: str
    uri: str
    size: int
    etag: str | None = None
    fs: AbstractFileSystem = field(repr=False)
    path: str = field(repr=False)

    @property
    def kind(self) -> str:
        """Return the suffix that says how it is uploaded."""
        return kind_of(self.name)

    @property
    def is_text(self) -> bool:
        """Tell whether it goes through Add Text Content."""
        return self.kind in TEXTS

    def pieces(self) -> Iterator[bytes]:
        """Yield its bytes.

        :raises UnusableError: It is gone, or cannot be read.
        """
        try:
            with self._open() as file:
                while piece := file.read(PIECE):
                    yield piece
        except FileNotFoundError:
            raise UnusableError(VANISHED) from None
        except Exception as error:  # noqa: BLE001 - what a store raises is its own affair
            raise UnusableError(f"it cannot be read ({type(error).__name__})") from None

    def _open(self) -> Any:
        if isinstance(self.fs, LocalFileSystem):
            return open(self.path, "rb", buffering=0)  # noqa: PTH123 - ten times as fast as fsspec's own
        return self.fs.open(self.path, "rb", block_size=_READ_AHEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Be a document that a DAG wrote: a name and its text.

    :param text: The text, in UTF-8.
    """

    name: str
    text: bytes = field(repr=False)
    uri: str = "text="
    etag: None = None
    is_text: bool = True

    @property
    def size(self) -> int:
        """Return its bytes."""
        return len(self.text)

    @property
    def kind(self) -> str:
        """Return the suffix of its name."""
        return kind_of(self.name)

    def pieces(self) -> Iterator[bytes]:
        """Yield its bytes."""
        file = io.BytesIO(self.text)
        while piece := file.read(PIECE):
            yield piece


@dataclass(frozen=True, slots=True)
class Measured:
    """Hold what has to be known of a content before it is sent, and see to it that just this is sent.

    :param document: Whose content.
    :param size: Bytes as they lie there.
    :param sha256: Their hash, in hex.
    :param sent: Bytes as they go over the wire: of a text its JSON escapes.
    """

    document: Document | Note
    size: int
    sha256: str
    sent: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the content.

        :raises UnusableError: It is not the content that was measured. A request that breaks off here is not whole.
        """
        digest = hashlib.sha256()
        for piece in self.document.pieces():
            digest.update(piece)
            yield piece
        if digest.hexdigest() != self.sha256:
            raise UnusableError(CHANGED)


def measure(document: Document | Note) -> Measured:
    """Read a document once, a piece at a time in memory.

    :raises UnusableError: It cannot be read or is nothing that Robofy takes.
    """
    digest, size = hashlib.sha256(), 0

    def watched() -> Iterator[bytes]:
        nonlocal size
        for piece in document.pieces():
            size += len(piece)
            if size > MAX_BYTES:
                raise UnusableError(TOO_LARGE)
            digest.update(piece)
            yield piece

    try:
        sent = sum(map(len, escaped(watched()) if document.is_text else watched()))
    except UnicodeDecodeError:
        raise UnusableError(NOT_UTF8) from None
    if not sent:
        raise UnusableError(EMPTY)
    return Measured(document, size, digest.hexdigest(), sent)


def sha256(document: Document | Note) -> str:
    """Return the hash of a document's bytes, in hex.

    :raises UnusableError: It cannot be read.
    """
    digest = hashlib.sha256()
    for piece in document.pieces():
        digest.update(piece)
    return digest.hexdigest()
