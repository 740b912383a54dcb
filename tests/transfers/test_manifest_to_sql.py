"""RobofyManifestToSqlOperator against real databases."""

from __future__ import annotations

import json
import re
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_robofy.warehouse.values import instant
from tests.transfers.conftest import lead

PHONE = "+4915100099887"


def test_leads_are_in_the_table_as_they_landed(warehouse, land, load):
    manifest = land([lead(1), lead(2, page_url=None, utm_source="ad", score=7, tags=["a", {"b": None}])])
    counts = load(manifest, lead_fields=["Name", "email"])
    none = dict.fromkeys(["updated", "unchanged", "outdated", "superseded", "deleted"], 0)
    assert counts == {"table": "t", "mode": "upsert", "files": 1, "rows": 2, "inserted": 2, "columns_added": 20, **none}
    first, second = warehouse.rows()
    assert first["lead_data"] == lead(1)["lead_data"]
    assert [second[name] for name in ("page_url", "utm_source", "score")] == [None, "ad", "7"]
    assert second["tags"] == '["a",{"b":null}]'
    assert (first["Name"], first["email"]) == ("Person 1", "p1@example.com")
    assert load(manifest, lead_fields=["Name", "email"])["unchanged"] == 2
    assert warehouse.rows() == [first, second]


def test_a_lead_has_one_row_in_the_version_that_was_fetched_last(warehouse, land, load):
    old = land([lead(1), lead(2)], at="2025-01-15T10:00:00+00:00")
    new = land([lead(2, source="widget"), lead(3)], at="2025-01-15T10:00:00.000001+00:00")
    assert load(old)["inserted"] == 2
    counts = load(new)
    assert (counts["inserted"], counts["updated"]) == (1, 1)
    after = warehouse.rows()
    assert [(row["id"], row["source"]) for row in after] == [
        ("lead_1", "chatbot"), ("lead_2", "widget"), ("lead_3", "chatbot"),
    ]  # fmt: skip
    # The old file once more: what is newer stays.
    counts = load(old)
    assert (counts["unchanged"], counts["outdated"], counts["updated"]) == (1, 1, 0)
    assert warehouse.rows() == after
    assert {row["_run_key"] for row in after} == {"dag/run-1/leads", "dag/run-2/leads"}


def test_what_is_the_same_in_a_later_fetch_is_as_new_as_that(warehouse, land, load):
    first = land([lead(1)], at="2025-01-01T00:00:00+00:00")
    between = land([lead(1, source="changed")], at="2025-01-02T00:00:00+00:00")
    last = land([lead(1)], at="2025-01-03T00:00:00+00:00")
    load(first)
    assert load(last)["unchanged"] == 1
    assert load(between)["outdated"] == 1
    assert [row["source"] for row in warehouse.rows()] == ["chatbot"]


@pytest.mark.parametrize("chunk_size", [1, 2, 100])
def test_of_two_versions_in_one_file_the_later_one_stays_and_the_counts_add_up(warehouse, land, load, chunk_size):
    manifest = land([lead(1, source="first"), lead(2), lead(3), lead(1, source="second"), lead(1, source="third")])
    counts = load(manifest, chunk_size=chunk_size)
    assert (counts["rows"], counts["inserted"], counts["superseded"]) == (5, 3, 2)
    after = warehouse.rows()
    assert after[0]["source"] == "third"
    counts = load(manifest, chunk_size=chunk_size)
    assert (counts["unchanged"], counts["superseded"], counts["updated"]) == (3, 2, 0)
    assert warehouse.rows() == after


def test_fields_may_change_their_type_and_new_ones_get_a_column(warehouse, land, load):
    load(land([lead(1, score=7, page_url=None)], at="2025-01-01T00:00:00+00:00"))
    odd = {"score": {"value": 7}, "source": ["a", "b"], "page_url": True, "created_at": 1736937000, "lead_data": "none"}
    counts = load(land([lead(2, **odd, campaign="x"), lead(3, lead_data=None)], at="2025-01-02T00:00:00+00:00"))
    assert counts["columns_added"] == 1
    one, two, three = warehouse.rows()
    assert (one["score"], one["campaign"]) == ("7", None)
    assert (two["score"], two["source"]) == ('{"value":7}', '["a","b"]')
    assert (two["page_url"], two["created_at"]) == ("true", "1736937000")
    assert (two["lead_data"], three["lead_data"], two["campaign"]) == ("none", None, "x")


def test_times_are_times_in_utc(warehouse, land, load):
    load(land([lead(1, _created_at="2025-01-15T10:30:00.5+00:00"), lead(2, _created_at=None)]))
    one, two = warehouse.rows()
    expected = datetime(2025, 1, 15, 10, 30, 0, 500000, tzinfo=UTC)
    assert instant(one["_created_at"]) == expected
    assert instant(one["_fetched_at"]) == datetime(2025, 1, 15, 10, 30, 0, 123456, tzinfo=UTC)
    assert two["_created_at"] is None
    if warehouse.kind == "postgresql":
        [(kind,)] = warehouse.run(
            "SELECT data_type FROM information_schema.columns WHERE column_name = '_created_at' AND table_schema = "
            "current_schema()"
        )
        assert kind == "timestamp with time zone"


# ------------------------------------------------------------------------------------------ what is strange


def test_text_that_no_database_takes_is_mended_and_everything_else_is_kept(warehouse, land, load):
    text = "half \ud83d, NUL \0, emoji 😀, 太, quote ' \" ` \\ %s %(x)s :y ; -- \r\n\t"
    mended = text.replace("\ud83d", "�").replace("\0", "�")
    wide = 2**80
    deep: Any = "bottom"
    for _ in range(200):
        deep = [deep]
    counts = load(
        land(
            [
                lead(1, source=text, lead_data=[{"field_name": text, "field_value": [text, {text: wide}]}]),
                lead(2, page_url=wide, lead_data={"deep": deep}, odd={"deep": deep}),
            ]
        ),
        lead_fields={text.replace("\0", "").replace("\ud83d", ""): "form", "deep": "deep"},
    )
    assert counts["inserted"] == 2
    one, two = warehouse.rows()
    assert one["source"] == mended
    assert one["lead_data"] == [{"field_name": mended, "field_value": [mended, {mended: wide}]}]
    assert two["page_url"] == str(wide)
    # Deeper than MariaDB takes: the JSON is in a string, whole.
    assert json.loads(two["lead_data"]) == {"deep": deep}
    assert json.loads(json.loads(two["odd"])) == {"deep": deep}


def test_ids_that_differ_in_case_or_a_blank_are_different_leads_and_the_longest_is_kept_whole(warehouse, land, load):
    ids = ["a", "A", "a ", "ä", "á", "\uff41", " a", "a\t", "ß", "ss", "😀", "'; DROP TABLE t; --", "%s", "\\", "7"]
    ids += ["😀" * 255, "x" * 255]
    rows = [lead(1, id=one) for one in ids] + [lead(1, id=8)]
    agent = "😀" * 200
    assert load(land(rows, agent=agent))["inserted"] == len(rows)
    assert load(land(rows, agent=agent, at="2026-01-01T00:00:00+00:00"))["unchanged"] == len(rows)
    assert {row["id"] for row in warehouse.rows()} == {*ids, "8"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": "x" * 256}, "row 2 of .* has id of 256 characters, and the column takes 255"),
        ({"id": "a\0b"}, "row 2 of .* has id with a NUL"),
        ({"id": "a\ud800"}, "half a surrogate pair"),
        ({"id": None}, "row 2 of .* has no id"),
        ({"id": ["planted-secret"]}, "has no id that is text or a whole number"),
    ],
)
def test_an_id_that_cannot_be_kept_as_it_is_is_refused_before_anything_is_made(warehouse, land, load, row, words):
    with pytest.raises(AirflowFailException, match=words) as caught:
        load(land([lead(1), lead(2, **row)]))
    assert "planted-secret" not in str(caught.value)
    with pytest.raises(Exception, match=r"(?i)exist|no such table"):
        warehouse.rows()


HOSTILE = ['t"; DROP TABLE x; --', "t`x", "t'x", "select", "T t", "t\\", "t:x", "täble", "t)(", "t[0]"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_table_names_are_names(warehouse, land, load, name):
    if warehouse.kind == "mariadb" and "`" in name:
        pytest.skip("refused, see below")
    manifest = land([lead(1)])
    load(manifest, name)
    assert load(manifest, name)["unchanged"] == 1
    assert warehouse.run(f"SELECT count(*) FROM {warehouse.quote(name)}") == [(1,)]


def test_a_table_may_be_named_with_its_schema(warehouse, land, load):
    schema = "main"
    if warehouse.kind == "postgresql":
        schema = warehouse.connection["extra"]["options"].rpartition("=")[2]
    elif warehouse.kind == "mariadb":
        schema = warehouse.connection["schema"]
    old = land([lead(1)])
    load(old, f"{schema}.t")
    new = land([lead(1, source="new", score=7), lead(2)], at="2026-01-01T00:00:00+00:00")
    assert load(new, f"{schema}.t", mode="replace", lead_fields=["email"])["columns_added"] == 2
    # Under its other name too: the statement itself keeps a newer row.
    assert load(old)["outdated"] == load(old, f"{schema}.t")["outdated"] == 1
    assert [(row["id"], row["source"]) for row in warehouse.rows()] == [("lead_1", "new"), ("lead_2", "chatbot")]
    assert load(new, f"{schema}.a", mode="append")["inserted"] == 2


def test_hostile_names_of_form_fields_get_columns(warehouse, land, load):
    columns = [*HOSTILE, 'a"b', "a b", "values", "VALUES (", "x" * 63, "%s", "%(rows)s", "a%%b"]
    if warehouse.kind == "mariadb":
        columns = [one for one in columns if not set(one) & set("%`")]
    answers = [{"field_name": one, "field_value": f"value of {one}"} for one in columns]
    manifest = land([lead(1, lead_data=answers)])
    for _ in range(2):
        load(manifest, lead_fields=columns)
    # One by one too: ALTER TABLE takes another way than CREATE TABLE.
    load(land([lead(1)]), "u")
    load(manifest, "u", lead_fields=columns)
    for table in ("t", "u"):
        [row] = warehouse.rows(table)
        assert {one: row[one] for one in columns} == {one: f"value of {one}" for one in columns}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"table": "a.b.c"}, "must be the name of a table"),
        ({"table": ""}, "must be the name of a table"),
        ({"table": "a."}, "must be the name of a table"),
        ({"table": "a\0b"}, "table: 'a.x00b' holds '.x00'"),
        ({"table": "a\nb"}, "holds '.n'"),
        ({"lead_fields": ["a\0b"]}, "lead_fields: the column .* holds"),
        ({"lead_fields": ["Source"]}, "lead_fields: the column 'Source' is taken by source"),
        ({"lead_fields": ["_EXTRA"]}, "is taken by _extra"),
        ({"lead_fields": {"a": "x", "b": "X"}}, "is taken by another of lead_fields"),
        ({"lead_fields": {"a": "x", " A": "y"}}, "names ' A' twice"),
        ({"lead_fields": "email"}, "must be a list"),
        ({"lead_fields": [""]}, "text that is not empty"),
        ({"lead_fields": [f"f{n}" for n in range(101)]}, "names 101 form fields"),
        ({"mode": "merge"}, "mode='merge' must be one of upsert, append, replace"),
        ({"chunk_size": 0}, "chunk_size='0' must be at least 1"),
        ({"mark_deleted": True, "mode": "append"}, "mark_deleted goes with mode='upsert' and not with mode='append'"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused_with_their_names(warehouse, land, load, arguments, words):
    with pytest.raises(AirflowFailException, match=words):
        load(land([lead(1)]), **arguments)


SERVERS = ("postgresql", "mariadb")


@pytest.mark.parametrize(
    ("kinds", "arguments", "words"),
    [
        (SERVERS, {"table": "ü" * 65}, "a name in .* has 6[34] at most"),
        (SERVERS, {"lead_fields": ["ü" * 65]}, "a name in .* has 6[34] at most"),
        (SERVERS, {"table": f"{'s' * 65}.t"}, "a name in .* has 6[34] at most"),
        *(("mariadb", one, "which no name may in MySQL") for one in (
            {"lead_fields": ["a%b"]}, {"table": "a`b"}, {"lead_fields": ["a😀"]}, {"table": "s .t"},
        )),
    ],
    ids=str,
)  # fmt: skip
def test_names_that_a_server_cannot_hold_are_refused_and_not_cut(warehouse, land, load, kinds, arguments, words):  # noqa: PLR0917
    if warehouse.kind not in kinds:
        pytest.skip("takes these names")
    with pytest.raises(AirflowFailException, match=words):
        load(land([lead(1)]), **arguments)


def test_fields_whose_names_differ_only_in_case_or_are_taken_lose_nothing(warehouse, land, load):
    extra = {"Email": "A", "email": "b", "Source": "S", "_run_key": "mine", "_row": 9, "form field": "f", "x" * 64: 1}
    load(land([lead(1, EMAIL=3, **extra)]), lead_fields={"email": "mail"})
    [found] = warehouse.rows()
    assert (found["EMAIL"], found["mail"], found["source"]) == ("3", "p1@example.com", "chatbot")
    assert found["_extra"] == extra
    assert (found["_run_key"], found["_row"]) == ("dag/run-1/leads", 1)


#: Names that a database gives to columns of its own, and names that only look so.
SYSTEM_COLUMNS = {
    "postgresql": ["xmin", "xmax", "cmin", "cmax", "ctid", "tableoid"],
    "mariadb": ["db_row_id", "DB_TRX_ID", "db_roll_ptr", "FTS_DOC_ID", "fts_doc_id"],
    "sqlite": [],
}
OTHER_NAMES = ["rowid", "oid", "_rowid_", "user", "row_start", "row_end", "xml", "ctid_", "id_", "true", "null"]


def test_fields_named_like_columns_of_the_database_itself_lose_nothing(warehouse, land, load):
    names = [*SYSTEM_COLUMNS[warehouse.kind], *OTHER_NAMES]
    manifest = land([lead(1, **dict.fromkeys(names, "value"))])
    load(manifest)
    assert load(manifest)["unchanged"] == 1
    [row] = warehouse.rows()
    kept = {**row, **(row["_extra"] or {})}
    assert {name: kept[name] for name in names} == dict.fromkeys(names, "value")
    assert set(SYSTEM_COLUMNS[warehouse.kind]) <= set(row["_extra"] or {})
    assert "user" in row


def test_form_fields_get_no_column_named_like_one_of_the_database_itself(warehouse, land, load):
    itself = {"postgresql": "PostgreSQL itself", "mariadb": "MySQL itself"}
    for name in SYSTEM_COLUMNS[warehouse.kind]:
        with pytest.raises(AirflowFailException, match=rf"column '{name}' is taken by {itself[warehouse.kind]}\."):
            load(land([lead(1)]), lead_fields=[name])
    load(land([lead(1)]), lead_fields={"name": "form_xmin", "email": "form_db_row_id"})
    assert [row["form_xmin"] for row in warehouse.rows()] == ["Person 1"]


def test_a_hundred_thousand_field_names_do_not_make_a_hundred_thousand_columns(warehouse, land, load):
    rows = [lead(n, **{f"field_{n}_{m}": m for m in range(50)}) for n in range(20)]
    counts = load(land(rows), lead_fields=["email"])
    assert counts["columns_added"] == len(warehouse.columns()) == 15 + 100
    more = [lead(n, **{f"more_{n}_{m}": m for m in range(50)}) for n in range(20)]
    assert load(land(more, at="2026-01-01T00:00:00+00:00"))["columns_added"] == 0
    for number, row in enumerate(sorted(warehouse.rows(), key=lambda row: int(row["id"][5:]))):
        assert row["_extra"] == {f"more_{number}_{m}": m for m in range(50)}
        # Fields that no row of the later file has are left alone: a column may be somebody's own.
        assert (number > 1) or row[f"field_{number}_0"] == "0"


# ----------------------------------------------------------------------------------------------------- modes


def test_append_keeps_the_rows_of_each_run_and_a_run_only_once(warehouse, land, load):
    first = land([lead(1), lead(1, source="changed")], at="2025-01-01T00:00:00+00:00")
    second = land([lead(1)], at="2025-01-02T00:00:00+00:00")
    assert load(first, mode="append")["inserted"] == 2
    load(second, mode="append")
    counts = load(first, mode="append")
    assert (counts["inserted"], counts["deleted"]) == (2, 2)
    runs: dict[str, list[str]] = {}
    for row in sorted(warehouse.rows(), key=lambda row: row["_row"]):
        runs.setdefault(row["_run_key"], []).append(row["source"])
    assert runs == {"dag/run-1/leads": ["chatbot", "changed"], "dag/run-2/leads": ["chatbot"]}
    again = land([lead(5)], run_key=first["run_key"], at="2025-01-03T00:00:00+00:00")
    load(again, mode="append")
    assert [row["id"] for row in warehouse.rows() if row["_run_key"] == first["run_key"]] == ["lead_5"]
    with pytest.raises(AirflowFailException, match="has no primary or unique key of just _project_id"):
        load(second)


def test_replace_deletes_what_the_listing_lacks_of_this_agent_only(warehouse, land, load):
    load(land([lead(1), lead(2)], agent="a"))
    load(land([lead(1), lead(2)], agent="b"))
    load(land([lead(1), lead(2)], agent="a", project=None))
    newer = land([lead(2), lead(3)], agent="a", at="2025-02-01T00:00:00+00:00")
    for expected in ({"inserted": 1, "unchanged": 1, "deleted": 1}, {"inserted": 0, "unchanged": 2, "deleted": 0}):
        counts = load(newer, mode="replace")
        assert {name: counts[name] for name in expected} == expected
    ids: dict[tuple[str, str], list[str]] = {}
    for row in warehouse.rows():
        ids.setdefault((row["_project_id"], row["_chatbot_id"]), []).append(row["id"])
    first, second, third = (f"lead_{number}" for number in (1, 2, 3))
    assert ids == {("", "a"): [first, second], ("24017", "a"): [second, third], ("24017", "b"): [first, second]}
    with pytest.raises(AirflowFailException, match="fetched after 2025-01-15"):
        load(land([lead(1)], agent="a"), mode="replace")
    assert load(land([], agent="a", at="2025-03-01T00:00:00+00:00"), mode="replace")["deleted"] == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "window"}, "mode='window'"),
        ({"mode": "cursor"}, "mode='cursor'"),
        ({"shard": [0, 2], "resource": "messages"}, "one shard"),
        ({"sessions_uri": "s"}, "has the leads of sessions"),
        ({"rejected": 1}, "rejected"),
        ({"sessions_failed": 1, "resource": "messages"}, "could not be read"),
    ],
)
def test_what_is_no_whole_listing_neither_replaces_nor_marks(warehouse, land, load, changes, words):
    row = {"_message_key": "k"} if "resource" in changes else lead(1)
    manifest = land([row], **changes)
    with pytest.raises(AirflowFailException, match=f"mode='replace' needs a whole listing.*{words}"):
        load(manifest, mode="replace")
    if words not in {"mode='cursor'", "rejected", "could not be read"}:
        with pytest.raises(AirflowFailException, match=f"mark_deleted needs a whole listing.*{words}"):
            load(manifest, mark_deleted=True)


def test_an_empty_file_makes_the_table(warehouse, land, load):
    counts = load(land([]))
    assert (counts["rows"], counts["columns_added"]) == (0, 15)
    assert warehouse.rows() == []


# ------------------------------------------------------------------------------------- sessions and messages


def test_of_a_session_with_a_hash_the_id_never_gets_into_the_table(warehouse, land, load):
    touched = "2025-01-01T00:00:00+00:00"
    rows = [
        {"session_id": PHONE, "_session_key": "h" * 64, "last_message": "hello", "_last_message_time": None},
        {"session_id": "web-1", "_session_key": "i" * 64, "unread": 2, "_last_message_time": touched},
    ]
    load(land(rows, resource="sessions"))
    found = warehouse.rows(key="session_id")
    assert [row["session_id"] for row in found] == ["h" * 64, "i" * 64]
    assert "_session_key" not in found[0]
    assert PHONE not in str(found)
    mixed = land([*rows, {"session_id": PHONE}], resource="sessions")
    with pytest.raises(AirflowFailException, match=r"some rows of .* have _session_key and others do not"):
        load(mixed)


def test_messages_have_a_row_each_by_their_key(warehouse, land, load):
    rows = [
        {"_message_key": f"k{n}", "_session_id": PHONE, "_position": n, "text": "Hi", "sender": {"role": "user"}}
        for n in range(3)
    ]
    manifest = land(rows, resource="messages", mode="window", shard=[0, 2])
    load(manifest)
    assert load(manifest)["unchanged"] == 3
    found = warehouse.rows(key="_message_key")
    assert [(row["_message_key"], row["_position"], row["text"]) for row in found] == [
        (f"k{n}", n, "Hi") for n in range(3)
    ]
    assert found[0]["sender"] == '{"role":"user"}'
    with pytest.raises(AirflowFailException, match="lead_fields is for leads"):
        load(manifest, lead_fields=["email"])
    with pytest.raises(AirflowFailException, match="lacks id"):
        load(land([lead(1)]))


# ------------------------------------------------------------------------------------- rows that the API has no more


def day(number: int) -> str:
    return f"2025-01-{number:02}T00:00:00+00:00"


def deleted(warehouse) -> dict[str, str | None]:
    """Return since which day each row counts as deleted."""
    rows = warehouse.rows()
    return {row["id"]: row["_deleted_at"] and instant(row["_deleted_at"]).date().isoformat() for row in rows}


def test_rows_that_a_whole_listing_lacks_are_marked_and_lose_the_mark_when_they_come_back(warehouse, land, load):
    def sync(manifest, **expected):
        counts = load(manifest, mark_deleted=True)
        assert {name: counts[name] for name in expected} == expected
        assert counts["rows"] == counts["in_both"] + counts["only_in_api"]
        assert len([row for row in warehouse.rows() if row["_chatbot_id"] == "agent"]) == (
            counts["in_both"] + counts["only_in_api"] + counts["only_in_table"]
        )

    load(land([lead(9)], agent="other", at=day(1)))
    first = land([lead(1), lead(2), lead(3)], at=day(2))
    sync(first, in_both=0, only_in_api=3, only_in_table=0, marked_deleted=0, restored=0, columns_added=1)
    without = land([lead(1), lead(4)], at=day(3))
    sync(without, in_both=1, only_in_api=1, only_in_table=2, marked_deleted=2, restored=0)
    marked = {"lead_1": None, "lead_2": "2025-01-03", "lead_3": "2025-01-03", "lead_4": None, "lead_9": None}
    assert deleted(warehouse) == marked
    # Loaded again, and after an older file that has the rows, it is the same.
    sync(without, in_both=2, only_in_api=0, only_in_table=2, marked_deleted=0, restored=0)
    sync(first, in_both=3, only_in_api=0, only_in_table=1, marked_deleted=0, restored=0)
    assert deleted(warehouse) == marked
    # What is gone already keeps the day on which it was found out.
    sync(land([lead(1), lead(3)], at=day(4)), in_both=2, only_in_table=2, marked_deleted=1, restored=1)
    assert deleted(warehouse) == {**marked, "lead_3": None, "lead_4": "2025-01-04"}
    # A load that marks nothing brings a row back too.
    assert load(land([lead(2)], mode="window", at=day(5)))["restored"] == 1
    assert deleted(warehouse)["lead_2"] is None
    with pytest.raises(AirflowFailException, match="column '_deleted_at' is taken by _deleted_at"):
        load(first, lead_fields=["_deleted_at"])


@pytest.mark.parametrize(
    "given",
    [
        ({"mode": "cursor"}, None),
        ({"rejected": 1}, "lacks rows that were rejected"),
        ({"sessions_failed": 1}, "sessions that could not be read"),
        ({}, "is empty"),
    ],
    ids=str,
)
def test_a_file_that_need_not_have_every_row_marks_nothing(warehouse, land, load, caplog, given):
    changes, warning = given
    load(land([lead(1)], at=day(1)))
    counts = load(land([lead(2)] if changes else [], at=day(2), **changes), mark_deleted=True)
    assert counts["restored"] == 0
    assert "marked_deleted" not in counts
    assert set(deleted(warehouse).values()) == {None}
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [warning in one for one in warnings] == ([True] if warning else [])


def test_a_field_of_the_api_named_like_the_mark_is_no_mark(warehouse, land, load):
    for at in (day(1), day(2)):
        load(land([lead(1, _deleted_at="2020-01-01T00:00:00+00:00")], at=at), mark_deleted=True)
    [row] = warehouse.rows()
    assert (row["_deleted_at"], row["_extra"]) == (None, {"_deleted_at": "2020-01-01T00:00:00+00:00"})


def test_a_table_without_the_column_is_refused_where_none_may_be_added(warehouse, land, load):
    manifest = land([lead(1)])
    load(manifest)
    with pytest.raises(AirflowFailException, match="_deleted_at of t must hold a time with microseconds"):
        load(manifest, create_table=False, mark_deleted=True)


# ------------------------------------------------------------------------------------------------ leads of sessions


def test_a_lead_keeps_its_session_when_it_is_listed_without(warehouse, land, load):
    load(land([lead(1)], at=day(1)))
    of_session = land([lead(1, _session_id="s1"), lead(2, _session_id="s2")], sessions_uri="s", at=day(2))
    counts = load(of_session)
    assert (counts["unchanged"], counts["inserted"]) == (1, 1)
    counts = load(land([lead(1), lead(2, source="changed")], at=day(3)))
    assert (counts["unchanged"], counts["updated"]) == (1, 1)
    assert load(of_session)["outdated"] == 2
    found = [(row["_session_id"], row["source"], instant(row["_fetched_at"])) for row in warehouse.rows()]
    assert found == [("s1", "chatbot", instant(day(3))), ("s2", "changed", instant(day(3)))]
    load(land([lead(1, _session_id="s3")], sessions_uri="s", at=day(4)))
    assert warehouse.rows()[0]["_session_id"] == "s3"


# -------------------------------------------------------------------------------------------------- erasing a person


def test_the_erasure_recipe_finds_the_files_of_one_person_and_empties_the_tables(warehouse, land, load, tmp_path):
    if warehouse.kind != "postgresql":
        pytest.skip("the recipe's SQL is PostgreSQL's")
    recipe = (Path(__file__).parents[2] / "docs" / "warehouse.md").read_text().partition("## Erasing one person")[2]
    code, sql = (
        textwrap.dedent(re.findall(rf" *```{kind}\n(.*?)```", recipe, re.DOTALL)[0]) for kind in ("python", "sql")
    )
    named = land([lead(1), lead(2, _session_id="s2")])
    rejected = tmp_path / "rejected.jsonl"
    rejected.write_text('{"row": {"lead_data": "P2@EXAMPLE.com"}}\n')
    beside = land([lead(3)], rejected=1, rejected_uri=str(rejected))
    land([lead(4)])
    space: dict[str, Any] = {}
    exec(code, space)
    found = space["files_with"](str(tmp_path), "p2@example.com")
    assert sorted(map(str, found)) == sorted([named["uri"], beside["uri"]])
    load(named, "robofy_leads")
    load(land([{"session_id": "s2"}, {"session_id": "s1"}], resource="sessions"), "robofy_sessions")
    load(land([{"_message_key": "k", "_session_id": "s2"}], resource="messages"), "robofy_messages")
    select, delete = sql.replace("ada@example.com", "p2@example.com").split("\n\n")
    [(lead_id, session_id)] = warehouse.run(select)
    warehouse.run(delete.replace("the lead", lead_id).replace("the session", session_id))
    assert [row["id"] for row in warehouse.rows("robofy_leads")] == ["lead_1"]
    assert [row["session_id"] for row in warehouse.rows("robofy_sessions", key="session_id")] == ["s1"]
    assert warehouse.rows("robofy_messages", key="_message_key") == []
