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

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy


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
        """Read the environment once; at each call it would cost as much as a request on a fast network."""
        found = requests.Session().merge_environment_settings(base_url, {}, None, None, None)
        bundle = found["verify"]
        return cls(
            select_proxy(base_url, found["proxies"]),
            bundle if isinstance(bundle, str) else DEFAULT_CA_BUNDLE_PATH,
        )

    @property
    def proxies(self) -> dict[str, str]:
        """Return the proxy as ``requests`` takes it."""
        return {"all": self.proxy} if self.proxy else {}

    def ssl_context(self) -> ssl.SSLContext:
        """Return the certificates as ``aiohttp`` takes them. Slow the first time: it reads some hundred of them."""
        return _context(self.ca_bundle)


@cache
def _context(ca_bundle: str) -> ssl.SSLContext:
    if Path(ca_bundle).is_dir():
        return ssl.create_default_context(capath=ca_bundle)
    return ssl.create_default_context(cafile=ca_bundle)
