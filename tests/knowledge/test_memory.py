"""Ten megabytes are uploaded without ever being in memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.serial

CHILD = """
import asyncio, json, sys
from pathlib import Path
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_robofy.api.aio import AsyncRobofyClient
from airflow_provider_robofy.api.body import multipart
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import add_file
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.store import Store
from airflow_provider_robofy.knowledge.document import measure
from airflow_provider_robofy.knowledge.ledger import Ledger
from airflow_provider_robofy.knowledge.sources import Source, find
from airflow_provider_robofy.knowledge.uploads import Uploader

task = json.loads(sys.argv[1])
fs = LocalFileSystem()
settings = Settings(api_key=task["key"], base_url=task["url"])

def documents(folder):
    return find([Source(fs, folder, folder)]).documents

def by_uploader(folder):
    ledger = Ledger(Store(fs, folder + ".json", folder + ".json"), {})
    uploader = Uploader(
        project_id="24017", chatbot_id=task["agent"], metadata=None, ledger=ledger,
        client=lambda: RobofyClient(settings), run_key="r", resend=False,
    )
    report = uploader.run(documents(folder))
    assert len(report.uploaded) == 1, report

def by_async_client(folder):
    async def upload():
        [document] = documents(folder)
        measured = measure(document)
        async with AsyncRobofyClient(settings) as client:
            await client.call(add_file("24017", multipart(
                fields={}, file_name=document.name, media_type="x/y", content=measured, size=measured.sent)))
    asyncio.run(upload())

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

upload = {"uploader": by_uploader, "async client": by_async_client}[task["how"]]
upload(task["small"])  # what is imported and set up once is no part of an upload
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # let the peak start anew
upload(task["large"])
print(json.dumps({"extra_mb": (status("VmHWM") - before) / 1024}))
"""


@pytest.mark.parametrize(("how", "suffix"), [("uploader", "pdf"), ("uploader", "md"), ("async client", "pdf")], ids=str)
def test_ten_megabytes_take_at_most_five_more_of_memory(robofy_emulator, tmp_path, how, suffix):
    for folder, size in (("small", 1000), ("large", 10 * 2**20)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"a.{suffix}").write_bytes(b"0123456789abcde\n" * (size // 16))
    task = {
        "how": how,
        "key": robofy_emulator.api_key,
        "url": robofy_emulator.url,
        "agent": robofy_emulator.chatbot_ids[0],
        "small": str(tmp_path / "small"),
        "large": str(tmp_path / "large"),
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(task)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert max(asset["size"] for asset in robofy_emulator.assets()) == 10 * 2**20
    extra = json.loads(done.stdout)["extra_mb"]
    assert extra <= 5, f"{extra:.1f} MB"
