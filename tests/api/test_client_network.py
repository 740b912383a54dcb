"""The client behind proxies and certificates of the environment, and beside a .netrc."""

# ruff: noqa: PLR0917 (fixtures are asked for by name, never by place)

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.errors import (
    RobofyCancelledError,
    RobofyConfigError,
    RobofyConnectionError,
    RobofyError,
    RobofyResponseError,
)
from airflow_provider_robofy.api.transport import _Sockets

LEADS = endpoints.list_leads(24017, "agent")
ROWS = [{"id": "lead_1"}]
GOOD = {"data": {"report": {"rows": ROWS}}}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    certificates = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NETRC"}
    for name in [name for name in os.environ if name.upper().endswith("_PROXY") or name in certificates]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def openssl(folder, arguments):
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A folder with a certificate authority of our own and a server certificate for 127.0.0.1 and localhost."""
    folder = tmp_path_factory.mktemp("authority")
    (folder / "leaf.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    new_key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    usage = "-subj /CN=RobofyTestCA -addext keyUsage=critical,keyCertSign,cRLSign"
    openssl(folder, f"req -x509 {new_key} -keyout ca.key -out ca.pem -days 3650 {usage}")
    openssl(folder, f"req {new_key} -keyout leaf.key -out leaf.csr -subj /CN=localhost")
    signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile leaf.ext"
    openssl(folder, f"x509 -req -in leaf.csr -out leaf.pem {signed}")
    return folder


@pytest.fixture(scope="session")
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "leaf.pem", authority / "leaf.key")
    return context


@pytest.fixture
def trusting(authority, monkeypatch):
    """The environment names our own authority."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))


def relay(client, proxy):
    """A step of a server's script: an HTTP proxy of a few lines, for CONNECT and plain requests."""
    _, target, _ = proxy.heads[-1].split("\r\n")[0].split(" ")
    connect = proxy.heads[-1].startswith("CONNECT")
    host, _, port = (target if connect else target.split("/")[2]).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as server:
        if connect:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(proxy.requests[-1])
        pumps = [threading.Thread(target=pump, args=way, daemon=True) for way in [(client, server), (server, client)]]
        for one in pumps:
            one.start()
        for one in pumps:
            one.join(10)


def pump(source, target):
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(raw_server):
    return raw_server(relay)


def lines(proxy):
    return [head.split("\r\n")[0].removesuffix(" HTTP/1.1") for head in proxy.heads]


def trickle(first, again):
    """A step of a server's script that never ends."""

    def send(connection, server):
        connection.sendall(first)
        while not server.over.wait(0.05):
            connection.sendall(again)

    return send


# ------------------------------------------------------------------------------------------------------ proxies
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_environments_proxy_is_used(connect, raw_server, answer, proxy, monkeypatch, name, scheme):
    monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
    server = raw_server(answer(GOOD))
    assert connect(server.url).call(endpoints.list_leads(24017, "a/b+c")).items == ROWS
    assert lines(proxy) == [f"GET {server.url}/v1/ai-agent/leads/24017/a%2Fb%2Bc"]
    assert server.connections == 1


@pytest.mark.usefixtures("trusting")
def test_https_goes_through_a_tunnel_that_gets_its_own_password_and_not_the_key(
    connect, raw_server, answer, proxy, monkeypatch, tls
):
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:p%40ss@127.0.0.1:{proxy.port}")
    server = raw_server(answer(GOOD), tls=tls)
    assert connect(server.url).call(LEADS).items == ROWS
    # Python 3.11 says HTTP/1.0 there, as later ones do not.
    assert [line.removesuffix(" HTTP/1.0") for line in lines(proxy)] == [f"CONNECT 127.0.0.1:{server.port}"]
    assert "rk_test" not in proxy.heads[0]
    assert "authorization: bearer rk_test" in server.heads[0].lower()
    expected = base64.b64encode(b"someone:p@ss").decode()
    assert f"proxy-authorization: basic {expected.lower()}" in proxy.heads[0].lower()
    assert "proxy-authorization" not in server.heads[0].lower()


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("value", ["127.0.0.1", "*", "example.com,127.0.0.0/8"])
def test_no_proxy_is_honoured(connect, raw_server, answer, proxy, monkeypatch, name, value):
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv(name, value)
    assert connect(raw_server(answer(GOOD)).url).call(LEADS).items == ROWS
    assert lines(proxy) == []


@pytest.mark.parametrize("there", [True, False], ids=["refuses", "is not there"])
def test_a_proxy_that_gives_no_tunnel_is_a_failure_to_connect_and_its_password_is_not_shown(
    connect, raw_server, answer, monkeypatch, closed_port, tls, secretless, there
):
    refusing = raw_server(answer(b"", "407 Proxy Authentication Required"))
    address = f"127.0.0.1:{refusing.port if there else closed_port}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:proxy-secret@{address}")
    server = raw_server(tls=tls)
    client = connect(server.url, max_attempts=2)
    with pytest.raises(RobofyConnectionError, match=r"no connection to .+ could be made.*proxy settings") as caught:
        client.call(endpoints.send_message({"query": "hello"}))
    secretless(caught.value, "proxy-secret", "someone", address)
    assert (client.requests, server.connections) == (2, 0)


@pytest.mark.serial
@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("kind", "where"), [(RobofyConnectionError, "a proxy's answer"), (RobofyResponseError, "a body over TLS")]
)
def test_what_trickles_ends_within_the_total_timeout(connect, raw_server, monkeypatch, tls, kind, where):
    body = trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[", b" ")
    if where == "a proxy's answer":
        proxy = raw_server(trickle(b"HTTP/1.1 200 Connection established\r\n", b"X-Slow: yes\r\n"))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    client = connect(raw_server(body, tls=tls).url, real_time=True, total_timeout=0.5, connect_timeout=5)
    began = time.monotonic()
    with pytest.raises(kind, match=r"no complete answer within 0\.5 s"):
        client.call(LEADS)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("value", ["socks5://me:proxy-secret@127.0.0.1:9", "http://", "gopher://127.0.0.1:70", "a:b:c"])
def test_a_proxy_of_a_kind_that_cannot_be_used_is_named(connect, raw_server, answer, monkeypatch, value):
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(RobofyConfigError, match=r"The proxy that the environment names \(HTTPS_PROXY") as caught:
        connect(raw_server(answer(GOOD)).url).call(LEADS)
    assert "proxy-secret" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- certificates
def test_a_certificate_that_nobody_vouches_for_is_not_accepted(connect, raw_server, answer, tls):
    server = raw_server(answer(GOOD), tls=tls)
    client = connect(server.url)
    with pytest.raises(RobofyConnectionError, match=r"certificate was not accepted.*REQUESTS_CA_BUNDLE") as caught:
        client.call(endpoints.send_message({"query": "hello"}))
    assert server.requests == []
    assert client.requests == 1
    assert "may have carried it out" not in str(caught.value)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_the_environments_certificates_are_trusted(
    connect, raw_server, answer, tls, authority, monkeypatch, tmp_path, name, folder
):
    bundle = authority / "ca.pem"
    if folder:
        (tmp_path / "certs").mkdir()
        (tmp_path / "certs" / "ca.pem").write_bytes(bundle.read_bytes())
        openssl(tmp_path, "rehash certs")
        bundle = tmp_path / "certs"
    monkeypatch.setenv(name, str(bundle))
    server = raw_server(answer(GOOD), tls=tls)
    assert connect(server.url).call(LEADS).items == ROWS
    assert connect(server.url.replace("127.0.0.1", "localhost")).call(LEADS).items == ROWS


@pytest.mark.usefixtures("trusting")
def test_a_certificate_for_another_host_is_not_accepted(connect, raw_server, tls):
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


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("read", [pytest.param(65536, id="ended"), pytest.param(10, id="reset")])
def test_a_connection_that_breaks_within_the_handshake_is_made_again(connect, raw_server, answer, tls, read):
    """A load balancer that is short of breath does this; it says nothing about certificates."""

    def twice(connection, server):
        if server.connections < 3:
            connection.recv(read)
            raise ConnectionError

    client = connect(raw_server(answer(GOOD), tls=tls, on_accept=twice).url)
    assert client.call(LEADS).items == ROWS
    assert client.requests == 3


@pytest.mark.usefixtures("trusting")
def test_an_answer_that_breaks_off_over_tls_is_asked_for_again(connect, raw_server, answer, tls):
    broken = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"]
    server = raw_server(*broken, answer(GOOD), tls=tls)
    client = connect(server.url)
    assert client.call(LEADS).items == ROWS
    assert client.requests == len(server.requests) == 4


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
@pytest.mark.usefixtures("trusting")
def test_cancel_ends_a_call_over_tls_within_a_second(connect, raw_server, tls):
    client = connect(raw_server(lambda _, server: server.over.wait(20), tls=tls).url, real_time=True)
    threading.Timer(0.2, client.cancel).start()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        client.call(LEADS)
    assert time.monotonic() - began < 2


def test_breaking_a_connection_never_takes_its_encryption_away(authority, tls):
    """SSLSocket.shutdown does, and what is being written at that moment would go out readable."""
    near, far = socket.socketpair()
    trusting = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    server = threading.Thread(target=lambda: tls.wrap_socket(far, server_side=True), daemon=True)
    server.start()
    with trusting.wrap_socket(near, server_hostname="localhost") as encrypted:
        sockets = _Sockets()
        sockets._open.add(encrypted)
        sockets.stop()
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
