"""Functions on a bounded number of threads: results, errors, context, and an end that waits for nobody."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
import time
from concurrent.futures import wait

import pytest

from airflow_provider_robofy.api.workers import Workers


@pytest.fixture
def workers():
    made = Workers(3, "test")
    yield made
    made.stop()


def test_a_result_and_an_exception_come_through_as_they_are(workers):
    assert workers.submit(divmod, 7, 2).result(5) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        workers.submit(divmod, 7, 0).result(5)


def test_no_more_run_at_a_time_than_there_are_threads(workers):
    gate, running = threading.Event(), []

    def work(number):
        running.append(number)
        gate.wait(5)

    futures = [workers.submit(work, number) for number in range(9)]
    time.sleep(0.2)
    assert len(running) == 3
    gate.set()
    for future in futures:
        future.result(5)
    assert sorted(running) == list(range(9))


def test_the_callers_context_is_there_for_its_log(workers):
    where = contextvars.ContextVar("where", default="nowhere")
    where.set("in the task")
    assert workers.submit(where.get).result(5) == "in the task"


def test_stop_cancels_what_is_queued_and_lets_the_calls_under_way_return():
    workers, gate = Workers(1, "test"), threading.Event()
    began = threading.Event()

    def work():
        began.set()
        return gate.wait(5)

    under_way, queued = workers.submit(work), workers.submit(work)
    began.wait(5)
    workers.stop()
    assert queued.cancelled()
    assert wait([queued], timeout=5).done
    gate.set()
    assert under_way.result(5) is True
    end = time.monotonic() + 5
    while any(thread.name == "test-0" for thread in threading.enumerate()):
        assert time.monotonic() < end, "the thread ends"
        time.sleep(0.01)


def test_a_process_does_not_wait_for_a_call_that_hangs():
    code = (
        "import time; from airflow_provider_robofy.api.workers import Workers; Workers(1, 't').submit(time.sleep, 60)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert (done.returncode, time.monotonic() - began < 20) == (0, True)
