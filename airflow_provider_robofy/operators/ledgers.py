"""What an upload works on: its sources, and the ledger that belongs to them."""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.hooks.storage import landing_root, open_path, open_store, place
from airflow_provider_robofy.knowledge.documents import Source
from airflow_provider_robofy.knowledge.ledger import JOURNAL_SUFFIX, Ledger
from airflow_provider_robofy.knowledge.lock import LOCK_SUFFIX, LedgerLock
from airflow_provider_robofy.operators.base import path_component

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_robofy.extract.files import Store


@dataclass(frozen=True, slots=True)
class Work:
    """Describe what a task works on.

    :param ids: ``project_id`` and ``chatbot_id``.
    :param sources: The sources; none where the operator has a text.
    :param label: What the ledger is of: the addresses of all sources, or the name of the text.
    :param store: File of the ledger.
    """

    ids: dict[str, str]
    sources: list[Source]
    label: str
    store: Store

    @classmethod
    def of(cls, ids: dict[str, str], *, source: Any, name: str | None, ledger_path: str | None) -> Work:
        """Return the work of a task, from its rendered arguments.

        :param ids: ``project_id`` and ``chatbot_id``.
        :param source: The operator's ``source``; None where it has a text.
        :param name: Name of the text.
        :param ledger_path: The operator's ``ledger_path``, or None.
        :raises RobofyConfigError: An argument cannot be used; the message names it.
        """
        sources = _sources(source)
        label = "\n".join(sorted(source.uri for source in sources)) or f"text:{name}"
        store = open_store(_ledger_uri(ledger_path, ids, label))
        store.check_length("ledger_path", JOURNAL_SUFFIX, LOCK_SUFFIX, _lists_suffix(""))
        if inside := [source.uri for source in sources if source.holds(store.fs, store.path)]:
            raise RobofyConfigError(
                f"The ledger {store.uri} would lie in the source {inside[0]}, and be taken for a document. Set "
                "ledger_path, or [robofy] landing_root, to a place outside of it."
            )
        return cls(ids, sources, label, store)

    @contextmanager
    def locked_ledger(self, run_key: str) -> Iterator[Ledger]:
        """Lock the ledger and load it. Whoever changes it closes it.

        :param run_key: Identifier of the task and its run.
        :raises RobofyLedgerError: Another run uses the ledger, or it cannot be used.
        """
        with LedgerLock(self.store, run_key) as lock:
            ledger = Ledger(self.store, {**self.ids, "source": self.label}, lock.owned)
            ledger.load()
            yield ledger

    def lists_store(self, run_key: str) -> Store:
        """Return the file for the long lists of a run, beside the ledger.

        :param run_key: Identifier of the task and its run.
        """
        return self.store.beside(_lists_suffix(run_key))


def sendable(argument: str, text: str) -> str:
    """Return a text, after checking that it can be written as UTF-8.

    :param argument: Name of the operator's argument, for the error.
    :param text: The text.
    :raises RobofyConfigError: It has half a character, as a broken emoji or a file name in another encoding has.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="backslashreplace").decode()[:100]
        raise RobofyConfigError(f"{argument}={shown!r} has half a character, which UTF-8 cannot write.") from None
    return text


def _sources(source: Any) -> list[Source]:
    if source is None:
        return []
    given = source if isinstance(source, list | tuple) else [source]
    places = [one if isinstance(one, ObjectStoragePath) else str(one).strip() for one in given]
    if not places or not all(map(str, places)):
        raise RobofyConfigError("source is empty: give at least one path, and no empty one.")
    paths = [open_path(place(one, "source")) if isinstance(one, str) else one for one in places]
    return [Source(path.fs, path.path, sendable("source", str(path))) for path in paths]


def _ledger_uri(ledger_path: str | None, ids: dict[str, str], label: str) -> str:
    uri = sendable("ledger_path", str(ledger_path or "").strip())
    if uri and not uri.endswith(".json"):
        raise RobofyConfigError(f"ledger_path must end in .json, but is {uri!r}.")
    if uri:
        return place(uri, "ledger_path")
    root = landing_root()
    if not root:
        raise RobofyConfigError(
            "There is no place for the ledger of uploads: set ledger_path on the operator, or landing_root in "
            "Airflow's config section [robofy] (AIRFLOW__ROBOFY__LANDING_ROOT)."
        )
    # The last word of the source is for people; the hash keeps the ledgers of two sources apart.
    word = re.sub(r"[^A-Za-z0-9]+", "-", label.rstrip("/*").rpartition("/")[2]).strip("-")[:40]
    file = f"{word or 'source'}-{_hash(label)[:16]}.json"
    return "/".join([root, "knowledge", path_component(ids["project_id"]), path_component(ids["chatbot_id"]), file])


def _lists_suffix(key: str) -> str:
    return f".{_hash(key)[:12]}.manifest.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
