"""A killed task ends its call: from another thread for the one client, by cancellation for the other."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.aio import AsyncRobofyClient
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import RobofyCancelledError
from airflow_provider_robofy.api.settings import Settings

pytestmark = pytest.mark.serial

LEADS = endpoints.list_leads(24017, "agent")


def settings(url, **more):
    return Settings(**({"api_key": "rk_test", "base_url": url, "backoff": 30.0, "connect_timeout": 3.0} | more))


def hang(connection, server):
    server.over.wait(20)


def headers_then_hang(connection, server):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")
    server.over.wait(20)


def trickle(connection, server):
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not server.over.wait(0.01):
        connection.sendall(b" ")


WAYS = {"before the answer": hang, "within the body": headers_then_hang, "within a trickle": trickle}


def wait_for(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("way", WAYS)
def test_cancel_from_another_thread_ends_a_blocked_call_within_a_second(raw_server, way):
    server = raw_server(WAYS[way])
    client = RobofyClient(settings(server.url))
    ended: list[float] = []

    def cancel():
        wait_for(lambda: server.requests)
        time.sleep(0.05)
        ended.append(time.monotonic())
        client.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with client, pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - ended[0] < 2
    assert client.requests == 1


def test_cancel_ends_a_pause_between_attempts_within_a_second(raw_server, answer):
    server = raw_server(answer({}, "429 Slow", Retry_After="100"))
    client = RobofyClient(settings(server.url))
    timer = threading.Timer(0.2, client.cancel)
    timer.start()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - began < 2
    assert len(server.requests) == 1


def test_cancel_while_the_connection_is_being_made_is_not_lost(raw_server):
    """The flag alone would wait for an answer that takes as long as it likes."""
    accepted = threading.Event()

    def slowly(connection, server):
        accepted.set()

    server = raw_server(hang, on_accept=slowly)
    client = RobofyClient(settings(server.url))
    real = client._adapter.send

    def send(*arguments, **keywords):
        client.cancel()  # after the flag was looked at, before there is a connection to break
        return real(*arguments, **keywords)

    client._adapter.send = send  # type: ignore[method-assign]
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - began < 2


def test_a_cancelled_client_makes_no_further_call(raw_server):
    server = raw_server()
    client = RobofyClient(settings(server.url))
    client.cancel()
    with pytest.raises(RobofyCancelledError, match="was killed while it was talking to Robofy"):
        client.call(LEADS)
    with pytest.raises(RobofyCancelledError):
        next(iter(client.pages(LEADS)))
    assert server.connections == client.requests == 0


def test_cancel_between_two_pages_ends_the_listing(raw_server, answer):
    server = raw_server(answer({"rows": [1], "next_page_token": "2"}), answer({"rows": [2]}))
    client = RobofyClient(settings(server.url))
    pages = client.pages(LEADS)
    assert next(pages).rows == [1]
    client.cancel()
    with pytest.raises(RobofyCancelledError):
        next(pages)
    assert len(server.requests) == 1


def test_cancel_in_a_signal_handler_of_the_same_thread_ends_the_call(raw_server):
    server = raw_server(hang)
    client = RobofyClient(settings(server.url))
    old = signal.signal(signal.SIGALRM, lambda *_: client.cancel())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.monotonic()
        with pytest.raises(RobofyCancelledError):
            client.call(LEADS)
        assert time.monotonic() - began < 2
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_the_watching_thread_ends_by_itself_and_comes_back(raw_server, answer, monkeypatch):
    monkeypatch.setattr("airflow_provider_robofy.api.deadline._TICK", 0.01)
    server = raw_server(answer({"rows": []}))
    client = RobofyClient(settings(server.url))
    for _ in range(2):
        client.call(LEADS)
        watcher = client._adapter._watcher
        assert watcher is not None
        watcher.join(2)
        assert not watcher.is_alive()
        assert client._adapter._watcher is None
    client.close()


def test_a_client_that_was_closed_may_be_used_again(raw_server, answer):
    server = raw_server(answer({"rows": []}))
    client = RobofyClient(settings(server.url))
    for _ in range(2):
        with client:
            assert client.call(LEADS).items == []


@pytest.mark.parametrize("way", [*WAYS, "in a pause"])
def test_cancelling_the_task_ends_an_asynchronous_call(raw_server, answer, way):
    server = raw_server(WAYS.get(way, answer({}, "429 Slow", Retry_After="100")))

    async def run():
        async with AsyncRobofyClient(settings(server.url)) as client:
            task = asyncio.create_task(client.call(LEADS))
            await asyncio.to_thread(wait_for, lambda: server.requests)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.requests == 1
            return time.monotonic() - began

    assert asyncio.run(run()) < 2


def test_an_asynchronous_client_outside_its_block_says_how_it_is_used():
    async def run():
        await AsyncRobofyClient(settings("https://127.0.0.1:1")).call(LEADS)

    with pytest.raises(RuntimeError, match="async with AsyncRobofyClient"):
        asyncio.run(run())


def test_an_asynchronous_client_makes_many_calls_at_a_time(robofy_emulator_factory):
    emulator = robofy_emulator_factory(leads=1, latency=0.15)

    async def run():
        async with AsyncRobofyClient(settings(emulator.url, api_key=emulator.api_key)) as client:
            call = endpoints.list_leads(emulator.project_id, emulator.chatbot_ids[0])
            return await asyncio.gather(*(client.call(call) for _ in range(40)))

    began = time.monotonic()
    assert len(asyncio.run(run())) == 40
    assert time.monotonic() - began < 2
    assert emulator.state()["peak_in_flight"] > 20
