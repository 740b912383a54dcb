"""The operator that uploads knowledge."""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.endpoints import ASSET_IDS, ENDPOINTS
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError, RobofyError
from airflow_provider_robofy.api.overrides import placeholders
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.hooks.locations import Location
from airflow_provider_robofy.hooks.metrics import count, tags_of
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.hooks.storage import landing_root, open_path, open_store, place
from airflow_provider_robofy.knowledge.documents import TEXTS, Document, Found, Source, find, kind_of
from airflow_provider_robofy.knowledge.ledger import JOURNAL_SUFFIX, Ledger
from airflow_provider_robofy.knowledge.lock import LOCK_SUFFIX, LedgerLock
from airflow_provider_robofy.knowledge.prune import Pruner
from airflow_provider_robofy.knowledge.ready import ReadyWatch, documents_of, linked_assets
from airflow_provider_robofy.knowledge.uploads import Uploader, with_lists
from airflow_provider_robofy.operators.base import (
    RobofyBaseOperator,
    failing_at_once,
    path_component,
    read_limit,
    read_share,
    run_key,
)
from airflow_provider_robofy.triggers.base import default_deferrable, defer, wait_on_worker
from airflow_provider_robofy.triggers.events import value_of
from airflow_provider_robofy.triggers.knowledge import RobofyKnowledgeTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta
    from pathlib import Path

    from airflow.providers.common.compat.sdk import Context

    Place = str | Path | ObjectStoragePath

CHOICES = ("fail", "resend")


class RobofyUploadKnowledgeOperator(RobofyBaseOperator):
    """Upload what is new or changed in a folder, a bucket or a text to an agent's knowledge, each content once.

    A folder with everything below it::

        RobofyUploadKnowledgeOperator(task_id="docs", source="s3://aws_default@wiki/product")

    A glob, or a list of anything that is a path::

        RobofyUploadKnowledgeOperator(task_id="faq", source=["/data/faq/*.md", "/data/prices.pdf"])

    A text that the DAG has made::

        RobofyUploadKnowledgeOperator(task_id="hours", text="{{ ti.xcom_pull('hours') }}", name="opening-hours.md")

    txt, md, markdown, html and json go through Add Text Content; pdf, docx, doc, xls and xlsx through Add File. Robofy
    does not document the path of Add File: where the built-in path is wrong, the error says what to set in the
    connection's extra ``endpoints`` under ``add_file``. Four documents are uploaded at a time, within
    ``requests_per_minute``.

    A ledger keeps a hash of each uploaded content. A retry continues where the attempt before stopped, and a run over
    unchanged documents makes no request. A document is recorded as intended before it is sent; if its answer never
    comes, it is not sent again unasked, but reported as uncertain. Older versions stay with Robofy and are
    reported as superseded; documents that left the source stay too and are reported as removed. With ``prune=True``
    both are delinked.

    While a run uploads it holds the ledger's lock; a second run at the same time fails, names the first, and may be
    retried. Set ``max_active_runs=1``, so that runs wait for each other instead.

    :param source: Path, glob, folder or a list of those; anything that Airflow's ``ObjectStoragePath`` opens. A
        relative path lies below ``[robofy] landing_root``. Hidden files and Office's lock files are left out. The name
        of a document is its path below the source, with ``-`` for ``/``. (templated)
    :param text: Text to upload instead; Airflow's UI shows it among the rendered templates. (templated)
    :param name: Name of the text, which ends in one of the text suffixes. (templated)
    :param project_id: Project of the agent. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param metadata: Text, or anything that becomes JSON, that goes with each file of Add File. Add Text Content has no
        field for it. Documents are not uploaded again because only the metadata has changed. (templated)
    :param ledger_path: File of the ledger, which ends in ``.json`` and lies outside the source folder. Default: below
        ``[robofy] landing_root`` in ``knowledge/``, by project, agent and source. (templated)
    :param max_failed: Largest number of failed documents that does not fail the task; all others are uploaded in any
        case. Default 0.
    :param on_uncertain: What to do with uploads and delinks that may or may not have arrived: ``fail``, which is the
        default, names them and fails the task; ``resend`` sends them again, perhaps for the second time. (templated)
    :param wait: True waits until Robofy lists every document of the source as ready. Default False.
    :param prune: True waits as ``wait`` does and then delinks, by the id that Robofy gave: an old version when its
        successor is ready, and a document that has left the source when all are ready. Needs ``endpoints.delink_asset``
        with a body in the connection. Nothing is pruned after a failed upload; an empty source fails the task. Default
        False.
    :param prune_limit: Largest share of the ledger's documents that is pruned at once, from 0 to 1; three are allowed
        in any case. More fail the task before the first delink. Default 0.2. (templated)
    :param deferrable: True waits in the triggerer, without a worker. Default: ``[operators] default_deferrable``.
    :param poll_interval: Time between two polls, as a timedelta or in seconds; at least ten seconds when deferred.
        Default 30.
    :param timeout: How long each try waits before it fails, as a timedelta or in seconds; Robofy goes on. Default one
        hour.
    :param robofy_conn_id: Id of the Robofy connection. (templated)
    :return: The manifest: ids, ``ledger_uri``, ``counts``, ``bytes_uploaded``, ``requests``, and under ``lists`` the
        documents ``uploaded``, ``unchanged``, ``superseded``, ``failed``, ``uncertain`` and ``removed``, with names,
        ids, sizes and hashes; with ``prune`` also ``delinked`` and ``not_delinked``. With more than 50 of them
        ``lists`` is None and ``lists_uri`` names a file beside the ledger. If the task fails, the manifest is in XCom
        as ``manifest``.
    :raises AirflowFailException: Key, ids, connection, source or ledger are wrong, or uploads are uncertain: a retry
        cannot help.
    :raises RobofyError: The API failed, the ledger cannot be written, more documents than ``max_failed`` failed, or a
        document that is waited for failed or was not ready in time; the task's retries apply.
    """

    #: Why the ledger could not be closed, or None.
    _unclosed: RobofyError | None = None
    template_fields: Sequence[str] = (
        "source",
        "text",
        "name",
        "project_id",
        "chatbot_id",
        "metadata",
        "ledger_path",
        "on_uncertain",
        "prune_limit",
        "robofy_conn_id",
    )

    def __init__(
        self,
        *,
        source: Place | Sequence[Place] | None = None,
        text: str | None = None,
        name: str | None = None,
        project_id: str | int | None = None,
        chatbot_id: str | None = None,
        metadata: Any = None,
        ledger_path: str | None = None,
        max_failed: int = 0,
        on_uncertain: str = "fail",
        wait: bool = False,
        prune: bool = False,
        prune_limit: float | str = 0.2,
        deferrable: bool | None = None,
        poll_interval: timedelta | float = 30,
        timeout: timedelta | float = 3600,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, **kwargs)
        if (source is None) == (text is None):
            raise RobofyConfigError("Give either source, or text with name.")
        if (text is None) != (name is None):
            raise RobofyConfigError("text and name belong together: the text, and what Robofy is to call it.")
        self.source = source
        self.text = text
        self.name = name
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.metadata = metadata
        self.ledger_path = ledger_path
        self.max_failed = read_limit("max_failed", max_failed)
        self.on_uncertain = on_uncertain
        self.wait = wait
        self.prune = prune
        self.prune_limit = prune_limit
        if not isinstance(prune_limit, str):
            read_share("prune_limit", prune_limit)
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = read_duration("poll_interval", poll_interval, zero=False).total_seconds()
        self.timeout = read_duration("timeout", timeout).total_seconds()
        self.remember_given()

    def work(self, context: Context) -> dict[str, Any]:
        """Upload what is new or changed, wait for it and prune as far as asked for, and return the manifest."""
        if self.on_uncertain not in CHOICES:
            raise RobofyConfigError(f"on_uncertain must be one of {', '.join(CHOICES)}, not {self.on_uncertain!r}.")
        if self.prune:
            read_share("prune_limit", self.prune_limit)
            self._delink_body()
        manifest, documents = self._upload(context)
        if self.wait or self.prune:
            context["ti"].xcom_push(key="manifest", value=manifest)
            self._wait(manifest, documents)
        if self.prune:
            manifest = self._prune(context, manifest)
        return manifest

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the manifest if the trigger found every document ready, after pruning, or raise its error."""
        ti = context["ti"]
        with failing_at_once():
            # A deferral keeps no arguments under ``airflow dags test``, so the manifest is in XCom.
            manifest: Any = ti.xcom_pull(task_ids=ti.task_id, key="manifest", map_indexes=ti.map_index)
            if (event or {}).get("status") == "timeout":
                # The event has no names, so one more poll finds out which documents are not ready.
                watch = ReadyWatch(documents_in(manifest))
                if watch.judge(linked_assets(self.client, manifest["project_id"], manifest["chatbot_id"])) is None:
                    raise self._too_long(watch.waiting_for())
            else:
                value_of(event, on_timeout=self._too_long("its trigger has timed out"))
            return self._prune(context, dict(manifest)) if self.prune else dict(manifest)

    def _upload(self, context: Context) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Upload what is new or changed, and return the manifest and the documents that Robofy should have.

        :raises RobofyError: The run was stopped, uploads are uncertain, or too many failed.
        """
        started_at = _now()
        with self._ledger(context) as (ledger, sources):
            found = self._find(sources)
            for source in sources:
                self.lineage.read(Location.of(source.folder_uri()))
            uploader = Uploader(
                **self.ids(),
                metadata=self._metadata(),
                ledger=ledger,
                client=self.client,
                run_key=run_key(context),
                resend=self.on_uncertain == "resend",
            )
            self.ending_when_killed(uploader).run(found.documents, found.refused)
        about = {
            **self.ids(),
            "source": ledger.identity["source"].split("\n"),
            "ledger_uri": ledger.store.uri,
            "run_key": run_key(context),
            "hidden": found.hidden,
            "started_at": started_at,
            "finished_at": _now(),
        }
        beside = ledger.store.beside(_lists_suffix(run_key(context)))
        manifest = uploader.manifest(about, found=len(found.documents) + len(found.refused), beside=beside)
        uploaded = {"size": manifest["bytes_uploaded"], "files": manifest["counts"]["uploaded"]}
        self.lineage.wrote(self.location_of("knowledge", **self.ids()), uploaded)
        self._count(manifest["counts"])
        if not manifest["counts"]["found"]:
            self.log.warning("The source exists, but has no documents.")
        if error := uploader.verdict(max_failed=self.max_failed) or self._unclosed:
            context["ti"].xcom_push(key="manifest", value=manifest)
            raise error
        return manifest, documents_of(uploader.lists())

    @contextmanager
    def _ledger(self, context: Context) -> Iterator[tuple[Ledger, list[Source]]]:
        """Lock the ledger, load it, and close it at the end. Yield it and the sources, none where there is a text.

        If it cannot be closed, the error is kept and not raised, so that it replaces no other.

        :raises RobofyConfigError: An argument cannot be used; the message names it.
        :raises RobofyLedgerError: Another run uses the ledger, or it cannot be used.
        """
        ids, sources = self.ids(), _sources(self.source)
        label = "\n".join(sorted(source.uri for source in sources)) or f"text:{self.name}"
        store = open_store(_ledger_uri(self.ledger_path, ids, label))
        store.check_length("ledger_path", JOURNAL_SUFFIX, LOCK_SUFFIX, _lists_suffix(""))
        if inside := [source.uri for source in sources if source.holds(store.fs, store.path)]:
            raise RobofyConfigError(
                f"The ledger {store.uri} would lie in the source {inside[0]}, and be taken for a document. Set "
                "ledger_path, or [robofy] landing_root, to a place outside of it."
            )
        with LedgerLock(store, run_key(context)) as lock:
            ledger = Ledger(store, {**ids, "source": label}, lock.owned)
            ledger.load()
            try:
                yield ledger, sources
            finally:
                try:
                    ledger.close()
                except RobofyError as error:
                    self.log.warning("The ledger could not be closed: %s", error)
                    self._unclosed = error

    def _delink_body(self) -> dict[str, Any]:
        """Return the body of a delink, with placeholders.

        :raises RobofyConfigError: The connection has none.
        """
        body = self.hook.connection.settings.delink_body
        if body is None:
            raise RobofyConfigError(
                "prune=True needs the body of Delink Asset, which Robofy documents nowhere, and a wrong one could "
                "delink everything. Ask Robofy's support for it, and set it in the connection's extra endpoints, as in "
                f'{{"delink_asset": {{"path": "{ENDPOINTS["delink_asset"][1]}", "body": '
                '{"<field>": "{linkage_id}"}}}. Nothing was delinked.'
            )
        return body

    def _find(self, sources: list[Source]) -> Found:
        found = find(sources) if sources else Found(documents=[self._text_document()])
        if self.prune and found.empty:
            raise RobofyDataError(
                f"source {found.empty[0]} has no documents, and prune=True would take that for the removal of all. "
                "Nothing was delinked. Check the folder, its mount and its permissions; to "
                "remove everything, delete the links in Robofy and then the ledger."
            )
        return found

    def _prune(self, context: Context, manifest: dict[str, Any]) -> dict[str, Any]:
        """Delink what the source has left behind, and return the manifest with what became of it.

        The source is listed again and the ledger read again: while the task waited, both may have changed.
        """
        body = self._delink_body()
        used = placeholders([body, self.hook.connection.settings.path_of("delink_asset")])
        skipped = None
        with self._ledger(context) as (ledger, sources):
            pruner = Pruner(
                ledger=ledger,
                client=self.client,
                ids=self.ids(),
                body=body,
                needed=[name for name in ASSET_IDS if name in used],
                limit=read_share("prune_limit", self.prune_limit),
                run_key=run_key(context),
                resend=self.on_uncertain == "resend",
            )
            found = self._find(sources)
            if failed := manifest["counts"]["failed"] or len(found.refused):
                skipped = f"failed documents: {failed}"
                self.log.warning("Nothing is pruned, because not all documents are known to be there: %s.", skipped)
            else:
                # Removed is what neither listing of the source had.
                uploaded = {item["name"] for item in documents_in(manifest)}
                pruner.run(uploaded | {document.name for document in found.documents})
        counts = {name: len(items) for name, items in pruner.lists().items()}
        self._count(counts)
        manifest = with_lists(
            {**manifest, "counts": {**manifest["counts"], **counts}, "prune_skipped": skipped},
            {**lists_in(manifest), **pruner.lists()},
            beside=ledger.store.beside(_lists_suffix(run_key(context))),
        )
        if error := pruner.verdict() or self._unclosed:
            context["ti"].xcom_push(key="manifest", value=manifest)
            raise error
        return manifest

    def _count(self, counts: dict[str, int]) -> None:
        """Log counts, and send them as metrics."""
        count("robofy.knowledge", counts, tags_of(self))
        shown = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
        self.log.info("Documents of agent %s: %s", self.hook.chatbot_id(self.chatbot_id), shown)

    def _wait(self, manifest: dict[str, Any], documents: list[dict[str, Any]]) -> None:
        """Wait until the documents are ready: on the worker, or deferred."""
        if not documents:
            return
        trigger = RobofyKnowledgeTrigger(
            project_id=manifest["project_id"],
            chatbot_id=manifest["chatbot_id"],
            documents=documents,
            robofy_conn_id=self.robofy_conn_id,
            poll_interval=self.poll_interval,
            deadline=time.time() + self.timeout,
        )
        if self.deferrable:
            defer(self, trigger)
        if wait_on_worker(self, trigger) is None:
            raise self._too_long(trigger.watch.waiting_for())

    def _too_long(self, what: str) -> RobofyDataError:
        return RobofyDataError(
            f"The documents were not ready within {self.timeout:g} seconds ({what}). Nothing is uploaded again: a "
            "retry waits for them; or raise timeout."
        )

    def _text_document(self) -> Document:
        name = _sendable("name", str(self.name).strip())
        if kind_of(name) not in TEXTS:
            raise RobofyConfigError(f"name={name!r} must end in one of {', '.join(f'.{kind}' for kind in TEXTS)}.")
        content = str(self.text).encode(errors="surrogatepass")
        return Document(name=name, uri="text=", size=len(content), load=lambda: content)

    def _metadata(self) -> str | None:
        if self.metadata is None:
            return None
        if isinstance(self.metadata, str):
            return _sendable("metadata", self.metadata)
        try:
            return json.dumps(self.metadata, sort_keys=True)
        except (TypeError, ValueError):
            raise RobofyConfigError("metadata must be text, or something that can be written as JSON.") from None


def documents_in(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the documents that Robofy should have after an upload.

    :param manifest: The upload's manifest, whose lists are in it or in the file that it names.
    :raises OSError: That file cannot be read.
    """
    return documents_of(lists_in(manifest))


def lists_in(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the lists of an upload's manifest by name.

    :param manifest: As for :func:`documents_in`.
    :raises OSError: The file that it names cannot be read.
    """
    lists = manifest["lists"] or codec.loads(open_store(manifest["lists_uri"]).read())
    return {name: value for name, value in lists.items() if name in manifest["counts"]}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _sendable(argument: str, text: str) -> str:
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
    return [Source(path.fs, path.path, _sendable("source", str(path))) for path in paths]


def _ledger_uri(ledger_path: str | None, ids: dict[str, str], label: str) -> str:
    uri = _sendable("ledger_path", str(ledger_path or "").strip())
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
