"""What a path means: which documents, under which names, and what is refused before anything is read."""

from __future__ import annotations

import os

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.knowledge.documents import Source, find

LOCAL = LocalFileSystem()


@pytest.fixture
def tree(tmp_path):
    """A function that makes files and returns their folder."""

    def make(*names: str, content: bytes = b"text"):
        for name in names:
            path = tmp_path / "docs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path / "docs"

    return make


def listed(*paths):
    return find([Source(LOCAL, str(path), str(path)) for path in paths])


def names(*paths) -> list[str]:
    return [document.name for document in listed(*paths).documents]


def reasons(*paths) -> dict[str, str]:
    return {refused.name: refused.fault for refused in listed(*paths).refused}


def test_a_folder_means_everything_below_it_by_its_path_there(tree):
    folder = tree("index.md", "guides/index.md", "guides/deep/er/setup.PDF", "prices.xlsx")
    assert names(folder) == ["guides-deep-er-setup.PDF", "guides-index.md", "index.md", "prices.xlsx"]
    assert names(f"{folder}/") == names(folder)


def test_a_glob_means_what_it_matches_below_the_folder_before_it(tree):
    folder = tree("a.md", "b.txt", "guides/c.md", "guides/deep/d.md")
    assert names(folder / "*.md") == ["a.md"]
    assert names(folder / "**" / "*.md") == ["a.md", "guides-c.md", "guides-deep-d.md"]
    assert names(folder / "guides" / "?.md") == ["c.md"]
    assert names(folder / "*.pdf") == []


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tree):
    folder = tree("a[1].md", "a1.md")
    assert names(folder / "a[1].md") == ["a[1].md"]


def test_a_list_is_taken_together_and_no_file_twice(tree):
    folder = tree("a.md", "guides/b.md")
    assert names(folder / "a.md", folder / "*.md", folder / "guides") == ["a.md", "b.md"]


def test_hidden_files_and_folders_are_left_out_and_counted_unless_they_are_named(tree):
    folder = tree("a.md", ".env.json", ".git/config.txt", ".git/objects/x.json")
    found = listed(folder)
    assert [document.name for document in found.documents] == ["a.md"]
    assert (found.refused, found.hidden) == ([], 3)
    assert names(folder / ".env.json") == [".env.json"]


@pytest.mark.parametrize("pattern", ["", "**/*"])
def test_lock_files_of_open_office_documents_are_left_out_and_counted_unless_they_are_named(tree, pattern):
    folder = tree("prices.xlsx", "~$prices.xlsx", "guides/~$Setup.DOCX", "guides/~$notes.md", "a~$b.md", "~c.md")
    found = listed(folder / pattern if pattern else folder)
    assert [document.name for document in found.documents] == ["a~$b.md", "prices.xlsx", "~c.md"]
    assert (found.refused, found.hidden) == ([], 3)
    assert names(folder / "~$prices.xlsx") == ["~$prices.xlsx"]


@pytest.mark.parametrize("pattern", ["", "*", "**/*"])
def test_a_link_that_leads_out_of_the_folder_is_refused(tree, tmp_path, pattern):
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.txt").write_text("secret")
    folder = tree("a.md", "guides/b.md")
    (folder / "out.md").symlink_to(tmp_path / "secret.md")
    (folder / "sideways.md").symlink_to("../secret.md")
    (folder / "away").symlink_to(tmp_path / "private")
    (folder / "again.md").symlink_to(folder / "a.md")

    found = listed(folder / pattern if pattern else folder)

    assert {one.name for one in found.documents} <= {"a.md", "again.md", "guides-b.md"}
    assert {"a.md", "again.md"} <= {one.name for one in found.documents}
    refused = {one.name: one.fault for one in found.refused}
    assert set(refused) >= {"out.md", "sideways.md"}
    assert all("leads out of the folder" in refused[name] for name in ("out.md", "sideways.md"))


def test_a_linked_folder_that_leads_out_is_named_once_and_not_entered(tree, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.txt").write_text("secret")
    folder = tree("a.md")
    (folder / "away").symlink_to(tmp_path / "private")
    (folder / "loop").symlink_to(folder)
    assert names(folder) == ["a.md"]
    assert list(reasons(folder)) == ["away"]


def test_a_source_may_itself_be_a_link(tree, tmp_path):
    folder = tree("a.md")
    (tmp_path / "link").symlink_to(folder)
    assert names(tmp_path / "link") == ["a.md"]


def test_what_a_name_and_a_size_show_is_refused_with_its_reason(tree):
    folder = tree("a.md", "virus.exe", "README", "archive.md.zip", ".md")
    (folder / "empty.txt").write_bytes(b"")
    with (folder / "huge.pdf").open("wb") as file:
        file.truncate(10 * 1024 * 1024 + 1)
    with (folder / "largest.pdf").open("wb") as file:
        file.truncate(10 * 1024 * 1024)
    os.mkfifo(folder / "pipe.txt")
    (folder / "dangling.md").symlink_to(folder / "nowhere.md")

    found = listed(folder)

    assert [one.name for one in found.documents] == ["a.md", "largest.pdf"]
    refused = {one.name: one.fault for one in found.refused}
    assert set(refused) == {
        "README", "archive.md.zip", "dangling.md", "empty.txt", "huge.pdf", "pipe.txt", "virus.exe",
    }  # fmt: skip
    assert "type" in refused["virus.exe"]
    assert "docx" in refused["README"]
    assert "empty" in refused["empty.txt"]
    assert "10 MB" in refused["huge.pdf"]
    assert "regular" in refused["pipe.txt"]
    assert "vanished" in refused["dangling.md"]


def test_two_files_with_one_name_are_both_refused_and_the_reason_names_them(tree):
    folder = tree("guides-setup.md", "guides/setup.md", "a.md")
    assert names(folder) == ["a.md"]
    [reason] = set(reasons(folder).values())
    assert "guides-setup.md" in reason
    assert "guides/setup.md" in reason
    assert len(listed(folder).refused) == 2

    folder = tree("one/x.md", "two/x.md")
    assert names(folder / "one", folder / "two" / "x.md") == []
    assert names(folder) == ["a.md", "one-x.md", "two-x.md"]


def test_one_name_written_in_two_ways_of_unicode_is_one_name(tree):
    folder = tree("caf\u00e9.md", "cafe\u0301.md")
    assert names(folder) == []
    assert set(reasons(folder)) == {"caf\u00e9.md"}


def test_a_name_that_is_no_utf8_is_refused_and_can_be_printed(tree):
    folder = tree("a.md")
    (folder / os.fsdecode(b"bad\xff.md")).write_bytes(b"x")
    [refused] = listed(folder).refused
    assert "UTF-8" in refused.fault
    assert refused.name.encode() == b"bad\\udcff.md"
    assert names(folder) == ["a.md"]


def test_a_source_that_is_not_there_is_an_error_and_an_empty_one_is_not(tree, tmp_path):
    with pytest.raises(RobofyDataError, match=r"nowhere\.md"):
        listed(tmp_path / "nowhere.md")
    with pytest.raises(RobofyConfigError, match="source"):
        find([])
    (tmp_path / "empty").mkdir()
    assert listed(tmp_path / "empty") == listed(tmp_path / "no*.md")


def test_a_folder_that_cannot_be_read_is_named_and_does_not_look_empty(tree, monkeypatch):
    folder = tree("a.md", "closed/b.md")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "no", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(folder) == ["a.md"]
    assert reasons(folder) == {"closed": "it is a folder that cannot be read (PermissionError)"}
    with pytest.raises(RobofyDataError, match=r"closed cannot be read"):
        listed(folder / "closed")


def test_a_local_path_is_one_source_in_any_writing(tree):
    folder = tree("a.md")
    assert {Source(LOCAL, str(folder), uri).uri for uri in (f"file://{folder}/", f"{folder}/", str(folder))} == {
        str(folder)
    }
    assert [refused.name for refused in listed(folder / "a.md", folder).refused] == []


def test_a_relative_path_is_the_absolute_one(tree, monkeypatch):
    folder = tree("a.md")
    monkeypatch.chdir(folder.parent)
    assert Source(LOCAL, "docs", "docs").uri == str(folder)
    assert names("docs") == ["a.md"]


@pytest.mark.parametrize(
    ("source", "place", "inside"),
    [
        ("docs", "docs/ledger.json", True),
        ("docs", "docs/sub/ledger.json", True),
        ("docs", "docs2/ledger.json", False),
        ("docs", "ledger.json", False),
        ("docs/*.md", "docs/ledger.json", True),
        ("docs/**/*.md", "docs/x/ledger.json", True),
        ("docs/a.md", "docs/ledger.json", False),
        ("docs", "link/ledger.json", True),
    ],
)
def test_a_place_is_seen_to_lie_in_the_source(tree, tmp_path, source, place, inside):
    folder = tree("a.md")
    (tmp_path / "link").symlink_to(folder)
    path = f"{tmp_path}/{source}"
    assert Source(LOCAL, path, path).holds(LOCAL, f"{tmp_path}/{place}") is inside


@pytest.mark.s3
def test_a_bucket_is_listed_like_a_folder(bucket):
    fs, name = bucket
    for key, content in {
        "wiki/a.md": b"x",
        "wiki/guides/b.pdf": b"y",
        "wiki/.hidden.md": b"z",
        "wiki/e.txt": b"",
    }.items():
        fs.pipe_file(f"{name}/{key}", content)
    fs.touch(f"{name}/wiki/folder/")

    found = find([Source(fs, f"{name}/wiki", f"s3://my_conn@{name}/wiki")])

    assert [one.name for one in found.documents] == ["a.md", "guides-b.pdf"]
    assert [one.uri for one in found.documents] == [
        f"s3://my_conn@{name}/wiki/a.md",
        f"s3://my_conn@{name}/wiki/guides/b.pdf",
    ]
    assert all(one.etag for one in found.documents)
    assert ([one.name for one in found.refused], found.hidden) == (["e.txt"], 1)
    assert [one.name for one in find([Source(fs, f"{name}/wiki/*.md", "s3://")]).documents] == ["a.md"]
    assert [one.name for one in find([Source(fs, f"{name}/wiki/a.md", "s3://")]).documents] == ["a.md"]
    with pytest.raises(RobofyDataError, match="is not there"):
        find([Source(fs, f"{name}/nothing", f"s3://{name}/nothing")])
