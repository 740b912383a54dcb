"""Uploading what changed, four documents at a time, each of them once."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.body import json_text, multipart
from airflow_provider_robofy.api.endpoints import add_file, add_text_content
from airflow_provider_robofy.api.errors import (
    RobofyApiError,
    RobofyBadRequestError,
    RobofyCallError,
    RobofyCancelledError,
    RobofyError,
    RobofyNotFoundError,
    RobofyResponseError,
    RobofyServerError,
)
from airflow_provider_robofy.api.models import KnowledgeLink, parse
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.knowledge.document import FILES, UnusableError, measure, sha256
from airflow_provider_robofy.knowledge.ledger import INTENDED, UPLOADED
from airflow_provider_robofy.knowledge.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.knowledge.document import Document, Measured, Note
    from airflow_provider_robofy.knowledge.ledger import Entry, Ledger

#: Uploads at a time; the connection's requests_per_minute holds for all of them together.
AT_A_TIME: Final = 4
#: So many documents in a row without an answer mean that the rest would fare no better.
_GIVE_UP: Final = 5
_LOST: Final = "its answer never came"
_FOUND: Final = "an earlier attempt sent it and was killed, or lost its answer"
_ADD_FILE_PATH = (
    "Robofy documents Add File without its path, and the one tried here is a guess. Ask Robofy's support for the path, "
    'and set it in the connection\'s extra endpoints, for example {"add_file": "/v1/ai-agent/upload_file/{project_id}"}'
    "; if the path is right, check project_id and chatbot_id."
)

_log = logging.getLogger(__name__)


class Uploader:
    """Bring an agent's knowledge up to date with documents.

    Usage::

        report = Uploader(ledger=ledger, client=lambda: RobofyClient(settings), ...).run(documents)

    :param project_id: The agent's project; ``chatbot_id`` the agent.
    :param metadata: Text that goes with every file of Add File, or None. Add Text Content has no place for it.
    :param ledger: What was uploaded before; loaded. The caller closes it.
    :param client: Makes a client; each thread gets its own.
    :param run_key: Which task of which run this is.
    :param resend: Upload again what may or may not have arrived; otherwise report it.
    """

    def __init__(
        self,
        *,
        project_id: str,
        chatbot_id: str,
        metadata: str | None,
        ledger: Ledger,
        client: Callable[[], RobofyClient],
        run_key: str,
        resend: bool,
    ) -> None:
        self.report = Report()
        self._project_id = project_id
        self._chatbot_id = chatbot_id
        self._metadata = metadata
        self._ledger = ledger
        self._run_key = run_key
        self._resend = resend
        self._clients = [client() for _ in range(AT_A_TIME)]
        self._lock = threading.Lock()
        self._troubles = 0

    @property
    def requests(self) -> int:
        """Return the requests sent so far."""
        return sum(client.requests for client in self._clients)

    def cancel(self) -> None:
        """End the requests under way; what they sent stays ``intended`` in the ledger. Safe in a signal handler."""
        for client in self._clients:
            client.cancel()

    def run(self, documents: Sequence[Document | Note]) -> Report:
        """Upload what is new or changed. One document's trouble does not stop the others.

        :return: What became of each; where the run was stopped, :attr:`Report.stopped` says why.
        :raises RobofyCancelledError: The task was killed.
        """
        waiting = iter(documents)
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="robofy-upload") as pool:
            try:
                running = [pool.submit(self._work, client, waiting) for client in self._clients]
                for one in running:
                    one.result()
            except BaseException:
                self.cancel()  # else leaving the pool would wait for uploads that nobody wants any more
                raise
        self._look_back(documents)
        return self.report

    def _work(self, client: RobofyClient, waiting: Iterator[Document | Note]) -> None:
        with client:
            while self.report.stopped is None:
                with self._lock:
                    document = next(waiting, None)
                if document is None:
                    return
                try:
                    self._deal_with(document, client)
                except RobofyCancelledError:
                    raise
                except RobofyError as error:
                    # Wrong key, wrong ids, wrong path, a ledger that cannot be written: the same for all documents.
                    self.report.stopped = error

    def _deal_with(self, document: Document | Note, client: RobofyClient) -> None:
        entry = self._ledger.entries.get(document.name)
        intended = entry is not None and entry["state"] == INTENDED
        if entry is not None and intended and not self._resend:
            self.report.doubt(document.name, entry, _FOUND)
            return
        try:
            if entry is not None and not intended and self._is_unchanged(document, entry):
                self.report.unchanged.append(_item(document.name, entry))
                return
            measured = measure(document)
        except UnusableError as error:
            self.report.fail(document, str(error))
            return
        before = entry["before"] if entry is not None and intended else entry
        intention = {
            "state": INTENDED,
            "sha256": measured.sha256,
            "size": measured.size,
            "at": _now(),
            "run_key": self._run_key,
            "before": before,
        }
        self._ledger.record(document.name, intention)
        self._send(document, measured, client, intention, before)

    def _is_unchanged(self, document: Document | Note, entry: Entry) -> bool:
        if document.size != entry["size"]:
            return False
        if document.etag is not None and document.etag == entry.get("etag"):
            return True  # a store's own word for "the same content" spares reading it
        if sha256(document) != entry["sha256"]:
            return False
        if document.etag is not None:
            self._ledger.amend(document.name, {**entry, "etag": document.etag})
        return True

    def _send(
        self,
        document: Document | Note,
        measured: Measured,
        client: RobofyClient,
        intention: Entry,
        before: Entry | None,
    ) -> None:
        call = self._call(document, measured)
        try:
            link = parse(KnowledgeLink, client.call(call), call, TimeReader())
        except RobofyCancelledError:
            if call.body is not None and not call.body.whole:
                self._ledger.record(document.name, before)
            raise
        except UnusableError as error:
            self._ledger.record(document.name, before)
            self.report.fail(document, str(error))
        except RobofyCallError as error:
            if _may_have_arrived(error):
                _log.warning("%s: %s. %s", document.name, _LOST, error)
                self.report.doubt(document.name, intention, f"{_LOST} ({type(error).__name__})")
                self._count_trouble(error)
                return
            self._ledger.record(document.name, before)
            if isinstance(error, RobofyNotFoundError) and call.endpoint == "add_file":
                error.advice = _ADD_FILE_PATH
            if isinstance(error, RobofyBadRequestError):
                self.report.fail(document, str(error))
            elif error.permanent:
                raise
            else:
                self.report.fail(document, str(error))
                self._count_trouble(error)
        else:
            if (link.status or "").lower() == "failed":
                self._ledger.record(document.name, before)
                self.report.fail(document, f"Robofy answered with status {link.status!r}")
                return
            self._keep(document, measured, link, before)

    def _call(self, document: Document | Note, measured: Measured) -> Call[dict[str, Any]]:
        if document.is_text:
            fields = {"chatbot_id": self._chatbot_id, "file_name": document.name}
            return add_text_content(
                self._project_id, json_text(fields=fields, name="content", content=measured, size=measured.sent)
            )
        form = {"chatbot_id": self._chatbot_id}
        if self._metadata is not None:
            form["metadata"] = self._metadata
        return add_file(
            self._project_id,
            multipart(
                fields=form,
                file_name=document.name,
                media_type=FILES[document.kind],
                content=measured,
                size=measured.sent,
            ),
        )

    def _keep(self, document: Document | Note, measured: Measured, link: KnowledgeLink, before: Entry | None) -> None:
        superseded = list(before.get("superseded", ())) if before is not None else []
        if before is not None:
            old = {name: before.get(name) for name in ("asset_id", "linkage_id", "size", "sha256")}
            superseded.append({**old, "run_key": self._run_key})
        entry = {
            "state": UPLOADED,
            "sha256": measured.sha256,
            "size": measured.size,
            "asset_id": link.asset_id,
            "linkage_id": link.linkage_id,
            "status": link.status,
            "at": _now(),
            "run_key": self._run_key,
            "etag": document.etag,
            "superseded": superseded,
        }
        self._ledger.record(document.name, entry)
        self.report.uploaded.append({**_item(document.name, entry), "status": link.status})
        if link.asset_id is None and link.linkage_id is None:
            _log.warning("%s was taken, but the answer names no asset_id and no linkage_id.", document.name)
        with self._lock:
            self._troubles = 0

    def _count_trouble(self, error: RobofyError) -> None:
        with self._lock:
            self._troubles += 1
            if self._troubles >= _GIVE_UP:
                self.report.stopped = error

    def _look_back(self, documents: Sequence[Document | Note]) -> None:
        """Report what the ledger knows besides: versions replaced in this run, and documents that are gone."""
        present = {document.name for document in documents} | {item["name"] for item in self.report.failed}
        for name, entry in self._ledger.entries.items():
            for old in entry.get("superseded", ()):
                # By run and not by attempt: a retry tells what the attempt before it has replaced, too.
                if old.get("run_key") == self._run_key:
                    self.report.superseded.append({"name": name, **{k: v for k, v in old.items() if k != "run_key"}})
            if name not in present:
                known = entry if entry["state"] == UPLOADED else entry["before"]
                self.report.removed.append(_item(name, known or entry))


def _may_have_arrived(error: RobofyCallError) -> bool:
    """Tell whether Robofy may have carried out a request that failed so."""
    if error.refused:
        return False
    if isinstance(error, RobofyApiError):
        return isinstance(error, RobofyServerError)
    if isinstance(error, RobofyResponseError) and error.status is not None:
        return not 300 <= error.status < 500
    return True


def _item(name: str, entry: Entry) -> dict[str, Any]:
    return {"name": name, **{key: entry.get(key) for key in ("asset_id", "linkage_id", "size", "sha256")}}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
