"""Paths and URLs of files, as users give them, and the stores they lead to."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import ObjectStoragePath, conf

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.files import Store


def landing_root() -> str:
    """Return the setting ``[robofy] landing_root``, without a trailing slash; empty where it is not set."""
    return str(conf.get("robofy", "landing_root", fallback="")).strip().rstrip("/")


def place(path: str, argument: str) -> str:
    """Return a path as an absolute one: a relative one is below the landing root.

    A worker's own directory means nothing, and Airflow 2.11 would take the root of the disk instead.

    :param path: Absolute path, URL, or relative path.
    :param argument: The operator's argument that it is from, for the error.
    :raises RobofyConfigError: It is relative and there is no landing root, or it leaves the landing root.
    """
    text = path.strip()
    if "://" in text or text.startswith("/"):
        return text
    root = landing_root()
    if not root:
        raise RobofyConfigError(
            f"{argument}={text!r} is a relative path, which lies below the landing root, and that is not set: give an "
            "absolute path or URL, or set landing_root in Airflow's config section [robofy] "
            "(AIRFLOW__ROBOFY__LANDING_ROOT)."
        )
    if ".." in text.split("/"):
        raise RobofyConfigError(
            f"{argument}={text!r} is a relative path with '..' in it, which could lead out of the landing root. Leave "
            "it out, or give an absolute path or URL."
        )
    return f"{root}/{text}"


def open_store(uri: str) -> Store:
    """Return the store of a file.

    :param uri: Anything that Airflow's ``ObjectStoragePath`` opens, the connection id before an ``@`` if it needs one.
    """
    path = ObjectStoragePath(uri)
    return Store(path.fs, path.path, uri)
