"""Request bodies that carry a document, and that know whether all of their bytes were handed to the transport."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING

import orjson
from urllib3.filepost import encode_multipart_formdata

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Bytes that are handed to the transport at a time, and that are encoded at a time.
PIECE = 1 << 16
#: Bytes of the last piece. A form's closing delimiter has 40, so it is never sent before the last piece is.
LAST_PIECE = 64


class Body:
    """Iterate over the bytes of a request body, from the start for each attempt.

    The last piece is small and goes by itself, so even a short request that breaks off early is known to be incomplete.

    :param content: The encoded body.
    :param content_type: Value of the Content-Type header.
    :param fields: The small values in the body by name, which are removed from error texts. The document is not one.
    """

    def __init__(self, content: bytes, *, content_type: str, fields: Mapping[str, str]) -> None:
        self.content_type = content_type
        self.fields = fields
        #: Whether the latest attempt reached the last piece. Until then no server can have acted on the request.
        self.whole = False
        self._content = content

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        self.whole = False
        last = max(len(self) - LAST_PIECE, 0)
        for start in range(0, last, PIECE):
            yield self._content[start : min(start + PIECE, last)]
        # Set before the piece is sent: a transport that knows the length need not come back after it.
        self.whole = True
        yield self._content[last:]


def multipart(*, fields: Mapping[str, str], file_name: str, media_type: str, content: bytes) -> Body:
    """Return a form with one file, as ``multipart/form-data``.

    :param fields: The other fields of the form.
    :param file_name: Name to send. Quotes and line breaks become ``%22``, ``%0D`` and ``%0A``, as in browsers.
    :param media_type: Content type of the file.
    :param content: The file.
    :return: The body.
    """
    form, content_type = encode_multipart_formdata([*fields.items(), ("file", (file_name, content, media_type))])
    return Body(form, content_type=content_type, fields={**fields, "file": file_name})


def json_text(*, fields: Mapping[str, str], name: str, content: bytes) -> Body:
    """Return a JSON object with one long text.

    The text is encoded in pieces, because one emoji makes a decoded text four times as long in memory.

    :param fields: The other fields of the object.
    :param name: Name of the text's field.
    :param content: The text in UTF-8; a byte order mark is left out.
    :return: The body.
    :raises UnicodeDecodeError: The content is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    body = io.BytesIO()
    body.write(orjson.dumps({**fields, name: ""})[:-2])
    for start in range(0, len(content), PIECE):
        text = decoder.decode(content[start : start + PIECE], final=start + PIECE >= len(content))
        body.write(orjson.dumps(text)[1:-1])
    body.write(b'"}')
    return Body(body.getvalue(), content_type="application/json", fields=fields)
