"""Loads that are killed, meet each other, or meet a table, a file or a database that is not as it should be."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook

from airflow_provider_robofy.api.errors import RobofyCancelledError, RobofyDatabaseError
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator
from airflow_provider_robofy.warehouse.load import Load
from tests.child import python
from tests.transfers.conftest import execute, lead

CHILD = Path(__file__).with_name("crashing_load.py")
MODES = ("upsert", "append", "replace")
STEPS = ("table_made", "second_chunk", "before_commit")
PLANTED = "planted.person@example.com"


# ------------------------------------------------------------------------------------------------------ killed


@pytest.mark.serial
def test_killed_at_any_step_the_table_is_as_before_and_the_next_run_loads_all(warehouse, land, load):
    old = land([lead(n, source="before") for n in range(4)], at="2025-01-01T00:00:00+00:00")
    manifest = land([lead(n, source="after") for n in range(2, 9)], at="2025-01-02T00:00:00+00:00")
    for mode in MODES:
        load(old, mode, mode=mode)
    before = {mode: warehouse.rows(mode) for mode in MODES}
    options = {"kind": warehouse.kind, "connection": warehouse.connection, "manifest": manifest, "modes": MODES}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = python(CHILD, json.dumps(options), env=environment)
    assert done.returncode == 0, done.stderr
    killed = [tuple(line.split()) for line in done.stdout.splitlines()]
    assert sorted(killed) == sorted((mode, step) for mode in MODES for step in STEPS)
    assert {mode: warehouse.rows(mode) for mode in MODES} == before
    for mode in MODES:
        assert load(manifest, mode, mode=mode)["rows"] == 7
        after = [row["id"] for row in warehouse.rows(mode) if row["source"] == "after"]
        assert after == [f"lead_{n}" for n in range(2, 9)]


def test_a_task_that_is_killed_ends_before_the_next_chunk_and_leaves_nothing(warehouse, land, monkeypatch):
    manifest = land([lead(n) for n in range(100)])
    operator = RobofyManifestToSqlOperator(
        task_id="load", manifest=manifest, table="t", sql_conn_id="warehouse", chunk_size=10
    )
    chunks: list[int] = []
    put = Load._put

    def killing_put(self, target, lines):
        put(self, target, lines)
        chunks.append(len(lines))
        operator.on_kill()

    monkeypatch.setattr(Load, "_put", killing_put)
    with pytest.raises(RobofyCancelledError):
        execute(operator)
    assert chunks == [10]
    assert warehouse.rows() == []


# --------------------------------------------------------------------------------------------------- together


def test_mapped_tasks_may_make_one_table_and_its_columns_at_once(warehouse, land, load):
    manifests = [land([lead(n, campaign="x", medium="y") for n in range(30)], agent=f"agent {one}") for one in range(4)]
    gate = threading.Barrier(len(manifests))

    def run(manifest):
        gate.wait()
        return load(manifest, chunk_size=7, lead_fields=["email"])

    with ThreadPoolExecutor(len(manifests)) as pool:
        counts = list(pool.map(run, manifests))
    assert [one["inserted"] for one in counts] == [30] * 4
    assert sorted(one["columns_added"] for one in counts) == [0, 0, 0, 18]
    rows = warehouse.rows()
    assert len(rows) == 120
    assert {(row["campaign"], row["medium"]) for row in rows} == {("x", "y")}


def test_loads_of_the_same_rows_take_turns_and_the_newest_version_stays(warehouse, land, load):
    load(land([]))
    manifests = [
        land([lead(n, source=f"version {day}") for n in range(40)], at=f"2025-01-0{day}T00:00:00+00:00")
        for day in (3, 1, 4, 2)
    ]
    with ThreadPoolExecutor(len(manifests)) as pool:
        counts = list(pool.map(lambda one: load(one, chunk_size=5), manifests))
    assert {row["source"] for row in warehouse.rows()} == {"version 4"}
    assert sum(one["inserted"] for one in counts) == 40
    assert all(one["inserted"] + one["updated"] + one["outdated"] == 40 for one in counts)


def test_a_load_that_another_one_holds_up_can_be_killed(warehouse, land, load):
    load(land([lead(1)]))
    operator = RobofyManifestToSqlOperator(task_id="load", manifest=land([lead(2)]), table="t", sql_conn_id="warehouse")
    inside, leave = threading.Event(), threading.Event()

    def slow(manifest):
        put = Load._put

        def waiting_put(self, target, lines):
            put(self, target, lines)
            if threading.current_thread().name == "slow":
                inside.set()
                leave.wait(30)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Load, "_put", waiting_put)
            load(manifest)

    holder = threading.Thread(target=slow, args=(land([lead(3)]),), name="slow")
    holder.start()
    try:
        assert inside.wait(30)
        threading.Timer(0.6, operator.on_kill).start()
        with pytest.raises(RobofyCancelledError):
            execute(operator)
    finally:
        leave.set()
        holder.join(30)
    assert [row["id"] for row in warehouse.rows()] == ["lead_1", "lead_3"]


# ------------------------------------------------------------------------------------------- tables made by hand


def make(warehouse, *, columns: str = "", key: str = "_project_id, _chatbot_id, id", without: str = "") -> None:
    moment = {"postgresql": "timestamptz", "mariadb": "datetime(6)", "sqlite": "datetime"}[warehouse.kind]
    own = {
        "_project_id": "varchar(64) not null",
        "_chatbot_id": "varchar(80) not null",
        "id": "varchar(40) not null",
        "_fetched_at": f"{moment} not null",
        "_run_key": "varchar(250) not null",
        "_row": "bigint not null",
        "_content_hash": "varchar(32) not null",
    }
    parts = [f"{name} {kind}" for name, kind in own.items() if name != without]
    parts += [columns] if columns else []
    warehouse.run(f"CREATE TABLE t ({', '.join(parts)}, PRIMARY KEY ({key}))")


def test_a_table_of_ones_own_takes_what_fits_its_types_and_is_not_changed(warehouse, land, load):
    columns = "created_at timestamp null, score int, rate numeric(10,2), ratio double precision, paid boolean"
    make(warehouse, columns=f"{columns}, lead_data text, note varchar(9), _extra text")
    before = warehouse.columns()
    rows = [
        lead(1, score="7", rate=1.5, ratio=0.25, paid=True, note="fits"),
        lead(2, score=None, rate=None, ratio=None, paid=None, note=None),
    ]
    counts = load(land(rows), create_table=False)
    assert (counts["inserted"], counts["columns_added"]) == (2, 0)
    assert warehouse.columns() == before
    first, second = warehouse.rows()
    assert str(first["created_at"])[:19] == "2025-01-15 10:30:00"
    assert (first["score"], float(first["rate"]), float(first["ratio"]), first["paid"]) == (7, 1.5, 0.25, True)
    assert first["note"] == "fits"
    assert [second[name] for name in ("score", "rate", "ratio", "paid", "note")] == [None] * 5
    extra = json.loads(first["_extra"]) if isinstance(first["_extra"], str) else first["_extra"]
    assert set(extra) == {"source", "page_url", "ip_address", "_created_at"}


@pytest.mark.parametrize(
    ("columns", "changes", "words"),
    [
        ("score int", {"score": PLANTED}, "column score cannot hold .*no whole number"),
        ("score int", {"score": 2**70}, "column score cannot hold .*no whole number of 64 bits"),
        ("rate numeric(10,2)", {"rate": PLANTED}, "column rate cannot hold .*no number"),
        ("note varchar(9)", {"note": PLANTED}, "column note cannot hold .*26 characters, and it takes 9"),
        ("created_at timestamp null", {"created_at": PLANTED}, "column created_at cannot hold .*no time"),
        ("birthday date", {"birthday": PLANTED}, "column birthday is of a type that nothing can be loaded into"),
    ],
)
def test_what_does_not_fit_is_refused_by_column_and_without_the_value(  # noqa: PLR0917
    warehouse, land, load, columns, changes, words
):
    make(warehouse, columns=f"{columns}, _extra text")
    with pytest.raises(AirflowFailException, match=words) as caught:
        load(land([lead(1), lead(2, **changes)]), create_table=False)
    assert PLANTED not in str(caught.value)
    assert warehouse.rows() == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "there is no t, or the connection's user may not see it"),
        ({}, "has 6 fields that the table has no column for"),
        ({"without": "_row"}, "lacks _row"),
        ({"columns": "_ROW bigint", "without": "_row"}, "the column _row of t must hold a whole number"),
        ({"key": "id"}, "no primary or unique key of just _project_id, _chatbot_id, id"),
        ({"columns": "Source varchar(9)"}, "has a column source in another case"),
    ],
)
def test_a_table_that_cannot_be_loaded_into_is_refused_and_left_alone(warehouse, land, load, made, words):
    if made and "columns" in made and warehouse.kind == "postgresql":
        made = {**made, "columns": made["columns"].replace("Source", '"Source"').replace("_ROW", '"_ROW"')}
    if made is not None:
        make(warehouse, **made)
    with pytest.raises(AirflowFailException, match=words):
        load(land([lead(1)]), create_table=False)


def test_ones_own_columns_beside_ours_are_left_as_they_are(warehouse, land, load):
    load(land([lead(1), lead(2)]))
    warehouse.run("ALTER TABLE t ADD COLUMN assigned_to varchar(20)")
    warehouse.run("UPDATE t SET assigned_to = 'Ada'")
    assert load(land([lead(1, source="new")], at="2026-01-01T00:00:00+00:00"))["updated"] == 1
    assert [(row["source"], row["assigned_to"]) for row in warehouse.rows()] == [("new", "Ada"), ("chatbot", "Ada")]


def test_a_table_that_keeps_rows_back_fails_the_load(warehouse, land, load):
    load(land([]))
    trigger = {
        "postgresql": "FOR EACH ROW EXECUTE FUNCTION skip()",
        "mariadb": "FOR EACH ROW SET NEW._row = 99",
        "sqlite": "WHEN NEW.id = 'lead_2' BEGIN SELECT RAISE(IGNORE); END",
    }
    if warehouse.kind == "postgresql":
        body = "BEGIN IF NEW.id = 'lead_2' THEN RETURN NULL; END IF; RETURN NEW; END"
        warehouse.run(f"CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
    warehouse.run(f"CREATE TRIGGER skipping BEFORE INSERT ON t {trigger[warehouse.kind]}")
    with pytest.raises(RobofyDatabaseError, match=r"Of 3 rows sent to .* it shows [0-2]\. Does a trigger"):
        load(land([lead(1), lead(2), lead(3)]))
    assert warehouse.rows() == []


# ------------------------------------------------------------------------------------------------ errors, secrets


def test_what_a_database_says_of_a_row_is_told_to_nobody(warehouse, land, load, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.engine", "sqlalchemy.pool", "airflow"):
        caplog.set_level(logging.DEBUG, name)
    load(land([lead(1, source=PLANTED)]))
    warehouse.run(f"CREATE UNIQUE INDEX one_address ON t ({'source(99)' if warehouse.kind == 'mariadb' else 'source'})")
    # A second row of the same value: the database's error repeats it.
    manifest = land([lead(2, source=PLANTED), lead(3)], at="2026-01-01T00:00:00+00:00")
    with pytest.raises(Exception) as caught:  # noqa: PT011 (what is raised differs, see below)
        load(manifest)
    if warehouse.kind == "mariadb":
        # There, any unique key makes an upsert; that the row is not there is noticed all the same.
        assert "Of 2 rows sent" in str(caught.value)
    else:
        assert isinstance(caught.value, AirflowFailException)
        assert "a constraint, a unique key or a trigger" in str(caught.value)
    if warehouse.kind == "postgresql":
        assert "UniqueViolation, SQLSTATE 23505, constraint 'one_address'" in str(caught.value)
    result = load(land([lead(4, source=f"{PLANTED}!")]))
    out, err = capfd.readouterr()
    said = [caplog.text, out, err, str(caught.value), str(result)]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for text in said:
        assert PLANTED not in text
        assert "p2@example.com" not in text
    assert [row["id"] for row in warehouse.rows()] == ["lead_1", "lead_4"]


def test_a_user_without_rights_is_told_so_at_once(warehouse, land, load, monkeypatch):
    if warehouse.kind == "sqlite":
        pytest.skip("SQLite has no users")
    load(land([lead(1)]))
    name = f"u{hashlib.sha1(str(land.folder).encode()).hexdigest()[:8]}"
    if warehouse.kind == "postgresql":
        schema = warehouse.connection["extra"]["options"].rpartition("=")[2]
        warehouse.run(f"CREATE ROLE {name} LOGIN")
        warehouse.run(f"GRANT USAGE ON SCHEMA {schema} TO {name}; GRANT SELECT ON t TO {name}")
    else:
        warehouse.run(f"CREATE USER {name}@localhost")
        warehouse.run(f"GRANT SELECT ON {warehouse.connection['schema']}.* TO {name}@localhost")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**warehouse.connection, "login": name}))
    for manifest in (land([lead(2)]), land([lead(2, new_field=1)])):
        with pytest.raises(AirflowFailException, match=r"the connection's user may not do this\. Grant what docs"):
            load(manifest)


def test_a_database_out_of_reach_is_tried_again(warehouse, land, load, monkeypatch):
    if warehouse.kind == "sqlite":
        pytest.skip("SQLite is a file")
    away = {**warehouse.connection, "host": "/nowhere", "extra": {"unix_socket": "/nowhere/socket"}}
    if warehouse.kind == "postgresql":
        del away["extra"]
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(away))
    with pytest.raises(RobofyDatabaseError, match=r"Connecting .*could not be reached") as caught:
        load(land([lead(1)]))
    assert not caught.value.permanent


def test_a_hook_that_gives_rows_as_dictionaries_will_do(warehouse, land, load, monkeypatch):
    if warehouse.kind == "sqlite":
        pytest.skip("SQLite's hook has no such option")
    extra = {**warehouse.connection.get("extra", {}), "cursor": "dictcursor"}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({**warehouse.connection, "extra": extra}))
    manifest = land([lead(1)])
    load(manifest)
    assert load(manifest)["unchanged"] == 1


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ("sqlite:////nowhere/w.db", r"SQLITE_ERROR.*cannot be opened .* write its path as the host"),
        ('{"conn_type": "sqlite", "host": "sqlite:////nowhere/w.db"}', r"SQLITE_CANTOPEN.*write its path as the host"),
        ('{"conn_type": "sqlite", "host": "/nowhere/w.db"}', "the folder must be there"),
        ('{"conn_type": "sqlite"}', "names no file. Write the path of the database as its host"),
    ],
)
def test_a_file_of_sqlite_that_cannot_be_opened_is_told_with_what_to_write(land, load, monkeypatch, connection, words):
    pytest.importorskip("airflow.providers.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    with pytest.raises(AirflowFailException, match=words):
        load(land([lead(1)]))


# --------------------------------------------------------------------------------------- what is given to be loaded


@pytest.fixture
def sqlite(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w.db")}))


def test_a_path_a_list_and_what_a_mapped_task_returns_are_loaded(sqlite, land, load):
    one, two = land([lead(1)]), land([lead(2)], agent="b")
    assert load(one["uri"])["files"] == 1
    counts = load(iter([one, None, two["uri"]]))
    assert (counts["files"], counts["rows"], counts["inserted"], counts["unchanged"]) == (2, 2, 1, 1)
    assert load([])["files"] == 0


def test_of_several_files_those_before_the_one_that_fails_stay(sqlite, land, load):
    good, bad = land([lead(1)]), land([lead(2, id=None)])
    with pytest.raises(AirflowFailException, match="has no id"):
        load([good, bad])
    assert load(good)["unchanged"] == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "manifest must be what a fetch task returned .* not None .did the fetch task"),
        ("{'resource': 'leads'}", "use task.output"),
        ("/nowhere/leads.jsonl", "leads.jsonl.manifest.json is not there"),
        ({"resource": "crawls"}, "manifest of 'crawls' and not of 'leads' or 'sessions' or 'messages'"),
        ({"resource": "leads"}, "the manifest lacks uri, format"),
    ],
)
def test_what_is_no_manifest_is_refused(sqlite, load, given, words):
    with pytest.raises(AirflowFailException, match=words):
        load(given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"started_at": ""}, "started_at of .*landed-1.jsonl is '', which is no"),
        ({"started_at": "2025-13-01"}, "started_at of .*landed-1.jsonl is '2025-13-01', which is no"),
        ({"chatbot_id": "other"}, "row 1 of .* belongs to another project or agent"),
    ],
)
def test_a_manifest_that_does_not_fit_its_rows_or_has_no_time_is_refused(sqlite, land, load, changes, words):
    with pytest.raises(AirflowFailException, match=words):
        load({**land([lead(1)]), **changes})


def test_another_database_is_refused_by_its_name(land, load, monkeypatch):
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    class Other(DbApiHook):
        conn_name_attr = "other_conn_id"
        dialect_name = "mssql"

        def get_conn(self):
            return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(BaseHook, "get_connection", lambda _: SimpleNamespace(conn_type="mssql", get_hook=Other))
    for name, words in (("mssql", r"'mssql'\. Landed rows can be loaded into PostgreSQL"), ("default", "'types'")):
        monkeypatch.setattr(Other, "dialect_name", name)
        with pytest.raises(AirflowFailException, match=f"leads to {words}"):
            load(land([lead(1)]))
