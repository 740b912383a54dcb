"""Cursor mode of RobofyFetchLeadsOperator: over the emulator, with a file as store and with an asset's state."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.envelopes import read_rows
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.cursor import main as command
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.operators import cursor_store
from airflow_provider_robofy.operators.base import full_path_component
from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.operators.conftest import lines
from tests.operators.sync_world import NOW, State, World

needs_asset_state = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")


def cursor_file(world) -> Path:
    [path] = (world.root / "cursors").glob("*.json")
    return path


def test_the_first_run_lands_everything_and_the_next_only_what_is_new(world):
    first = world.run("r1")
    world.arrive(3)
    second = world.run("r2")
    assert (first["mode"], first["rows"], first["watermark_before"]) == ("full", 12, None)
    assert (second["mode"], second["rows"]) == ("cursor", 3)
    assert second["watermark_before"] == first["watermark_after"]
    assert set(world.ids(first)) & set(world.ids(second)) == set()
    assert second["received"] == second["rows"] + second["duplicates"] + second["outside_window"]


def test_nothing_new_skips_the_task_and_writes_no_file_unless_told_to(world):
    world.run("r1")
    before, state = sorted(world.root.rglob("*")), world.state
    with pytest.raises(AirflowSkipException, match="No leads since"):
        world.run("r2")
    assert sorted(world.root.rglob("*")) == before
    assert world.state == state
    assert world.pushed["manifest"]["rows"] == 0
    assert Path(world.run("r2", skip_if_empty=False)["uri"]).read_bytes() == b""


def test_an_empty_first_sync_keeps_no_mark(robofy_emulator_factory, tmp_path, monkeypatch):
    world = World(robofy_emulator_factory(leads=0), tmp_path, monkeypatch)
    with pytest.raises(AirflowSkipException):
        world.run("r1")
    world.arrive(1, minutes_ago=600)
    assert world.run("r2")["rows"] == 1


@pytest.mark.parametrize(("late", "lag"), [(9, {}), (20, {"lag": timedelta(minutes=30)})])
def test_a_lead_that_turns_up_late_within_the_lag_is_landed_once(world, late, lag):
    world.run("r1", **lag)
    world.arrive(1)
    world.run("r2", **lag)
    world.arrive(1, minutes_ago=late)
    assert world.run("r3", **lag)["rows"] == 1
    with pytest.raises(AirflowSkipException):
        world.run("r4", **lag)


def test_a_lead_without_a_readable_time_lands_once_and_does_not_hold_up_the_sync(world, monkeypatch):
    """Such a row may lie anywhere; refused by every run, it would keep the mark where it is for good."""
    row = {"id": "lead_undated", "created_at": "some day", "source": "chatbot"}

    def with_one_more(payload, names):
        rows = read_rows(payload, names)
        return replace(rows, items=[row, *rows.items])

    world.run("r1")
    monkeypatch.setattr(endpoints, "read_rows", with_one_more)
    second = world.run("r2")
    assert (second["rows"], second["undated"], second["rejected"]) == (1, 1, 0)
    world.arrive(1)
    third = world.run("r3")
    assert (third["rows"], third["undated"]) == (1, 0)


def test_a_changed_lead_within_the_lag_lands_again(world):
    world.arrive(1)
    newest = world.ids(world.run("r1"))[0]
    world.emulator.change_lead(newest, chatbot_id=world.agent, source="changed")
    assert world.ids(world.run("r2")) == [newest]


def test_an_older_run_that_is_cleared_returns_its_manifest_again_while_its_file_is_whole(world):
    world.run("r1")
    world.arrive(2)
    second = world.run("r2")
    world.arrive(1)
    world.run("r3")
    path, state = Path(second["uri"]), world.state
    before = path.read_bytes()
    assert world.run("r2") == second
    assert (path.read_bytes(), world.state) == (before, state)
    path.write_bytes(b"cut")
    with pytest.raises(AirflowFailException, match=r"later runs have moved the cursor.*sha256.*robofy_cursor"):
        world.run("r2")
    assert path.read_bytes() == b"cut"


def test_a_run_that_failed_before_it_landed_may_run_later(world):
    world.run("r1")
    world.arrive(1)
    world.run("r3")
    world.arrive(1)
    assert world.run("r2")["rows"] == 1


def test_full_every_reads_everything_again(world):
    world.run("r1", full_every=timedelta(days=1))
    with pytest.raises(AirflowSkipException):
        world.run("r2", full_every=timedelta(days=1))
    third = world.run("r3", full_every=timedelta(0))
    assert (third["mode"], third["rows"]) == ("full", 12)
    with pytest.raises(AirflowSkipException):
        world.run("r4", full_every=timedelta(days=1))


@pytest.mark.parametrize(
    ("wish", "rows"), [("reset", 14), ((NOW - timedelta(minutes=30)).isoformat(), 2)], ids=["reset", "a time"]
)
def test_a_run_may_be_told_where_to_start(world, wish, rows):
    world.run("r1")
    world.arrive(2, minutes_ago=5)
    world.run("r2")
    assert world.run("manual", conf={"robofy_cursor": wish})["rows"] == rows
    with pytest.raises(AirflowSkipException):
        world.run("r3")


def test_a_reset_works_over_a_damaged_cursor(world):
    world.run("r1")
    cursor_file(world).write_text("{")
    with pytest.raises(AirflowFailException, match=r"damaged.*robofy_cursor"):
        world.run("r2")
    assert world.run("manual", conf={"robofy_cursor": "reset"})["rows"] == 12


def test_a_cursor_from_a_newer_version_is_left_alone(world):
    world.run("r1")
    cursor_file(world).write_text(json.dumps({**world.state, "schema_version": 99}))
    with pytest.raises(AirflowFailException, match="newer version"):
        world.run("r2")


@pytest.mark.parametrize(
    ("root", "arguments", "words"),
    [
        (None, {"run_type": "backfill"}, "backfill cannot use a cursor"),
        (None, {"conf": {"robofy_cursor": "yesterday"}}, "robofy_cursor"),
        ("", {"output_path": "/tmp/x.jsonl"}, r"cursor='cursors' is a relative path.*landing_root"),
        (None, {"output_path": "я" * 120 + ".csv.gz"}, "^output_path: a name in .* is too long"),
        (None, {"cursor": "件" * 90}, "^cursor: a name in .* is too long"),
        (None, {"cursor": f"/tmp/{'x' * 300}/cursor.json"}, "^cursor: a name in .* is too long"),
    ],
)
def test_what_no_cursor_can_be_kept_with_fails_before_anything_is_asked(world, monkeypatch, root, arguments, words):
    if root is not None:
        monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", root)
    with pytest.raises(AirflowFailException, match=words):
        world.run("r1", **arguments)
    assert not world.emulator.requests
    assert list(world.root.iterdir()) == []


def test_another_zone_reads_everything_again(world):
    world.run("r1")
    world.extra["timezone"] = "Asia/Kolkata"
    assert world.run("r2")["mode"] == "full"


def test_rejected_rows_beyond_the_limit_do_not_move_the_cursor(world):
    world.run("r1")
    state = world.state
    world.arrive(1)
    world.emulator.fault("malformed_rows", endpoint="list_leads", page=1, count=1, how="no_id", times=1)
    with pytest.raises(RobofyDataError):
        world.run("r2")
    assert world.state == state
    assert world.pushed["manifest"]["rejected"] == 1
    assert world.run("r2")["rows"] == 1


def test_newest_first_reads_the_new_pages_and_one_more(robofy_emulator_factory, tmp_path, monkeypatch):
    world = World(robofy_emulator_factory(leads=1000, page_size=10), tmp_path, monkeypatch)
    world.extra["leads_order"] = "newest_first"
    world.run("r1")
    world.arrive(25)
    manifest = world.run("r2")
    assert (manifest["rows"], manifest["end_marker"]) == (25, "early")
    assert manifest["pages"] <= 3 + 1 + 1, "ceil(25/10) new pages, one more, and the lag's one"


def test_each_agent_has_its_own_cursor_in_a_folder_and_two_cannot_share_a_file(world):
    file = str(world.root / "one.json")
    world.run("one", cursor=file)
    for index, agent in enumerate(world.emulator.chatbot_ids):
        world.agent = agent
        world.run("r1", chatbot_id=agent, map_index=index)
    assert len(list((world.root / "cursors").glob("*.json"))) == 2
    with pytest.raises(AirflowFailException, match=r"another sync: chatbot_id"):
        world.run("r2", cursor=file)


def test_sessions_have_a_cursor_too_and_it_holds_no_session_id(robofy_emulator_factory, tmp_path, monkeypatch):
    world = World(robofy_emulator_factory(leads=0, sessions=20), tmp_path, monkeypatch)
    world.emulator.add_session("+4915100099887", at=NOW)
    first = world.run("r1", operator=RobofyFetchSessionsOperator)
    assert (first["mode"], first["rows"]) == ("full", 21)
    with pytest.raises(AirflowSkipException):
        world.run("r2", operator=RobofyFetchSessionsOperator)
    world.emulator.add_message("+4915100099887", "hello again", at=NOW + timedelta(seconds=1))
    [row] = lines(world.run("r3", operator=RobofyFetchSessionsOperator)["uri"])
    assert row["session_id"] == "+4915100099887"
    assert world.state["kept"]
    assert "4915100099887" not in json.dumps(world.state)


# -------------------------------------------------------------------------------------------------- asset state


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="newer Airflows have it")
def test_an_asset_as_cursor_needs_airflow_3_3():
    with pytest.raises(RobofyConfigError, match=r"3\.3"):
        RobofyFetchLeadsOperator(task_id="leads", cursor=Asset("robofy://agents.robofy.ai/1/a/leads"))


@needs_asset_state
def test_an_assets_state_keeps_the_cursor_like_a_file_does(world):
    asset = leads_asset(24017, world.agent)
    world.states[asset] = {}
    assert world.run("r1", cursor=asset, cursor_name="leads")["rows"] == 12
    world.arrive(2)
    assert world.run("r2", cursor=asset, cursor_name="leads")["rows"] == 2
    assert list(world.states[asset]) == [f"robofy:leads:leads:24017:{world.agent}"]


@needs_asset_state
def test_the_asset_becomes_an_inlet_and_no_outlet():
    asset = leads_asset(24017, "agent")
    with DAG("inlets", start_date=datetime(2025, 1, 1, tzinfo=UTC), schedule=None):
        leads = RobofyFetchLeadsOperator(task_id="leads", cursor=asset)
        advance = RobofyAdvanceCursorOperator(task_id="advance", manifest={}, cursor=asset)
    for task in (leads, advance):
        assert (task.inlets, task.outlets) == ([asset], [])


@pytest.mark.parametrize(("project", "agent"), [("{{ params.p }}", "a"), ("1", "{{ x }}"), ("", "a"), (None, "a")])
def test_an_asset_of_ids_that_are_not_known_at_parse_is_refused(project, agent):
    with pytest.raises(RobofyConfigError, match="written out"):
        leads_asset(project, agent)


@pytest.fixture
def large(world, monkeypatch):
    """Give a world whose cursor is too large for the asset's state: its values, and the file beside the data."""
    monkeypatch.setattr(cursor_store, "MAX_BYTES", 2000)
    world.asset = leads_asset(24017, world.agent)
    world.values = world.states[world.asset] = {}
    world.arrive(60)
    world.overflow = Path(f"{world.run('r1', cursor=world.asset)['uri']}.cursor.json")
    return world


@needs_asset_state
def test_a_cursor_too_large_for_the_database_goes_to_a_file_beside_the_data(large):
    [value] = large.values.values()
    assert json.loads(value) == {"at": str(large.overflow)}
    assert large.overflow.exists()
    large.arrive(1)
    assert large.run("r2", cursor=large.asset)["rows"] == 1
    assert not large.overflow.exists(), "the file that is no longer pointed to is removed"


@needs_asset_state
@pytest.mark.parametrize("damage", [None, "half", "[]", '{"at": null}'])
def test_an_overflow_file_that_is_gone_or_damaged_is_no_new_cursor_and_a_reset_helps(large, damage):
    [key] = large.values
    if damage is None:
        large.overflow.unlink()
    elif "at" in damage:
        large.values[key] = damage
    else:
        large.overflow.write_text(damage)
    before = dict(large.values)
    with pytest.raises(
        AirflowFailException, match=r"is (damaged|not a cursor).*\{\"robofy_cursor\": \"reset\"\}"
    ) as error:
        large.run("r2", cursor=large.asset)
    assert damage not in {None, "half"} or str(large.overflow) in str(error.value)
    assert large.values == before
    assert large.run("r3", cursor=large.asset, conf={"robofy_cursor": "reset"})["rows"] == 72


@needs_asset_state
def test_an_overflow_file_that_another_run_replaced_meanwhile_is_read_where_it_is_now(large, monkeypatch):
    [key] = large.values
    moved = large.root / "moved.cursor.json"
    read = State.get

    def late(self, name):
        value = read(self, name)
        if not moved.exists():
            large.overflow.rename(moved)
            large.values[key] = json.dumps({"at": str(moved)})
        return value

    monkeypatch.setattr(State, "get", late)
    large.arrive(1)
    assert large.run("r2", cursor=large.asset)["rows"] == 1


@needs_asset_state
def test_an_overflow_file_that_cannot_be_removed_is_only_warned_about(large, monkeypatch, caplog):
    large.arrive(1)
    remove = Store.remove

    def refuse(self):
        if self.path.endswith(".cursor.json"):
            raise PermissionError(13, "no deletion here", self.path)
        remove(self)

    monkeypatch.setattr(Store, "remove", refuse)
    assert large.run("r2", cursor=large.asset)["rows"] == 1
    assert "could not be removed" in caplog.text


# ------------------------------------------------------------------------------------------------- the privacy rules
def test_the_cursor_says_under_which_rules_it_was_written(world):
    world.extra = {"privacy": {"ip_address": "drop"}, "pseudonym_secret": "0123456789abcdef"}
    world.run("r1", privacy={"lead_data": "hash"})
    applied = world.state["privacy"]
    assert applied["rules"] == {"created_at": "keep", "id": "keep", "ip_address": "drop", "lead_data": "hash"}
    assert applied["own"] == ["lead_data"]
    assert applied["key"]
    assert "0123456789abcdef" not in json.dumps(world.state)


@pytest.mark.parametrize("change", ["other rules", "an earlier version wrote none"])
def test_under_other_rules_the_cursor_moves_though_nothing_is_new(world, change):
    """Otherwise a watcher would go on comparing the listing under the rules of the run before."""
    world.run("r1")
    before = world.state
    if change == "other rules":
        world.extra = {"privacy": {"no_such_field": "drop"}}
    else:
        cursor_file(world).write_text(json.dumps({name: of for name, of in before.items() if name != "privacy"}))
    with pytest.raises(AirflowSkipException):
        world.run("r2")
    after = world.state
    assert ("no_such_field" in after["privacy"]["rules"]) == (change == "other rules")
    assert (after["watermark"], after["kept"]) == (before["watermark"], before["kept"])
    with pytest.raises(AirflowSkipException):
        world.run("r3")
    assert world.state == after


# ------------------------------------------------------------------------------------------------------ long names
@pytest.mark.parametrize(
    ("dag_id", "task_id"),
    [
        ("я" * 30, "загрузка_лиды"),
        ("d" * 140, "t" * 90),
        ("件" * 29, "leads"),
        ("d" * 250, "t" * 250),
        ("😀" * 60, "x"),
    ],
)
@pytest.mark.parametrize("map_index", [-1, 12345])
def test_ids_of_any_length_land_and_keep_a_cursor(world, dag_id, task_id, map_index):
    names = {"dag_id": dag_id, "task_id": task_id, "map_index": map_index}
    first = world.run("r" * 250, **names)
    world.arrive(2)
    second = world.run("r" * 249 + "s", **names)
    assert (first["rows"], second["rows"]) == (12, 2)
    assert first["uri"] != second["uri"]
    assert cursor_file(world).exists()
    assert all(len(part.encode()) <= 255 for path in world.root.rglob("*") for part in path.parts)


def test_two_long_names_that_begin_alike_get_two_cursors(world):
    for end in "ab":
        assert world.run("r1", dag_id="d" * 249 + end, task_id="leads")["rows"] == 12
    assert len(list((world.root / "cursors").glob("*.json"))) == 2


def test_a_cursor_under_the_long_name_of_an_earlier_version_is_found(world, monkeypatch):
    name = f"{'d' * 150}.leads"
    with monkeypatch.context() as patch:
        patch.setattr(cursor_store, "path_component", full_path_component)
        world.run("r1", cursor_name=name)
    path = cursor_file(world)
    assert len(path.name) > 205
    world.arrive(1)
    assert world.run("r2", cursor_name=name)["rows"] == 1
    assert cursor_file(world) == path


def test_the_spool_of_a_killed_run_is_swept_by_the_next_run_after_a_day(world):
    folder = Path(world.run("killed")["uri"]).parent
    for path in folder.iterdir():
        path.unlink()
    spool = folder / ".leads.jsonl.0123456789ab.part"
    spool.write_text("leads")
    world.arrive(1)
    world.run("r2")
    assert spool.exists()
    for path in (spool, folder):
        os.utime(path, (time.time() - 90_000,) * 2)
    world.arrive(1)
    world.run("r3")
    assert not folder.exists()


# ------------------------------------------------------------------------------------------------------ the command
def test_the_command_shows_and_resets_a_cursor(world, capsys):
    world.run("r1")
    path = cursor_file(world)
    capsys.readouterr()  # Airflow 2.11 logs there too
    assert command(["show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["moved_by"] == "my_dag/r1/leads"
    assert "lead_" not in shown

    assert command(["reset", f"cursors/{path.name}", "--to", NOW.isoformat()]) == 0
    assert json.loads(capsys.readouterr().out)["watermark"] == NOW.isoformat()
    world.arrive(1)
    assert world.run("r2")["rows"] == 1
    assert command(["reset", str(path)]) == 0
    assert world.run("r3")["mode"] == "full"


def test_a_reset_is_not_undone_by_a_run_that_began_before(world):
    world.advance(world.run("r1", advance_cursor=False))
    world.arrive(1)
    second = world.run("r2", advance_cursor=False)
    command(["reset", str(cursor_file(world))])
    assert not world.advance(second)["moved"]
    assert world.run("r3")["mode"] == "full"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("[]", "is not a cursor"), ("{", "is damaged"), ("{}", "is not a")],
)
def test_the_command_says_what_is_wrong_with_a_file(tmp_path, capsys, content, message):
    path = tmp_path / "cursor.json"
    if content is not None:
        path.write_text(content)
    assert command(["show", str(path)]) == 1
    assert message in capsys.readouterr().err
