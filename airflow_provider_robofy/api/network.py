"""Proxy and certificates as the environment of the process sets them, the same for both clients.

``requests`` decides, since it is what users know: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, REQUESTS_CA_BUNDLE
and CURL_CA_BUNDLE, else the bundle it ships. ``aiohttp`` would read the system's certificates instead, and would refuse
to call at all where a ``.netrc`` names the host.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from airflow_provider_robofy.api.errors import RobofyConfigError


@dataclass(frozen=True, slots=True)
class Network:
    """Hold what stands between this process and Robofy.

    :param proxy: URL of the proxy, or None.
    :param ca_bundle: File or folder of certificates to trust.
    """

    proxy: str | None
    ca_bundle: str

    @classmethod
    def of(cls, base_url: str) -> Network:
        """Read the environment once; at each call it would cost as much as a request on a fast network.

        :raises RobofyConfigError: The proxy is none that both clients can use, or the certificates are not there.
        """
        found = requests.Session().merge_environment_settings(base_url, {}, None, None, None)
        bundle = found["verify"]
        if not isinstance(bundle, str) or not base_url.startswith("https://"):
            bundle = DEFAULT_CA_BUNDLE_PATH
        if not Path(bundle).exists():
            raise _unreadable(bundle)
        return cls(_http_proxy(select_proxy(base_url, found["proxies"])), bundle)

    @property
    def proxies(self) -> dict[str, str]:
        """Return the proxy as ``requests`` takes it."""
        return {"all": self.proxy} if self.proxy else {}

    def ssl_context(self) -> ssl.SSLContext:
        """Return the certificates as ``aiohttp`` takes them. Slow the first time: it reads some hundred of them."""
        return _context(self.ca_bundle)


@cache
def _context(ca_bundle: str) -> ssl.SSLContext:
    try:
        if Path(ca_bundle).is_dir():
            return ssl.create_default_context(capath=ca_bundle)
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError:
        raise _unreadable(ca_bundle) from None


def _unreadable(ca_bundle: str) -> RobofyConfigError:
    return RobofyConfigError(
        f"The environment variable REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names {ca_bundle!r}, "
        "where no certificates can be read."
    )


def _http_proxy(address: str | None) -> str | None:
    """Return a proxy's URL with its scheme, which ``requests`` lets people leave out. It may hold a password."""
    if not address:
        return None
    try:
        url = urlsplit(address if "://" in address else f"http://{address}")
        usable = url.scheme in {"http", "https"} and url.hostname and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise RobofyConfigError(
            "The proxy that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) is no http:// or https:// "
            "address, and others, such as SOCKS, are not supported. NO_PROXY takes Robofy's host out."
        )
    return url.geturl()
