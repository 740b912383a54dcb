"""The client behind proxies and certificates of the environment, and beside a .netrc."""

# ruff: noqa: PLR0917 (fixtures are asked for by name, never by place)

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import (
    RobofyCancelledError,
    RobofyConfigError,
    RobofyConnectionError,
    RobofyError,
    RobofyResponseError,
)
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.api.transport import _DeadlineAdapter

LEADS = endpoints.list_leads(24017, "agent")
GOOD = {"data": {"report": {"rows": [{"id": "lead_1"}]}}}
ROWS = [{"id": "lead_1"}]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name in {
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "SSL_CERT_FILE",
            "NETRC",
        }:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def openssl(*arguments, folder):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A folder with a certificate authority of our own and a server certificate for 127.0.0.1 and localhost."""
    folder = tmp_path_factory.mktemp("authority")
    (folder / "leaf.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *(
            "req",
            "-x509",
            *curve,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "3650",
            "-subj",
            "/CN=Robofy test CA",
        ),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        folder=folder,
    )
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost", folder=folder)
    openssl(
        *("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", "leaf.pem", "-days", "3650", "-extfile", "leaf.ext"),
        folder=folder,
    )
    return folder


@pytest.fixture(scope="session")
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "leaf.pem", authority / "leaf.key")
    return context


class Proxy:
    """An HTTP proxy of a few lines: CONNECT and plain requests, each written down."""

    def __init__(self, *, refuse=b"", slow=0.0):
        self.lines: list[str] = []
        self.heads: list[str] = []
        self.over = threading.Event()
        self._refuse = refuse
        self._slow = slow
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            with client:
                self._relay(client)
        except OSError:
            pass

    def _relay(self, client):
        request = b""
        while b"\r\n\r\n" not in request:
            piece = client.recv(65536)
            if not piece:
                return
            request += piece
        head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
        self.heads.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        self.lines.append(f"{method} {target}")
        if self._slow:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n")
            while not self.over.wait(self._slow):
                client.sendall(b"X-Slow: yes\r\n")
            return
        if self._refuse:
            client.sendall(self._refuse)
            return
        authority = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = authority.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(request)
            ways = ((client, server), (server, client))
            pumps = [threading.Thread(target=self._pump, args=way, daemon=True) for way in ways]
            for pump in pumps:
                pump.start()
            for pump in pumps:
                pump.join(10)

    @staticmethod
    def _pump(source, target):
        try:
            while piece := source.recv(65536):
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture
def proxy():
    made = Proxy()
    yield made
    made.stop()


# ------------------------------------------------------------------------------------------------------ proxies
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_environments_proxy_is_used(connect, raw_server, answer, proxy, monkeypatch, name, scheme):
    monkeypatch.setenv(name, f"{scheme}{proxy.address}")
    server = raw_server(answer(GOOD))
    call = endpoints.list_leads(24017, "a/b+c")
    assert connect(server.url).call(call).items == ROWS
    assert proxy.lines == [f"GET {server.url}/v1/ai-agent/leads/24017/a%2Fb%2Bc"]
    assert server.connections == 1


def test_https_goes_through_a_tunnel_that_does_not_see_the_key(
    connect, raw_server, answer, proxy, monkeypatch, tls, authority
):
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    server = raw_server(answer(GOOD), tls=tls)
    assert connect(server.url).call(LEADS).items == ROWS
    assert proxy.lines == [f"CONNECT 127.0.0.1:{server.port}"]
    assert "rk_test" not in proxy.heads[0]
    assert "authorization: bearer rk_test" in server.heads[0].lower()


def test_a_proxys_own_password_is_sent_to_it(connect, raw_server, answer, proxy, monkeypatch, tls, authority):
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:p%40ss@{proxy.address}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    server = raw_server(answer(GOOD), tls=tls)
    assert connect(server.url).call(LEADS).items == ROWS
    expected = base64.b64encode(b"someone:p@ss").decode()
    assert f"proxy-authorization: basic {expected.lower()}" in proxy.heads[0].lower()
    assert "proxy-authorization" not in server.heads[0].lower()


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("value", ["127.0.0.1", "*", "example.com,127.0.0.0/8"])
def test_no_proxy_is_honoured(connect, raw_server, answer, proxy, monkeypatch, name, value):
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.address}")
    monkeypatch.setenv(name, value)
    assert connect(raw_server(answer(GOOD)).url).call(LEADS).items == ROWS
    assert proxy.lines == []


def test_a_proxy_that_is_not_there_is_a_failure_to_connect(connect, raw_server, monkeypatch, closed_port, tls):
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port}")
    server = raw_server(tls=tls)
    face = connect(server.url, max_attempts=2)
    with pytest.raises(RobofyConnectionError, match=r"no connection to .+ could be made.*proxy settings"):
        face.call(endpoints.send_message({"query": "hello"}))
    assert face.requests == 2
    assert server.connections == 0


def test_a_proxy_that_refuses_is_a_failure_to_connect_and_its_password_is_not_shown(
    connect, raw_server, monkeypatch, tls, secretless
):
    proxy = Proxy(refuse=b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:proxy-secret@{proxy.address}")
    face = connect(raw_server(tls=tls).url, max_attempts=2)
    with pytest.raises(RobofyConnectionError, match=r"no connection to .+ could be made") as caught:
        face.call(LEADS)
    secretless(caught.value, "proxy-secret", "someone", proxy.address)
    assert face.requests == 2
    proxy.stop()


@pytest.mark.serial
def test_a_proxy_whose_answer_trickles_ends_within_the_total_timeout(connect, raw_server, monkeypatch, tls):
    proxy = Proxy(slow=0.05)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    face = connect(raw_server(tls=tls).url, real_time=True, total_timeout=0.5, connect_timeout=5)
    began = time.monotonic()
    with pytest.raises(RobofyConnectionError, match=r"no complete answer within 0\.5 s"):
        face.call(LEADS)
    assert time.monotonic() - began < 2
    proxy.stop()


@pytest.mark.parametrize("value", ["socks5://me:proxy-secret@127.0.0.1:9", "http://", "gopher://127.0.0.1:70", "a:b:c"])
def test_a_proxy_of_a_kind_that_cannot_be_used_is_named(connect, raw_server, answer, monkeypatch, value):
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(RobofyConfigError, match=r"The proxy that the environment names \(HTTPS_PROXY") as caught:
        connect(raw_server(answer(GOOD)).url).call(LEADS)
    assert "proxy-secret" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- certificates
def test_a_certificate_that_nobody_vouches_for_is_not_accepted(connect, raw_server, answer, tls):
    server = raw_server(answer(GOOD), tls=tls)
    face = connect(server.url)
    with pytest.raises(RobofyConnectionError, match=r"certificate was not accepted.*REQUESTS_CA_BUNDLE") as caught:
        face.call(endpoints.send_message({"query": "hello"}))
    assert server.requests == []
    assert face.requests == 1
    assert "may have carried it out" not in str(caught.value)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environments_certificates_are_trusted(connect, raw_server, answer, tls, authority, monkeypatch, name):
    monkeypatch.setenv(name, str(authority / "ca.pem"))
    server = raw_server(answer(GOOD), tls=tls)
    assert connect(server.url).call(LEADS).items == ROWS
    assert connect(server.url.replace("127.0.0.1", "localhost")).call(LEADS).items == ROWS


def test_a_folder_of_certificates_is_trusted(connect, raw_server, answer, tls, authority, monkeypatch, tmp_path):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    openssl("rehash", "certs", folder=tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certs"))
    assert connect(raw_server(answer(GOOD), tls=tls).url).call(LEADS).items == ROWS


def test_a_certificate_for_another_host_is_not_accepted(connect, raw_server, tls, authority, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    server = raw_server(tls=tls, host="127.0.0.2")
    with pytest.raises(RobofyConnectionError, match="certificate was not accepted"):
        connect(server.url).call(LEADS)
    assert server.requests == []


@pytest.mark.parametrize("content", [None, "no certificate at all"])
def test_a_bundle_that_cannot_be_read_is_named(connect, raw_server, tls, monkeypatch, tmp_path, content):
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(RobofyError, match="REQUESTS_CA_BUNDLE") as caught:
        connect(raw_server(tls=tls).url).call(LEADS)
    if content is None:
        assert isinstance(caught.value, RobofyConfigError)
        assert "bundle.pem" in str(caught.value)


def test_a_bundle_that_cannot_be_read_is_no_matter_without_tls(connect, raw_server, answer, monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    assert connect(raw_server(answer(GOOD)).url).call(LEADS).items == ROWS


@pytest.mark.parametrize("read", [pytest.param(65536, id="ended"), pytest.param(10, id="reset")])
def test_a_connection_that_breaks_within_the_handshake_is_made_again(
    connect, raw_server, answer, tls, authority, monkeypatch, read
):
    """A load balancer that is short of breath does this; it says nothing about certificates."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))

    def twice(connection, server):
        if server.connections < 3:
            connection.recv(read)
            raise ConnectionError

    server = raw_server(answer(GOOD), tls=tls, on_accept=twice)
    face = connect(server.url)
    assert face.call(LEADS).items == ROWS
    assert face.requests == 3


def test_an_answer_that_breaks_off_over_tls_is_asked_for_again(
    connect, raw_server, answer, tls, authority, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    broken = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
    server = raw_server(*broken, answer(GOOD), tls=tls)
    face = connect(server.url)
    assert face.call(LEADS).items == ROWS
    assert face.requests == len(server.requests) == 4


def test_a_server_that_speaks_no_tls_is_not_sent_the_key(connect, raw_server, answer):
    seen = []

    def listen(connection, server):
        seen.append(connection.recv(4096))
        connection.sendall(answer(GOOD))
        raise ConnectionError

    server = raw_server(on_accept=listen)
    with pytest.raises(RobofyConnectionError):
        connect(server.url.replace("http:", "https:"), max_attempts=1).call(LEADS)
    assert seen
    assert b"rk_test" not in b"".join(seen)


@pytest.mark.serial
def test_a_body_that_trickles_over_tls_ends_within_the_total_timeout(connect, raw_server, tls, authority, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))

    def trickle(connection, server):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[")
        while not server.over.wait(0.05):
            connection.sendall(b" ")

    face = connect(raw_server(trickle, tls=tls).url, real_time=True, total_timeout=0.3)
    began = time.monotonic()
    with pytest.raises(RobofyResponseError, match=r"no complete answer within 0\.3 s"):
        face.call(LEADS)
    assert time.monotonic() - began < 2


@pytest.mark.serial
def test_cancel_ends_a_call_over_tls_within_a_second(raw_server, tls, authority, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    server = raw_server(lambda _, server: server.over.wait(20), tls=tls)
    client = RobofyClient(Settings(api_key="rk_test", base_url=server.url))
    timer = threading.Timer(0.2, client.cancel)
    timer.start()
    began = time.monotonic()
    with client, pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - began < 2


def test_breaking_a_connection_never_takes_its_encryption_away(authority, tls):
    """SSLSocket.shutdown does, and what is being written at that moment would go out readable."""
    near, far = socket.socketpair()
    trusting = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    server = threading.Thread(target=lambda: tls.wrap_socket(far, server_side=True), daemon=True)
    server.start()
    with trusting.wrap_socket(near, server_hostname="localhost") as encrypted:
        adapter = _DeadlineAdapter()
        adapter._sockets.add(encrypted)
        adapter.stop()
        assert encrypted._sslobj is not None  # type: ignore[attr-defined]
        with pytest.raises(OSError, match=r"."):
            encrypted.sendall(b"rk_secret")
        assert encrypted.recv(10) == b""
    server.join(5)


# --------------------------------------------------------------------------------------------------------- netrc
@pytest.mark.parametrize("where", ["~/.netrc", "NETRC"])
def test_a_netrc_that_names_the_host_changes_nothing(connect, raw_server, answer, monkeypatch, tmp_path, where):
    path = tmp_path / ".netrc"
    path.write_text("machine 127.0.0.1 login someone password netrc-secret\ndefault login x password netrc-secret\n")
    path.chmod(0o600)
    if where == "NETRC":
        monkeypatch.setenv("NETRC", str(path))
    server = raw_server(answer(GOOD))
    assert connect(server.url).call(LEADS).items == ROWS
    assert server.heads[0].lower().count("authorization:") == 1
    assert "Authorization: Bearer rk_test-" in server.heads[0]
