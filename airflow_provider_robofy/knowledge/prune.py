"""Delinks what an agent should not cite any more: replaced versions and removed documents, each once and by its id."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import ASSET_IDS, delink_asset
from airflow_provider_robofy.api.errors import (
    RobofyBadRequestError,
    RobofyCallError,
    RobofyDataError,
    RobofyError,
    RobofyNotFoundError,
    RobofyUncertainError,
)
from airflow_provider_robofy.api.overrides import fill
from airflow_provider_robofy.knowledge.ledger import DELINKED, DELINKING, INTENDED, delink_state
from airflow_provider_robofy.knowledge.ready import LinkedAssets, ReadyWatch, linked_assets, some
from airflow_provider_robofy.knowledge.uploads import may_have_arrived

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from airflow_provider_robofy.api.client import RobofyClient
    from airflow_provider_robofy.knowledge.ledger import Entry, Ledger

#: So many documents may be pruned at once, whatever the limit's share comes to.
ALWAYS_ALLOWED: Final = 3
#: Documents that the error about the limit names.
_NAMED: Final = 20
#: How often the listing is read again until it no longer shows what was delinked, and the seconds between.
_LISTINGS: Final = 4
PAUSE: float = 3.0
_SETTING: Final = "Check the path and the body in the connection's extra endpoints under 'delink_asset'."

_log = logging.getLogger(__name__)


class PruneLimitError(RobofyDataError):
    """Report that more documents would be pruned at once than the task allows. Nothing was delinked."""

    permanent = True


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a document that Robofy should not have any more.

    :param name: Name of the document.
    :param position: Position among the ledger's superseded versions; None for the latest version.
    :param link: What the ledger has of the version: ids, size, hash and the state of its delink.
    :param reason: ``replaced`` or ``removed``.
    """

    name: str
    position: int | None
    link: Entry
    reason: str

    def item(self, **more: Any) -> dict[str, Any]:
        """Return the version as plain JSON, for the manifest."""
        ids = {name: self.link.get(name) for name in ("asset_id", "linkage_id", "size", "sha256")}
        return {"name": self.name, **ids, **more}


@dataclass(kw_only=True, repr=False, eq=False)
class Pruner:
    """Delink the versions that a source has left behind, and collect what became of each.

    Usage::

        pruner = Pruner(ledger=ledger, client=client, ...)
        pruner.run({"faq.md", "prices.pdf"})
        pruner.delinked  # [{"name": "faq.md", "linkage_id": 6548, ...}]

    :param ledger: The loaded ledger. The caller closes it.
    :param client: Client of the task.
    :param ids: ``project_id`` and ``chatbot_id``.
    :param body: Body of a delink, with placeholders.
    :param needed: Which of :data:`ASSET_IDS` body and path use.
    :param limit: Largest share of the ledger's documents that is pruned at once, from 0 to 1.
    :param run_key: Identifier of the task and its run, the same for a retry.
    :param resend: True sends a delink again that may or may not have arrived.
    """

    ledger: Ledger
    client: RobofyClient
    ids: Mapping[str, str]
    body: Mapping[str, Any]
    needed: Collection[str]
    limit: float
    run_key: str
    resend: bool

    #: Versions that this run has delinked, in this attempt or an earlier one.
    delinked: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Versions that Robofy may still have, each with the reason.
    not_delinked: list[dict[str, Any]] = field(default_factory=list, init=False)
    #: Those of them whose delink may or may not have arrived.
    uncertain: list[str] = field(default_factory=list, init=False)

    def lists(self) -> dict[str, list[dict[str, Any]]]:
        """Return both lists, sorted by name."""

        def by_name(item: Mapping[str, Any]) -> tuple[str, str]:
            return item["name"], str(item["linkage_id"])

        return {
            "delinked": sorted(self.delinked, key=by_name),
            "not_delinked": sorted(self.not_delinked, key=by_name),
        }

    def verdict(self) -> RobofyError | None:
        """Return the error that the task fails with, or None."""
        if not self.uncertain:
            return None
        return RobofyUncertainError(
            f"{len(self.uncertain)} delinks may or may not have arrived, and Robofy still lists the documents: "
            f"{some(self.uncertain)}. Look at the agent's knowledge in Robofy. What is gone there: run again. What is "
            "still there: run again with on_uncertain='resend', which delinks it once more."
        )

    def run(self, present: Collection[str]) -> None:
        """Delink replaced versions whose successor is ready, and removed documents if all are ready.

        :param present: Names of all documents that the source has now.
        :raises PruneLimitError: Too many documents would be pruned at once.
        :raises RobofyDataError: A document that stays is not ready, or is not listed any more after a delink.
        :raises RobofyCallError: A delink was refused, or the listing cannot be read.
        """
        self._staying = [
            {"name": name, **{one: entry.get(one) for one in ASSET_IDS}}
            for name, entry in self.ledger.entries.items()
            if name in present and entry["state"] != INTENDED and delink_state(entry) is None
        ]
        self._staying_ids = {(name, str(one[name])): one["name"] for one in self._staying for name in ASSET_IDS}
        self._read_listing("Nothing was delinked.")
        versions = list(self._versions(present))
        self._in_doubt = {self._key(one) for one in versions if delink_state(one.link) == DELINKING}
        due = [version for version in versions if self._is_due(version)]
        self._check_limit(due)
        sent: dict[tuple[str, ...], Version] = {}
        for position, version in enumerate(due, 1):
            if (key := self._key(version)) in sent:
                self._done(version)  # two versions with one link
                continue
            done = self._delink(version)
            if done:
                sent[key] = version
            # A wrong body is found out by its first use.
            if not done or (len(sent) == 1 and not self._verify([version])):
                for left in due[position:]:
                    self._keep(left, "it was not tried, because a delink before it is uncertain")
                break
        if len(sent) > 1:
            self._verify(list(sent.values()))

    def _key(self, version: Version) -> tuple[str, ...]:
        """Return the ids that a delink of the version names."""
        return tuple(str(version.link.get(name)) for name in self.needed)

    def _read_listing(self, so_far: str) -> None:
        """Read the linked assets, and raise if a document that stays is not ready."""
        rows = linked_assets(self.client, **self.ids)
        watch = ReadyWatch(self._staying)
        if watch.judge(rows) is None:
            raise RobofyDataError(f"Documents that stay are not ready ({watch.waiting_for()}). {so_far}")
        self._linked = LinkedAssets(rows)

    def _versions(self, present: Collection[str]) -> Iterator[Version]:
        """Yield the versions that Robofy should not have any more, without those that are delinked already."""
        for name, entry in sorted(self.ledger.entries.items()):
            reason = "replaced" if name in present else "removed"
            if entry["state"] == INTENDED:
                if reason == "removed":
                    # Nobody knows the ids of what may have arrived last, so none of its versions is touched.
                    self._keep(Version(name, None, entry, reason), "its upload may or may not have arrived")
                continue
            links: list[tuple[int | None, Entry]] = [*enumerate(entry.get("superseded", ()))]
            if reason == "removed":
                links.append((None, entry))
            for position, link in links:
                version = Version(name, position, link, reason)
                if delink_state(link) != DELINKED:
                    yield version
                elif link["delink"].get("run_key") == self.run_key:
                    self.delinked.append(version.item(reason=reason))

    def _is_due(self, version: Version) -> bool:
        """Return whether a delink is to be sent; else what is known of the version is recorded or reported."""
        link = version.link
        if lacking := [name for name in self.needed if link.get(name) is None]:
            self._keep(version, f"Robofy gave no {' and no '.join(lacking)} for it")
            return False
        for name in self.needed:
            if stays := self._staying_ids.get((name, str(link[name]))):
                self._keep(version, f"its {name} is also that of {stays}, which stays")
                return False
        if doubt := self._linked.doubt(link, self.needed):
            self._keep(version, doubt)
            return False
        if self._key(version) in self._in_doubt:
            if self._linked.has(link) is False:
                self._done(version)
                return False
            if not self.resend:
                self._doubt(version, "an earlier attempt sent its delink and was killed, or lost the answer")
                return False
        return True

    def _check_limit(self, due: list[Version]) -> None:
        names = sorted({version.name for version in due})
        documents = sum(1 for entry in self.ledger.entries.values() if delink_state(entry) is None)
        most = max(ALWAYS_ALLOWED, int(self.limit * documents))
        if len(names) > most:
            raise PruneLimitError(
                f"{len(names)} of {documents} documents would be pruned at once, and prune_limit={self.limit:g} allows "
                f"{most}: {some(names, _NAMED)}. Nothing was delinked. If these are right, run again with a higher "
                "prune_limit, 1 at most; if not, look at the source."
            )

    def _delink(self, version: Version) -> bool:
        """Send one delink, and return whether Robofy has carried it out."""
        values = {**self.ids, **{name: version.link[name] for name in self.needed}}
        self._mark(version, DELINKING)
        try:
            self.client.call(delink_asset(fill(self.body, values), values))
        except RobofyNotFoundError as error:
            if self._linked.has(version.link) is not False:
                self._mark(version, None)
                error.advice = f"Robofy lists {version.name} and does not find it to delink it. {_SETTING}"
                raise
        except RobofyCallError as error:
            if not may_have_arrived(error):
                self._mark(version, None)
                if isinstance(error, RobofyBadRequestError):
                    error.advice = _SETTING
                raise
            _log.warning("%s: the answer to its delink never came. %s", version.name, error)
            if self._still_listed([version], "A delink may or may not have arrived."):
                self._doubt(version, f"the answer to its delink never came ({type(error).__name__})")
                return False
        self._done(version)
        _log.info("%s: its %s version is delinked.", version.name, version.reason)
        return True

    def _verify(self, sent: list[Version]) -> bool:
        """Check that the listing has everything that stays, and return whether it has nothing that was delinked.

        What it still has becomes uncertain.
        """
        still = self._still_listed(sent, f"It was seen after {len(sent)} delinks, and no more were sent. {_SETTING}")
        listed = [version for version in still if self._linked.has(version.link)]
        for version in listed:
            self._mark(version, DELINKING)
            self.delinked = [one for one in self.delinked if one != version.item(reason=version.reason)]
            self._doubt(version, "Robofy answered that it was delinked, and lists it all the same")
        return not listed

    def _still_listed(self, versions: list[Version], so_far: str) -> list[Version]:
        """Read the listing until it shows none of the versions, a few times at most, and return what is left."""
        left = versions
        for attempt in range(_LISTINGS):
            end = time.monotonic() + (PAUSE if attempt else 0)
            while time.monotonic() < end:
                self.client.check_cancelled()
                time.sleep(0.1)
            self._read_listing(so_far)
            left = [version for version in left if self._linked.has(version.link) is not False]
            if not left:
                break
        return left

    def _done(self, version: Version) -> None:
        self._mark(version, DELINKED)
        self.delinked.append(version.item(reason=version.reason))

    def _doubt(self, version: Version, reason: str) -> None:
        self.uncertain.append(version.name)
        self._keep(version, reason)

    def _keep(self, version: Version, reason: str) -> None:
        _log.warning("%s: a %s version is not delinked: %s.", version.name, version.reason, reason)
        self.not_delinked.append(version.item(reason=reason))

    def _mark(self, version: Version, state: str | None) -> None:
        """Record the state of a delink, and return when it is on disk."""
        # As it is now: other versions of the document have been marked meanwhile.
        entry = self.ledger.entries[version.name]
        superseded = list(entry.get("superseded", ()))
        link = dict(entry if version.position is None else superseded[version.position])
        link.pop("delink", None)
        if state is not None:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            link["delink"] = {"state": state, "at": at, "run_key": self.run_key}
        if version.position is not None:
            superseded[version.position] = link
            link = {**entry, "superseded": superseded}
        self.ledger.record(version.name, link)
