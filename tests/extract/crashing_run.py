"""Run an extraction against an emulator, and kill itself at a named step. Started by test_crash.py.

Usage: python -m tests.extract.crashing_run '{"url": ..., "step": "after_page_2", ...}'
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec import url_to_fs
from fsspec.asyn import sync

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.extract.cursor import CursorRun, NextCursor, move_cursor
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landing import Landing
from tests.extract.runs import make_cursor_run, make_listing_run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_robofy.api.pages import Page
    from airflow_provider_robofy.extract.manifest import Manifest

BESIDE = (".rejected.jsonl", ".manifest.json", ".cursor-next.json")
#: Steps at which the run dies: before a method is called, for a path that ends so.
BEFORE: dict[str, tuple[type, str, str]] = {
    "rows_spooled": (Landing, "publish", ""),
    "before_rejected": (Store, "publish", ".rejected.jsonl"),
    "before_next": (Store, "publish", ".cursor-next.json"),
    "before_data": (Store, "publish", "leads"),
    "before_manifest": (Store, "publish", ".manifest.json"),
    "before_move": (CursorRun, "move", ""),
    "cursor_spooled": (Store, "publish", "/cursor.json"),
}
#: And after it.
AFTER = {"after_move": (CursorRun, "move", ""), "after_manifest": (Store, "publish", ".manifest.json")}

STEPS = ["after_page_2", "rows_spooled", "before_rejected", "before_data", "data_half_sent"]
STEPS += ["before_manifest", "after_manifest"]
CURSOR_STEPS = ["after_page_2", "rows_spooled", "before_data", "before_manifest", "after_manifest"]
CURSOR_STEPS += ["before_move", "cursor_spooled", "after_move"]
#: With a cursor that moves after the work on what landed.
ADVANCE_STEPS = ["before_next", "before_data", "before_manifest", "after_manifest"]
ADVANCE_STEPS += ["before_advance", "cursor_spooled", "after_advance"]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pages_until(step: str, pages: Iterator[Page]) -> Iterator[Page]:
    for page in pages:
        yield page
        if step == f"after_page_{page.number}":
            die()


def arm(step: str, fs: Any) -> None:
    """Set the trap."""
    if step in BEFORE or step in AFTER:
        owner, name, ending = (BEFORE | AFTER)[step]
        original = getattr(owner, name)

        def deadly(self: Any, *args: Any, **kwargs: Any) -> Any:
            path = getattr(self, "path", "")
            meant = not path.endswith(BESIDE) if step == "before_data" else path.endswith(ending)
            if meant and step in BEFORE:
                die()
            result = original(self, *args, **kwargs)
            if meant:
                die()
            return result

        setattr(owner, name, deadly)
    elif step == "data_half_sent" and "s3" in fs.protocol:
        # Between the parts of an upload: the first one arrived.
        put_file = fs.put_file
        fs.put_file = lambda lpath, rpath: (
            put_file(lpath, rpath) if rpath.endswith(BESIDE) else sync(fs.loop, half_an_upload, fs, lpath, rpath)
        )
    elif step == "data_half_sent":
        # Between making the file readable and giving it its name.
        path: Any = type(Path())
        replace = path.replace
        path.replace = lambda self, final: replace(self, final) if str(final).endswith(BESIDE) else die()


async def half_an_upload(self: Any, lpath: str, rpath: str) -> None:
    bucket, key, _ = self.split_path(rpath)
    upload = await self._call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    part = {"PartNumber": 1, "UploadId": upload["UploadId"]}
    body = Path(lpath).read_bytes()[:1000]  # noqa: ASYNC240 (about to die)
    await self._call_s3("upload_part", Bucket=bucket, Key=key, Body=body, **part)
    die()


def run(options: dict[str, Any]) -> Manifest:
    """Do what the options say; test_crash.py calls this in its own process, too."""
    fs, path = url_to_fs(options["uri"])
    step, run_key = options.get("step", ""), options.get("run_key", "dag/run/task")
    arm(step, fs)
    cursor = None
    if "cursor" in options:
        cursor = make_cursor_run(Store(fs, options["cursor"], options["cursor"]), run_key, now=datetime.now(UTC))
    agent = {"project_id": options["project_id"], "chatbot_id": options["chatbot_id"]}
    with RobofyClient(Settings(api_key=options["api_key"], base_url=options["url"])) as client:
        listing = make_listing_run(
            Store(fs, path, options["uri"]),
            run_key=run_key,
            cursor=cursor,
            advance_cursor=not options.get("advance"),
            max_rejected=2,
            now=lambda: datetime.now(UTC),
            **agent,
        )
        manifest = listing.land(pages_until(step, client.pages(list_leads(**agent))), lambda: client.requests)
    if manifest.cursor_next_uri:
        advance(manifest, options, step)
    return manifest


def advance(manifest: Manifest, options: dict[str, Any], step: str) -> None:
    """Move the cursor as RobofyAdvanceCursorOperator does, and die before or after it."""
    fs, path = url_to_fs(manifest.cursor_next_uri)
    next_ = NextCursor.read(Store(fs, path, path), manifest.as_dict())
    if step == "before_advance":
        die()
    store = FileCursorStore(Store(fs, options["cursor"], options["cursor"]))
    assert move_cursor(store, next_.identity, next_.after, reset=next_.reset)
    if step == "after_advance":
        die()


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
