"""One writer for a ledger: a lock file beside it that names its owner and is renewed while the owner works."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyLedgerError
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.knowledge.ledger import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from airflow_provider_robofy.extract.files import Store

LOCK_SUFFIX: Final = ".lock.json"
#: Age in seconds of the last renewal from which the owner counts as dead.
EXPIRES_AFTER: float = 600.0
#: Seconds between two renewals.
RENEW_EVERY: float = 20.0
#: Seconds to wait for a process that replaces the lock file or writes the ledger.
_PATIENCE: Final = 10.0
#: How often another owner is read again, where it changes while this run tries to take the lock over.
_ATTEMPTS: Final = 10

_log = logging.getLogger(__name__)


class LedgerLockedError(RobofyLedgerError):
    """Report that another run uses the ledger. A retry succeeds when that run has ended."""

    permanent = False


class LedgerLock:
    """Lock a ledger while a ``with`` statement runs.

    Usage::

        with LedgerLock(store, run_key) as lock:
            ledger = Ledger(store, identity, guard=lock.owned)

    The lock of a run that was killed is taken over by a retry of the same run at once, and by other runs ten minutes
    after its last renewal. An owner that lost the lock in one of these ways is stopped by :meth:`owned`.

    On a local disk, creating, taking over and renewing are atomic. In an object store creating is atomic where the
    store can create exclusively (S3 can), and the rest is a read followed by a write.

    :param ledger: File of the ledger's snapshot; the lock file is beside it.
    :param run_key: Identifier of the task and its run, the same for a retry.
    """

    def __init__(self, ledger: Store, run_key: str) -> None:
        self._store = ledger.beside(LOCK_SUFFIX)
        self._ledger_uri = ledger.uri
        self._run_key = run_key
        self._try_id = secrets.token_hex(8)
        #: The lock file as this owner wrote it last.
        self._content = b""
        self._renewing = threading.Lock()
        self._released = threading.Event()
        self._renewal = threading.Thread(target=self._renew_until_released, name="robofy-ledger-lock", daemon=True)

    def __enter__(self) -> Self:
        """Take the lock, and start to renew it.

        :raises LedgerLockedError: Another run has it; the message names the run.
        :raises LedgerStorageError: The lock file cannot be read or written.
        """
        self._acquire()
        self._renewal.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        with self._renewing:  # a renewal under way would create the file again
            try:
                _replace(self._store, self._content, None)
            except OSError as failed:
                _log.warning(
                    "The lock %s could not be removed (%s). It expires in %g minutes; a retry does not wait for that.",
                    self._store.uri,
                    type(failed).__name__,
                    EXPIRES_AFTER / 60,
                )

    @contextlib.contextmanager
    def owned(self) -> Iterator[None]:
        """Check that the lock is still this owner's, before a write to the ledger.

        On a local disk nobody can take the lock over until the ``with`` statement ends.

        :raises LedgerLockedError: It is not this owner's any more.
        :raises LedgerStorageError: The lock file cannot be read.
        """
        with self._renewing, contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_alone(self._store))
                found = _read(self._store)
            except OSError as error:
                raise storage_error(self._store, "read", error) from None
            if found != self._content:
                raise self._taken_over(found)
            yield

    def _acquire(self) -> None:
        found = None
        for _ in range(_ATTEMPTS):
            try:
                found = _read(self._store)
            except OSError as error:
                raise storage_error(self._store, "read", error) from None
            if found is not None:
                self._refuse_living(found)
            content = self._new_content()
            try:
                if _replace(self._store, found, content):
                    self._content = content
                    return
            except OSError as error:
                raise storage_error(self._store, "written", error) from None
        raise self._locked(found)

    def _refuse_living(self, found: bytes) -> None:
        """Raise if a lock is another run's and has not expired."""
        owner = _owner(found)
        if owner is None:
            raise LedgerLockedError(
                f"{self._store.uri} is not a lock file that this provider can read. Delete it if no "
                "task is using the ledger."
            )
        if owner["run_key"] == self._run_key:
            _log.info("The lock %s is of an earlier attempt of this run, and is taken over.", self._store.uri)
        elif (age := time.time() - owner["renewed_at"].timestamp()) < EXPIRES_AFTER:
            raise self._locked(found)
        else:
            _log.warning(
                "The lock %s of run %s was last renewed %.0f minutes ago. It has expired and is taken over.",
                self._store.uri,
                owner["run_key"],
                age / 60,
            )

    def _renew_until_released(self) -> None:
        while not self._released.wait(RENEW_EVERY):
            with self._renewing:
                if self._released.is_set():
                    return
                content = self._new_content()
                try:
                    if not _replace(self._store, self._content, content):
                        return  # it is somebody else's now, as the next write finds out
                except OSError as error:
                    _log.warning("The lock %s could not be renewed (%s).", self._store.uri, type(error).__name__)
                else:
                    self._content = content

    def _new_content(self) -> bytes:
        return codec.dump_line(
            {
                "run_key": self._run_key,
                "try_id": self._try_id,
                "renewed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
        )

    def _locked(self, found: bytes | None) -> LedgerLockedError:
        owner = None if found is None else _owner(found)
        who = "another run" if owner is None else f"run {owner['run_key']} (last sign of life {owner['renewed_at']})"
        return LedgerLockedError(
            f"The ledger {self._ledger_uri} is in use by {who}. Try again when that run has "
            f"ended. If it was killed, its lock expires {EXPIRES_AFTER / 60:g} minutes after its last sign of life; to "
            f"release it earlier, delete {self._store.uri}. Set max_active_runs=1 on the DAG, or give each task a "
            "ledger_path of its own."
        )

    def _taken_over(self, found: bytes | None) -> LedgerLockedError:
        owner = None if found is None else _owner(found)
        if owner is None:
            who = "was deleted or overwritten"
        elif owner["run_key"] == self._run_key:
            who = "was taken over by a later attempt of this run"
        else:
            who = f"was taken over by run {owner['run_key']}"
        return LedgerLockedError(
            f"The lock {self._store.uri} {who} while this attempt was working, so it stopped. What it has recorded in "
            "the ledger is kept."
        )


def _owner(content: bytes) -> dict[str, Any] | None:
    """Return what a lock file says of its owner, with ``renewed_at`` as a datetime; None if it cannot be read."""
    try:
        owner: Any = codec.loads(content)
        owner["renewed_at"] = datetime.fromisoformat(owner["renewed_at"]).astimezone(UTC).replace(microsecond=0)
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return owner if isinstance(owner.get("run_key"), str) else None


def _read(store: Store) -> bytes | None:
    try:
        return store.read()
    except FileNotFoundError:
        return None


def _replace(store: Store, old: bytes | None, new: bytes | None) -> bool:
    """Replace a file only if its content is the expected one.

    :param store: The file.
    :param old: The expected content; None: there must be no file.
    :param new: The new content; None removes the file.
    :return: False if the content is another one; then nothing is changed.
    :raises OSError: The file cannot be read or written.
    """
    if old is None:
        return new is not None and (_create_local if store.is_local else _create)(store, new)
    with _alone(store):
        if _read(store) != old:
            return False
        if new is None:
            store.remove()
            return True
        store.write(new)
    # Where the store has no lock of its own, another run may have written in the same instant: the last one wins.
    return store.is_local or _read(store) == new


def _create_local(store: Store, content: bytes) -> bool:
    with Spool(store.spool_path()) as spool:
        spool.write(content)
        spool.finish()
        spool.path.chmod(0o644)
        try:
            os.link(spool.path, store.path)
        except FileExistsError:
            return False
        except OSError:  # a filesystem without hard links
            try:
                descriptor = os.open(store.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                return False
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
    return True


def _create(store: Store, content: bytes) -> bool:
    if store.exists():  # not every store heeds the mode below
        return False
    try:
        store.fs.pipe_file(store.path, content, mode="create")
    except (FileNotFoundError, TypeError):  # a folder has to be made first; or there is no such mode
        store.write(content)
    except OSError:
        if store.exists():
            return False
        raise
    return _read(store) == content


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Prevent other processes of this machine from replacing a local file meanwhile."""
    descriptor = _lock_inode(Path(store.path)) if store.is_local else None
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock_inode(path: Path) -> int | None:
    """Return a descriptor that locks the file which is at a path, or None where there is none."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass  # another process has it, or has just replaced the file
        except OSError:
            return descriptor  # a filesystem without locks
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise TimeoutError(f"a process of this machine has locked it for more than {_PATIENCE:g} seconds")
        time.sleep(0.005)
