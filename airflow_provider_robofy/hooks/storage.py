"""Check the paths and URLs that users give, and open the stores that they name."""

from __future__ import annotations

from typing import Final

from airflow.providers.common.compat.sdk import ObjectStoragePath, conf

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.files import Store

_PROVIDERS: Final = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "pip install 'apache-airflow-providers-amazon[s3fs]'"),
    **dict.fromkeys(("gs", "gcs"), "pip install apache-airflow-providers-google"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), "pip install apache-airflow-providers-microsoft-azure"),
}


def landing_root() -> str:
    """Return Airflow's setting ``[robofy] landing_root``.

    :return: The path or URL without a trailing slash, or empty text where it is not set.
    :raises RobofyConfigError: It is a relative path, which would depend on the worker's working directory.
    """
    root = str(conf.get("robofy", "landing_root", fallback="")).strip().rstrip("/")
    if root and not _is_absolute(root):
        raise RobofyConfigError(
            f"landing_root={root!r} in Airflow's config section [robofy] is a relative path, which depends on the "
            "directory that a worker runs in. Set AIRFLOW__ROBOFY__LANDING_ROOT to an absolute path or a URL, for "
            "example /data/robofy or s3://aws_default@bucket/robofy."
        )
    return root


def _is_absolute(path: str) -> bool:
    return "://" in path or path.startswith("/")


def place(path: str, argument: str) -> str:
    """Return a path as an absolute path or URL. A relative path is below the landing root.

    The worker's working directory is never used: Airflow 2.11 would take the root of the disk instead.

    :param path: Absolute path, URL or relative path.
    :param argument: Name of the operator's argument, for the error.
    :return: The absolute path or URL.
    :raises RobofyConfigError: The path is relative and there is no landing root, it contains ``..``, or a template in
        it has no value.
    """
    text = str(path).strip()
    if not text or "None" in (part.partition(".")[0] for part in text.split("/")):
        raise RobofyConfigError(
            f"{argument}={text!r} is no path: a template or XCom that it is made of has no value. Check that the task "
            "it comes from has run and returned one."
        )
    if _is_absolute(text):
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

    :param uri: Anything that Airflow's ``ObjectStoragePath`` opens, with a connection id before an ``@`` if it needs
        one.
    :return: The store.
    :raises RobofyConfigError: No installed provider opens such a URI.
    """
    path = open_path(uri)
    return Store(path.fs, path.path, uri)


def open_path(uri: str) -> ObjectStoragePath:
    """Return Airflow's path for a URI, after checking that its file system can be opened.

    :param uri: As for :func:`open_store`.
    :return: The path.
    :raises RobofyConfigError: No installed provider opens such a URI.
    """
    try:
        path = ObjectStoragePath(uri)
        _ = path.fs
    except (ValueError, ImportError) as error:
        scheme = uri.partition("://")[0]
        remedy = _PROVIDERS.get(scheme, "the Airflow provider of that storage")
        raise RobofyConfigError(
            f"{uri!r} cannot be opened here ({error}). Install what opens {scheme}:// paths on every worker: {remedy}."
        ) from None
    return path
