"""Reading one document, and what makes it unusable."""

from __future__ import annotations

import os

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_robofy.knowledge.documents import MAX_BYTES, Document, Source, UnusableError, find, kind_of


@pytest.fixture
def document(tmp_path):
    """A document as its listing gives it, with a content that is written after that."""

    def make(name: str, content: bytes) -> Document:
        path = tmp_path / name
        path.write_bytes(b"as listed")
        [found] = find([Source(LocalFileSystem(), str(path), str(path))]).documents
        path.write_bytes(content)
        return found

    return make


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.md", "md"), ("a.b.PDF", "pdf"), ("README", ""), (".md", ""), ("a.", ""), ("a.MarkDown", "markdown"),
    ],
)  # fmt: skip
def test_the_suffix_is_the_kind(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.md", b"", "empty"),
        ("a.md", b"\xef\xbb\xbf", "empty"),
        ("a.pdf", b"", "empty"),
        ("a.pdf", b"x" * (10 * 2**20 + 1), "10 MB"),
        ("a.txt", b"x" * (10 * 2**20 + 1), "10 MB"),
    ],
)
def test_a_content_that_robofy_would_not_take_is_refused_with_its_reason(document, name, content, reason):
    with pytest.raises(UnusableError, match=reason):
        document(name, content).read()


def test_a_content_is_read_as_it_is(document):
    for content in (b"caf\xe9\x00", "\ufeffGröße".encode(), b"x" * MAX_BYTES):
        assert document("a.pdf", content).read() == content


def test_of_a_file_that_has_grown_beyond_all_bounds_no_more_is_read_than_it_takes_to_refuse_it(document, tmp_path):
    grown = document("a.pdf", b"x")
    os.truncate(tmp_path / "a.pdf", 1 << 40)
    assert len(grown.load()) == MAX_BYTES + 1
    with pytest.raises(UnusableError, match="10 MB"):
        grown.read()


def test_a_file_that_vanished_says_so(document, tmp_path):
    gone = document("a.md", b"x")
    (tmp_path / "a.md").unlink()
    with pytest.raises(UnusableError, match="vanished"):
        gone.read()


def test_a_file_that_may_not_be_read_names_the_kind_of_error_only(document, monkeypatch):
    closed = document("a.md", b"x")

    def refuse(self, path, *args, **kwargs):
        raise PermissionError(13, "secret words", path)

    monkeypatch.setattr(LocalFileSystem, "open", refuse)
    with pytest.raises(UnusableError) as caught:
        closed.read()
    assert str(caught.value) == "it cannot be read (PermissionError)"


def test_a_store_may_fail_in_its_own_way(monkeypatch):
    class StoreError(Exception):
        pass

    def refuse(self, *args, **kwargs):
        raise StoreError

    fs = MemoryFileSystem()
    fs.pipe_file("/broken/a.md", b"x")
    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    [found] = find([Source(fs, "/broken", "memory://broken")]).documents
    with pytest.raises(UnusableError, match="StoreError"):
        found.read()
