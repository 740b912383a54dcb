"""A store of which every fourth request fails, half of those when they were carried out: no lead is lost or doubled."""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyLandingError
from airflow_provider_robofy.extract.landed import rows
from tests.extract.conftest import Target
from tests.extract.runs import NOW, lead, make_cursor_run

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS, NEW_LEADS, MOST_TRIES = 6, 30, 60


class FailingStore:
    """A WSGI application in front of S3 that refuses or loses answers.

    :param app: The application that carries requests out.
    :param seed: The same seed fails the same requests, in the order they come.
    """

    def __init__(self, app: Any, seed: int) -> None:
        self.failing = False
        self.refused = self.lost = 0
        self._app = app
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        with self._lock:
            chance = self._dice.random() if self.failing else 1.0
            self.refused += chance < 0.125
            self.lost += 0.125 <= chance < 0.25
        if chance >= 0.25:
            return self._app(environ, start_response)
        if chance >= 0.125:
            b"".join(self._app(environ, lambda *_: None))
        start_response("500 Internal Server Error", [("Content-Length", "0")])
        return []


@pytest.fixture
def failing_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Target, Any]]:
    """Serve an S3 of its own; yield a place to land there, and what makes it fail."""
    s3fs = pytest.importorskip("s3fs", minversion="2025.3", reason="no s3fs that knows aiobotocore")
    moto = pytest.importorskip("moto.server", reason="no moto[server]")
    serving = pytest.importorskip("werkzeug.serving")

    sleep = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda seconds, *rest: sleep(min(seconds, 0.001), *rest))
    store = FailingStore(moto.DomainDispatcherApplication(moto.create_backend_app), request.param)
    server = serving.make_server("127.0.0.1", 0, store, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        # Two attempts a request: enough of the failures are then seen outside of the client.
        fs = s3fs.S3FileSystem(
            key="testing",
            secret="testing",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            config_kwargs={"retries": {"total_max_attempts": 2}},
            skip_instance_cache=True,
        )
        bucket = f"lake-{uuid.uuid4().hex}"
        fs.call_s3("create_bucket", Bucket=bucket)
        yield Target("s3", fs, f"{bucket}/out", "s3://"), store
    finally:
        server.shutdown()
        thread.join()


@pytest.mark.s3
@pytest.mark.parametrize("failing_store", [1, 2], indirect=True)
def test_syncs_over_a_failing_store_land_every_lead_once(run, pages, failing_store):
    target, store = failing_store
    known: list[dict[str, Any]] = []
    tries = 0

    for number in range(RUNS):
        now, key = NOW + timedelta(minutes=number), f"dag/run-{number}/t"
        known += [lead(f"{number}-{n}", now.isoformat(), n=n) for n in range(NEW_LEADS)]
        store.failing = True
        for attempt in range(MOST_TRIES):
            tries += 1
            try:
                cursor = make_cursor_run(target.store("cursor.json"), key, now=now)
                run(target.store(f"{number}.jsonl"), cursor=cursor, run_key=key, now=lambda now=now: now)(pages(known))
            except (OSError, RobofyLandingError):
                assert attempt < MOST_TRIES - 1
            except RobofyConfigError as error:
                # Only what an earlier try of this run has landed whole may stand in its way.
                pytest.fail(f"run {number}, try {attempt}: {error}")
            else:
                break
        store.failing = False

    landed = []
    for number in range(RUNS):
        manifest = target.manifest(f"{number}.jsonl")
        assert manifest["sha256"] == hashlib.sha256(target.files()[f"{number}.jsonl"]).hexdigest()
        found = target.store(f"{number}.jsonl")
        landed += [row["id"] for row in rows(manifest, found)]
    assert sorted(landed) == sorted(one["id"] for one in known)
    assert store.refused > RUNS
    assert store.lost > RUNS
    assert tries > RUNS
