"""From the API to the table: whatever failed before, the next run whose tasks all succeed leaves nothing missing.

Histories of sessions that are written in, and of runs (fetch, load, messages, advance) whose tasks die, fail for good,
are retried, cleared or overlap, and whose idle_for changes. The fetch, the loads, the advance and what sensor and
watcher wait for are the real ones; the API and the reading of messages are a few lines.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyError
from airflow_provider_robofy.api.pages import Page
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.arrivals import NewestRows, ahead_of, as_landed
from airflow_provider_robofy.extract.cursor import Cursor, CursorRun
from airflow_provider_robofy.extract.cursor_store import FileCursorStore
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.landed import LandedSessions, Shard, open_uri, rows
from airflow_provider_robofy.extract.listing import ListingRun
from airflow_provider_robofy.extract.privacy import PrivacyPolicy, applied_rules
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.hooks.connection import RobofyConnection
from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.resources import SESSIONS
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator
from airflow_provider_robofy.triggers.inbox import RobofyNewSessionsTrigger
from tests.extract.simulated import Killed, _Mortal

LAG = timedelta(minutes=10)
IDENTITY = {"name": "dag.sessions", "resource": "sessions", "project_id": "1", "chatbot_id": "a"}
SECRET = "a secret of sixteen or more"
RULES = {"session_id": "hash", "last_message": "drop"}


@dataclass
class Session:
    """One session on the server: when somebody last wrote in it, and how many messages it has."""

    at: datetime
    messages: int = 1


@dataclass
class Sync:
    """An agent's inbox, and a DAG that syncs it into a table."""

    order: str
    private: bool
    page_size: int
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="robofy-sync-")))
    now: datetime = datetime(2025, 1, 15, tzinfo=UTC)
    sessions: dict[str, Session] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    #: What a table of messages would hold.
    messages: set[tuple[str, int]] = field(default_factory=set)
    full_every: timedelta | None = None
    idle_for: timedelta = timedelta(0)
    runs: int = 0
    #: Manifests of runs that landed and were then given up, which a person may clear later.
    given_up: list[str] = field(default_factory=list)

    # -------------------------------------------------------------------------------------------------------- the world
    def happen(self, what: str, number: int) -> None:
        if what == "wait":
            self.now += timedelta(minutes=number)
            return
        self.now += timedelta(seconds=7)
        if what == "open":
            self.sessions[f"session {len(self.sessions) + len(self.deleted)}"] = Session(self.now)
        elif self.sessions:
            name = sorted(self.sessions)[number % len(self.sessions)]
            if what == "write":
                session = self.sessions[name]
                session.at, session.messages = self.now, session.messages + 1
            else:
                del self.sessions[name]
                self.deleted.add(name)

    def pages(self, _: Any = None) -> Any:
        listed = sorted(self.sessions.items(), key=lambda one: one[1].at, reverse=True)
        if self.order == "unknown":
            listed = sorted(listed)
        rows = [
            {"session_id": name, "last_message_time": one.at.isoformat(), "last_message": f"message {one.messages}"}
            for name, one in listed
        ]
        pages = [rows[start : start + self.page_size] for start in range(0, len(rows), self.page_size)] or [[]]
        for number, page in enumerate(pages, 1):
            yield Page(number, page, "null" if number == len(pages) else None, self.now)

    # -------------------------------------------------------------------------------------------------------- the tasks
    @property
    def policy(self) -> PrivacyPolicy | None:
        return PrivacyPolicy(RULES, SECRET, SESSIONS) if self.private else None

    def fetch(self, run: str, die_at: str | None = None) -> dict[str, Any]:
        path = str(self.folder / f"{run}.jsonl")
        cursor = CursorRun(
            store=FileCursorStore(Store(LocalFileSystem(), str(self.cursor), str(self.cursor))),
            identity=IDENTITY,
            run_key=run,
            timezone="UTC",
            lag=LAG,
            full_every=self.full_every,
            now=self.now,
            keep_ids=False,
            privacy=applied_rules(self.policy),
            idle_for=self.idle_for,
        )
        listing = ListingRun(
            resource=SESSIONS,
            project_id="1",
            chatbot_id="a",
            window=Window(),
            lag=LAG,
            times=TimeReader(),
            order=self.order,
            run_key=run,
            store=_Mortal(Store(LocalFileSystem(), path, path), die_at),
            cursor=cursor,
            advance_cursor=False,
            privacy=self.policy,
            publish_empty=False,
            now=lambda: self.now,
        )
        ahead = self.ahead(cursor.before)
        manifest = listing.land(self.pages(), lambda: 1).as_dict()
        if cursor.before.owed or cursor.is_past(manifest):
            return manifest  # rows that have landed before, perhaps under another idle_for
        if self.idle_for and manifest["rows"]:
            newest = max(row["_last_message_time"] for row in rows(manifest))
            assert newest < (self.now - self.idle_for).isoformat(), "somebody may still write in it"
        if ahead is not None and not cursor.full:
            waited_for, watched = ahead
            assert waited_for == manifest["rows"], "a sensor waits for what the fetch lands"
            assert bool(watched) == bool(waited_for), "a watcher starts a run if the fetch has something to land"
        return manifest

    def ahead(self, cursor: Cursor) -> tuple[int, int] | None:
        """Return how many sessions a sensor, and how many a watcher, finds that the fetch has still to land.

        None where the cursor was moved under another idle_for, since a sensor fails then.
        """
        if cursor.idle_for != self.idle_for.total_seconds():
            return None
        connection = RobofyConnection(
            settings=Settings(api_key="key"),
            times=TimeReader(),
            sessions_order=self.order,
            pseudonym_secret=SECRET,
            privacy=RULES if self.private else {},
        )
        trigger = RobofyNewSessionsTrigger(
            project_id="1",
            chatbot_id="a",
            since=None,
            min_count=1000,
            robofy_conn_id="robofy_default",
            poll_interval=1,
            deadline=0,
            cursor=json.loads(json.dumps(cursor.encode(IDENTITY))),
            cursor_name=IDENTITY["name"],
            idle_for=self.idle_for,
        )
        questions = trigger.question(connection), NewestRows()
        count, head = trigger.poll(connection)(self, questions).values()  # type: ignore[arg-type]
        return len(count.found), len(ahead_of(as_landed(head.rows, SESSIONS, self.policy), cursor))

    @property
    def cursor(self) -> Path:
        return self.folder / "cursor.json"

    @property
    def database(self) -> Path:
        return self.folder / "warehouse.db"

    def read(self, sessions: dict[str, Any], failing: set[int], shards: int) -> list[dict[str, Any]]:
        """Read the messages of landed sessions, all but those that fail."""
        manifests = []
        for index in range(shards):
            failed = []
            landed = LandedSessions(sessions, open_uri(sessions["uri"]))
            for number, name in enumerate(landed.ids(Shard(index, shards))):
                if number in failing:
                    failed.append(name)
                elif name in self.sessions:
                    self.messages |= {(name, one) for one in range(self.sessions[name].messages)}
            uri = self.folder / f"{sessions['run_key']}-{index}.failed.jsonl"
            names = [self.policy.session(name) if self.policy else name for name in failed]
            uri.write_bytes(b"".join(codec.dump_line({"session_id": name}) for name in names))
            messages: dict[str, Any] = {
                "resource": "messages",
                "uri": str(self.folder / "messages.jsonl"),
                "shard": [index, shards],
            }
            messages |= {"sessions_uri": sessions["uri"], "sessions_failed": len(failed), "failed_uri": str(uri)}
            manifests.append(messages)
        return manifests

    def load(self, manifest: dict[str, Any]) -> None:
        RobofyManifestToSqlOperator(
            task_id="load", manifest=manifest, table="sessions", sql_conn_id="warehouse"
        ).execute({})

    def advance(self, manifest: dict[str, Any], read: list[dict[str, Any]]) -> None:
        RobofyAdvanceCursorOperator(task_id="advance", manifest=manifest, cursor=str(self.cursor), read=read).execute(
            {}
        )

    # --------------------------------------------------------------------------------------------------------- the runs
    def run(self, plan: dict[str, Any]) -> None:
        """Carry out a DAG run: tries that die, then one that does as the plan says."""
        self.runs += 1
        run = f"run-{self.runs}"
        for die_at in plan["deaths"]:
            try:
                self.fetch(run, die_at)
            except Killed:
                self.now += timedelta(minutes=1)
        self.full_every = timedelta(0) if plan["full"] else None
        self.idle_for = self.idle_for if plan["idle_for"] is None else timedelta(minutes=plan["idle_for"])
        manifest = self.fetch(run)
        self.full_every = None
        if plan["overlap"]:
            self.happen("write", self.runs)
            self.run({**GREEN, "clear": plan["clear"]})
        self._finish(manifest, plan)
        for cleared in self.given_up[:1] if plan["clear"] else ():
            # Its file is whole: it is returned again where later runs have moved the cursor, and lands again otherwise.
            self._finish(self.fetch(cleared), GREEN)

    def _finish(self, manifest: dict[str, Any], plan: dict[str, Any]) -> None:
        if not manifest["rows"]:
            return  # the fetch skips, and what follows is skipped
        if plan["stop"] is not None:
            self.given_up.append(manifest["run_key"])
        if plan["stop"] == "load":
            return
        self.load(manifest)
        if plan["stop"] == "messages":
            return
        read = self.read(manifest, set(plan["failing"]), plan["shards"])
        if plan["stop"] == "advance":
            return
        for _ in range(1 + plan["advance_again"]):
            self.advance(manifest, read)

    def table(self) -> list[tuple[str, str]]:
        """Return id and time of the sessions in the table."""
        with closing(sqlite3.connect(self.database)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sessions'").fetchone():
                return []
            return database.execute("SELECT session_id, last_message_time FROM sessions").fetchall()

    def check(self, table: list[tuple[str, str]] | None = None) -> None:
        """After a run whose tasks all succeeded, table and messages of silent sessions are those of the API."""
        found = dict(table or self.table())
        name_of = self.policy.session if self.policy else str
        for name, session in self.sessions.items():
            if self.idle_for and session.at >= self.now - self.idle_for:
                continue
            assert found.get(name_of(name)) == session.at.isoformat(), f"{name} is not in the table as it is now"
            missing = {(name, one) for one in range(session.messages)} - self.messages
            assert not missing, f"messages of {name} were never read: {sorted(missing)}"

    def close(self) -> None:
        shutil.rmtree(self.folder)


GREEN: dict[str, Any] = {"deaths": [], "failing": [], "shards": 1, "advance_again": 0, "stop": None, "idle_for": None}
GREEN |= dict.fromkeys(["full", "overlap", "clear"], False)
happenings = st.one_of(
    st.tuples(st.just("open"), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([15, 40])),
    st.tuples(st.sampled_from(["write", "delete"]), st.integers(0, 9)),
)
plans = st.fixed_dictionaries(
    {
        "deaths": st.lists(st.sampled_from(["spooled", "data"]), max_size=1),
        "full": st.sampled_from([False, False, False, True]),
        "idle_for": st.sampled_from([None, None, 0, 5, 30]),
        "stop": st.sampled_from([None, None, None, "load", "messages", "advance"]),
        "failing": st.lists(st.integers(0, 3), max_size=2),
        "shards": st.sampled_from([1, 3]),
        "advance_again": st.integers(0, 1),
        "overlap": st.booleans(),
        "clear": st.booleans(),
    }
)


pytest.importorskip("airflow.providers.sqlite")


@pytest.fixture(scope="module", autouse=True)
def _environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WAREHOUSE", "")
        yield


def connect_to(database: Path) -> None:
    os.environ["AIRFLOW_CONN_WAREHOUSE"] = json.dumps({"conn_type": "sqlite", "host": str(database)})


@settings(max_examples=120)
@given(
    rounds=st.lists(st.tuples(st.lists(happenings, min_size=1, max_size=5), plans), min_size=2, max_size=5),
    order=st.sampled_from(["newest_first", "unknown"]),
    private=st.booleans(),
    page_size=st.integers(1, 4),
)
def test_after_a_run_that_succeeds_nothing_is_missing(rounds, order, private, page_size):
    sync = Sync(order, private, page_size)
    connect_to(sync.database)
    try:
        for happened, plan in rounds:
            for happening in happened:
                sync.happen(*happening)
            sync.run(plan)
        sync.run(GREEN)
        sync.check()
        sync.happen("wait", 40)  # longer than any idle_for
        sync.run(GREEN)
        sync.check()
    finally:
        sync.close()


@pytest.mark.parametrize("warehouse", ["postgresql", "sqlite"], indirect=True)
def test_a_load_that_fails_for_good_loses_nothing(warehouse, monkeypatch):
    """The fault that the advance was built for: a wrong SQL connection in one run, a green run after it."""
    sync = Sync("unknown", private=False, page_size=2)
    try:
        for number in range(5):
            sync.happen("open", number)
        manifest = sync.fetch("run-0")
        right = os.environ["AIRFLOW_CONN_WAREHOUSE"]
        wrong = {"host": "/nowhere/at/all.db", "schema": "none", "port": 1}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**json.loads(right), **wrong}))
        with pytest.raises((AirflowFailException, RobofyError), match="warehouse"):
            sync.load(manifest)
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", right)
        sync.happen("wait", 40)
        sync.happen("open", 5)
        sync.run(GREEN)
        sync.check(warehouse.run("SELECT session_id, last_message_time FROM sessions"))
        assert len(sync.messages) == 6
    finally:
        sync.close()
