"""A cursor that moves when the work is done: RobofyAdvanceCursorOperator over the emulator."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators import cursor_store
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.operators.sync_world import NOW, World

needs_asset_state = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")


def fetch(world, run_id, **arguments):
    return world.run(run_id, advance_cursor=False, **arguments)


def test_the_cursor_stays_until_the_work_is_done(world):
    first = fetch(world, "r1")
    assert not (world.root / "cursors").exists()
    again = fetch(world, "r2")
    assert sorted(world.ids(again)) == sorted(world.ids(first))

    assert world.advance(again) == {"moved": True, "watermark": again["watermark_after"], "owed": 0}
    assert world.state["watermark"] == again["watermark_after"]
    world.arrive(2)
    assert fetch(world, "r3")["rows"] == 2


def test_the_state_is_what_the_fetch_would_have_stored_itself_however_often_it_runs(world):
    manifest = fetch(world, "r1")
    beside = json.loads(Path(manifest["cursor_next_uri"]).read_text())
    for _ in range(2):
        assert world.advance(manifest)["moved"]
        assert world.state == beside["state"]
    assert world.state.keys() >= {"last", "kept", "watermark", "name"}


def test_another_run_that_moved_it_since_is_left_alone_and_named(world, caplog):
    first = fetch(world, "r1")
    world.arrive(1)
    world.advance(fetch(world, "r2"))
    state = world.state
    assert not world.advance(first)["moved"]
    assert world.state == state
    assert "my_dag/r2/leads" in caplog.text
    assert "my_dag/r1/leads" in caplog.text


def test_a_reset_moves_it_wherever_it_stands(world):
    world.advance(fetch(world, "r1"))
    reset = fetch(world, "r2", conf={"robofy_cursor": "reset"})
    world.arrive(1)
    world.advance(fetch(world, "r3"))
    assert world.advance(reset)["moved"]
    assert fetch(world, "r4")["rows"] == 1


def test_one_cursor_of_a_run_is_reset_by_its_name(world):
    for name in ("a", "b"):
        world.run(f"first-{name}", cursor_name=name)
    conf = {"robofy_cursor": {"a": "reset"}}
    assert world.run("r2", cursor_name="a", conf=conf)["rows"] == 12
    with pytest.raises(AirflowSkipException):
        world.run("r2-b", cursor_name="b", conf=conf)


def test_nothing_new_moves_nothing(world):
    world.advance(fetch(world, "r1"))
    state = world.state
    empty = fetch(world, "r2", skip_if_empty=False)
    assert world.advance(empty) == {"moved": False, "watermark": empty["watermark_after"], "owed": 0}
    assert world.state == state


def test_a_full_run_that_finds_nothing_has_nothing_to_wait_for(robofy_emulator_factory, tmp_path, monkeypatch):
    world = World(robofy_emulator_factory(leads=0), tmp_path, monkeypatch)
    fetch(world, "r1", skip_if_empty=False)
    assert world.state["full_at"] is not None


@needs_asset_state
def test_an_assets_cursor_moves_in_the_same_way_and_the_overflow_file_is_another_one(world, monkeypatch):
    asset = leads_asset("1", "a")
    world.states[asset] = {}
    monkeypatch.setattr(cursor_store, "MAX_BYTES", 10)
    manifest = fetch(world, "r1", cursor=asset)
    assert world.states[asset] == {}
    assert world.advance(manifest, cursor=asset)["moved"]
    assert {path.name for path in Path(manifest["uri"]).parent.iterdir()} >= {
        "leads.jsonl.cursor.json",
        "leads.jsonl.cursor-next.json",
    }
    with pytest.raises(AirflowSkipException):
        fetch(world, "r2", cursor=asset)


# -------------------------------------------------------------------------------------------- what is refused
def window(world):
    return RobofyFetchLeadsOperator(task_id="leads", since="2025-01-01").execute(world._context("d", "w", "leads"))


def with_next(spoil):
    """Return what makes a manifest whose file of the cursor's next state is spoilt."""

    def make(world):
        manifest = fetch(world, "r1")
        spoil(Path(manifest["cursor_next_uri"]))
        return manifest

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda world: world.run("r1"), "moved the cursor itself.*advance_cursor=False"),
        (window, "ran without a cursor .mode window.*advance_cursor=False"),
        (with_next(Path.unlink), "cursor-next.json is gone.*Clear the fetch task"),
        (with_next(lambda path: path.write_text("[]")), "cursor-next.json is damaged.*Clear the fetch task"),
        (with_next(lambda path: path.write_text('{"schema_version": 99}')), "newer version"),
        (lambda world: {**fetch(world, "r1"), "try_id": "b"}, "belongs to try .* and the manifest to try b"),
        (lambda _: "", "must be what the fetch task returned"),
    ],
    ids=["moved already", "window", "gone", "damaged", "newer", "another try", "empty"],
)
def test_what_cannot_be_moved_fails_at_once_and_says_why(world, make, message):
    world.run("before", cursor="other")
    with pytest.raises(AirflowFailException, match=message):
        world.advance(make(world))


def test_another_cursor_is_refused_by_name(world):
    manifest = fetch(world, "r1")
    with pytest.raises(
        AirflowFailException, match=r"used the cursor .*/cursors/.* this task's cursor is .*/elsewhere/"
    ):
        world.advance(manifest, cursor="elsewhere")
    with pytest.raises(AirflowFailException, match=r"of the cursor 'my_dag.leads'.*'other'"):
        world.advance(manifest, cursor_name="other")
    assert not (world.root / "elsewhere").exists()


def test_a_fetch_that_was_skipped_skips_it(world):
    with pytest.raises(AirflowSkipException):
        world.advance(None)


# ---------------------------------------------------------------------------------------------- owed sessions
class Inbox(World):
    """A sync of sessions and their messages."""

    def sessions(self, run_id, **arguments):
        return fetch(self, run_id, operator=RobofyFetchSessionsOperator, task_id="sessions", **arguments)

    def messages(self, run_id, sessions, **arguments):
        task = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions, max_failed_sessions=99, **arguments)
        shard = arguments.get("shard") or (0, 1)
        return task.execute(self._context("my_dag", run_id, "messages", map_index=shard[0]))

    def say(self, name: str, *, minutes_ago: float) -> None:
        self.emulator.add_session(name, chatbot_id=self.agent, last_message_time=NOW - timedelta(minutes=minutes_ago))

    def fail(self, name: str, times: int = 1) -> None:
        self.emulator.fault("status", status=400, endpoint="list_session_messages", session=name, times=times)

    def night(self, run_id: str, **arguments) -> tuple[dict, dict, dict]:
        sessions = self.sessions(run_id, **arguments)
        read = self.messages(run_id, sessions)
        return sessions, read, self.advance(sessions, read=read)


@pytest.fixture
def inbox(robofy_emulator_factory, tmp_path, monkeypatch):
    inbox = Inbox(robofy_emulator_factory(leads=0, sessions=0, sessions_page_size=2), tmp_path, monkeypatch)
    inbox.extra["max_attempts"] = 1
    for number in range(6):
        inbox.say(f"s-{number}", minutes_ago=1000 - number * 100)
    return inbox


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("privacy", [{}, {"session_id": "hash", "last_message": "drop"}])
@pytest.mark.parametrize("order", ["unknown", "newest_first"])
def test_a_session_that_failed_lands_again_until_it_is_read(inbox, ending, privacy, order):
    inbox.extra |= {"pseudonym_secret": "sixteen or more characters", "sessions_order": order, "privacy": privacy}
    inbox.fail("s-1", times=2)
    for number, owed in enumerate((1, 1, 0)):
        sessions, read, advanced = inbox.night(f"r{number}", output_path=str(inbox.root / f"{number}.{ending}"))
        assert (read["sessions_failed"], advanced["owed"]) == (owed, owed)
        if number:
            assert [row["session_id"] for row in rows(sessions)] == ["s-1"]
    with pytest.raises(AirflowSkipException):
        inbox.sessions("r4")


def test_it_is_given_up_after_seven_runs_with_a_warning_that_counts(inbox, caplog):
    inbox.fail("s-1", times=0)
    owed = [inbox.night(f"r{number}")[2]["owed"] for number in range(7)]
    assert owed == [1] * 6 + [0]
    assert "1 sessions could not be read in 7 runs" in caplog.text
    with pytest.raises(AirflowSkipException):
        inbox.sessions("r8")


def test_one_that_is_gone_from_the_listing_is_dropped_with_a_warning(inbox, caplog):
    inbox.fail("s-1")
    inbox.night("r1")
    inbox.emulator.delete_session("s-1", chatbot_id=inbox.agent)
    with pytest.raises(AirflowSkipException):
        inbox.sessions("r2")
    assert "1 sessions that were to be read again are gone" in caplog.text
    assert "owed" not in inbox.state


@pytest.mark.parametrize("kind", ["messages", "conversations"])
def test_shards_are_read_together_and_none_may_be_missing(inbox, kind):
    inbox.fail("s-1")
    sessions = inbox.sessions("r1")
    read = [
        inbox.messages("r1", sessions, shard=(index, 3), output_path=str(inbox.root / f"{index}.jsonl"), rows=kind)
        for index in range(3)
    ]
    with pytest.raises(AirflowFailException, match=r"shards \[1\] are missing"):
        inbox.advance(sessions, read=[read[0], read[2]])
    assert inbox.advance(sessions, read=read)["owed"] == 1


def test_messages_of_other_sessions_and_a_failed_file_that_is_gone_are_refused(inbox):
    inbox.fail("s-1")
    sessions = inbox.sessions("r1")
    read = inbox.messages("r1", sessions)
    other = inbox.sessions("r2")
    with pytest.raises(AirflowFailException, match="read: these are the messages of"):
        inbox.advance(other, read=read)
    Path(read["failed_uri"]).unlink()
    with pytest.raises(AirflowFailException, match="does not name the 1 sessions that failed"):
        inbox.advance(sessions, read=read)
    with pytest.raises(AirflowFailException, match="read must be what the messages tasks returned"):
        inbox.advance(sessions, read=[None])
    assert not (inbox.root / "cursors").exists()
