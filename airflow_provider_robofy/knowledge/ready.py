"""Reads which documents are linked and ready, from a listing whose answer is documented nowhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.answers import meaning_of
from airflow_provider_robofy.api.endpoints import ASSET_IDS, list_linked_assets
from airflow_provider_robofy.api.errors import RobofyDataError, RobofyError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airflow_provider_robofy.api.client import RobofyClient

#: Status words that mean ready, in lower case.
READY: Final = frozenset({"linked", "active", "completed"})
#: Status words of a link that is no more, where a listing still shows it.
_GONE: Final = frozenset({"delinked", "unlinked", "removed", "deleted", "inactive"})
#: Documents that an error or a log line names.
_NAMED: Final = 5

_log = logging.getLogger(__name__)


def linked_assets(client: RobofyClient, project_id: str, chatbot_id: str) -> list[Any]:
    """Return all rows of List Linked Assets.

    :param client: The client.
    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :raises RobofyError: The listing could not be read to its end.
    """
    return [row for page in client.pages(list_linked_assets(project_id, chatbot_id)) for row in page.rows]


class LinkedAssets:
    """Find the rows of a listing of linked assets by ids.

    A usual row::

        {"linkage_id": 6548, "asset_id": 5782, "file_name": "faq.md", "status": "Processing"}

    :param rows: All rows of List Linked Assets.
    """

    def __init__(self, rows: Sequence[Any]) -> None:
        self._by_id: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            for name in ASSET_IDS:
                if isinstance(row, dict) and isinstance(row.get(name), int | str):
                    self._by_id.setdefault((name, str(row[name])), []).append(row)
        #: Names of the ids that the listing has.
        self.id_names = {name for name, _ in self._by_id}

    def rows_of(self, link: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
        """Return the rows of an asset, or None if it has no id that the listing has.

        :param link: Has ``linkage_id`` and ``asset_id``, of which the surer one counts: an asset may be linked twice.
        """
        names = [name for name in ASSET_IDS if name in self.id_names and link.get(name) is not None]
        return self._by_id.get((names[0], str(link[names[0]])), []) if names else None

    def has(self, link: Mapping[str, Any]) -> bool | None:
        """Return whether an asset is linked, or None if the listing does not tell.

        :param link: As for :meth:`rows_of`.
        """
        rows = self.rows_of(link)
        return None if rows is None else any(not _is_gone(row) for row in rows)

    def doubt(self, link: Mapping[str, Any], names: Collection[str]) -> str | None:
        """Return why ids may mean another link than a certain one, or None.

        :param link: As for :meth:`rows_of`.
        :param names: The ids that are to mean the link.
        """
        for name in names:
            rows = [row for row in self._by_id.get((name, str(link[name])), []) if not _is_gone(row)]
            for other in ASSET_IDS:
                found = {str(row[other]) for row in rows if row.get(other) is not None}
                if link.get(other) is not None and found - {str(link[other])}:
                    return f"Robofy lists its {name} with another {other}"
                if len(found) > 1:
                    return f"Robofy lists its {name} {len(found)} times"
        return None


class ReadyWatch:
    """Decide at each poll whether all documents are ready: the same in poke, reschedule and deferred mode.

    :param documents: Documents with ``name``, ``linkage_id`` and ``asset_id``, as in the manifest of an upload.
    :raises RobofyDataError: A document has neither id, so that no row can be known to be its own.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        nameless = [str(one["name"]) for one in documents if all(one.get(name) is None for name in ASSET_IDS)]
        if nameless:
            raise RobofyDataError(
                f"Robofy gave no linkage_id and no asset_id for {some(nameless)}, so nothing tells whether they are "
                "ready. Look at the agent's knowledge in Robofy, and set wait=False."
            )
        self._documents = documents
        #: The documents that were not ready at the last poll, each with what the listing says of it.
        self.pending: list[str] = [f"{one['name']}: not asked yet" for one in documents]

    def judge(self, rows: Sequence[Any]) -> dict[str, Any] | None:
        """Return the number of ready documents once all are ready, or None.

        A document without a row, and a status that is not known, mean not ready yet.

        :param rows: All rows of List Linked Assets, as for :class:`LinkedAssets`.
        :return: ``{"ready": 12}``, or None.
        :raises RobofyDataError: Robofy says that a document has failed, or no row has an id.
        """
        linked = LinkedAssets(rows)
        if rows and not linked.id_names:
            raise RobofyDataError(
                f"List Linked Assets has {len(rows)} rows and none with linkage_id or asset_id, so nothing tells "
                "whether the documents are ready. Run the probe (python -m airflow_provider_robofy.probe), report its "
                "result to the provider's maintainers, and set wait=False meanwhile."
            )
        failed: list[str] = []
        self.pending = []
        for one in self._documents:
            mine = linked.rows_of(one) or []
            words = [row["status"] if isinstance(row.get("status"), str) else "no status" for row in mine]
            if any(word.strip().lower() in READY for word in words):
                continue
            said = f"{one['name']}: {words[0]!r}" if words else f"{one['name']}: not listed"
            (failed if any(meaning_of(word) is not None for word in words) else self.pending).append(said)
        if failed:
            raise RobofyDataError(
                f"Robofy could not process {some(failed)}. Change the documents; or remove their entries from the "
                "ledger, after which they are uploaded again."
            )
        if not self.pending:
            return {"ready": len(self._documents)}
        _log.info("%d of %d documents are not ready: %s.", len(self.pending), len(self._documents), self.waiting_for())
        return None

    def tolerate(self, error: RobofyError) -> None:
        """Log an error of a poll, where the next poll may succeed.

        :param error: The error.
        :raises RobofyError: The error, where no later poll can succeed.
        """
        if not error.may_pass:
            raise error
        _log.warning("The linked assets could not be read; the next poll reads them again: %s", error)

    def waiting_for(self) -> str:
        """Return the first documents that were not ready at the last poll, each with its status word."""
        return some(self.pending)


def documents_of(lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the documents of an upload's manifest that Robofy should have, as :class:`ReadyWatch` takes them.

    :param lists: The manifest's lists, of which ``uploaded`` and ``unchanged`` count.
    """
    items = (*lists["uploaded"], *lists["unchanged"])
    return [{"name": item["name"], **{name: item.get(name) for name in ASSET_IDS}} for item in items]


def some(names: Sequence[str], most: int = _NAMED) -> str:
    """Return the first names as a text, and how many more there are.

    :param names: The names.
    :param most: How many are named. Default 5.
    """
    return f"{'; '.join(names[:most])}{f'; and {len(names) - most} more' if len(names) > most else ''}"


def _is_gone(row: Mapping[str, Any]) -> bool:
    return str(row.get("status")).strip().lower() in _GONE
