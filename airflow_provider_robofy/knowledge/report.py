"""What a run of uploads came to: every document in one list, and the manifest that is made of the lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyDataError, RobofyError, RobofyUncertainError
from airflow_provider_robofy.extract.files import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.knowledge.document import Document, Note
    from airflow_provider_robofy.knowledge.ledger import Entry
    from airflow_provider_robofy.knowledge.sources import Refused

SCHEMA_VERSION: Final = 1
#: Lists with more items than this together go to a file, and XCom gets its address.
LONGEST_IN_XCOM: Final = 50
#: Documents that an error names.
_NAMED = 5


@dataclass(slots=True)
class Report:
    """Collect what became of each document. Lists hold plain JSON and are safe to append to from several threads.

    :param uploaded: Taken by Robofy in this attempt; ``unchanged`` known to the ledger with this very content.
    :param superseded: Older versions, replaced in this run, that Robofy still has; ids to remove them by.
    :param failed: Not uploaded, each with its reason; ``uncertain`` may or may not have arrived.
    :param removed: Uploaded once, and not in the source any more; Robofy still has them.
    """

    uploaded: list[dict[str, Any]] = field(default_factory=list)
    unchanged: list[dict[str, Any]] = field(default_factory=list)
    superseded: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    uncertain: list[dict[str, Any]] = field(default_factory=list)
    removed: list[dict[str, Any]] = field(default_factory=list)
    #: Why the run ended before every document had its turn.
    stopped: RobofyError | None = None

    def refuse(self, refused: Refused) -> None:
        """Note a file that its listing already showed to be unusable."""
        self.failed.append(
            {"name": refused.name, "uri": refused.uri, "size": refused.size, "reason": refused.reason},
        )

    def fail(self, document: Document | Note, reason: str) -> None:
        """Note a document that was not uploaded."""
        self.failed.append({"name": document.name, "uri": document.uri, "size": document.size, "reason": reason})

    def doubt(self, name: str, entry: Entry, reason: str) -> None:
        """Note a document of which nobody knows whether it arrived."""
        doubted = {"name": name, "size": entry["size"], "sha256": entry["sha256"], "intended_at": entry.get("at")}
        self.uncertain.append({**doubted, "reason": reason})

    def lists(self) -> dict[str, list[dict[str, Any]]]:
        """Return every list, sorted by name."""
        return {
            name: sorted(getattr(self, name), key=lambda item: (item["name"], str(item.get("uri"))))
            for name in ("uploaded", "unchanged", "superseded", "failed", "uncertain", "removed")
        }

    def manifest(self, about: Mapping[str, Any], *, found: int, beside: Store) -> dict[str, Any]:
        """Return what goes to XCom, and write the lists to a file where they are long.

        :param about: What the run was: ids, source, ledger, times.
        :param found: Files found, hidden ones left out.
        :param beside: Where the lists go.
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
            "counts": {"found": found, **counts, "not_tried": found - accounted},
            "bytes_uploaded": sum(item["size"] for item in self.uploaded),
        }
        if sum(counts.values()) <= LONGEST_IN_XCOM:
            return {**manifest, "lists": lists, "lists_uri": None}
        with Spool(beside.spool_path(), compress=False) as spool:
            spool.write(codec.dump_pretty({**manifest, **lists}))
            spool.finish()
            beside.publish(spool.path, spool.bytes)
        return {**manifest, "lists": None, "lists_uri": beside.uri}

    def verdict(self, *, max_failed: int) -> RobofyError | None:
        """Return the error that the task must fail with, or None.

        :param max_failed: Failed documents to put up with.
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


def _some(items: list[dict[str, Any]], noun: str) -> str:
    """Count items and name the first with their reasons."""
    count = len(items)
    named = sorted(items, key=lambda item: str(item["name"]))[:_NAMED]
    text = "; ".join(f"{item['name']}: {item['reason']}" for item in named)
    return f"{count} {noun}{'' if count == 1 else 's'} ({text}{'; ...' if count > _NAMED else ''})"
