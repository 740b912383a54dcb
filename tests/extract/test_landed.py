"""Holding a landed file while it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import fsspec
import pytest

from airflow_provider_robofy.api.errors import RobofyLandingError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import hold, open_uri

ROWS = [{"id": number} for number in range(5)]
CONTENT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path) -> Store:
    if request.param == "disk":
        (tmp_path / "leads.jsonl").write_bytes(CONTENT)
        return open_uri(str(tmp_path / "leads.jsonl"))
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/held/leads.jsonl", CONTENT)
    return Store(fs, "/held/leads.jsonl", "memory://held/leads.jsonl")


def manifest(store: Store, **changes) -> dict:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return {"resource": "leads", "uri": store.uri, "format": "jsonl", "rows": 5, "sha256": sha256, **changes}


def test_it_is_read_as_often_as_one_likes_and_to_any_point(store):
    with hold(manifest(store), store) as held:
        assert list(held.rows()) == ROWS
        assert next(held.rows()) == ROWS[0]
        assert list(held.rows()) == ROWS


def test_what_was_checked_is_what_is_read_whoever_replaces_it_meanwhile(store):
    with hold(manifest(store), store) as held:
        if store.is_local:
            other = Path(store.path).with_suffix(".other")
            other.write_bytes(b'{"id": "other"}\n' * 5)
            other.replace(store.path)
        else:
            store.fs.pipe_file(store.path, b'{"id": "other"}\n' * 5)
        assert list(held.rows()) == ROWS


def test_another_content_is_refused(store):
    with (
        pytest.raises(RobofyLandingError, match=r"leads.jsonl is not the file .* \(sha256\)"),
        hold(manifest(store, sha256="0" * 64), store),
    ):
        pass


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    store = open_uri(str(tmp_path))
    with pytest.raises(RobofyLandingError, match="could not be read"), hold(manifest(store), store):
        pass


def test_an_error_of_the_reader_is_the_readers_own(store):
    def read() -> None:
        with hold(manifest(store), store) as held:
            for _ in held.rows():
                raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        read()
