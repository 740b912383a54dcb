"""Folders that cannot be read are named, in globs and in stores that are walked: nothing in them counts as removed."""

from __future__ import annotations

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_robofy.knowledge.documents import Source, find

TREE = ("a.md", "open/b.md", "closed/c.md", "closed/deep/d.md", "open/closed/e.md", ".closed/f.md")


class Walked(MemoryFileSystem):  # type: ignore[misc]
    """A store that lists one folder at a time, as SFTP does."""

    find = AbstractFileSystem.find


@pytest.fixture
def tree(tmp_path):
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.fixture
def _closed(monkeypatch):
    for fs in (LocalFileSystem, MemoryFileSystem):
        ls = fs.ls

        def refuse(self, path, *arguments, ls=ls, **options):
            if str(path).rstrip("/").endswith("closed"):
                raise PermissionError(13, "Permission denied")
            return ls(self, path, *arguments, **options)

        monkeypatch.setattr(fs, "ls", refuse)


def found(fs, path):
    result = find([Source(fs, path, path)])
    closed = sorted(
        one.name for one in result.refused if str(one.fault).startswith("it is a folder that cannot be read")
    )
    return sorted(one.name for one in result.documents), closed


@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize(
    ("pattern", "documents", "closed"),
    [
        ("**/*.md", ["a.md", "open-b.md"], ["closed", "open-closed"]),
        ("**", ["a.md", "open-b.md"], ["closed", "open-closed"]),
        ("*.md", ["a.md"], []),
        ("*/*.md", ["open-b.md"], ["closed"]),
        ("op*/*.md", ["open-b.md"], []),
        ("*/*/*.md", [], ["closed", "open-closed"]),
        ("open/*", ["b.md"], []),
        ("open/**", ["b.md"], ["closed"]),
    ],
)
def test_a_glob_names_the_closed_folders_that_it_could_have_looked_into(tree, pattern, documents, closed):
    assert found(LocalFileSystem(), f"{tree}/{pattern}") == (documents, closed)


@pytest.mark.usefixtures("_closed")
def test_a_store_that_is_walked_names_its_closed_folders():
    fs = Walked()
    for name in TREE:
        fs.pipe_file(f"/closed-folders/{name}", name.encode())
    try:
        assert found(fs, "/closed-folders") == (["a.md", "open-b.md"], ["closed", "open-closed"])
    finally:
        for name in TREE:
            fs.rm_file(f"/closed-folders/{name}")


def test_without_a_closed_folder_nothing_is_refused(tree):
    assert found(LocalFileSystem(), f"{tree}/**/*.md")[1] == []
