"""Uploads what is new or changed, four documents at a time, each content once, and reports what became of each."""

from __future__ import annotations

import hashlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.answers import meaning_of
from airflow_provider_robofy.api.body import json_text, multipart
from airflow_provider_robofy.api.endpoints import add_file, add_text_content
from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyBadRequestError,
    RobofyCallError,
    RobofyCancelledError,
    RobofyDataError,
    RobofyError,
    RobofyNotFoundError,
    RobofyResponseError,
    RobofyServerError,
    RobofyUncertainError,
)
from airflow_provider_robofy.api.models import KnowledgeLink, parse
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.knowledge.documents import FILES, NOT_UTF8, TEXTS, UnusableError
from airflow_provider_robofy.knowledge.ledger import DELINKED, INTENDED, UPLOADED, delink_state, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.knowledge.documents import Document
    from airflow_provider_robofy.knowledge.ledger import Entry, Ledger

#: Uploads at a time; the connection's requests_per_minute limits all of them together.
AT_A_TIME: Final = 4
#: Most items that the manifest in XCom lists; more go to a file, and XCom gets its address.
LONGEST_IN_XCOM: Final = 50
SCHEMA_VERSION: Final = 1
#: Documents in a row without an answer after which the run ends, because the others would fare no better.
_GIVE_UP: Final = 5
#: Documents that an error names.
_NAMED: Final = 5
_IDS: Final = ("asset_id", "linkage_id", "size", "sha256")
_LOST: Final = "its answer never came"
_FOUND: Final = "an earlier attempt sent it and was killed, or lost its answer"
_ADD_FILE_PATH = (
    "Robofy documents Add File without its path, and the one tried here is a guess. Ask Robofy's support for the path, "
    'and set it in the connection\'s extra endpoints, for example {"add_file": "/v1/ai-agent/upload_file/{project_id}"}'
    "; if the path is right, check project_id and chatbot_id."
)

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, repr=False, eq=False)
class Uploader:
    """Upload the documents of one source to one agent, and collect what became of each.

    Usage::

        uploader = Uploader(ledger=ledger, client=client, ...)
        uploader.run(documents)
        uploader.uploaded  # [{"name": "faq.md", "asset_id": 5782, ...}]

    :param project_id: Project of the agent.
    :param chatbot_id: The agent.
    :param metadata: Text that goes with every file of Add File, or None. Add Text Content has no field for it.
    :param ledger: The loaded ledger. The caller closes it.
    :param client: Sends the uploads, four at a time. It is closed when the run ends.
    :param run_key: Identifier of the task and its run, the same for a retry.
    :param resend: True uploads again what may or may not have arrived; False reports it.
    """

    project_id: str
    chatbot_id: str
    metadata: str | None
    ledger: Ledger
    client: RobofyClient
    run_key: str
    resend: bool
    # What became of each document: plain JSON, and safe to append to from several threads.
    #: Documents that Robofy took in this attempt.
    uploaded: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Documents whose content the ledger knows already.
    unchanged: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Older versions that were replaced in this run and that Robofy still has, with their ids.
    superseded: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Documents that were not uploaded, each with its reason.
    failed: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Documents that may or may not have arrived.
    uncertain: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Documents that were uploaded once and have left the source; Robofy still has them.
    removed: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Why the run ended before every document was tried, or None.
    stopped: RobofyError | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _unanswered: int = field(default=0, init=False)

    def cancel(self) -> None:
        """End the requests under way; what they sent stays ``intended`` in the ledger. Safe in a signal handler."""
        self.client.cancel()

    def lists(self) -> dict[str, list[dict[str, Any]]]:
        """Return every list, sorted by name."""
        return {
            name: sorted(getattr(self, name), key=lambda item: (item["name"], str(item.get("uri"))))
            for name in ("uploaded", "unchanged", "superseded", "failed", "uncertain", "removed")
        }

    def manifest(self, about: Mapping[str, Any], *, found: int, beside: Store) -> dict[str, Any]:
        """Return what goes to XCom, and write the lists to a file if they are long.

        :param about: Ids, source, ledger and times of the run.
        :param found: Number of files found, without hidden ones.
        :param beside: File for long lists.
        :return: The manifest, as plain JSON.
        :raises RobofyDataError: A document is in no list or in two, which is a fault of this provider.
        """
        lists = self.lists()
        counts = {name: len(items) for name, items in lists.items()}
        accounted = sum(counts[name] for name in ("uploaded", "unchanged", "failed", "uncertain"))
        if accounted > found or (accounted < found and self.stopped is None):
            raise RobofyDataError(
                f"The counts do not add up: {found} documents found and {accounted} accounted for ({counts}). "
                "Please report this to the provider's maintainers."
            )
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            **about,
            "requests": self.client.requests,
            "counts": {"found": found, **counts, "not_tried": found - accounted},
            "bytes_uploaded": sum(item["size"] for item in self.uploaded),
        }
        return with_lists(manifest, lists, beside=beside)

    def verdict(self, *, max_failed: int) -> RobofyError | None:
        """Return the error that the task fails with, or None.

        :param max_failed: Largest number of failed documents that does not fail the task.
        """
        if self.stopped is not None:
            return self.stopped
        if self.uncertain:
            return RobofyUncertainError(
                f"{_some(self.uncertain, 'upload')} may or may not have arrived. Look at the agent's knowledge in "
                "Robofy. What is not there: run again with on_uncertain='resend'. What is there: set its state to "
                "'uploaded' in the ledger. All others were dealt with."
            )
        if len(self.failed) > max_failed:
            return RobofyDataError(
                f"{_some(self.failed, 'document')} could not be uploaded, and max_failed is {max_failed}. "
                "All others were dealt with; the manifest is in XCom under the key 'manifest'."
            )
        return None

    def run(self, documents: Sequence[Document], refused: Sequence[Document] = ()) -> None:
        """Upload what is new or changed. A failed document does not stop the others.

        If the run ends before every document was tried, :attr:`stopped` says why.

        :param documents: Every usable document of the source.
        :param refused: The documents with a fault, which are reported as failed.
        :raises RobofyCancelledError: The task was killed.
        """
        for document in refused:
            self._fail(document, document.fault or "")
        waiting = iter(documents)
        with self.client, ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="robofy-upload") as pool:
            try:
                running = [pool.submit(self._work, waiting) for _ in range(AT_A_TIME)]
                for one in running:
                    one.result()
            except BaseException:
                self.cancel()  # else leaving the pool would wait for uploads that nobody wants any more
                raise
        self._report_earlier_versions(documents)

    def _work(self, waiting: Iterator[Document]) -> None:
        while self.stopped is None:
            with self._lock:
                document = next(waiting, None)
            if document is None:
                return
            try:
                self._upload(document)
            except RobofyCancelledError:
                raise
            except RobofyError as error:
                # Wrong key, wrong ids, wrong path, a ledger that cannot be written: the same for all documents.
                self.stopped = error

    def _upload(self, document: Document) -> None:
        """Upload one document, unless the ledger knows its content or is uncertain about it."""
        entry = before = known = self.ledger.entries.get(document.name)
        if entry is not None and entry["state"] == INTENDED:
            if not self.resend:
                self._doubt(document, entry, _FOUND)
                return
            before, known = entry["before"], None
        if known is not None and delink_state(known) is not None:
            known = None  # it was removed, is or may be delinked, and is back
        try:
            if known is not None and _has_known_etag(document, known):
                self.unchanged.append(_item(document.name, known))
                return
            content = document.read()
            sha256 = hashlib.sha256(content).hexdigest()
            if known is not None and sha256 == known["sha256"]:
                self.unchanged.append(_item(document.name, known))
                if document.etag is not None:
                    self.ledger.amend(document.name, {**known, "etag": document.etag})
                return
            call = self._call(document, content)
        except UnusableError as error:
            self._fail(document, str(error))
            return
        intended = {
            "state": INTENDED,
            "sha256": sha256,
            "size": len(content),
            "at": _now(),
            "run_key": self.run_key,
            "before": before,
        }
        try:
            self.ledger.record(document.name, intended)
        except RobofyError:
            self.ledger.amend(document.name, entry)  # nothing was sent
            raise
        self._send(document, call, intended)

    def _call(self, document: Document, content: bytes) -> Call[dict[str, Any]]:
        if document.kind not in TEXTS:
            form = {"chatbot_id": self.chatbot_id}
            if self.metadata is not None:
                form["metadata"] = self.metadata
            media_type = FILES[document.kind]
            body = multipart(fields=form, file_name=document.name, media_type=media_type, content=content)
            return add_file(self.project_id, body)
        fields = {"chatbot_id": self.chatbot_id, "file_name": document.name}
        try:
            return add_text_content(self.project_id, json_text(fields=fields, name="content", content=content))
        except UnicodeDecodeError:
            raise UnusableError(NOT_UTF8) from None

    def _send(self, document: Document, call: Call[dict[str, Any]], intended: Entry) -> None:
        before = intended["before"]
        try:
            link = parse(KnowledgeLink, self.client.call(call), call, TimeReader())
        except RobofyCancelledError:
            if call.body is not None and not call.body.whole:
                self.ledger.record(document.name, before)
            raise
        except RobofyCallError as error:
            # What a server answers to a body that it has not read whole, it has not carried out.
            if may_have_arrived(error) and (call.body is None or call.body.whole):
                _log.warning("%s: %s. %s", document.name, _LOST, error)
                self._doubt(document, intended, f"{_LOST} ({type(error).__name__})")
                self._count_unanswered(error)
                return
            self.ledger.record(document.name, before)
            if isinstance(error, RobofyNotFoundError) and call.endpoint == "add_file":
                error.advice = _ADD_FILE_PATH
            if error.permanent and not isinstance(error, RobofyBadRequestError):
                raise
            self._fail(document, str(error))
            if not error.permanent:
                self._count_unanswered(error)
            return
        if meaning_of(link.status) is not None:
            self.ledger.record(document.name, before)
            self._fail(document, f"Robofy answered with status {link.status!r}")
            return
        if link.status is None and link.asset_id is None and link.linkage_id is None and link.asset_url is None:
            _log.warning("%s: the answer names neither a status nor an id.", document.name)
            self._doubt(document, intended, "the answer names neither a status nor an id")
            return
        self._keep(document, intended, link)

    def _keep(self, document: Document, intended: Entry, link: KnowledgeLink) -> None:
        before = intended["before"] or {}
        superseded = [old for old in before.get("superseded", ()) if delink_state(old) != DELINKED]
        if before and delink_state(before) != DELINKED:
            kept = {name: before[name] for name in (*_IDS, "delink") if name in before}
            superseded.append({**kept, "run_key": self.run_key})
        entry = {
            "state": UPLOADED,
            "sha256": intended["sha256"],
            "size": intended["size"],
            "asset_id": link.asset_id,
            "linkage_id": link.linkage_id,
            "status": link.status,
            "at": _now(),
            "run_key": self.run_key,
            "etag": document.etag,
            "superseded": superseded,
        }
        self.ledger.record(document.name, entry)
        self.uploaded.append({**_item(document.name, entry), "status": link.status})
        if link.asset_id is None and link.linkage_id is None:
            _log.warning("%s was taken, but the answer names no asset_id and no linkage_id.", document.name)
        with self._lock:
            self._unanswered = 0

    def _fail(self, document: Document, reason: str) -> None:
        """Report a document that was not uploaded."""
        self.failed.append({"name": document.name, "uri": document.uri, "size": document.size, "reason": reason})

    def _doubt(self, document: Document, entry: Entry, reason: str) -> None:
        """Report a document as uncertain."""
        about = {"size": entry["size"], "sha256": entry["sha256"], "intended_at": entry.get("at")}
        self.uncertain.append({"name": document.name, **about, "reason": reason})

    def _count_unanswered(self, error: RobofyError) -> None:
        with self._lock:
            self._unanswered += 1
            if self._unanswered >= _GIVE_UP:
                self.stopped = error

    def _report_earlier_versions(self, documents: Sequence[Document]) -> None:
        """Report the versions that this run replaced, and the documents that have left the source."""
        present = {document.name for document in documents} | {item["name"] for item in self.failed}
        for name, entry in self.ledger.entries.items():
            for old in entry.get("superseded", ()):
                # By run and not by attempt: a retry also reports what the attempt before it has replaced.
                if old.get("run_key") == self.run_key and delink_state(old) != DELINKED:
                    self.superseded.append(_item(name, old))
            known = entry if entry["state"] == UPLOADED else entry["before"]
            if name not in present and (known is None or delink_state(known) != DELINKED):
                self.removed.append(_item(name, known or entry))


def with_lists(
    manifest: Mapping[str, Any], lists: Mapping[str, list[dict[str, Any]]], *, beside: Store
) -> dict[str, Any]:
    """Return a manifest with its lists, which go to a file if they are long.

    :param manifest: The manifest without lists.
    :param lists: The lists by name.
    :param beside: File for long lists.
    :raises LedgerStorageError: The file cannot be written.
    """
    if sum(map(len, lists.values())) <= LONGEST_IN_XCOM:
        return {**manifest, "lists": dict(lists), "lists_uri": None}
    write(beside, codec.dump_pretty({**manifest, **lists}))
    return {**manifest, "lists": None, "lists_uri": beside.uri}


def may_have_arrived(error: RobofyCallError) -> bool:
    """Return whether Robofy may have carried out a request that failed.

    :param error: The error of the call.
    """
    if error.refused:
        return False
    if isinstance(error, RobofyApiError):
        return isinstance(error, RobofyServerError)
    if isinstance(error, RobofyResponseError) and error.status is not None:
        return not 300 <= error.status < 500
    return True


def _has_known_etag(document: Document, known: Entry) -> bool:
    """Return whether the store itself says that the content is the known one, so that it need not be read."""
    return document.etag is not None and document.etag == known.get("etag") and document.size == known["size"]


def _item(name: str, entry: Entry) -> dict[str, Any]:
    return {"name": name, **{key: entry.get(key) for key in _IDS}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _some(items: list[dict[str, Any]], noun: str) -> str:
    """Return how many items there are, and the first of them with their reasons."""
    count = len(items)
    named = sorted(items, key=lambda item: str(item["name"]))[:_NAMED]
    text = "; ".join(f"{item['name']}: {item['reason']}" for item in named)
    return f"{count} {noun}{'' if count == 1 else 's'} ({text}{'; ...' if count > _NAMED else ''})"
