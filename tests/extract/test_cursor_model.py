"""The guarantee of the cursor, over generated histories of a Robofy that moves while it is read and workers that die.

Every lead lands in some run whose listing lost no row while it was read, otherwise at the next full read; and without
overlapping runs no version of a lead stands in two files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import currently_in_test_context, event, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import ahead
from tests.extract.runs import LAG
from tests.extract.simulated import Lead, Robofy, Worker, utc

#: Two hours before Berlin sets its clocks back, so that histories cross the hour that comes twice.
BEFORE_THE_CHANGE = utc("2025-10-25T23:00:00")

DEATHS = ["page-1", "page-2", "page-3", "spooled", "data", "published", "moved"]

happenings = st.one_of(
    st.tuples(st.just("arrive"), st.integers(1, 4), st.sampled_from([0, 0, 1, 3, 9, -30])),
    st.tuples(st.just("arrive at once"), st.integers(2, 5), st.just(0)),
    st.tuples(st.just("change"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 30), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 5, 12, 40, 100]), st.just(0)),
)
runs = st.fixed_dictionaries(
    {
        "during": st.dictionaries(st.integers(1, 4), st.lists(happenings, max_size=2), max_size=2),
        "deaths": st.lists(st.sampled_from(DEATHS), max_size=2),
        "clear": st.booleans(),
        "clock": st.sampled_from([0, 0, 0, -180, -3, 3, 180]),
    }
)
histories = st.lists(st.one_of(happenings, runs), min_size=3, max_size=14)


@dataclass
class World:
    """Carry a history out, and keep the books that the guarantee is checked against."""

    robofy: Robofy
    worker: Worker
    count: int = 0
    runs: int = 0
    landings: int = 0
    #: By run, of its latest try that landed (a retry replaces the file): what a lossless listing has shown it, and what
    #: one with losses may have passed over.
    read_by: dict[str, frozenset[str]] = field(default_factory=dict)
    passed_over_by: dict[str, frozenset[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    def happen(self, what: str, number: int, late: int) -> None:
        robofy = self.robofy
        if what.startswith("arrive"):
            for _ in range(number):
                if what == "arrive":
                    robofy.now += timedelta(seconds=7)
                self.count += 1
                created = robofy.now - timedelta(minutes=late)
                robofy.leads[f"lead_{self.count}"] = Lead(f"lead_{self.count}", created, robofy.now, self.count)
        elif what == "wait":
            robofy.now += timedelta(minutes=number)
        elif robofy.leads:
            row_id = sorted(robofy.leads)[number % len(robofy.leads)]
            if what == "change":
                robofy.leads[row_id].version += 1
                self.changed.add(row_id)
            else:
                del robofy.leads[row_id]
                self.deleted.add(row_id)

    def run(self, during: dict, deaths: list[str], clear: bool, clock: int) -> None:
        """One DAG run: tries that die, one that lands, and perhaps a clear afterwards."""
        self.runs += 1
        key = f"run-{self.runs}"
        for die_at in deaths:
            self._try(key, during={}, die_at=die_at, clock=clock)
            self.robofy.now += timedelta(minutes=1)
        self._try(key, during=during, die_at=None, clock=clock)
        if clear:
            self.robofy.now += timedelta(minutes=2)
            self._try(key, during={}, die_at=None, clock=clock)

    def _try(self, key: str, during: dict, die_at: str | None, clock: int) -> None:
        def between(page: int) -> None:
            for happening in during.get(page, ()):
                self.happen(*happening)

        skew = timedelta(minutes=clock)
        outcome = self.worker.run(key, die_at=die_at, between=between, clock_skew=skew)
        if not outcome.landed:
            return
        self.landings += 1
        if currently_in_test_context():
            event("lossless" if outcome.lossless else "a row was lost while it was read")
        self.read_by[key] = outcome.present if outcome.lossless else frozenset()
        self.passed_over_by[key] = frozenset() if outcome.lossless else outcome.present

    @property
    def due(self) -> set[str]:
        """Leads whose first reader, a run that had them before it from its first page to its last, lost none."""
        due: set[str] = set()
        passed_over: set[str] = set()
        for key, read in self.read_by.items():
            due |= read - passed_over
            passed_over |= self.passed_over_by[key] - due
        return due

    def check(self) -> None:
        table = self.worker.upserted()
        missing = self.due - set(table) - self.deleted
        assert not missing, f"never landed, though a lossless run read them: {sorted(missing)}"

    def check_nothing_twice(self) -> None:
        seen = Counter(
            (row["id"], row["lead_data"][0]["version"]) for _, landed in self.worker.files() for row in landed
        )
        twice = {one for one, times in seen.items() if times > 1}
        assert not twice, f"landed in two files: {sorted(twice)}"

    def check_full_read(self) -> None:
        """After a full read nothing is missing and nothing is out of date."""
        self.worker.full_every = timedelta(0)
        self._try(f"run-{self.runs + 1}", during={}, die_at=None, clock=0)
        table = self.worker.upserted()
        current = {row_id: lead.version for row_id, lead in self.robofy.leads.items()}
        assert {row_id: table.get(row_id) for row_id in current} == current
        assert set(table) <= set(current) | self.deleted


@pytest.fixture(scope="module", autouse=True)
def _always_worth_it():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "SLOW", 0.0)
        yield


def make_world(order: str, page_size: int, zone: str, *, trust: bool, side_by_side: bool = False) -> World:
    robofy = Robofy(ZoneInfo(zone), order, page_size, BEFORE_THE_CHANGE)
    worker = Worker(robofy)
    worker.trust_order = trust and order == "newest_first"
    worker.side_by_side = side_by_side
    return World(robofy, worker)


@settings(max_examples=300)
@given(
    history=histories,
    order=st.sampled_from(["newest_first", "oldest_first", "none"]),
    page_size=st.integers(1, 4),
    zone=st.sampled_from(["UTC", "Europe/Berlin"]),
    trust=st.booleans(),
    side_by_side=st.booleans(),
)
def test_every_lead_lands_and_none_twice(history, order, page_size, zone, trust, side_by_side):  # noqa: PLR0917
    world = make_world(order, page_size, zone, trust=trust, side_by_side=side_by_side)
    try:
        for entry in history:
            if isinstance(entry, dict):
                world.run(**entry)
                world.check()
            else:
                world.happen(*entry)
        world.run(during={}, deaths=[], clear=False, clock=0)
        world.check()
        world.check_nothing_twice()
        world.check_full_read()
    finally:
        world.worker.close()


@settings(max_examples=150)
@given(
    history=histories,
    page_size=st.integers(1, 4),
    order=st.sampled_from(["newest_first", "oldest_first"]),
    at_page=st.integers(1, 3),
    late=st.lists(happenings, max_size=3),
)
def test_overlapping_runs_lose_nothing(history, page_size, order, at_page, late):
    """A second run starts and ends while the first is still reading: rows may land twice, but land they do."""
    world = make_world(order, page_size, "UTC", trust=False)
    try:
        for entry in history:
            if isinstance(entry, dict):
                world.run(during={}, deaths=entry["deaths"], clear=entry["clear"], clock=0)
            else:
                world.happen(*entry)
        world.runs += 2
        inner = f"run-{world.runs}"

        def between(page: int) -> None:
            if page == at_page:
                for happening in late:
                    if happening[0] != "delete":
                        world.happen(*happening)
                world._try(inner, during={}, die_at=None, clock=0)

        world.worker.run(f"run-{world.runs - 1}", between=between)
        world.run(during={}, deaths=[], clear=False, clock=0)
        world.check()
    finally:
        world.worker.close()


@pytest.mark.parametrize(("late", "seen"), [(LAG, True), (LAG * 6, False)])
def test_a_lead_may_be_as_late_as_the_lag_and_a_later_one_waits_for_the_full_read(late, seen):
    world = make_world("oldest_first", 10, "UTC", trust=False)
    try:
        for minutes in (0, int(late.total_seconds() // 60)):
            world.happen("arrive", 1, minutes)
            world.run(during={}, deaths=[], clear=False, clock=0)
        assert set(world.worker.upserted()) == {"lead_1", *(["lead_2"] if seen else [])}
        world.check_full_read()
        assert set(world.worker.upserted()) == {"lead_1", "lead_2"}
    finally:
        world.worker.close()
