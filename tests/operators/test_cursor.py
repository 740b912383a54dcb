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
from airflow_provider_robofy.operators import cursors
from airflow_provider_robofy.operators.base import full_path_component
from airflow_provider_robofy.operators.inbox import RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.operators.sync_world import NOW, State, World

needs_asset_state = pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")


def test_the_first_run_lands_everything_and_the_next_only_what_is_new(world):
    first = world.run("r1")
    world.arrive(3)
    second = world.run("r2")
    assert (first["mode"], first["rows"], first["watermark_before"]) == ("full", 12, None)
    assert (second["mode"], second["rows"]) == ("cursor", 3)
    assert second["watermark_before"] == first["watermark_after"]
    assert set(world.ids(first)) & set(world.ids(second)) == set()
    assert second["received"] == second["rows"] + second["duplicates"] + second["outside_window"]


def test_nothing_new_skips_the_task_writes_no_file_and_pushes_the_manifest(world):
    world.run("r1")
    before = sorted(world.root.rglob("*"))
    state = world.state
    with pytest.raises(AirflowSkipException, match="No leads since"):
        world.run("r2")
    assert sorted(world.root.rglob("*")) == before
    assert world.state == state
    assert world.pushed["manifest"]["rows"] == 0


def test_skip_if_empty_off_lands_an_empty_file(world):
    world.run("r1")
    manifest = world.run("r2", skip_if_empty=False)
    assert manifest["rows"] == 0
    assert Path(manifest["uri"]).read_bytes() == b""


def test_an_empty_first_sync_keeps_no_mark(robofy_emulator_factory, tmp_path, monkeypatch):
    world = World(robofy_emulator_factory(leads=0), tmp_path, monkeypatch)
    with pytest.raises(AirflowSkipException):
        world.run("r1")
    world.arrive(1, minutes_ago=600)
    assert world.run("r2")["rows"] == 1


def test_a_lead_that_turns_up_late_within_the_lag_is_landed_once(world):
    world.run("r1")
    world.arrive(1)
    world.run("r2")
    world.arrive(1, minutes_ago=9)
    assert world.run("r3")["rows"] == 1
    with pytest.raises(AirflowSkipException):
        world.run("r4")


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
    with pytest.raises(AirflowSkipException):
        world.run("r4")


def test_a_changed_lead_within_the_lag_lands_again(world):
    world.arrive(1)
    first = world.run("r1")
    newest = world.ids(first)[0]
    world.emulator.change_lead(newest, chatbot_id=world.agent, source="changed")
    second = world.run("r2")
    assert world.ids(second) == [newest]


def test_a_retry_starts_where_the_run_started_and_writes_the_same_file(world):
    world.run("r1")
    world.arrive(2)
    first = world.run("r2")
    again = world.run("r2")
    volatile = {"started_at", "finished_at", "try_id"}
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in first.items() if k not in volatile
    }
    with pytest.raises(AirflowSkipException):
        world.run("r3")


def test_an_older_run_that_is_cleared_returns_its_manifest_again_and_its_file_stays(world):
    world.run("r1")
    world.arrive(2)
    second = world.run("r2")
    world.arrive(1)
    world.run("r3")
    before, state = Path(second["uri"]).read_bytes(), world.state
    assert world.run("r2") == second
    assert Path(second["uri"]).read_bytes() == before
    assert world.state == state


def test_an_older_run_whose_file_is_not_whole_is_refused_when_it_is_cleared(world):
    world.run("r1")
    world.arrive(2)
    second = world.run("r2")
    world.arrive(1)
    world.run("r3")
    Path(second["uri"]).write_bytes(b"cut")
    with pytest.raises(AirflowFailException, match=r"later runs have moved the cursor.*sha256.*robofy_cursor"):
        world.run("r2")
    assert Path(second["uri"]).read_bytes() == b"cut"


def test_a_run_that_failed_before_it_landed_may_run_later(world):
    world.run("r1")
    world.arrive(1)
    world.run("r3")
    world.arrive(1)
    assert world.run("r2")["rows"] == 1


def test_a_backfill_is_refused(world):
    with pytest.raises(AirflowFailException, match="backfill cannot use a cursor"):
        world.run("r1", run_type="backfill")


def test_full_every_reads_everything_again(world):
    first = world.run("r1", full_every=timedelta(days=1))
    old = world.ids(first)[-1]
    world.emulator.change_lead(old, chatbot_id=world.agent, source="changed long ago")
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
    again = world.run("manual", conf={"robofy_cursor": wish})
    assert again["rows"] == rows
    with pytest.raises(AirflowSkipException):
        world.run("r3")


def test_a_reset_works_over_a_damaged_cursor(world):
    world.run("r1")
    [path] = (world.root / "cursors").glob("*.json")
    path.write_text("{")
    with pytest.raises(AirflowFailException, match=r"damaged.*robofy_cursor"):
        world.run("r2")
    assert world.run("manual", conf={"robofy_cursor": "reset"})["rows"] == 12


def test_a_wrong_wish_is_named(world):
    with pytest.raises(AirflowFailException, match="robofy_cursor"):
        world.run("r1", conf={"robofy_cursor": "yesterday"})


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


def test_newest_first_reads_the_new_pages_and_one_more(world, robofy_emulator_factory, tmp_path, monkeypatch):
    for leads in (1000, 5000):
        world = World(robofy_emulator_factory(leads=leads, page_size=10), tmp_path / str(leads), monkeypatch)
        world.extra["leads_order"] = "newest_first"
        world.run("r1")
        world.arrive(25)
        manifest = world.run("r2")
        assert manifest["rows"] == 25
        assert manifest["pages"] <= 3 + 1 + 1, "ceil(25/10) new pages, one more, and the lag's one"
        assert manifest["end_marker"] == "early"


def test_each_agent_of_a_mapped_task_has_its_own_cursor_in_the_folder(world):
    for index, agent in enumerate(world.emulator.chatbot_ids):
        world.agent = agent
        world.run("r1", chatbot_id=agent, map_index=index)
    assert len(list((world.root / "cursors").glob("*.json"))) == 2


def test_two_syncs_cannot_share_one_file(world):
    file = str(world.root / "one.json")
    world.run("r1", cursor=file)
    world.agent = world.emulator.chatbot_ids[1]
    with pytest.raises(AirflowFailException, match=r"another sync: chatbot_id"):
        world.run("r1", cursor=file, map_index=1)


def test_a_cursor_from_a_newer_version_is_left_alone(world):
    world.run("r1")
    [path] = (world.root / "cursors").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(AirflowFailException, match="newer version"):
        world.run("r2")


def test_a_relative_path_without_a_landing_root_is_refused(world, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", "")
    with pytest.raises(AirflowFailException, match=r"cursor='cursors' is a relative path.*landing_root"):
        world.run("r1", output_path=str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize("arguments", [{"since": "2025-01-01"}, {"until": "2025-01-01"}])
def test_a_cursor_and_a_window_do_not_mix(arguments):
    with pytest.raises(RobofyConfigError, match="cannot be combined"):
        RobofyFetchLeadsOperator(task_id="leads", cursor="cursors", **arguments)


def test_a_negative_lag_is_refused():
    with pytest.raises(RobofyConfigError, match="lag"):
        RobofyFetchLeadsOperator(task_id="leads", lag=timedelta(minutes=-1))


# ------------------------------------------------------------------------------------------------------ sessions


def test_sessions_have_a_cursor_too_and_it_holds_no_session_id(robofy_emulator_factory, tmp_path, monkeypatch):
    world = World(robofy_emulator_factory(leads=0, sessions=20), tmp_path, monkeypatch)
    world.emulator.add_session("+4915100099887", at=NOW)

    def sync(run_id: str) -> dict:
        return world.run(run_id, operator=RobofyFetchSessionsOperator)

    first = sync("r1")
    assert (first["mode"], first["rows"]) == ("full", 21)
    with pytest.raises(AirflowSkipException):
        sync("r2")
    world.emulator.add_message("+4915100099887", "hello again", at=NOW + timedelta(seconds=1))
    third = sync("r3")
    [row] = [json.loads(line) for line in Path(third["uri"]).read_text().splitlines()]
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
        task = RobofyFetchLeadsOperator(task_id="leads", cursor=asset)
    assert task.inlets == [asset]
    assert task.outlets == []


@needs_asset_state
def test_an_asset_that_is_no_inlet_says_what_to_do_in_a_mapped_task(world):
    with pytest.raises(AirflowFailException, match=r"inlets=\[asset\].*partial"):
        world.run("r1", cursor=leads_asset(24017, world.agent))


@needs_asset_state
def test_a_cursor_too_large_for_the_database_goes_to_a_file_beside_the_data(world, monkeypatch):
    monkeypatch.setattr(cursors, "MAX_BYTES", 2000)
    asset = leads_asset(24017, world.agent)
    values: dict = {}
    world.states[asset] = values
    world.arrive(60)
    first = world.run("r1", cursor=asset)
    [value] = values.values()
    assert json.loads(value) == {"at": f"{first['uri']}.cursor.json"}
    assert Path(f"{first['uri']}.cursor.json").exists()
    world.arrive(1)
    second = world.run("r2", cursor=asset)
    assert second["rows"] == 1
    assert not Path(f"{first['uri']}.cursor.json").exists(), "the file that is no longer pointed to is removed"


@pytest.mark.parametrize(("project", "agent"), [("{{ params.p }}", "a"), ("1", "{{ x }}"), ("", "a"), (None, "a")])
def test_an_asset_of_ids_that_are_not_known_at_parse_is_refused(project, agent):
    with pytest.raises(RobofyConfigError, match="written out"):
        leads_asset(project, agent)


# ------------------------------------------------------------------------------------------------- the privacy rules
def test_the_cursor_says_under_which_rules_it_was_written(world):
    world.extra = {"privacy": {"ip_address": "drop"}, "pseudonym_secret": "0123456789abcdef"}
    world.run("r1", privacy={"lead_data": "hash"})
    applied = world.state["privacy"]
    assert applied["rules"] == {"created_at": "keep", "id": "keep", "ip_address": "drop", "lead_data": "hash"}
    assert applied["own"] == ["lead_data"]
    assert applied["key"]
    assert "0123456789abcdef" not in json.dumps(world.state)


def test_without_rules_it_says_that_there_are_none(world):
    world.run("r1")
    assert world.state["privacy"] == {"rules": {}, "own": [], "key": None}


def test_under_other_rules_the_cursor_moves_though_nothing_is_new(world):
    """Otherwise a watcher would go on comparing the listing under the rules of the run before."""
    world.run("r1")
    before = world.state
    world.extra = {"privacy": {"no_such_field": "drop"}}
    with pytest.raises(AirflowSkipException):
        world.run("r2")
    after = world.state
    assert after["privacy"]["rules"]["no_such_field"] == "drop"
    assert (after["watermark"], after["kept"]) == (before["watermark"], before["kept"])
    with pytest.raises(AirflowSkipException):
        world.run("r3")
    assert world.state == after


def test_a_cursor_of_an_earlier_version_learns_the_rules_at_the_next_run(world):
    world.run("r1")
    [path] = (world.root / "cursors").glob("*.json")
    body = {name: value for name, value in world.state.items() if name != "privacy"}
    path.write_text(json.dumps(body))
    with pytest.raises(AirflowSkipException):
        world.run("r2")
    assert world.state["privacy"] == {"rules": {}, "own": [], "key": None}
    assert world.state["kept"] == body["kept"]


# ------------------------------------------------------------------------------------------ a large cursor's file
@needs_asset_state
@pytest.mark.parametrize("damage", ["gone", "not JSON", "a list", "no address"])
def test_an_overflow_file_that_is_gone_or_damaged_is_no_new_cursor_and_a_reset_helps(world, monkeypatch, damage):
    monkeypatch.setattr(cursors, "MAX_BYTES", 2000)
    asset = leads_asset(24017, world.agent)
    values: dict = {}
    world.states[asset] = values
    world.arrive(60)
    first = world.run("r1", cursor=asset)
    [key] = values
    overflow = Path(f"{first['uri']}.cursor.json")
    if damage == "no address":
        values[key] = '{"at": null}'
    elif damage == "gone":
        overflow.unlink()
    else:
        overflow.write_text("half" if damage == "not JSON" else "[]")
    before = dict(values)

    with pytest.raises(
        AirflowFailException, match=r"(is damaged|is not a cursor).*\{\"robofy_cursor\": \"reset\"\}"
    ) as raised:
        world.run("r2", cursor=asset)

    assert damage in {"no address", "a list"} or str(overflow) in str(raised.value)
    assert values == before
    assert world.run("r3", cursor=asset, conf={"robofy_cursor": "reset"})["rows"] == 72


@needs_asset_state
def test_an_overflow_file_that_another_run_replaced_meanwhile_is_read_where_it_is_now(world, monkeypatch):
    monkeypatch.setattr(cursors, "MAX_BYTES", 2000)
    asset = leads_asset(24017, world.agent)
    values: dict = {}
    world.states[asset] = values
    world.arrive(60)
    first = world.run("r1", cursor=asset)
    [key] = values
    moved = world.root / "moved.cursor.json"
    read = State.get

    def late(self, name):
        value = read(self, name)
        if not moved.exists():
            Path(f"{first['uri']}.cursor.json").rename(moved)
            values[key] = json.dumps({"at": str(moved)})
        return value

    monkeypatch.setattr(State, "get", late)
    world.arrive(1)
    assert world.run("r2", cursor=asset)["rows"] == 1


@needs_asset_state
def test_an_overflow_file_that_cannot_be_removed_is_only_warned_about(world, monkeypatch, caplog):
    monkeypatch.setattr(cursors, "MAX_BYTES", 2000)
    asset = leads_asset(24017, world.agent)
    world.states[asset] = {}
    world.arrive(60)
    world.run("r1", cursor=asset)
    world.arrive(1)

    remove = Store.remove

    def refuse(self):
        if self.path.endswith(".cursor.json"):
            raise PermissionError(13, "no deletion here", self.path)
        remove(self)

    monkeypatch.setattr(Store, "remove", refuse)
    assert world.run("r2", cursor=asset)["rows"] == 1
    assert "could not be removed" in caplog.text


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
    assert len(list((world.root / "cursors").glob("*.json"))) == 1
    assert all(len(part.encode()) <= 255 for path in world.root.rglob("*") for part in path.parts)


def test_two_long_names_that_begin_alike_get_two_cursors(world):
    for end in "ab":
        assert world.run("r1", dag_id="d" * 249 + end, task_id="leads")["rows"] == 12
    assert len(list((world.root / "cursors").glob("*.json"))) == 2


def test_a_cursor_under_the_long_name_of_an_earlier_version_is_found(world, monkeypatch):
    monkeypatch.setattr(cursors, "path_component", full_path_component)
    name = f"{'d' * 150}.leads"
    world.run("r1", cursor_name=name)
    [path] = (world.root / "cursors").iterdir()
    assert len(path.name) > 205
    monkeypatch.undo()
    world = World(world.emulator, world.root, monkeypatch)
    world.arrive(1)
    assert world.run("r2", cursor_name=name)["rows"] == 1
    assert [found.name for found in (world.root / "cursors").iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("output_path", {"output_path": "x" * 230 + ".jsonl"}),
        ("output_path", {"output_path": "я" * 120 + ".csv.gz"}),
        ("output_path", {"output_path": f"{'x' * 256}/leads.jsonl"}),
        ("cursor", {"cursor": "x" * 240 + ".json"}),
        ("cursor", {"cursor": "件" * 90}),
        ("cursor", {"cursor": f"/tmp/{'x' * 300}/cursor.json"}),
    ],
)
def test_a_path_that_is_too_long_is_told_by_its_argument_before_anything_is_asked(world, argument, arguments):
    requests = len(world.emulator.requests)
    with pytest.raises(AirflowFailException, match=rf"^{argument}: a name in .* is too long"):
        world.run("r1", **arguments)
    assert len(world.emulator.requests) == requests
    assert list(world.root.iterdir()) == []


# ------------------------------------------------------------------------------------------- what killed runs left
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


def test_the_command_shows_and_resets_a_cursor(world, capsys):
    world.run("r1")
    [path] = (world.root / "cursors").glob("*.json")
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


def test_a_reset_is_not_undone_by_a_run_that_began_before(world, capsys):
    manifest = world.run("r1", advance_cursor=False)
    world.advance(manifest)
    world.arrive(1)
    second = world.run("r2", advance_cursor=False)
    [path] = (world.root / "cursors").glob("*.json")
    command(["reset", str(path)])
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
