"""Remembers between runs what was uploaded, so that nothing is uploaded twice.

The ledger is two files: a snapshot with an entry for each document, and beside it a journal with the entries that have
changed since. Every change is on disk before the next step is taken. Writing the snapshot each time would cost the
square of the number of files, so a change writes the journal, and only every hundredth change writes the snapshot.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyLedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from airflow_provider_robofy.extract.files import Store

    Guard = Callable[[], AbstractContextManager[None]]

SCHEMA_VERSION: Final = 1
JOURNAL_SUFFIX: Final = ".journal.json"
UPLOADED: Final = "uploaded"
INTENDED: Final = "intended"
#: States of a version's delink: it may or may not have arrived, or it is done.
DELINKING: Final = "delinking"
DELINKED: Final = "delinked"

#: Number of changes in the journal after which the snapshot is written.
FOLD_AT = 100

Entry = dict[str, Any]


class LedgerStorageError(RobofyLedgerError):
    """Report that the ledger's files could not be read or written. Other than a damaged ledger, a retry may help."""

    permanent = False


class Ledger:
    """Read and write the entries of one source and agent, from several threads.

    Usage::

        ledger = Ledger(store, {"project_id": "24017", "chatbot_id": "UOmf...", "source": "/docs"})
        ledger.load()
        ledger.record("faq.md", {"state": "intended", "sha256": "...", "size": 120, ...})
        ledger.close()

    :param store: File of the snapshot; the journal is in the same folder.
    :param identity: Agent and source of the ledger. One of another agent or source is refused.
    :param guard: Returns a context to write in; it raises if the run must not write any more. Default: none.
    """

    def __init__(self, store: Store, identity: Mapping[str, str], guard: Guard = nullcontext) -> None:
        self.store = store
        self._guard = guard
        #: By document name. ``state`` is ``uploaded``, or ``intended`` while a request is or was under way.
        self.entries: dict[str, Entry] = {}
        self.identity = dict(identity)
        self._journal = store.beside(JOURNAL_SUFFIX)
        #: Number of the snapshot. A journal with a lower number is older than the snapshot.
        self._generation = 0
        self._changed: dict[str, Entry | None] = {}
        self._has_journal = False
        self._version = self._written = 0
        self._state = threading.Lock()
        self._disk = threading.Lock()

    def load(self) -> None:
        """Read both files; without any, the ledger is empty.

        :raises RobofyLedgerError: The ledger is damaged, of a newer version of this provider, of another agent or
            source, or cannot be read.
        """
        snapshot = self._read(self.store)
        if snapshot is not None:
            self._generation, self.entries = snapshot["generation"], snapshot["entries"]
        journal = self._read(self._journal)
        if journal is None:
            return
        self._has_journal = True
        if journal["generation"] > self._generation:
            raise self._damaged(self.store, f"it is older than {self._journal.uri}, or missing")
        if journal["generation"] == self._generation:  # else the snapshot was written later and has it all
            self._changed = journal["entries"]  # the next journal replaces this one, so it must have them too
            for name, entry in self._changed.items():
                self._set(name, entry)

    def record(self, name: str, entry: Entry | None) -> None:
        """Set an entry, and return when it is on disk.

        Threads that wait for the disk at the same time are served by one write.

        :param name: Name of the document.
        :param entry: The entry, or None to remove it.
        :raises RobofyError: The files cannot be written.
        """
        with self._state:
            self._set(name, entry)
            self._changed[name] = entry
            self._version += 1
            mine = self._version
        with self._disk:
            if self._written < mine:
                self._write(fold=len(self._changed) >= FOLD_AT)

    def amend(self, name: str, entry: Entry | None) -> None:
        """Set an entry that the next :meth:`record` or :meth:`close` writes.

        :param name: Name of the document.
        :param entry: The entry, or None to remove it.
        """
        with self._state:
            self._set(name, entry)
            self._changed[name] = entry

    def close(self) -> None:
        """Write the snapshot and remove the journal, if anything has changed.

        :raises RobofyError: The files cannot be written.
        """
        with self._disk:
            if self._changed or self._has_journal:
                self._write(fold=True)
            if self._has_journal:
                try:
                    self._journal.remove()
                except OSError as error:
                    raise storage_error(self._journal, "removed", error) from None
                self._has_journal = False

    def _set(self, name: str, entry: Entry | None) -> None:
        if entry is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = entry

    def _write(self, *, fold: bool) -> None:
        with self._state:
            version = self._version
            generation = self._generation + fold
            written = self._changed
            content = codec.dump_line(
                {
                    "schema_version": SCHEMA_VERSION,
                    **self.identity,
                    "generation": generation,
                    "entries": self.entries if fold else written,
                }
            )
            if fold:
                self._changed = {}
        try:
            with self._guard():
                write(self.store if fold else self._journal, content)
        except BaseException:
            with self._state:
                self._changed = written | self._changed  # the journal must still have them
            raise
        self._has_journal = self._has_journal or not fold
        self._generation, self._written = generation, version

    def _read(self, store: Store) -> dict[str, Any] | None:
        try:
            content = store.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(store, "read", error) from None
        try:
            ledger: Any = codec.loads(content)
        except ValueError:
            raise self._damaged(store, "it is not JSON") from None
        version = ledger.get("schema_version") if isinstance(ledger, dict) else None
        if type(version) is int and version > SCHEMA_VERSION:
            raise RobofyLedgerError(
                f"The ledger {store.uri} was written by a newer version of this provider (schema version {version}, "
                f"and this one knows {SCHEMA_VERSION}). Nothing was uploaded. Update airflow-provider-robofy."
            )
        if version != SCHEMA_VERSION or type(ledger.get("generation")) is not int or not _are_entries(ledger):
            raise self._damaged(store, "it lacks what a ledger has")
        for name, ours in self.identity.items():
            if ledger.get(name) != ours:
                raise RobofyLedgerError(
                    f"The ledger {store.uri} belongs to another {name}: {str(ledger.get(name))[:200]!r} there and "
                    f"{ours[:200]!r} here. Nothing was uploaded. Give each agent and source a ledger_path of its own; "
                    f"if the same documents have only moved, change {name!r} in the file."
                )
        sound: dict[str, Any] = ledger
        return sound

    def _damaged(self, store: Store, why: str) -> RobofyLedgerError:
        return RobofyLedgerError(
            f"The ledger {store.uri} is damaged: {why}. Nothing was uploaded. Restore it from a copy; or delete "
            f"{self.store.uri} and {self._journal.uri}, after which everything is uploaded again."
        )


def delink_state(link: Mapping[str, Any]) -> str | None:
    """Return how far the delink of a version is: None, :data:`DELINKING` or :data:`DELINKED`.

    :param link: An entry, or one of its superseded versions.
    """
    state: str | None = link.get("delink", {}).get("state")
    return state


def write(store: Store, content: bytes) -> None:
    """Replace a file, so that at any moment it has either the old content or the new one.

    :param store: The file.
    :param content: The new content.
    :raises LedgerStorageError: The file cannot be written.
    """
    try:
        store.write(content)
    except OSError as error:
        raise storage_error(store, "written", error) from None


def storage_error(store: Store, verb: str, error: OSError) -> LedgerStorageError:
    """Return the error for a file that could not be used.

    :param store: The file.
    :param verb: What could not be done, such as ``written``.
    :param error: Why.
    """
    return LedgerStorageError(
        f"{store.uri} cannot be {verb} ({type(error).__name__}: {error}). Check the free space and the permissions "
        "there. The ledger has what was written before, and the next attempt continues from that."
    )


def _are_entries(ledger: dict[str, Any]) -> bool:
    entries = ledger.get("entries")
    return isinstance(entries, dict) and all(
        entry is None
        or (
            isinstance(entry, dict)
            and entry.get("state") in {UPLOADED, INTENDED}
            and isinstance(entry.get("sha256"), str)
            and isinstance(entry.get("size"), int)
            and _are_links([entry, entry.get("before") or {}])
        )
        for entry in entries.values()
    )


def _are_links(links: Any) -> bool:
    return isinstance(links, list) and all(
        isinstance(link, dict)
        and isinstance(delink := link.get("delink", {"state": DELINKED}), dict)
        and delink.get("state") in {DELINKING, DELINKED}
        and _are_links(link.get("superseded", []))
        for link in links
    )
