"""What has been uploaded, remembered between runs, so that nothing is uploaded twice.

Two files: the ledger with an entry for each document, and beside it a journal with the entries that have changed since.
Every change is on disk before the next step is taken. Writing the whole ledger each time would cost the square of the
number of files, so a change writes the journal, and only every hundredth the ledger.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyLedgerError
from airflow_provider_robofy.extract.files import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_robofy.extract.files import Store

SCHEMA_VERSION: Final = 1
JOURNAL_SUFFIX: Final = ".journal.json"
UPLOADED: Final = "uploaded"
INTENDED: Final = "intended"

#: Changes that the journal holds before they are written to the ledger.
FOLD_AT = 100

Entry = dict[str, Any]


class Ledger:
    """Keep the entries of one source and agent, safe for several threads.

    Usage::

        ledger = Ledger(store, {"project_id": "24017", "chatbot_id": "UOmf...", "source": "/docs"})
        ledger.load()
        ledger.record("faq.md", {"state": "intended", "sha256": "...", "size": 120, ...})
        ledger.close()

    :param store: Where it lies; the journal goes beside it.
    :param identity: Whose it is. A ledger of another agent or source is refused.
    """

    def __init__(self, store: Store, identity: Mapping[str, str]) -> None:
        self.store = store
        #: By document name. ``state`` is ``uploaded``, or ``intended`` while a request is or was under way.
        self.entries: dict[str, Entry] = {}
        self._identity = dict(identity)
        self._journal = store.beside(JOURNAL_SUFFIX)
        self._generation = 0
        self._changed: dict[str, Entry | None] = {}
        self._has_journal = False
        self._version = self._written = 0
        self._state = threading.Lock()
        self._disk = threading.Lock()

    def load(self) -> None:
        """Read what is there; nothing is an empty ledger.

        :raises RobofyLedgerError: It is damaged, of a newer version of this provider, or somebody else's.
        """
        ledger = self._read(self.store)
        if ledger is not None:
            self._generation, self.entries = ledger["generation"], ledger["entries"]
        journal = self._read(self._journal)
        if journal is None:
            return
        self._has_journal = True
        if journal["generation"] > self._generation:
            raise self._damaged(self.store, f"it is older than {self._journal.uri}, or missing")
        if journal["generation"] == self._generation:  # else the ledger was written later and knows it all
            self._changed = journal["entries"]  # the next journal takes this one's place, so it must hold them too
            for name, entry in self._changed.items():
                self._set(name, entry)

    def record(self, name: str, entry: Entry | None) -> None:
        """Set an entry, or take it away, and return when that is on disk.

        Threads that wait for the disk at the same time are served by one write.
        """
        with self._state:
            self._set(name, entry)
            self._changed[name] = entry
            self._version += 1
            mine = self._version
        with self._disk:
            if self._written < mine:
                self._write(fold=len(self._changed) >= FOLD_AT)

    def amend(self, name: str, entry: Entry) -> None:
        """Set an entry without hurry: it is written with the next one, or by :meth:`close`."""
        with self._state:
            self._set(name, entry)
            self._changed[name] = entry

    def close(self) -> None:
        """Bring ledger and journal together, if anything has changed."""
        with self._disk:
            if self._changed or self._has_journal:
                self._write(fold=True)
            if self._has_journal:
                self._journal.remove()
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
            content = codec.dump_line(
                {
                    "schema_version": SCHEMA_VERSION,
                    **self._identity,
                    "generation": generation,
                    "entries": self.entries if fold else self._changed,
                }
            )
            if fold:
                self._changed = {}
        store = self.store if fold else self._journal
        with Spool(store.spool_path(), compress=False) as spool:
            spool.write(content)
            spool.finish()
            store.publish(spool.path, spool.bytes)
        self._has_journal = self._has_journal or not fold
        self._generation, self._written = generation, version

    def _read(self, store: Store) -> dict[str, Any] | None:
        try:
            content = store.read()
        except FileNotFoundError:
            return None
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
        if version != SCHEMA_VERSION or type(ledger.get("generation")) is not int or not _entries_are_sound(ledger):
            raise self._damaged(store, "it does not say what a ledger says")
        for name, ours in self._identity.items():
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


def _entries_are_sound(ledger: dict[str, Any]) -> bool:
    entries = ledger.get("entries")
    return isinstance(entries, dict) and all(
        entry is None
        or (
            isinstance(entry, dict)
            and entry.get("state") in {UPLOADED, INTENDED}
            and isinstance(entry.get("sha256"), str)
            and isinstance(entry.get("size"), int)
        )
        for entry in entries.values()
    )
