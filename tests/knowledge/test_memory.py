"""A document is in memory while it is uploaded, at most about three times; four documents are at a time."""

from __future__ import annotations

import json

import pytest

from tests.child import answer_of

pytestmark = pytest.mark.serial

CHILD = """
import json, sys
from pathlib import Path
from fsspec.implementations.local import LocalFileSystem
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.knowledge.ledger import Ledger
from airflow_provider_robofy.knowledge.documents import Source, find
from airflow_provider_robofy.knowledge.uploads import Uploader

task = json.loads(sys.argv[1])
fs = LocalFileSystem()
settings = Settings(api_key=task["key"], base_url=task["url"])

def upload(folder):
    ledger = Ledger(Store(fs, folder + ".json", folder + ".json"), {})
    uploader = Uploader(
        project_id="24017", chatbot_id=task["agent"], metadata=None, ledger=ledger,
        client=RobofyClient(settings), run_key="r", resend=False,
    )
    documents = find([Source(fs, folder, folder)]).documents
    uploader.run(documents)
    assert len(uploader.uploaded) == len(documents) > 0, uploader.lists()

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

upload(task["small"])  # what is imported and set up once is no part of an upload
before = status("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # let the peak start anew
upload(task["large"])
print(json.dumps({"extra_mb": (status("VmHWM") - before) / 1024}))
"""


MB = 1 << 20
CONTENTS = {
    "pdf": b"0123456789abcde\n" * (10 * MB // 16),
    "md": b"0123456789abcde\n" * (10 * MB // 16),
    "html": "Öffnungszeiten “9-17” 😀\n".encode() * (10 * MB // 38),
}


@pytest.mark.parametrize(("suffix", "documents"), [("pdf", 1), ("md", 1), ("html", 1), ("pdf", 20)])
def test_documents_of_ten_megabytes_take_three_times_their_size_and_no_more_than_four_are_held(
    robofy_emulator, tmp_path, suffix, documents
):
    for folder, count, content in (("small", 4, b"x" * 1000), ("large", documents, CONTENTS[suffix])):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{number}.{suffix}").write_bytes(content)
    task = {
        "key": robofy_emulator.api_key,
        "url": robofy_emulator.url,
        "agent": robofy_emulator.chatbot_ids[0],
        "small": str(tmp_path / "small"),
        "large": str(tmp_path / "large"),
    }
    extra = answer_of(CHILD, json.dumps(task))["extra_mb"]
    assert [asset["size"] for asset in robofy_emulator.assets()[4:]] == [len(CONTENTS[suffix])] * documents
    assert extra <= 10 * min(documents, 4) * 3 + 5, f"{extra:.1f} MB"
