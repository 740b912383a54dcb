"""Runs that share two workers and two triggerers: one of each is killed, a database is missing, and everything arrives.

The fixture ``rounds`` runs all of it, and each test compares a result with the emulator.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from airflow_provider_robofy.emulator.inprocess import Emulator
from tests.distributed.conftest import TRIGGERERS, triggerers_of

pytestmark = [pytest.mark.realprocesses, pytest.mark.serial, pytest.mark.timeout(900)]

KEY, PHONE, EMAIL = "rk_planted_key_9c04", "+4915155501357", "dee.planted@example.com"
WATCHED = "SELECT id FROM watched"

DAGS = """
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import AssetWatcher, dag, task_group
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator, shards
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsEventTrigger

EACH = {{
    "start_date": datetime(2025, 1, 1, tzinfo=UTC), "catchup": False, "max_active_runs": 1,
    "default_args": {{"retries": 2, "retry_delay": timedelta(seconds=1)}},
}}
AGENT = {{"project_id": {project!r}, "chatbot_id": {watched!r}, "cursor_name": "watched"}}


def load(task_id, fetched, table, sql_conn_id="warehouse_0", **more):
    return RobofyManifestToSqlOperator(
        task_id=task_id, manifest=fetched.output, table=table, sql_conn_id=sql_conn_id, **more
    )


class FetchMessages(RobofyFetchMessagesOperator):
    def execute(self, context):
        manifest = super().execute(context)
        # Landed, and not yet reported to Airflow.
        while Path({hold!r}).exists():
            time.sleep(0.2)
        return manifest


@dag(schedule=None, **EACH)
def export():
    sessions = RobofyFetchSessionsOperator(task_id="sessions", cursor="cursors", advance_cursor=False)
    messages = FetchMessages.partial(task_id="messages", sessions=sessions.output).expand(shard=shards(4))
    loads = [load("load_sessions", sessions, "sessions"), load("load_messages", messages, "messages")]
    loads >> RobofyAdvanceCursorOperator(
        task_id="advance", manifest=sessions.output, cursor="cursors", read=messages.output
    )


@dag(schedule=None, **EACH)
def sync():
    @task_group
    def of_agent(chatbot_id, sql_conn_id):
        leads = RobofyFetchLeadsOperator(
            task_id="leads", chatbot_id=chatbot_id, cursor="cursors", advance_cursor=False
        )
        loaded = load("load", leads, "leads", sql_conn_id, retries=1)
        loaded >> RobofyAdvanceCursorOperator(task_id="advance", manifest=leads.output, cursor="cursors")

    agents = enumerate({agents!r})
    of_agent.expand_kwargs([{{"chatbot_id": one, "sql_conn_id": f"warehouse_{{n}}"}} for n, one in agents])


new_leads = AssetWatcher(
    name="new_leads", trigger=RobofyNewLeadsEventTrigger(**AGENT, poll_interval=2, repeat_after=15)
)
leads = leads_asset({project!r}, {watched!r}, watchers=[new_leads])


@dag(schedule=[leads], **EACH)
def watched():
    load("load", RobofyFetchLeadsOperator(task_id="leads", cursor=leads, **AGENT), "watched")


@dag(schedule=None, **EACH)
def crawl():
    RobofyCrawlWebsiteOperator(
        task_id="crawl", start_urls=["https://example.com"], deferrable=True, poll_interval=10, timeout=300
    )


export(), sync(), watched(), crawl()
"""


class TwoRounds:
    """Two runs of the export and of the sync, a crawl beside them, and what they leave behind.

    :param airflow: The Airflow, all components up.
    :param folder: The PostgreSQL server's socket.
    :param robofy: An emulator with four agents; the first has the sessions and the crawl, the last is watched.
    """

    def __init__(self, airflow: Any, folder: Path, robofy: Emulator) -> None:
        self.airflow = airflow
        self.folder = folder
        self.robofy = robofy
        *self.agents, self.watched = robofy.chatbot_ids
        self.runs: dict[str, list[str]] = {"export": [], "sync": [], "crawl": []}
        self.states: dict[str, str] = {}
        self.hold = airflow.folder / "hold"
        self.killed: list[dict[str, Any]] = []
        self.waited: list[str | None] = []

    def run(self) -> None:
        """Run everything."""
        airflow, robofy = self.airflow, self.robofy
        extra = {"leads_order": "newest_first", "sessions_order": "newest_first"}
        airflow.connect("robofy_default", json.loads(robofy.connection_json(**extra)))
        for number in range(len(self.agents)):
            self.connect_warehouse(number, "no_such_database" if number == 1 else "warehouse")
        self.hold.touch()
        source = DAGS.format(project=robofy.project_id, agents=self.agents, watched=self.watched, hold=str(self.hold))
        # Both triggers come to the first triggerer.
        airflow.kill(TRIGGERERS[1])
        airflow.write_dag("export", source)
        self.start("crawl")
        airflow.until(lambda: self.triggerer_of_crawl() is not None, "a triggerer waits for the crawl", timeout=90)
        self.wait_for_watched()
        self.waited.append(self.triggerer_of_crawl())
        airflow.start(TRIGGERERS[1])
        airflow.until(lambda: triggerers_of(airflow) == set(TRIGGERERS), "both triggerers are up", timeout=90)
        self.first_round()
        self.second_round()

    def first_round(self) -> None:
        """Kill a worker and the triggerer of crawl and watcher, while the database of the second agent is missing."""
        airflow, robofy = self.airflow, self.robofy
        for agent in self.agents:
            robofy.fault("delay", endpoint="list_leads", chatbot=agent, page=2, seconds=25, times=0)
        self.start("export")
        airflow.until(lambda: len(self.held()) == 4, "all shards have landed", timeout=90)
        self.start("sync")
        airflow.until(lambda: self.busiest() is not None, "a worker reads leads and has landed messages", timeout=90)
        worker, self.killed = self.busiest() or ("", [])
        airflow.kill(worker)
        airflow.kill(TRIGGERERS[0])
        robofy.add_leads(2, chatbot_id=self.watched)
        robofy.clear_faults()
        self.hold.unlink()
        self.states |= {name: self.end(name) for name in ("export", "sync")}
        self.first = self.sessions()

        airflow.until(lambda: self.triggerer_of_crawl() not in {None, TRIGGERERS[0]}, "the crawl is waited for again")
        self.waited.append(self.triggerer_of_crawl())
        self.wait_for_watched()
        airflow.start(worker)
        airflow.start(TRIGGERERS[0])

    def second_round(self) -> None:
        """Add leads, one of them late, and messages; run all again, the database being there."""
        robofy = self.robofy
        robofy.configure(crawl_seconds=0)
        self.connect_warehouse(1, "warehouse")
        newest = datetime.fromisoformat(robofy.leads(self.agents[0])[0]["created_at"])
        robofy.add_leads(1, chatbot_id=self.agents[0], created_at=newest - timedelta(minutes=1))
        for agent in (*self.agents, self.watched):
            robofy.add_leads(3, chatbot_id=agent, lead_data=[{"field_name": "email", "field_value": EMAIL}])
        robofy.add_message(next(iter(self.first)), "One more question.")
        robofy.add_session(PHONE, messages=5)
        self.start("export")
        self.start("sync")
        self.states |= {f"{name} again": self.end(name) for name in ("export", "sync")}
        self.states["crawl"] = self.end("crawl")
        self.wait_for_watched()

    def wait_for_watched(self) -> None:
        """Wait until all leads of the watched agent are in a table, and no run is left that could load them again."""
        wanted = [(one,) for one in ids(self.robofy.leads(self.watched))]

        def done() -> bool:
            states = {one["state"] for one in self.airflow.runs("watched")}
            return "success" in states and states <= {"success", "failed"} and self.query(WATCHED) == wanted

        self.airflow.until(done, "all leads that are watched are in their table", timeout=120)

    def connect_warehouse(self, number: int, database: str) -> None:
        connection = {"conn_type": "postgres", "host": str(self.folder), "login": "postgres", "schema": database}
        self.airflow.connect(f"warehouse_{number}", connection)

    def start(self, dag_id: str) -> None:
        self.runs[dag_id].append(self.airflow.trigger(dag_id))

    def end(self, dag_id: str) -> str:
        return str(self.airflow.wait_for_run(dag_id, self.runs[dag_id][-1], timeout=240))

    def triggerer_of_crawl(self) -> str | None:
        job = self.airflow.task("crawl", self.runs["crawl"][0], "crawl")["triggerer_job"]
        return job and str(job["hostname"])

    def running(self, dag_id: str, task_id: str) -> list[dict[str, Any]]:
        tasks = self.airflow.tasks(dag_id, self.runs[dag_id][0])
        return [one for one in tasks if (one["task_id"], one["state"]) == (task_id, "running")]

    def held(self) -> list[dict[str, Any]]:
        """Return the messages tasks whose file has landed, and which have not reported it."""
        landed = {manifest["shard"][0] for manifest, _ in self.landed("export", "messages", 0)}
        return [one for one in self.running("export", "messages") if one["map_index"] in landed]

    def reading(self) -> list[dict[str, Any]]:
        """Return the leads tasks that wait for their second page."""
        waiting = {self.agents.index(one["chatbot"]) for one in self.robofy.faults() if one["done"]}
        return [one for one in self.running("sync", "of_agent.leads") if one["map_index"] in waiting]

    def busiest(self) -> tuple[str, list[dict[str, Any]]] | None:
        """Return a worker with tasks of both kinds, and these tasks."""
        held, reading = self.held(), self.reading()
        for worker in {one["hostname"] for one in held} & {one["hostname"] for one in reading}:
            return worker, [one for one in (*held, *reading) if one["hostname"] == worker]
        return None

    # ---------------------------------------------------------------------------------------------- what is there
    def sessions(self) -> dict[str, list[str]]:
        """Return the emulator's sessions, each with the texts of its messages in their order."""
        world = self.robofy._server.world
        book = world.agents[self.agents[0]].sessions
        return {
            one.session_id: [one.message_row(at, world)["message"] for at in range(len(one))]
            for one in book.listed("newest_first")
        }

    def landed(self, dag_id: str, task_id: str, run: int | None = None) -> list[tuple[dict, list[dict]]]:
        """Return manifests and rows of what a task has landed, each file checked against its manifest."""
        found = []
        for path in sorted(self.airflow.landing.rglob("*.manifest.json")):
            manifest = json.loads(path.read_text())
            dag, run_id, task, *_ = manifest["run_key"].split("/")
            if (dag, task) == (dag_id, task_id) and (run is None or run_id == self.runs[dag_id][run]):
                content = Path(manifest["uri"]).read_bytes()
                assert hashlib.sha256(content).hexdigest() == manifest["sha256"], path.name
                rows = [json.loads(line) for line in content.splitlines()]
                assert len(rows) == manifest["rows"]
                found.append((manifest, rows))
        return found

    def landed_ids(self, dag_id: str, task_id: str = "leads", run: int | None = None, agent: str = "") -> list[str]:
        files = self.landed(dag_id, task_id, run)
        return sorted(row["id"] for manifest, rows in files if agent in manifest["chatbot_id"] for row in rows)

    def query(self, sql: str) -> list[tuple]:
        with psycopg.connect(host=str(self.folder), user="postgres", dbname="warehouse") as database:
            return sorted(database.execute(sql).fetchall())


def ids(rows: list[dict]) -> list[str]:
    return sorted(row["id"] for row in rows)


@pytest.fixture(scope="module")
def rounds(airflow, servers):
    with Emulator(
        api_key=KEY, agents=4, leads=90, page_size=40, sessions=48, sessions_page_size=20, crawl_seconds=600
    ) as robofy:
        rounds = TwoRounds(airflow, servers[0], robofy)
        rounds.run()
        yield rounds


def test_what_was_killed_is_tried_again_elsewhere_and_what_failed_is_not_done(rounds):
    assert rounds.states == {
        "export": "success",
        "sync": "failed",
        "export again": "success",
        "sync again": "success",
        "crawl": "success",
    }
    for task in rounds.airflow.tasks("sync", rounds.runs["sync"][0]):
        states = {"of_agent.load": "failed", "of_agent.advance": "upstream_failed"} if task["map_index"] == 1 else {}
        assert task["state"] == states.get(task["task_id"], "success"), (task["task_id"], task["map_index"])
    assert {task["task_id"] for task in rounds.killed} == {"messages", "of_agent.leads"}
    for killed in rounds.killed:
        tasks = rounds.airflow.tasks(killed["dag_id"], killed["dag_run_id"])
        [now] = [one for one in tasks if all(one[name] == killed[name] for name in ("task_id", "map_index"))]
        assert now["try_number"] > killed["try_number"]
        assert now["hostname"] != killed["hostname"]
    assert rounds.waited == list(TRIGGERERS)
    assert rounds.airflow.task("crawl", rounds.runs["crawl"][0], "crawl")["try_number"] == 1
    assert len(rounds.robofy.crawls()) == 1


def test_files_hold_each_lead_once(rounds):
    for number, agent in enumerate(rounds.agents):
        # The table has not got the second agent's leads of the first round, so its second round fetches them again.
        runs = [1] if number == 1 else [0, 1]
        landed = [one for run in runs for one in rounds.landed_ids("sync", "of_agent.leads", run, agent)]
        assert sorted(landed) == ids(rounds.robofy.leads(agent))
    assert rounds.landed_ids("watched") == ids(rounds.robofy.leads(rounds.watched))


def test_files_hold_each_session_and_message_once(rounds):
    now = rounds.sessions()
    changed = {one: texts for one, texts in now.items() if texts != rounds.first.get(one)}
    assert len(changed) == 2
    for run, expected in enumerate((rounds.first, changed)):
        [(_, sessions)] = rounds.landed("export", "sessions", run)
        assert sorted(row["session_id"] for row in sessions) == sorted(expected)
        shards = rounds.landed("export", "messages", run)
        assert len(shards) == 4
        landed = [(row["_session_id"], row["_position"], row["message"]) for _, rows in shards for row in rows]
        assert sorted(landed) == messages_of(expected)


def messages_of(sessions: dict[str, list[str]]) -> list[tuple[str, int, str]]:
    return sorted((one, at, text) for one, texts in sessions.items() for at, text in enumerate(texts))


def test_tables_hold_each_lead_once(rounds):
    leads = [(agent, one) for agent in rounds.agents for one in ids(rounds.robofy.leads(agent))]
    assert rounds.query("SELECT _chatbot_id, id FROM leads") == sorted(leads)
    assert rounds.query(WATCHED) == [(one,) for one in ids(rounds.robofy.leads(rounds.watched))]


def test_tables_hold_each_session_and_message_once(rounds):
    assert rounds.query("SELECT session_id FROM sessions") == sorted((one,) for one in rounds.sessions())
    messages = rounds.query("SELECT _session_id, _position, message FROM messages")
    assert messages == messages_of(rounds.sessions())


def test_no_key_and_nothing_personal_is_in_logs_or_in_airflows_database(rounds):
    written = rounds.airflow.everything_written()
    for run_id in (*rounds.runs["export"], *rounds.runs["sync"]):
        assert run_id in rounds.airflow.stored()
    for secret in (KEY, PHONE, PHONE.removeprefix("+"), EMAIL):
        assert secret not in written, f"{secret} was written by Airflow"
