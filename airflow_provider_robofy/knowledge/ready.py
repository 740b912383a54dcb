"""Decides whether uploaded documents are ready, from a listing whose answer is documented nowhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.answers import meaning_of
from airflow_provider_robofy.api.errors import RobofyDataError, RobofyError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Status words that mean ready, in lower case.
READY: Final = frozenset({"linked", "active", "completed"})
#: The ids of an asset, the one that is sure to mean one link first.
_IDS: Final = ("linkage_id", "asset_id")
#: Documents that an error or a log line names.
_NAMED: Final = 5

_log = logging.getLogger(__name__)


class ReadyWatch:
    """Decide at each poll whether all documents are ready: the same in poke, reschedule and deferred mode.

    :param documents: Documents with ``name``, ``linkage_id`` and ``asset_id``, as in the manifest of an upload.
    :raises RobofyDataError: A document has neither id, so that no row can be known to be its own.
    """

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        nameless = [str(one["name"]) for one in documents if all(one.get(name) is None for name in _IDS)]
        if nameless:
            raise RobofyDataError(
                f"Robofy gave no linkage_id and no asset_id for {_some(nameless)}, so nothing tells whether they are "
                "ready. Look at the agent's knowledge in Robofy, and set wait=False."
            )
        self._documents = documents
        #: The documents that were not ready at the last poll, each with what the listing says of it.
        self.pending: list[str] = [f"{one['name']}: not asked yet" for one in documents]

    def judge(self, rows: Sequence[Any]) -> dict[str, Any] | None:
        """Return the number of ready documents once all are ready, or None.

        A usual row::

            {"linkage_id": 6548, "asset_id": 5782, "file_name": "faq.md", "status": "Processing"}

        A document without a row, and a status that is not known, mean not ready yet.

        :param rows: All rows of List Linked Assets.
        :return: ``{"ready": 12}``, or None.
        :raises RobofyDataError: Robofy says that a document has failed, or no row has an id.
        """
        by_id: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for row in rows:
            for name in _IDS:
                if isinstance(row, dict) and isinstance(row.get(name), int | str):
                    by_id.setdefault((name, str(row[name])), []).append(row)
        if rows and not by_id:
            raise RobofyDataError(
                f"List Linked Assets has {len(rows)} rows and none with linkage_id or asset_id, so nothing tells "
                "whether the documents are ready. Run the probe (python -m airflow_provider_robofy.probe), report its "
                "result to the provider's maintainers, and set wait=False meanwhile."
            )
        listed = {name for name, _ in by_id}
        failed: list[str] = []
        self.pending = []
        for one in self._documents:
            # By the surest id that both sides have: one asset may be linked twice.
            keys = [(name, str(one[name])) for name in _IDS if name in listed and one.get(name) is not None]
            mine = by_id.get(keys[0], []) if keys else []
            words = [row["status"] if isinstance(row.get("status"), str) else "no status" for row in mine]
            if any(word.strip().lower() in READY for word in words):
                continue
            said = f"{one['name']}: {words[0]!r}" if words else f"{one['name']}: not listed"
            (failed if any(meaning_of(word) is not None for word in words) else self.pending).append(said)
        if failed:
            raise RobofyDataError(
                f"Robofy could not process {_some(failed)}. Change the documents; or remove their entries from the "
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
        return _some(self.pending)


def documents_of(lists: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the documents of an upload's manifest that Robofy should have, as :class:`ReadyWatch` takes them.

    :param lists: The manifest's lists, of which ``uploaded`` and ``unchanged`` count.
    """
    items = (*lists["uploaded"], *lists["unchanged"])
    return [{"name": item["name"], **{name: item.get(name) for name in _IDS}} for item in items]


def _some(names: Sequence[str]) -> str:
    return f"{'; '.join(names[:_NAMED])}{f'; and {len(names) - _NAMED} more' if len(names) > _NAMED else ''}"
