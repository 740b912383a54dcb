"""A private file that rows are written to before anybody else can see them."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from airflow_provider_robofy.extract.files import Spool

if TYPE_CHECKING:
    from pathlib import Path


def spool_lines(path: Path, lines: list[bytes], *, compress: bool = False) -> None:
    with Spool(path, compress=compress) as spool:
        for line in lines:
            spool.append(line)
        spool.finish()


@pytest.mark.parametrize("compress", [False, True])
def test_it_counts_and_hashes_what_lies_on_disk(tmp_path, compress):
    lines = [[b'{"a":%d}\n' % number for number in range(start, start + 100)] for start in range(0, 1000, 100)]

    with Spool(tmp_path / "x", compress=compress) as spool:
        for page in lines:
            spool.append(b"".join(page))
        spool.append(b"")
        spool.finish()
        content = spool.path.read_bytes()

    assert spool.rows == 1000
    assert spool.bytes == len(content)
    assert spool.sha256 == hashlib.sha256(content).hexdigest()
    assert (gzip.decompress(content) if compress else content) == b"".join(line for page in lines for line in page)


def test_compressed_bytes_bear_no_time_and_no_name(tmp_path):
    with Spool(tmp_path / "name-of-the-file", compress=True) as spool:
        spool.finish()
        header = spool.path.read_bytes()[:10]

    # Magic, deflate, no flags (so no name), time zero.
    assert header[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_nobody_else_can_read_it_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        with Spool(tmp_path / "x", compress=False) as spool:
            assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_file_or_link_that_lies_there_already_is_never_written_to(tmp_path):
    (tmp_path / "x").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "x")

    for name in ("x", "link"):
        with pytest.raises(FileExistsError):
            Spool(tmp_path / name, compress=False)

    assert (tmp_path / "x").read_text() == "theirs"


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("finished", [False, True])
def test_leaving_it_removes_the_file(tmp_path, compress, finished):
    with Spool(tmp_path / "x", compress=compress) as spool:
        spool.append(b"x\n")
        if finished:
            spool.finish()
    assert list(tmp_path.iterdir()) == []


def test_leaving_it_after_the_file_was_moved_away_is_fine(tmp_path):
    with Spool(tmp_path / "x", compress=False) as spool:
        spool.finish()
        spool.path.rename(tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


@pytest.mark.parametrize("compress", [False, True])
def test_a_full_disk_is_an_error_and_leaves_no_file(small_disk, compress):
    with pytest.raises(OSError, match="No space left"):
        spool_lines(small_disk / "x", [os.urandom(2000).hex().encode() for _ in range(100)], compress=compress)

    assert list(small_disk.iterdir()) == []


def test_a_disk_that_is_full_only_when_the_last_bytes_go_out_leaves_no_file(small_disk):
    (small_disk / "filler").write_bytes(b"x" * 60 * 1024)

    # Small enough to wait in the buffer, which is 8 KiB.
    with pytest.raises(OSError, match="No space left"):
        spool_lines(small_disk / "x", [b"y" * 3000] * 2)

    assert [path.name for path in small_disk.iterdir()] == ["filler"]
