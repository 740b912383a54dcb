"""Run an extraction against an emulator, and kill itself at a named step. Started by test_crash.py.

Usage: python crashing_run.py '{"url": ..., "step": "after_page_2", ...}'
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec import url_to_fs
from fsspec.asyn import sync

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.cursor import CursorRun, FileCursorStore, NextCursor, move_cursor
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landing import Landing
from airflow_provider_robofy.extract.listing import ListingRun
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.resources import LEADS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.api.client import Page
    from airflow_provider_robofy.extract.landing import Manifest

STEPS = (
    "after_page_2",
    "rows_spooled",
    "before_rejected",
    "before_data",
    "data_half_sent",
    "before_manifest",
    "after_manifest",
)


CURSOR_STEPS = (
    "after_page_2",
    "rows_spooled",
    "before_data",
    "before_manifest",
    "after_manifest",
    "before_move",
    "cursor_spooled",
    "after_move",
)


#: With a cursor that moves after the work on what landed.
ADVANCE_STEPS = (
    "before_next",
    "before_data",
    "before_manifest",
    "after_manifest",
    "before_advance",
    "cursor_spooled",
    "after_advance",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pages_until(step: str, pages: Iterator[Page]) -> Iterator[Page]:
    for page in pages:
        yield page
        if step == f"after_page_{page.number}":
            die()


def before(owner: type, name: str, condition: Callable[..., bool]) -> None:
    """Die when a method is called, if the condition holds."""
    original = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if condition(*args):
            die()
        return original(*args, **kwargs)

    setattr(owner, name, deadly)


def arm(step: str, fs: Any) -> None:  # noqa: C901 (a branch a step)
    """Set the trap."""
    if step == "rows_spooled":
        before(Landing, "publish", lambda *_: True)
    elif step == "before_rejected":
        before(Store, "publish", lambda self, *_: self.path.endswith(".rejected.jsonl"))
    elif step == "before_next":
        before(Store, "publish", lambda self, *_: self.path.endswith(".cursor-next.json"))
    elif step == "before_data":
        before(Store, "publish", lambda self, *_: not is_beside(self.path))
    elif step == "before_manifest":
        before(Store, "publish", lambda self, *_: self.path.endswith(".manifest.json"))
    elif step == "before_move":
        before(CursorRun, "move", lambda *_: True)
    elif step == "cursor_spooled":
        before(Store, "publish", lambda self, *_: self.path.endswith("/cursor.json"))
    elif step == "after_move":
        move = CursorRun.move

        def last(self: CursorRun, started: datetime) -> bool:
            move(self, started)
            die()
            return True

        CursorRun.move = last  # type: ignore[method-assign]
    elif step == "after_manifest":
        publish = Store.publish

        def deadly(self: Store, spooled: Path, size: int) -> tuple[object, ...]:
            version = publish(self, spooled, size)
            if self.path.endswith(".manifest.json"):
                die()
            return version

        Store.publish = deadly  # type: ignore[method-assign]
    elif step == "data_half_sent":
        if "s3" in fs.protocol:
            # Between the parts of an upload: the first one arrived.
            put_file = fs.put_file
            fs.put_file = lambda lpath, rpath: (
                put_file(lpath, rpath) if is_beside(rpath) else sync(fs.loop, half_an_upload, fs, lpath, rpath)
            )
        else:
            # Between making the file readable and giving it its name.
            before(type(Path()), "replace", lambda _, final: not is_beside(final))


def is_beside(path: str) -> bool:
    return path.endswith((".rejected.jsonl", ".manifest.json", ".cursor-next.json"))


async def half_an_upload(self: Any, lpath: str, rpath: str) -> None:
    bucket, key, _ = self.split_path(rpath)
    upload = await self._call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    await self._call_s3(
        "upload_part",
        Bucket=bucket,
        Key=key,
        PartNumber=1,
        UploadId=upload["UploadId"],
        Body=Path(lpath).read_bytes()[:1000],  # noqa: ASYNC240 (about to die)
    )
    die()


def run(options: dict[str, Any]) -> Manifest:
    """Do what the options say; test_crash.py calls this in its own process, too."""
    fs, path = url_to_fs(options["uri"])
    step = options.get("step", "")
    if step:
        arm(step, fs)
    cursor = None
    if "cursor" in options:
        cursor = CursorRun(
            FileCursorStore(Store(fs, options["cursor"], options["cursor"])),
            {"name": "crash", "resource": "leads", "project_id": "1", "chatbot_id": "a"},
            run_key=options["run_key"],
            timezone="UTC",
            lag=timedelta(minutes=10),
            full_every=None,
            now=datetime.now(UTC),
        )
    with RobofyClient(Settings(api_key=options["api_key"], base_url=options["url"])) as client:
        manifest = ListingRun(
            resource=LEADS,
            project_id=options["project_id"],
            chatbot_id=options["chatbot_id"],
            window=Window.of(options.get("since"), options.get("until")),
            lag=timedelta(minutes=10),
            times=TimeReader(),
            order="unknown",
            run_key=options.get("run_key", "dag/run/task"),
            cursor=cursor,
            advance_cursor=not options.get("advance"),
            max_rejected=2,
            store=Store(fs, path, options["uri"]),
        ).land(
            pages_until(step, client.pages(list_leads(options["project_id"], options["chatbot_id"]))),
            lambda: client.requests,
        )
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
