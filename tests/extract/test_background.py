"""A coroutine beside the main thread: its result, its exceptions, its end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import threading
import time

import pytest

from airflow_provider_robofy.api.errors import RobofyCancelledError
from airflow_provider_robofy.extract.background import Background


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        ended.append("ended")


def test_the_result_comes_back():
    async def work() -> int:
        await asyncio.sleep(0)
        return 42

    assert Background().run(work) == 42


def test_an_exception_comes_through_as_it_is():
    async def work() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Background().run(work)


def test_it_runs_although_a_loop_is_running_already_as_in_a_notebook():
    async def work() -> str:
        return "done"

    async def notebook() -> str:
        return Background().run(work)

    assert asyncio.run(notebook()) == "done"


def test_the_callers_context_is_there_for_its_log():
    where = contextvars.ContextVar("where", default="nowhere")
    where.set("in the task")

    async def work() -> str:
        return where.get()

    assert Background().run(work) == "in the task"


@pytest.mark.serial
def test_a_cancel_from_another_thread_ends_it_at_once():
    background = Background()
    ended: list[str] = []
    threading.Timer(0.2, background.cancel).start()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        background.run(lambda: forever(ended))
    assert time.monotonic() - began < 1
    assert ended == ["ended"]


def test_a_cancel_that_came_too_early_counts():
    background = Background()
    ended: list[str] = []
    background.cancel()
    with pytest.raises(RobofyCancelledError):
        background.run(lambda: forever(ended))
    assert ended == []


def test_a_cancel_that_came_too_late_does_no_harm():
    async def work() -> int:
        return 1

    background = Background()
    assert background.run(work) == 1
    background.cancel()
    with pytest.raises(RobofyCancelledError):
        background.heed_cancel()


class Terminated(BaseException):
    """What Airflow 2 raises out of its signal handler."""


@pytest.mark.serial
@pytest.mark.parametrize("how", ["raises", "goes on"])
def test_a_signal_ends_it_within_a_second_whether_its_handler_raises_or_not(how):
    background = Background()
    ended: list[str] = []

    def handler(number, frame) -> None:
        background.cancel()
        if how == "raises":
            raise Terminated

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        began = time.monotonic()
        with pytest.raises(Terminated if how == "raises" else RobofyCancelledError):
            background.run(lambda: forever(ended))
        assert time.monotonic() - began < 1.2
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == ["ended"]
