"""Folders to upload from, ledgers beside them, and an uploader that talks to the emulator."""

from __future__ import annotations

import os
import tempfile
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge.documents import Found, Source, find
from airflow_provider_robofy.knowledge.ledger import Ledger
from airflow_provider_robofy.knowledge.uploads import Uploader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LOCAL = LocalFileSystem()


@dataclass
class Desk:
    """One agent, one folder, one ledger."""

    emulator: Any
    folder: Path
    ledger_path: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def fill(self, count: int) -> None:
        for number in range(count):
            self.write(f"{number:02}.md", str(number))

    def store(self) -> Store:
        return Store(LOCAL, str(self.ledger_path), str(self.ledger_path))

    def ledger(self) -> Ledger:
        chatbot_id = self.emulator.chatbot_ids[0]
        ledger = Ledger(self.store(), {"project_id": "24017", "chatbot_id": chatbot_id, "source": str(self.folder)})
        ledger.load()
        return ledger

    def uploader(self, ledger: Ledger, *, run_key: str = "dag/run/task", resend: bool = False, metadata=None):
        options = {"max_attempts": 2, "read_timeout": 5.0, "total_timeout": 10.0, "backoff": 0.01, **self.settings}
        settings = Settings(**{"api_key": self.emulator.api_key, "base_url": self.emulator.url} | options)
        return Uploader(
            project_id="24017",
            chatbot_id=self.emulator.chatbot_ids[0],
            metadata=metadata,
            ledger=ledger,
            client=RobofyClient(settings),
            run_key=run_key,
            resend=resend,
        )

    def documents(self, source: Source | None = None) -> Found:
        return find([source or Source(LOCAL, str(self.folder), str(self.folder))])

    def run(self, *, source: Source | None = None, **options: Any) -> Uploader:
        ledger = self.ledger()
        found = self.documents(source)
        uploader = self.uploader(ledger, **options)
        try:
            uploader.run(found.documents, found.refused)
        finally:
            ledger.close()
        return uploader

    def arrived(self) -> list[str]:
        """Return the names of everything that Robofy has taken, each as often as it has."""
        return sorted(asset["name"] for asset in self.emulator.assets())


@pytest.fixture(autouse=True)
def spool_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("spool")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def desk(robofy_emulator_factory, tmp_path) -> Desk:
    (tmp_path / "docs").mkdir()
    return Desk(robofy_emulator_factory(leads=0), tmp_path / "docs", tmp_path / "ledgers" / "docs.json")


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    pytest.importorskip("s3fs", minversion="2025.3", reason="no s3fs that knows aiobotocore")
    threaded = pytest.importorskip("moto.server", reason="no moto[server]")
    server = threaded.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, str]:
    """Give a filesystem and the name of a new bucket in it."""
    import s3fs

    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    fs = s3fs.S3FileSystem(skip_instance_cache=True)
    name = f"wiki-{uuid.uuid4().hex}"
    fs.call_s3("create_bucket", Bucket=name)
    return fs, name
