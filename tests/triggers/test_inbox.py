"""The session triggers: what they do not share with those of leads."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.cursor_store import cursor_key
from airflow_provider_robofy.operators.inbox import RobofyFetchSessionsOperator
from airflow_provider_robofy.triggers import polls
from airflow_provider_robofy.triggers.inbox import RobofyNewSessionsEventTrigger, RobofyNewSessionsTrigger
from tests.operators.sync_world import World
from tests.triggers.test_leads import State, watch
from tests.waiting import rebuilt

needs_watchers = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="watchers that read state came with Airflow 3.3")
PHONE = "+4915100099887"


def ago(seconds: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)


@pytest.fixture
def world(robofy_emulator_factory, tmp_path, monkeypatch):
    """Return an agent whose listing comes newest first, three sessions on a page."""
    monkeypatch.setattr(polls, "SPACING", 0.0)
    emulator = robofy_emulator_factory(leads=0, sessions=6, sessions_page_size=3, agents=1)
    world = World(emulator, tmp_path, monkeypatch)
    world.extra = {"max_attempts": 1, "sessions_order": "newest_first"}
    connection = json.loads(emulator.connection_json())
    connection["extra"].update(world.extra)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    return world


def trigger_of(world: World, **changes: Any) -> RobofyNewSessionsEventTrigger:
    arguments = {"cursor_name": "sessions", "poll_interval": 0.05, "repeat_after": 60, **changes}
    return RobofyNewSessionsEventTrigger(chatbot_id=world.agent, **arguments)


def synced(world: World, run_id: str = "r1", **arguments: Any) -> State:
    """Return the state of a cursor after a run that has landed what there is."""
    world.run(run_id, operator=RobofyFetchSessionsOperator, cursor_name="sessions", **arguments)
    state = State()
    state.body = world.state
    return state


def test_the_sensors_trigger_survives_the_database():
    trigger = RobofyNewSessionsTrigger(
        project_id=None,
        chatbot_id="agent",
        since=None,
        min_count=2,
        robofy_conn_id="robofy_default",
        poll_interval=60,
        deadline=time.time(),
        idle_for=timedelta(hours=1),
    )
    assert rebuilt(trigger).serialize() == trigger.serialize()
    assert trigger.serialize()[1]["idle_for"] == 3600


@needs_watchers
def test_the_watchers_trigger_survives_the_database_and_shares_polls_only_with_its_idle_for():
    trigger = RobofyNewSessionsEventTrigger(chatbot_id="agent", cursor_name="sessions", idle_for=timedelta(hours=1))
    again = rebuilt(trigger)
    assert again.serialize() == trigger.serialize()
    assert again.shared_stream_key() == trigger.shared_stream_key()
    other = RobofyNewSessionsEventTrigger(chatbot_id="agent", cursor_name="another", idle_for=60)
    assert other.shared_stream_key() != trigger.shared_stream_key()


@needs_watchers
def test_an_empty_argument_is_refused():
    with pytest.raises(RobofyConfigError, match="cursor_name is empty"):
        RobofyNewSessionsEventTrigger(chatbot_id="agent", cursor_name=" ")


@needs_watchers
def test_an_event_names_no_session(world, caplog):
    world.emulator.add_session(PHONE, at=ago(100), messages=2)
    state = State()
    [event] = watch(trigger_of(world), state)
    assert event["count"] == 3, "what the first page shows"
    assert (event["resource"], event["project_id"], event["chatbot_id"]) == ("sessions", "24017", world.agent)
    assert set(event) == {"resource", "project_id", "chatbot_id", "count", "first_at", "last_at"}
    assert state.key == cursor_key("sessions", "sessions", "24017", world.agent)
    assert PHONE not in caplog.text + json.dumps(event)


@needs_watchers
@pytest.mark.parametrize("privacy", [None, {"session_id": "hash", "last_message": "drop"}], ids=["open", "private"])
def test_it_is_silent_until_a_session_has_been_silent_for_long_enough(world, privacy):
    if privacy:
        world.extra["pseudonym_secret"] = "sixteen characters"
    state = synced(world, idle_for=2, privacy=privacy)
    assert watch(trigger_of(world, idle_for=2), state, 0.4) == []
    at = ago(0)
    for number in range(7):  # more than two pages that do not count yet
        world.emulator.add_session(f"new {number}", at=at)
    [event] = watch(trigger_of(world, idle_for=2), state, 3.5)
    assert (event["count"], event["last_at"]) == (3, at.isoformat()), "what the first page shows"
    assert watch(trigger_of(world, idle_for=2), synced(world, "r2", idle_for=2, privacy=privacy), 0.4) == []


@needs_watchers
def test_another_idle_for_than_the_fetchs_is_warned_of_once_and_ends_nothing(world, caplog):
    state = synced(world, idle_for=3600)
    world.emulator.add_session("new", at=ago(100))
    events = watch(trigger_of(world, idle_for=60, repeat_after=0.1), state, 0.8)
    assert len(events) > 1
    assert {event["count"] for event in events} == {1}
    assert caplog.text.count("idle_for is 60 seconds here, and was 3600 in the fetch") == 1
