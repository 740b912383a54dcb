"""Generated histories of edits, uploads, prunes, faults and kills: ledger and agent agree, and no link goes wrongly."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.knowledge import prune as module
from airflow_provider_robofy.knowledge import uploads
from airflow_provider_robofy.knowledge.ledger import DELINKING, INTENDED, Ledger, delink_state
from airflow_provider_robofy.knowledge.ready import documents_of
from tests.knowledge.conftest import Desk
from tests.knowledge.pruning import BODY, prune

NAMES = ["a.md", "b.md", "c.md", "d.md"]
EDITS = st.tuples(st.sampled_from(NAMES), st.sampled_from([None, "one", "two", "three"]))
#: The first three come after Robofy has acted, the others before.
FAULTS = st.sampled_from(["drop", "reset", "truncate", "503", "429", "400"])
#: The ledger write at which the process dies, and whether before or after it.
KILLS = st.tuples(st.integers(1, 6), st.booleans())
#: A fault with the number of requests that succeed before it, and a kill. Uploads fail seldom, so that prunes happen.
UPLOAD = st.sampled_from([False] * 5 + [True]).flatmap(
    lambda broken: (
        st.tuples(FAULTS | st.none(), st.integers(0, 2), KILLS | st.none()) if broken else st.just((None, 0, None))
    )
)
PRUNE = st.tuples(st.none() | FAULTS, st.integers(0, 2), st.none() | KILLS)
NIGHTS = st.lists(
    st.fixed_dictionaries(
        {
            "edits": st.lists(EDITS, min_size=1, max_size=4),
            "upload": UPLOAD,
            "prune": PRUNE,
            "resend": st.sampled_from([False] * 3 + [True]),
        }
    ),
    min_size=3,
    max_size=8,
)


class Killed(BaseException):
    """The process is gone: nothing is written after it."""


class Mortal(Ledger):
    """A ledger whose process dies at one of its writes."""

    kill: tuple[int, bool] | None = None
    writes = 0

    def record(self, name: str, entry: Any) -> None:
        with self._state:
            self.writes += 1
            mine = self.writes
        if self.kill is not None and mine >= self.kill[0]:
            if mine == self.kill[0] and self.kill[1]:
                super().record(name, entry)
            raise Killed
        super().record(name, entry)

    def close(self) -> None:
        if self.kill is None or self.writes < self.kill[0]:
            super().close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(uploads, "AT_A_TIME", 1)  # or the same history would not go the same way twice


def break_something(emulator: Any, endpoint: str, fault: str | None, after: int) -> None:
    if fault in {"503", "429", "400"}:
        kind = {"kind": "rate_limit", "retry_after": 0} if fault == "429" else {"kind": "status", "status": int(fault)}
        emulator.fault(**kind, endpoint=endpoint, after=after)
    elif fault is not None:
        options = {"reset": True} if fault == "reset" else {}
        emulator.fault("drop" if fault == "reset" else fault, endpoint=endpoint, after=after, **options)


class History:
    """An agent, a folder and a ledger through many nights."""

    def __init__(self, emulator: Any, folder: Path) -> None:
        self.emulator = emulator
        (folder / "docs").mkdir()
        self.desk = Desk(emulator, folder / "docs", folder / "ledger.json")
        self.resent: Counter[str] = Counter()

    def ledger(self, kill: tuple[int, bool] | None = None) -> Mortal:
        identity = {"project_id": "24017", "chatbot_id": self.emulator.chatbot_ids[0], "source": "docs"}
        ledger = Mortal(self.desk.store(), identity)
        ledger.kill = kill
        ledger.load()
        return ledger

    def night(self, number: int, edits: Any, upload: Any, prune: Any, resend: bool) -> None:
        for name, content in edits:
            if content is None:
                (self.desk.folder / name).unlink(missing_ok=True)
            else:
                self.desk.write(name, content)
        self.emulator.clear_faults()
        try:
            if self.upload(number, *upload, resend=resend):
                self.prune(number, *prune, resend=resend)
        except Killed:
            pass
        self.check()

    def upload(self, number: int, fault: str | None, after: int, kill: Any, *, resend: bool) -> bool:
        """Upload as the operator does, and return whether it may go on to prune."""
        break_something(self.emulator, "add_text_content", fault, after)
        self.desk.ledger = lambda: self.ledger(kill)  # type: ignore[method-assign]
        before = len(self.emulator.assets())
        report = self.desk.run(run_key=f"dag/{number}/task", resend=resend)
        assert len(self.emulator.assets()) - before <= len(report.uploaded) + len(report.uncertain)
        assert all(item["asset_id"] is not None for item in documents_of(report.lists()))
        return report.verdict(max_failed=0) is None and bool(self.desk.documents().documents)

    def prune(self, number: int, fault: str | None, after: int, kill: Any, *, resend: bool) -> None:
        stays = {entry["linkage_id"] for name, entry in self.ledger().entries.items() if self.is_present(name)}
        doubtful = {link["linkage_id"] for _, link in self.versions(self.ledger()) if delink_state(link) == DELINKING}
        break_something(self.emulator, "delink_asset", fault, after)
        self.desk.ledger = lambda: self.ledger(kill)  # type: ignore[method-assign]
        seen = len(self.emulator.delinks())
        try:
            pruned = prune(self.desk, run_key=f"dag/{number}/task", resend=resend)
        except RobofyError:
            pruned = None
        finally:
            sent = [delink["body"]["link"] for delink in self.emulator.delinks()[seen:]]
            assert not stays & set(sent), "the link of a document that stays was asked for"
            self.resent.update(link for link in sent if link in doubtful and resend)
        if pruned is not None and not pruned.uncertain:
            known = {asset["linkage_id"] for asset in self.emulator.linked()} & self.known_links()
            assert known == stays, "with all delinks done, what is linked is what the folder has"

    def is_present(self, name: str) -> bool:
        return (self.desk.folder / name).exists()

    @staticmethod
    def versions(ledger: Ledger, *, settled: bool = False) -> Any:
        """Yield name and link of every version; with ``settled`` not those of a document whose upload is uncertain."""
        for name, entry in ledger.entries.items():
            if settled and entry["state"] == INTENDED:
                continue
            for one in (entry, entry.get("before") or {}):
                yield from ((name, old) for old in one.get("superseded", ()))
                if one and one.get("state") != INTENDED:
                    yield name, one

    def known_links(self) -> set[Any]:
        return {link["linkage_id"] for _, link in self.versions(self.ledger(), settled=True)}

    def check(self) -> None:
        """Check what holds after every night, whatever went wrong in it."""
        sent = Counter(delink["body"]["link"] for delink in self.emulator.delinks())
        for link, times in sent.items():
            assert times <= 1 + self.resent[link], "a link was asked for twice, and nobody said so"
        linked = {asset["linkage_id"] for asset in self.emulator.linked()}
        for name, version in self.versions(self.ledger()):
            state = delink_state(version)
            if state is None:
                assert version["linkage_id"] in linked, f"{name} is linked, says the ledger"
            elif state != DELINKING:
                assert version["linkage_id"] not in linked, f"{name} is delinked, says the ledger"


@pytest.mark.serial
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(nights=NIGHTS)
def test_no_history_delinks_twice_or_wrongly_and_the_ledger_is_right(robofy_emulator_factory, nights):
    emulator = robofy_emulator_factory(leads=0, delink_body=BODY, delink_otherwise="all")
    with tempfile.TemporaryDirectory() as folder:
        history = History(emulator, Path(folder))
        for name in NAMES:
            history.desk.write(name, "first")
        for number, night in enumerate(nights):
            history.night(number, **night)
        emulator.clear_faults()
        if history.upload(99, None, 0, None, resend=True):
            history.prune(99, None, 0, None, resend=True)
        history.check()
        event(f"delinks: {min(len(emulator.delinks()), 9)}")
