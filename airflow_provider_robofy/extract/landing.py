"""Publishing a result: rejected rows, data, manifest, in this order, each whole or not at all. And reading it back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyForeignFileError, RobofyLandingError
from airflow_provider_robofy.extract.formats.catalog import SPOILT, Format, format_of
from airflow_provider_robofy.extract.manifest import SUFFIX, identity
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.extract.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_robofy.extract.manifest import Manifest

REJECTED_SUFFIX: Final = ".rejected.jsonl"
FAILED_SUFFIX: Final = ".failed.jsonl"

_NONE: Final[Any] = object()


class Landing:
    """Land one result at one place.

    Usage::

        landing = Landing(store, {"resource": "leads", ...})
        landing.check()
        with landing.spool() as data, landing.spool_rejected() as rejected:
            data.append(lines)
            ...
            landing.publish(data, rejected, manifest)

    :param store: Where the data goes; manifest and rejected rows go beside it.
    :param identity: What the file is for, as :func:`~airflow_provider_robofy.extract.manifest.identity` tells it. A
        file that is for something else is never overwritten.
    :param defuse_formulas: In CSV, put an apostrophe before what a spreadsheet could take for a formula.
    :raises RobofyConfigError: The file's ending is unknown, or asks for something that is not installed.
    """

    def __init__(self, store: Store, identity: Mapping[str, Any], *, defuse_formulas: bool = True) -> None:
        self.store = store
        self.format = format_of(store.uri)
        self._format = Format(self.format, identity.get("resource"), defuse_formulas=defuse_formulas)
        self._identity = dict(identity)
        self._manifest = store.beside(SUFFIX)
        self._rejected = store.beside(REJECTED_SUFFIX)
        self._failed = store.beside(FAILED_SUFFIX)

    @property
    def rejected_uri(self) -> str:
        """Return where rows go that cannot be understood."""
        return self._rejected.uri

    @property
    def failed_uri(self) -> str:
        """Return where is named what could not be read, such as a session among many."""
        return self._failed.uri

    @property
    def formulas_defused(self) -> bool | None:
        """Tell whether the file's formulas are defused; None where it is no CSV."""
        return self._format.defused

    def check(self) -> dict[str, Any] | None:
        """Refuse a place that holds the file of another agent, window or run.

        :return: The manifest of an earlier run for the same purpose, or None.
        :raises RobofyForeignFileError: It does; the message says whose it is.
        """
        if self._manifest.exists():
            try:
                found = dict(codec.loads(self._manifest.read()))
            except (ValueError, TypeError):
                raise self._foreign("a manifest that cannot be read lies beside it") from None
            theirs = identity(found)
            different = [
                f"{name} is {theirs[name]!r} there and {ours!r} here"
                for name, ours in self._identity.items()
                # A full run's identity names no window, and a window's no run; then the modes differ.
                if name in theirs and theirs[name] != ours
            ]
            if different:
                raise self._foreign(f"it belongs to another result: {'; '.join(different)}")
            return found
        if self.store.exists() and not self._is_unfinished():
            raise self._foreign("it bears no manifest, and was not written by this task")
        return None

    def spool(self) -> Spool:
        """Start the data file."""
        return Spool(self.store.spool_path(), compress=self._format.compressed, encode=self._format.encoder)

    def spool_rejected(self) -> Spool:
        """Start the file of rejected rows."""
        return Spool(self._rejected.spool_path(), compress=False)

    def spool_failed(self) -> Spool:
        """Start the file that names what could not be read."""
        return Spool(self._failed.spool_path(), compress=False)

    def publish(self, data: Spool, rejected: Spool, manifest: Manifest, failed: Spool | None = None) -> None:
        """Publish what was spooled and finished.

        Killed at any moment, this leaves under each name either a whole file or none, and a manifest only where the
        data it describes is there.

        :raises RobofyLandingError: The place has meanwhile been taken by another result, or a file did not arrive
            whole.
        """
        self.check()
        beside = [(self._rejected, rejected)] + ([(self._failed, failed)] if failed else [])
        for store, spool in beside:
            if spool.rows:
                store.publish(spool.path, spool.bytes)
        self.store.publish(data.path, data.bytes)
        with Spool(self._manifest.spool_path(), compress=False) as spool:
            spool.write(codec.dump_pretty(manifest.as_dict()))
            spool.finish()
            self._manifest.publish(spool.path, spool.bytes)
        for store, spool in beside:
            if not spool.rows:
                store.remove()

    def close(self) -> None:
        """Leave no empty folder behind where nothing was published."""
        self.store.tidy()

    def _foreign(self, why: str) -> RobofyForeignFileError:
        return RobofyForeignFileError(
            f"{self.store.uri} is not overwritten: {why}. Put {{{{ run_id }}}} or the window's bounds, and for mapped "
            "tasks the agent, into output_path; or move the file away."
        )

    def _is_unfinished(self) -> bool:
        """Tell whether a file without a manifest is what an attempt for this agent left when it was killed."""
        try:
            if not self.store.size():
                return True
            with self.store.open() as raw, self._format.unpacked(raw) as file:
                row = next(self._format.rows(file), _NONE)
        except (OSError, *SPOILT):
            return False
        if row is _NONE:
            return True
        ours = (self._identity.get("project_id"), self._identity.get("chatbot_id"))
        return isinstance(row, dict) and (row.get("_project_id"), row.get("_chatbot_id")) == ours


def rows(manifest: Mapping[str, Any], path: Any = None) -> Iterator[dict[str, Any]]:
    """Read a landed file back, a row at a time.

    Usage, in a TaskFlow task::

        @task
        def count_hot_leads(manifest: dict) -> int:
            return sum(row["source"] == "chatbot" for row in rows(manifest))

    :param manifest: What a fetch operator returned.
    :param path: Where to read instead of the manifest's ``uri``. Needed where the URI names an Airflow connection
        (``s3://my_conn@bucket/...``): give ``ObjectStoragePath(manifest["uri"])``.
    :return: The rows, in the order they landed.
    :raises RobofyLandingError: The file does not hold the rows that the manifest says, so it has been replaced or cut.
    :raises RobofyConfigError: The file is Parquet, and pyarrow is not installed.
    """
    uri = str(manifest["uri"])
    if path is None and "@" in uri.partition("://")[2].partition("/")[0]:
        raise RobofyLandingError(
            f"{uri} names an Airflow connection. Read it with rows(manifest, ObjectStoragePath(manifest['uri']))."
        )
    format_ = Format(
        manifest["format"],
        manifest.get("resource"),
        defuse_formulas=manifest.get("formulas_defused") is not False,
    )
    store = Store(path.fs, path.path, uri) if path is not None else _open_uri(uri)
    count = 0
    with store.open() as raw, format_.unpacked(raw) as file:
        found = format_.rows(file)
        while True:
            try:
                row: dict[str, Any] = next(found, _NONE)
            except SPOILT:
                raise RobofyLandingError(
                    f"{uri} cannot be read after row {count}. It was replaced by something else, or cut."
                ) from None
            if row is _NONE:
                break
            count += 1
            yield row
    if count != manifest["rows"]:
        raise RobofyLandingError(
            f"{uri} holds {count} rows, but its manifest says {manifest['rows']}. "
            "It was replaced by a later run, or cut."
        )


def _open_uri(uri: str) -> Store:
    if "://" not in uri or uri.startswith("file://"):
        # Not by url_to_fs, which takes a :: in the path for a chain of filesystems.
        local = LocalFileSystem()
        return Store(local, local._strip_protocol(uri), uri)  # noqa: SLF001 (fsspec's own idiom)
    fs, path = fsspec.url_to_fs(uri)
    return Store(fs, path, uri)


@contextmanager
def speaking_of(uri: str) -> Iterator[None]:
    """Say which file it was when a disk is full or a store refuses."""
    try:
        yield
    except OSError as error:
        raise RobofyLandingError(
            f"{uri} could not be written ({type(error).__name__}: {error}). What lies under that name is whole, if "
            "anything does. Check its permissions and free space, and those of TMPDIR, where rows are spooled for "
            "remote targets."
        ) from error
