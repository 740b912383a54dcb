"""Request bodies that hold a file and are never in memory as a whole."""

from __future__ import annotations

import codecs
import secrets
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import orjson

from airflow_provider_robofy.api.errors import RobofyDataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: Bytes read from a file at a time.
PIECE = 1 << 16


class Content(Protocol):
    """What a body is made around: bytes that can be read from the start as often as it takes."""

    def pieces(self) -> Iterator[bytes]:
        """Yield the content from its start."""


class Body:
    """Hold what is sent before a content, the content, and what is sent after it.

    A client takes its length for Content-Length and iterates over it, once for each attempt.

    :param content_type: Value of the Content-Type header.
    :param fields: The small values that are sent along, for scrubbing them out of errors.
    :param head: Bytes before the content; ``tail`` those after it, which must not be empty.
    :param content: The content.
    :param size: Bytes of the content as ``encode`` makes them.
    :param encode: Makes a function that turns pieces as read into pieces as sent.
    """

    def __init__(
        self,
        *,
        content_type: str,
        fields: Mapping[str, str],
        head: bytes,
        content: Content,
        tail: bytes,
        size: int,
        encode: Callable[[Iterable[bytes]], Iterator[bytes]] = iter,
    ) -> None:
        self.content_type = content_type
        self.fields = fields
        self._head = head
        self._content = content
        self._tail = tail
        self._size = size
        self._encode = encode
        #: Has the latest attempt got to the last bytes? Before those no server can have taken the request for complete.
        self.whole = False
        #: What went wrong with the content in the latest attempt. It explains why a connection was dropped.
        self.trouble: Exception | None = None

    def __len__(self) -> int:
        return len(self._head) + self._size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        self.whole, self.trouble = False, None
        yield self._head
        left = self._size
        try:
            for piece in self._encode(self._content.pieces()):
                left -= len(piece)
                if left < 0:
                    break
                yield piece
            if left:
                self._refuse()
        except Exception as error:
            self.trouble = error
            raise
        # Said beforehand: a transport may have sent these bytes and still not have come back for more.
        self.whole = True
        yield self._tail

    def _refuse(self) -> NoReturn:
        raise RobofyDataError("it changed while it was read")


def multipart(*, fields: Mapping[str, str], file_name: str, media_type: str, content: Content, size: int) -> Body:
    """Return a form with one file, as ``multipart/form-data``.

    :param fields: The form's other fields.
    :param file_name: Name to send; quotes and line breaks in it are escaped as browsers do.
    :param media_type: Content type of the file.
    :param content: The file; ``size`` its length in bytes.
    """
    boundary = secrets.token_hex(16)
    parts = [_part(boundary, name) + value.encode() + b"\r\n" for name, value in fields.items()]
    parts.append(_part(boundary, "file", file_name, media_type))
    return Body(
        content_type=f"multipart/form-data; boundary={boundary}",
        fields={**fields, "file": file_name},
        head=b"".join(parts),
        content=content,
        tail=f"\r\n--{boundary}--\r\n".encode(),
        size=size,
    )


def json_text(*, fields: Mapping[str, str], name: str, content: Content, size: int) -> Body:
    """Return a JSON object with one long text.

    :param fields: The object's other fields.
    :param name: Field of the text.
    :param content: The text in UTF-8; ``size`` its length as :func:`escaped` makes it.
    """
    start = orjson.dumps(dict(fields))[:-1] + (b"," if fields else b"")
    return Body(
        content_type="application/json",
        fields=fields,
        head=start + orjson.dumps(name) + b':"',
        content=content,
        tail=b'"}',
        size=size,
        encode=escaped,
    )


def escaped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield UTF-8 text as it stands between the quotes of a JSON string, without its byte order mark.

    :raises UnicodeDecodeError: It is not UTF-8.
    """
    decoder: Any = codecs.getincrementaldecoder("utf-8-sig")()
    for piece in pieces:
        yield orjson.dumps(decoder.decode(piece))[1:-1]
    yield orjson.dumps(decoder.decode(b"", final=True))[1:-1]


def _part(boundary: str, name: str, file_name: str | None = None, media_type: str | None = None) -> bytes:
    header = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
    if file_name is not None:
        header += f'; filename="{_quoted(file_name)}"\r\nContent-Type: {media_type}'
    return f"{header}\r\n\r\n".encode()


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
