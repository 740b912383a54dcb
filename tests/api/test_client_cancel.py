"""A killed task ends its call, from another thread or from a signal handler."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.errors import RobofyCancelledError

pytestmark = pytest.mark.serial

LEADS = endpoints.list_leads(24017, "agent")


@pytest.fixture
def client_of(connect):
    """A function that makes a client whose pauses are long."""
    return lambda server: connect(server.url, real_time=True, backoff=30.0, connect_timeout=3.0, total_timeout=300.0)


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
def test_cancel_from_another_thread_ends_a_blocked_call_within_a_second(client_of, raw_server, way):
    server = raw_server(WAYS[way])
    client = client_of(server)
    ended: list[float] = []

    def cancel():
        wait_for(lambda: server.requests)
        time.sleep(0.05)
        ended.append(time.monotonic())
        client.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - ended[0] < 2
    assert client.requests == 1


def test_cancel_ends_a_pause_between_attempts_within_a_second(client_of, raw_server, answer):
    server = raw_server(answer({}, "429 Slow", Retry_After="100"))
    client = client_of(server)
    threading.Timer(0.2, client.cancel).start()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - began < 2
    assert len(server.requests) == 1


def test_cancel_while_the_connection_is_being_made_is_not_lost(client_of, raw_server):
    """The flag alone would wait for an answer that takes as long as it likes."""
    client = client_of(raw_server(hang))
    real = client._transports[0]._pools.connection_from_url

    def connection(url):
        client.cancel()  # after the flag was looked at, before there is a connection to break
        return real(url)

    client._transports[0]._pools.connection_from_url = connection
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - began < 2


def test_a_cancelled_client_makes_no_further_call(client_of, raw_server):
    server = raw_server()
    client = client_of(server)
    client.cancel()
    with pytest.raises(RobofyCancelledError, match="was killed while it was talking to Robofy"):
        client.call(LEADS)
    with pytest.raises(RobofyCancelledError):
        next(iter(client.pages(LEADS)))
    assert server.connections == client.requests == 0


def test_cancel_between_two_pages_ends_the_listing(client_of, raw_server, answer):
    server = raw_server(answer({"rows": [1], "next_page_token": "2"}), answer({"rows": [2]}))
    client = client_of(server)
    pages = client.pages(LEADS)
    assert next(pages).rows == [1]
    client.cancel()
    with pytest.raises(RobofyCancelledError):
        next(pages)
    assert len(server.requests) == 1


def test_cancel_in_a_signal_handler_of_the_same_thread_ends_the_call(client_of, raw_server):
    client = client_of(raw_server(hang))
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


def test_the_watching_thread_ends_by_itself_and_comes_back(client_of, raw_server, answer, monkeypatch):
    monkeypatch.setattr("airflow_provider_robofy.api.transport._TICK", 0.01)
    client = client_of(raw_server(answer({"rows": []})))
    for _ in range(2):
        client.call(LEADS)
        watcher = client._transports[0]._sockets._watcher
        assert watcher is not None
        watcher.join(2)
        assert not watcher.is_alive()
        assert client._transports[0]._sockets._watcher is None


def test_a_client_that_was_closed_may_be_used_again(client_of, raw_server, answer):
    client = client_of(raw_server(answer({"rows": []})))
    for _ in range(2):
        with client:
            assert client.call(LEADS).items == []
