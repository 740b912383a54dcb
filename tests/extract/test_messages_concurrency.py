"""How sessions are read at a time: order, bounds and ends, with clients that need no network."""

from __future__ import annotations

import contextvars
import itertools
import json
import os
import signal
import threading
import time
from types import SimpleNamespace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyAuthError, RobofyCancelledError
from airflow_provider_robofy.api.pages import Page
from airflow_provider_robofy.extract import messages as module
from tests.extract.conftest import make_extraction


class Api:
    """What the clients read: a function of the session, which may wait or raise; how many it served at a time."""

    def __init__(self, serve=lambda *_: []) -> None:
        self.serve = serve
        self.begun: list[str] = []
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()

    def pages(self, session_id, client):
        with self.lock:
            self.begun.append(session_id)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            rows = self.serve(session_id, client)
        finally:
            with self.lock:
                self.busy -= 1
        if client.over.is_set():
            raise RobofyCancelledError("cancelled")
        yield Page(1, rows, "absent", None)

    def client(self, settings):
        over = threading.Event()
        client = SimpleNamespace(requests=0, over=over, cancel=over.set, close=lambda: None)

        def check_cancelled():
            if over.is_set():
                raise RobofyCancelledError("cancelled")

        client.check_cancelled = check_cancelled
        client.pages = lambda call: self.pages(call.path["session_id"], client)
        return client


def hang(_, client):
    """Wait like a request to a server that does not answer: until the client is cancelled."""
    assert client.over.wait(20)
    return []


class Sessions:
    """A file of sessions."""

    chatbot_id, project_id = "agent", "24017"
    manifest: ClassVar = {"mode": "full", "since": None}
    store = SimpleNamespace(uri="sessions.jsonl")

    def __init__(self, ids) -> None:
        self._ids = ids

    def ids(self, shard):
        return iter(self._ids)


def extraction(patch, api: Api, ids, path, **changes):
    patch.setattr(module, "RobofyClient", api.client)
    return make_extraction(Sessions(ids), path, **changes)


def landed(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@settings(max_examples=25)
@given(pauses=st.lists(st.integers(0, 3), max_size=30), concurrency=st.integers(1, 6))
def test_sessions_land_in_order_and_within_bounds_whatever_each_takes(tmp_path_factory, pauses, concurrency):
    path = tmp_path_factory.mktemp("order") / "messages.jsonl"
    ids = [str(number) for number in range(len(pauses))]

    def serve(session_id, client):
        time.sleep(pauses[int(session_id)] / 1000)
        return [{"text": session_id}]

    api = Api(serve)
    with pytest.MonkeyPatch.context() as patch:
        manifest = extraction(patch, api, ids, path, max_concurrency=concurrency).run()
    assert [row["_session_id"] for row in landed(path)] == ids
    assert manifest.sessions_read == len(ids)
    assert api.most_busy <= concurrency


@pytest.mark.serial
def test_a_slow_session_holds_up_no_more_than_what_may_wait(monkeypatch, tmp_path):
    gate = threading.Event()

    def serve(session_id, client):
        if session_id == "0":
            gate.wait(10)
        return []

    api = Api(serve)
    run = extraction(monkeypatch, api, map(str, range(100)), tmp_path / "m.jsonl", max_concurrency=3)
    thread = threading.Thread(target=run.run)
    thread.start()
    time.sleep(0.5)
    assert sorted(map(int, api.begun)) == list(range(12)), "three at a time and three times as many ahead"
    gate.set()
    thread.join(10)
    assert len(api.begun) == 100


@pytest.mark.serial
def test_an_error_that_concerns_all_sessions_does_not_wait_for_its_turn(monkeypatch, tmp_path):
    def serve(session_id, client):
        if session_id == "3":
            raise RobofyAuthError("The key was refused.")
        return hang(session_id, client) if session_id == "0" else []

    api = Api(serve)
    began = time.monotonic()
    with pytest.raises(RobofyAuthError):
        extraction(monkeypatch, api, map(str, range(50)), tmp_path / "m.jsonl").run()
    assert time.monotonic() - began < 5
    assert len(api.begun) <= 16
    assert list(tmp_path.iterdir()) == []


def test_an_exception_of_the_sessions_file_comes_through(monkeypatch, tmp_path):
    def ids():
        yield "1"
        raise OSError("the file is gone")

    with pytest.raises(Exception, match="the file is gone"):
        extraction(monkeypatch, Api(), ids(), tmp_path / "m.jsonl").run()


def test_threads_log_in_the_callers_context(monkeypatch, tmp_path):
    where = contextvars.ContextVar("where", default="nowhere")
    where.set("in the task")
    api = Api(lambda *_: [{"text": where.get()}])
    extraction(monkeypatch, api, ["1", "2"], tmp_path / "m.jsonl").run()
    assert [row["text"] for row in landed(tmp_path / "m.jsonl")] == ["in the task"] * 2


@pytest.mark.serial
@pytest.mark.parametrize("after", [0.2, None], ids=["while it reads", "too early"])
def test_a_cancel_from_another_thread_or_before_the_run_ends_it_at_once(monkeypatch, tmp_path, after):
    run = extraction(monkeypatch, Api(hang), map(str, range(50)), tmp_path / "m.jsonl")
    if after:
        threading.Timer(after, run.cancel).start()
    else:
        run.cancel()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        run.run()
    assert time.monotonic() - began < 2
    assert list(tmp_path.iterdir()) == []


class Terminated(BaseException):
    """What Airflow 2 raises out of its signal handler."""


@pytest.mark.serial
@pytest.mark.parametrize("how", ["raises", "goes on"])
def test_a_signal_ends_it_whether_its_handler_raises_or_not(monkeypatch, tmp_path, how):
    api = Api(hang)
    run = extraction(monkeypatch, api, map(str, itertools.count()), tmp_path / "m.jsonl")

    def handler(number, frame) -> None:
        run.cancel()
        if how == "raises":
            raise Terminated

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        began = time.monotonic()
        with pytest.raises(Terminated if how == "raises" else RobofyCancelledError):
            run.run()
        assert time.monotonic() - began < 3
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert api.busy == 0, "the reads under way have ended"
    assert list(tmp_path.iterdir()) == []
