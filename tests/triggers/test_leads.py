"""The lead triggers: round trip, responsiveness, and the watcher's logic without an Airflow around it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.pages import Page
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.extract.arrivals import Head, ahead_of, as_landed
from airflow_provider_robofy.extract.cursor import Cursor, CursorRun
from airflow_provider_robofy.extract.cursor_store import cursor_key
from airflow_provider_robofy.extract.overlap import RowVersion
from airflow_provider_robofy.extract.privacy import applied_rules, check_rules
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.resources import LEADS
from airflow_provider_robofy.triggers import listing as module
from airflow_provider_robofy.triggers import polls
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsEventTrigger, RobofyNewLeadsTrigger
from tests.waiting import rebuilt

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from airflow_provider_robofy.hooks.connection import RobofyConnection

needs_watchers = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="watchers that read state came with Airflow 3.3")
NOW = datetime.now(UTC).replace(microsecond=0)
USUAL = {"max_attempts": 1, "leads_order": "newest_first"}


def wait_trigger(**changes) -> RobofyNewLeadsTrigger:
    return RobofyNewLeadsTrigger(
        **{
            "project_id": "24017",
            "chatbot_id": "agent",
            "since": "2025-01-15T00:00:00+00:00",
            "min_count": 2,
            "robofy_conn_id": "robofy_default",
            "poll_interval": 0.1,
            "deadline": time.time() + 5,
            **changes,
        }
    )


def event_trigger(robofy=None, **changes) -> RobofyNewLeadsEventTrigger:
    return RobofyNewLeadsEventTrigger(
        **{
            "project_id": 24017,
            "chatbot_id": robofy.chatbot_ids[0] if robofy else "agent",
            "cursor_name": "leads",
            "poll_interval": 0.05,
            "repeat_after": 60,
            **changes,
        }
    )


@pytest.fixture(autouse=True)
def _polls_as_often_as_asked(monkeypatch):
    monkeypatch.setattr(polls, "SPACING", 0.0)


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=30, page_size=10), **USUAL)


@pytest.mark.parametrize("make", [wait_trigger, pytest.param(event_trigger, marks=needs_watchers)])
def test_a_trigger_survives_the_database(make):
    trigger = make()
    again = rebuilt(trigger)
    assert type(again) is type(trigger)
    assert again.serialize() == trigger.serialize()
    if make is event_trigger:
        assert again.shared_stream_key() == trigger.shared_stream_key()


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="newer Airflows have it")
def test_an_older_airflow_is_told_at_construction():
    with pytest.raises(RobofyConfigError, match=r"3\.3.*RobofyNewLeadsSensor"):
        event_trigger()


# ---------------------------------------------------------------------------------------- a thousand on one loop


async def longest_stall(work, seconds: float) -> tuple[float, float]:
    """Return how long the event loop was held at a stretch while something ran: by the clock, and computing."""
    worst = busiest = 0.0
    task = asyncio.ensure_future(work)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before, busy = time.monotonic(), time.thread_time()
        await asyncio.sleep(0.005)
        worst = max(worst, time.monotonic() - before - 0.005)
        busiest = max(busiest, time.thread_time() - busy)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return worst, busiest


@pytest.mark.serial
@pytest.mark.parametrize("hanging", [False, True], ids=["the API answers", "the API hangs"])
def test_one_trigger_never_holds_the_loop(robofy, hanging):
    if hanging:
        robofy.configure(latency=60)

    async def run() -> tuple[float, float]:
        # What the first look-up of a connection imports, a triggerer has imported long since.
        await RobofyHook().aconnection()
        trigger = wait_trigger(chatbot_id=robofy.chatbot_ids[0], since=None, min_count=1000)

        async def consume() -> None:
            async for _ in trigger.run():
                pass

        return await longest_stall(consume(), 1.5)

    stalled, computing = asyncio.run(run())
    assert stalled < 0.8, "a call that blocks would hold it until the API answers"
    assert computing < 0.1


@pytest.mark.serial
def test_a_trigger_that_is_cancelled_ends(robofy):
    robofy.configure(latency=60)

    async def run() -> float:
        async def consume() -> None:
            async for _ in wait_trigger(chatbot_id=robofy.chatbot_ids[0], since=None).run():
                pass

        task = asyncio.ensure_future(consume())
        await asyncio.sleep(0.5)
        task.cancel()
        began = time.monotonic()
        await asyncio.gather(task, return_exceptions=True)
        return time.monotonic() - began

    assert asyncio.run(run()) < 1


# ------------------------------------------------------------------------------------------ ahead of the cursor


def kept(row_id: str, minutes_ago: float = 0, fingerprint: str | None = None) -> RowVersion:
    return RowVersion(row_id, fingerprint or f"hash of {row_id}", NOW - timedelta(minutes=minutes_ago))


@pytest.mark.parametrize(
    ("cursor", "ids"),
    [
        (Cursor(), ["a", "b", "c"]),
        (Cursor(watermark=NOW - timedelta(minutes=5)), ["a", "b"]),
        (Cursor(watermark=NOW - timedelta(minutes=5), overlap=(kept("a", 0), kept("b", 5))), []),
        (Cursor(watermark=NOW - timedelta(minutes=5), overlap=(kept("a", 0, "an older version"),)), ["a", "b"]),
        (Cursor(watermark=NOW - timedelta(minutes=5), overlap=(kept("", 0, "hash of a"),)), ["b"]),
        (Cursor(watermark=NOW + timedelta(minutes=5)), []),
    ],
    ids=["never synced", "behind", "all landed", "one has changed", "a cursor without ids", "in the future"],
)
def test_ahead_are_the_rows_at_or_after_the_mark_that_have_not_landed(cursor, ids):
    head = tuple(kept(row_id, ago) for row_id, ago in (("a", 0), ("b", 5), ("c", 6)))
    assert [one.row_id for one in ahead_of(head, cursor)] == ids


def test_the_head_of_an_unordered_listing_is_its_newest_end():
    head = Head(LEADS, TimeReader().read, newest_first=False)
    for number in range(1, 31):
        rows = [{"id": f"l{number}-{i}", "created_at": f"2025-01-{number:02} 00:00:{i:02}"} for i in range(50)]
        assert not head.is_enough(Page(number, [*rows, "no row", {"id": None}, {"id": "undated"}], None, None))
    assert len(head.rows) == 500
    assert head.rows[0].row_id == "l30-49"
    assert head.rows[-1].row_id == "l21-0"


def test_a_row_that_cannot_be_hashed_is_no_arrival_and_hides_no_other():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    head = Head(LEADS, TimeReader().read, newest_first=True)
    rows = [{"id": name, "created_at": "2025-01-15 10:30:00", "x": x} for name, x in (("deep", deep), ("flat", 1))]
    head.is_enough(Page(1, rows, None, None))
    assert [one.row_id for one in head.rows] == ["flat"]


# ------------------------------------------------------------------------------------------------- the watcher


class State:
    """An asset's state, and how often it was asked for."""

    def __init__(self) -> None:
        self.body: Any = None
        self.asked = 0

    async def aget(self, key):
        self.asked += 1
        self.key = key
        return self.body


async def some_events(trigger, seconds: float, between=lambda: None) -> list[dict]:
    events: list[dict] = []

    async def consume() -> None:
        async for event in trigger.run():
            events.append(event.payload)
            between()

    task = asyncio.ensure_future(consume())
    await asyncio.sleep(seconds)
    task.cancel()
    [result] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(result, asyncio.CancelledError), result
    return events


def watch(trigger, state, seconds=1.0, between=lambda: None) -> list[dict]:
    trigger.asset_state_store = state
    return asyncio.run(some_events(trigger, seconds, between))


def body_of(robofy, cursor: Cursor) -> dict:
    identity = {"name": "leads", "resource": "leads", "project_id": "24017", "chatbot_id": robofy.chatbot_ids[0]}
    return cursor.encode(identity)


@needs_watchers
def test_a_watcher_sends_one_event_while_nothing_changes(robofy):
    state = State()
    [event] = watch(event_trigger(robofy), state)
    assert event["count"] == 10, "what the first page shows"
    assert event["chatbot_id"] == robofy.chatbot_ids[0]
    assert set(event) == {"resource", "project_id", "chatbot_id", "count", "lead_ids", "first_at", "last_at"}
    assert state.key == cursor_key("leads", "leads", "24017", robofy.chatbot_ids[0])
    assert robofy.count("list_leads") > 5, "it goes on polling"
    assert state.asked == 1, "the cursor is asked for when something has changed, not at every poll"


@needs_watchers
def test_the_event_is_repeated_while_the_sync_does_not_follow(robofy):
    assert len(watch(event_trigger(robofy, repeat_after=0.1), State(), 1.2)) >= 3


@needs_watchers
def test_the_pause_doubles_while_the_cursor_does_not_move_and_new_leads_wait_for_it(robofy):
    """A load that fails does not start run after run; once the cursor moves, events come at once again."""
    agent = robofy.chatbot_ids[0]
    state = State()

    def arrive() -> None:
        robofy.add_leads(1, chatbot_id=agent, created_at=datetime.now(UTC).replace(microsecond=0))

    events = watch(event_trigger(robofy, repeat_after=0.5), state, 3.6, between=arrive)
    assert events[-1]["count"] == 10
    in_grace = robofy.count("list_leads") // 4  # polls of the first half second, each of which finds a new lead
    assert 3 <= len(events) <= in_grace + 4, "and then after 0.5, 1 and 2 seconds"

    def move() -> None:
        moved.append(state.body)
        state.body = body_of(robofy, Cursor(watermark=NOW - timedelta(days=9), generation=f"g{len(moved)}"))

    moved: list = []
    assert len(watch(event_trigger(robofy, repeat_after=0.2), state, 1.5, between=move)) >= 5


@needs_watchers
def test_it_is_silent_once_the_sync_has_caught_up_and_speaks_of_the_next_lead(robofy):
    state = State()
    newest = datetime.fromisoformat(robofy.leads(robofy.chatbot_ids[0])[0]["created_at"]).replace(tzinfo=UTC)
    state.body = body_of(robofy, Cursor(watermark=newest + timedelta(seconds=1)))
    assert watch(event_trigger(robofy), state, 0.5) == []
    robofy.add_leads(1, chatbot_id=robofy.chatbot_ids[0], created_at=NOW)
    [event] = watch(event_trigger(robofy), state, 0.5)
    assert (event["count"], event["last_at"]) == (1, NOW.isoformat())


@needs_watchers
def test_it_never_raises_and_backs_off_while_the_api_fails(robofy, monkeypatch, caplog):
    pauses, sleep = [], asyncio.sleep

    def record(seconds: float) -> Awaitable[None]:
        pauses.append(seconds)
        return sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", record)
    robofy.fault("status", status=500, endpoint="list_leads", times=3)
    [event] = watch(event_trigger(robofy), State(), 3.0)
    assert event["count"] == 10
    assert caplog.text.count("cannot be watched") == 3
    assert [one for one in pauses if one in (0.1, 0.2, 0.4)] == [0.1, 0.2, 0.4], "each is twice the one before"


@needs_watchers
def test_a_wrong_key_is_asked_with_rarely_and_may_be_mended(robofy, monkeypatch, caplog):
    monkeypatch.setattr(module, "MAX_BACKOFF", 0.3)
    robofy.configure(api_key="another")

    async def run() -> list[dict]:
        trigger = event_trigger(robofy)
        trigger.asset_state_store = State()  # type: ignore[assignment]
        asyncio.get_running_loop().call_later(0.5, lambda: robofy.configure(api_key="demo-key"))
        return await some_events(trigger, 1.5)

    assert len(asyncio.run(run())) == 1
    assert "password field" in caplog.text
    assert sum(one.status == 401 for one in robofy.requests) <= 3


@needs_watchers
def test_a_missing_connection_does_not_end_it(robofy, monkeypatch, caplog):
    monkeypatch.delenv("AIRFLOW_CONN_ROBOFY_DEFAULT")
    assert watch(event_trigger(robofy), State(), 0.5) == []
    assert "cannot be watched" in caplog.text


@needs_watchers
def test_a_damaged_cursor_does_not_end_it(robofy, caplog):
    state = State()
    state.body = {"schema_version": 1}
    assert watch(event_trigger(robofy), state, 0.5) == []
    assert "cursor cannot be read" in caplog.text


@needs_watchers
def test_a_trigger_of_two_assets_says_once_what_to_change(robofy, caplog):
    from airflow.sdk import Asset
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors

    state = AssetStateStoreAccessors(inlets=[Asset("one"), Asset("two")])
    assert watch(event_trigger(robofy), state, 0.5) == []
    assert robofy.count("list_leads") > 3
    assert caplog.text.count("Give each asset a trigger of its own") == 1


@needs_watchers
def test_an_event_holds_no_personal_data(robofy):
    robofy.add_leads(
        1,
        chatbot_id=robofy.chatbot_ids[0],
        created_at=NOW,
        lead_data=[{"field_name": "email", "field_type": "email", "field_value": "planted@example.com"}],
    )
    [event] = watch(event_trigger(robofy), State(), 0.4)
    assert "planted@example.com" not in json.dumps(event)


# ----------------------------------------------------------------------------- the watcher and the privacy rules
KEY = "a-pseudonym-key-of-a-test"


@pytest.fixture
def set_rules(robofy, connect):
    """Set extras of the connection, and return it."""

    def set_rules(**extra) -> RobofyConnection:
        connect(robofy, **USUAL, **extra)
        return RobofyHook().connection

    return set_rules


def landed(robofy, connection, own=None, *, known=True) -> Cursor:
    """Return the cursor of a sync that has landed everything under the connection's rules and its own."""
    policy = connection.privacy_policy(LEADS, check_rules(own, "privacy") if own else None)
    run = CursorRun(
        store=SimpleNamespace(load=lambda: None, where="here"),
        identity={},
        run_key="run",
        timezone="UTC",
        lag=timedelta(days=10_000),
        full_every=None,
        now=NOW,
        privacy=applied_rules(policy) if known else None,
    )
    for row in robofy.leads(robofy.chatbot_ids[0]):
        at = datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC)
        row = row if policy is None else policy.land(row)  # noqa: PLW2901
        run.overlap.add(row["id"], at, row)
    return run.after(NOW)


RULES = [
    ({}, None),
    ({"privacy": {"ip_address": "drop"}}, None),
    ({"privacy": {"ip_address": "drop"}}, {"lead_data.email": "hash", "lead_data.*": "drop"}),
    ({"privacy": {"ip_address": "drop", "lead_data": "hash"}}, {"ip_address": "keep"}),
    ({}, {"id": "hash", "*": "drop"}),
    ({"privacy": {"*": "hash"}}, {"page_url": "keep"}),
]


@needs_watchers
@pytest.mark.parametrize(("extra", "own"), RULES)
def test_it_compares_rows_as_they_land_under_the_rules_of_connection_and_task(robofy, set_rules, caplog, extra, own):
    connection = set_rules(pseudonym_secret=KEY, **extra)
    state = State()
    state.body = json.loads(json.dumps(body_of(robofy, landed(robofy, connection, own))))
    assert watch(event_trigger(robofy, repeat_after=0.1), state, 0.6) == []
    assert state.asked > 1
    assert "privacy" not in caplog.text

    robofy.add_leads(1, chatbot_id=robofy.chatbot_ids[0], created_at=NOW)
    [newest, *_] = robofy.leads(robofy.chatbot_ids[0])
    [event] = watch(event_trigger(robofy), state, 0.5)
    hashes_id = (own or {}).get("id") == "hash"
    assert event["lead_ids"] == [Pseudonyms(KEY).exact(newest["id"]) if hashes_id else newest["id"]]


@needs_watchers
@pytest.mark.parametrize(
    "now",
    [
        {"pseudonym_secret": KEY},
        {"pseudonym_secret": f"{KEY}2", "privacy": {"ip_address": "hash"}},
        {"pseudonym_secret": KEY, "privacy": {"ip_address": "drop"}},
        {"pseudonym_secret": KEY, "privacy": {"ip_address": "hash", "nothing": "drop"}},
    ],
    ids=["no rules", "another key", "another action", "one rule more"],
)
def test_under_other_rules_than_the_cursors_it_says_so_once_and_takes_what_follows_the_watermark(
    robofy, set_rules, caplog, now
):
    cursor = landed(robofy, set_rules(pseudonym_secret=KEY, privacy={"ip_address": "hash"}))
    newest = [
        datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC) for row in robofy.leads(robofy.chatbot_ids[0])
    ]
    state = State()
    state.body = body_of(robofy, replace(cursor, watermark=newest[4]))
    set_rules(**now)
    events = watch(event_trigger(robofy, repeat_after=0.1), state, 1.2)
    assert len(events) >= 3
    assert {event["count"] for event in events} == {sum(at >= newest[4] for at in newest)}
    assert caplog.text.count("written under other privacy rules") == 1
    assert KEY not in caplog.text


@needs_watchers
def test_a_cursor_of_an_earlier_version_is_compared_under_the_connections_rules(robofy, set_rules):
    connection = set_rules(privacy={"ip_address": "drop"})
    state = State()
    state.body = body_of(robofy, landed(robofy, connection, known=False))
    assert "privacy" not in state.body
    assert watch(event_trigger(robofy, repeat_after=0.1), state, 0.5) == []


@needs_watchers
@pytest.mark.parametrize(
    "privacy", [5, [], {"rules": []}, {"rules": {}, "own": None, "key": None}, {"rules": {"a": "x"}, "own": ["a"]}]
)
def test_a_cursor_with_damaged_rules_does_not_end_it(robofy, caplog, privacy):
    state = State()
    state.body = {**body_of(robofy, Cursor()), "privacy": privacy}
    assert watch(event_trigger(robofy), state, 0.4) == []
    assert "cursor cannot be read" in caplog.text


def test_the_newest_rows_show_no_personal_data():
    head = Head(LEADS, TimeReader().read, newest_first=True)
    head.is_enough(Page(1, [{"id": "1", "created_at": "2025-01-01 00:00:00", "ip_address": "planted"}], None, None))
    assert "planted" not in repr(head.rows)
    assert "planted" not in repr(as_landed(head.rows, LEADS, None))


def test_of_rows_with_one_id_and_time_any_content_is_put_in_order():
    head = Head(LEADS, TimeReader().read, newest_first=True)
    row = {"id": "1", "created_at": "2025-01-01 00:00:00"}
    head.is_enough(Page(1, [{**row, "a": {}}, {**row, "a": []}, row, row], None, None))
    assert len(head.rows) == 4


@needs_watchers
def test_a_hundred_watchers_share_one_request_a_poll(robofy):
    """Airflow's own manager of shared streams, with a hundred of our triggers."""
    from airflow.triggers.shared_stream import SharedStreamManager

    async def run() -> tuple[int, int]:
        manager = SharedStreamManager()
        triggers = [event_trigger(robofy, cursor_name=f"sync-{i}", poll_interval=0.2) for i in range(100)]
        heard = 0

        async def follow(number: int, trigger) -> None:
            nonlocal heard
            trigger.asset_state_store = State()
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
            async for _ in trigger.filter_shared_stream(stream):
                heard += 1

        tasks = [asyncio.ensure_future(follow(number, trigger)) for number, trigger in enumerate(triggers)]
        await asyncio.sleep(2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return heard, robofy.count("list_leads")

    heard, requests = asyncio.run(run())
    assert heard == 100
    assert requests <= 2 / 0.2 + 1
