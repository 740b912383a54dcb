"""A private file that rows are written to before anybody else can see them. What it counts is in test_landing."""

from __future__ import annotations

import os

import pytest

from airflow_provider_robofy.extract.spool import Spool


def test_compressed_bytes_bear_no_time_and_no_name(tmp_path):
    with Spool(tmp_path / "name-of-the-file", compress=True) as spool:
        spool.finish()
        header = spool.path.read_bytes()[:10]

    # Magic, deflate, no flags (so no name), time zero.
    assert header[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_a_file_or_link_that_lies_there_already_is_never_written_to(tmp_path):
    (tmp_path / "x").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "x")

    for name in ("x", "link"):
        with pytest.raises(FileExistsError):
            Spool(tmp_path / name, compress=False)

    assert (tmp_path / "x").read_text() == "theirs"


@pytest.mark.parametrize("finished", [False, True])
def test_leaving_it_removes_the_file_unless_it_was_moved_away(tmp_path, finished):
    with Spool(tmp_path / "x", compress=True) as spool:
        spool.append(b"x\n")
        if finished:
            spool.finish()
            spool.path.rename(tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["final"] * finished


@pytest.mark.parametrize(
    ("filled", "lines", "compress"),
    [
        *((0, [os.urandom(2000).hex().encode() for _ in range(100)], compress) for compress in (False, True)),
        # Small enough to wait in the buffer, which is 8 KiB, until the last bytes go out.
        (60 * 1024, [b"y" * 3000] * 2, False),
    ],
    ids=["plain", "compressed", "at the end"],
)
def test_a_full_disk_is_an_error_and_leaves_no_file(small_disk, filled, lines, compress):
    def spool() -> None:
        with Spool(small_disk / "x", compress=compress) as spool:
            for line in lines:
                spool.append(line)
            spool.finish()

    (small_disk / "filler").write_bytes(b"x" * filled)
    with pytest.raises(OSError, match="No space left"):
        spool()

    assert [path.name for path in small_disk.iterdir()] == ["filler"]
