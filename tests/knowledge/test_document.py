"""Reading one document: measured once, and sent only as it was measured."""

from __future__ import annotations

import hashlib

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_robofy.knowledge.document import Document, Note, UnusableError, kind_of, measure, sha256


@pytest.fixture
def document(tmp_path):
    def make(name: str, content: bytes) -> Document:
        path = tmp_path / name
        path.write_bytes(content)
        return Document(name=name, uri=str(path), size=len(content), fs=LocalFileSystem(), path=str(path))

    return make


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.md", "md"), ("a.b.PDF", "pdf"), ("README", ""), (".md", ""), ("a.", ""), ("a.MarkDown", "markdown"),
    ],
)  # fmt: skip
def test_the_suffix_is_the_kind(name, kind):
    assert kind_of(name) == kind


def test_a_text_is_measured_as_it_lies_there_and_as_it_is_sent(document):
    measured = measure(document("a.md", 'Größe "x"\n'.encode()))
    assert measured.size == 12
    assert measured.sha256 == hashlib.sha256('Größe "x"\n'.encode()).hexdigest()
    assert measured.sent == len(b'Gr\xc3\xb6\xc3\x9fe \\"x\\"\\n')


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.md", b"caf\xe9", "UTF-8"),
        ("a.txt", "x".encode("utf-16"), "UTF-8"),
        ("a.json", b"abc\xc3", "UTF-8"),
        ("a.md", b"", "empty"),
        ("a.md", b"\xef\xbb\xbf", "empty"),
        ("a.pdf", b"", "empty"),
        ("a.pdf", b"x" * (10 * 2**20 + 1), "10 MB"),
        ("a.txt", b"x" * (10 * 2**20 + 1), "10 MB"),
    ],
)
def test_a_content_that_robofy_would_not_take_is_refused_with_its_reason(document, name, content, reason):
    with pytest.raises(UnusableError, match=reason):
        measure(document(name, content))


def test_bytes_that_are_no_text_are_fine_in_a_file(document):
    assert measure(document("a.pdf", b"caf\xe9\x00")).sent == 5


def test_a_file_that_vanished_says_so(document, tmp_path):
    gone = document("a.md", b"x")
    (tmp_path / "a.md").unlink()
    for read in (measure, sha256):
        with pytest.raises(UnusableError, match="vanished"):
            read(gone)


def test_a_file_that_may_not_be_read_names_the_kind_of_error_only(document, monkeypatch):
    closed = document("a.md", b"x")

    def refuse(self):
        raise PermissionError(13, "secret words", self.path)

    monkeypatch.setattr(Document, "_open", refuse)
    with pytest.raises(UnusableError) as caught:
        measure(closed)
    assert str(caught.value) == "it cannot be read (PermissionError)"


def test_a_store_may_fail_in_its_own_way(monkeypatch):
    class StoreError(Exception):
        pass

    def refuse(self, *args, **kwargs):
        raise StoreError

    fs = MemoryFileSystem()
    monkeypatch.setattr(MemoryFileSystem, "open", refuse)
    with pytest.raises(UnusableError, match="StoreError"):
        measure(Document(name="a.md", uri="memory://a.md", size=1, fs=fs, path="/a.md"))


@pytest.mark.parametrize("after", [b"other", b"lang", b"longer than before"])
def test_a_file_that_changes_before_it_is_sent_breaks_off_at_its_end(document, tmp_path, after):
    measured = measure(document("a.md", b"first"))
    (tmp_path / "a.md").write_bytes(after)
    with pytest.raises(UnusableError, match="changed"):
        list(measured.pieces())


def test_a_note_is_read_like_a_file():
    note = Note(name="hours.md", text=b"x" * 100_000)
    assert b"".join(note.pieces()) == note.text
    assert (note.size, note.kind, measure(note).sent) == (100_000, "md", 100_000)
    with pytest.raises(UnusableError, match="empty"):
        measure(Note(name="hours.md", text=b""))
