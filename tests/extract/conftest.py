"""What the tests of `extract` share beside runs: three kinds of place to land on, sessions, and spellings."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import strategies as st

from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import LandedSessions, Shard, open_uri
from airflow_provider_robofy.extract.messages import MessagesExtraction
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms
from tests.extract.runs import make_listing_run, make_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from airflow_provider_robofy.api.pages import Page
    from airflow_provider_robofy.extract.manifest import Manifest


def land_sessions(path: Path, rows: Iterable[Any], **changes: Any) -> dict[str, Any]:
    """Write a file of sessions, and return the manifest that a fetch of them would have."""
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if path.suffix == ".gz":
        content = gzip.compress(content)
    path.write_bytes(content)
    return {
        "resource": "sessions", "uri": str(path), "format": path.name.partition(".")[2], "mode": "full",
        "chatbot_id": "agent", "project_id": None, "rows": len(list(rows)), "bytes": len(content), **changes,
    }  # fmt: skip


def make_extraction(sessions: Any, path: Path, **changes: Any) -> MessagesExtraction:
    """Make a run over a file of sessions, given as the manifest or as something that has their ids."""
    if isinstance(sessions, dict):
        sessions = LandedSessions.of(sessions, open_uri)
    values: dict[str, Any] = {"shard": Shard(), "settings": Settings(api_key="k"), "max_concurrency": 4}
    values |= {"run_key": "dag/run/task", "store": open_uri(str(path)), "pseudonyms": Pseudonyms("a key")}
    return MessagesExtraction(sessions=sessions, **values | changes)


class Target:
    """A folder of some store, to land in and to look into.

    :param fs: The filesystem.
    :param root: Folder in it, which need not exist.
    :param prefix: What makes a URI of a path.
    """

    def __init__(self, kind: str, fs: Any, root: str, prefix: str) -> None:
        self.kind = kind
        self.fs = fs
        self.root = root
        self.prefix = prefix

    def store(self, name: str = "leads.jsonl") -> Store:
        path = f"{self.root}/{name}"
        return Store(self.fs, path, f"{self.prefix}{path.lstrip('/') if self.prefix else path}")

    def files(self) -> dict[str, bytes]:
        """Return every file below the root by its name there, hidden ones too."""
        self.fs.invalidate_cache()
        try:
            found = self.fs.find(self.root)
        except FileNotFoundError:
            return {}
        return {path.removeprefix(self.root).lstrip("/"): self.fs.cat_file(path) for path in found}

    def write(self, name: str, content: bytes) -> None:
        if self.kind != "s3":
            self.fs.makedirs(self.root, exist_ok=True)
        self.fs.pipe_file(f"{self.root}/{name}", content)

    def rows(self, name: str = "leads.jsonl") -> list[Any]:
        return [json.loads(line) for line in self.files()[name].splitlines()]

    def manifest(self, name: str = "leads.jsonl") -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.files()[f"{name}.manifest.json"])
        return content


@pytest.fixture(autouse=True)
def spool_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a temporary directory of its own, so that it can look for what stayed behind."""
    folder = tmp_path_factory.mktemp("spool")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Start moto's S3 on a free loopback port."""
    pytest.importorskip("s3fs", minversion="2025.3", reason="no s3fs that knows aiobotocore")
    threaded = pytest.importorskip("moto.server", reason="no moto[server]")
    server = threaded.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let every S3 client of this process and its children talk to moto, with a key that opens nothing else."""
    environment = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
    environment |= dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": s3_endpoint}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.fixture
def s3_fs(s3_environment: dict[str, str]) -> Any:
    import s3fs

    return s3fs.S3FileSystem()


@pytest.fixture
def s3_target(s3_fs: Any) -> Target:
    bucket = f"lake-{uuid.uuid4().hex}"
    s3_fs.call_s3("create_bucket", Bucket=bucket)
    return Target("s3", s3_fs, f"{bucket}/out", "s3://")


@pytest.fixture
def local_target(tmp_path: Path) -> Target:
    return Target("local", LocalFileSystem(), str(tmp_path / "out"), "")


@pytest.fixture
def memory_target() -> Target:
    return Target("memory", MemoryFileSystem(), f"/{uuid.uuid4().hex}/out", "memory://")


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def target(request: pytest.FixtureRequest) -> Target:
    """Return an empty place to land in, of each kind in turn."""
    place: Target = request.getfixturevalue(f"{request.param}_target")
    return place


@pytest.fixture
def run(local_target: Target) -> Callable[..., Any]:
    """Return a function that makes the landing of a listing; it lands in the local target unless told otherwise."""

    def make(store: Store | None = None, **options: Any) -> Callable[..., Manifest]:
        listing = make_listing_run(store or local_target.store(), **options)
        return lambda pages, requests=7: listing.land(pages, lambda: requests)

    return make


@pytest.fixture
def pages() -> Callable[..., list[Page]]:
    return make_pages


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.getuid() != 0:
        pytest.skip("a small disk to fill up needs root and mount")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk to fill up could not be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


_INVISIBLE = ["\u200b", "\ufeff", "\u200d", "\u00ad", "\u2060", "\u200e", "\u0000", "\ufe0f", "\u034f", "\U000e0041"]
_SPACES = [" ", "\t", "\n", "\u00a0", "\u2003", "\u202f", "\u3000", "\u2028", "  "]


_NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def spellings(draw) -> tuple[str, str]:
    """Return a name and another spelling of it."""
    name = normalize("NFC", draw(_NAMES))
    change = draw(st.sampled_from([str.upper, str.lower, str.casefold, str.swapcase, str.title]))
    other = change(name)
    other = normalize(draw(st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])), other)
    other = "".join(draw(st.sampled_from(_SPACES)) if one == " " else one for one in other)
    return name, "".join(f"{one}{draw(st.sampled_from(['', '', *_INVISIBLE]))}" for one in f" {other} ")
