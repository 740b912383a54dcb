"""Files in any order, any number of times: the table ends the same. Without Airflow, on SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.warehouse.database import open_database
from airflow_provider_robofy.warehouse.load import Load, answers_of
from airflow_provider_robofy.warehouse.table import TableName

IDS = st.sampled_from(["a", "A", "b", "c", "d"])
AGENTS = st.sampled_from(["x", "y"])
FILES = st.lists(st.tuples(AGENTS, st.lists(st.tuples(IDS, st.integers(0, 2)), max_size=6)), min_size=1, max_size=4)


class Given:
    """Stand for a landed file."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def rows(self):
        return iter([dict(row) for row in self._rows])


def load(path: Path, number: int, file: tuple[str, list[tuple[str, int]]], chunk_size: int) -> dict[str, int]:
    agent, rows = file
    stamp = {"_project_id": None, "_chatbot_id": agent}
    manifest = {
        "resource": "leads",
        "mode": "full",
        "project_id": None,
        "chatbot_id": agent,
        "uri": "file",
        "rows": len(rows),
        "run_key": f"run {number}",
        "started_at": f"2025-01-0{number + 1}T00:00:00+00:00",
    }
    held: Any = Given([{"id": one, "source": source, **stamp} for one, source in rows])
    with open_database(lambda: sqlite3.connect(path), "Connection 'x'", lambda: None) as database:
        return Load(
            database=database, table=TableName.of("t"), manifest=manifest, mode="upsert", chunk_size=chunk_size
        ).run(held)


@given(FILES, st.data(), st.integers(1, 4))
@settings(max_examples=40)
def test_whatever_the_order_the_version_that_was_fetched_last_is_in_the_table(files, data, chunk_size):
    order = data.draw(st.lists(st.sampled_from(range(len(files))), max_size=6)) + data.draw(
        st.permutations(range(len(files)))
    )
    expected = {}
    for agent, rows in files:
        expected.update({(agent, one): str(source) for one, source in rows})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.db"
        for number in order:
            counts = load(path, number, files[number], chunk_size)
            parts = ("inserted", "updated", "unchanged", "outdated", "superseded")
            assert counts["rows"] == len(files[number][1]) == sum(counts[name] for name in parts)
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("SELECT _chatbot_id, id, source FROM t").fetchall()
        assert {(agent, one): source for agent, one, source in found} == expected
        assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("lead_data", "answers"),
    [
        ([{"field_name": " E-Mail ", "field_value": "a"}], {"e-mail": "a"}),
        ([{"field_name": "e-mail", "field_value": "a"}, {"field_name": "E-MAIL", "field_value": "b"}], {"e-mail": "b"}),
        ([{"field_name": "e-mail", "field_value": "a"}, {"field_name": "e-mail", "field_value": ""}], {"e-mail": "a"}),
        ([{"field_name": "e-mail", "field_value": ""}, {"field_name": "e-mail"}], {"e-mail": ""}),
        ([{"field_name": "e-mail", "field_value": 0}], {"e-mail": 0}),
        ({"E-Mail": ["a", "b"], "other": 1}, {"e-mail": ["a", "b"]}),
        ([{"field_name": ["e-mail"]}, None, 7, "e-mail", {}], {}),
        ("e-mail", {}),
        (None, {}),
    ],
)
def test_answers_are_found_in_any_form_that_lead_data_may_have(lead_data, answers):
    assert answers_of(lead_data, {"e-mail": "email"}) == answers
