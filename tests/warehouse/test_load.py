"""Files in any order, any number of times: the table ends the same. Without Airflow, on SQLite."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.fields import field_key
from airflow_provider_robofy.warehouse.database import open_database
from airflow_provider_robofy.warehouse.load import Load
from airflow_provider_robofy.warehouse.projection import answers_of
from airflow_provider_robofy.warehouse.table import TableName, lead_columns
from tests.extract.conftest import spellings

IDS = st.sampled_from(["a", "A", "b", "c", "d"])
AGENTS = st.sampled_from(["x", "y"])
FILES = st.lists(st.tuples(AGENTS, st.lists(st.tuples(IDS, st.integers(0, 2)), max_size=6)), min_size=1, max_size=4)


class Held:
    """A landed file, as it is held while it is loaded."""

    def __init__(self, rows: list[dict[str, Any]], agent: str) -> None:
        self._rows = [{**row, "_project_id": None, "_chatbot_id": agent} for row in rows]

    def rows(self):
        return iter([dict(row) for row in self._rows])


def load(
    path: Path, rows: list[dict[str, Any]], *, agent: str = "x", number: int = 0, **arguments: Any
) -> dict[str, int]:
    manifest: dict[str, Any] = {
        "resource": "leads",
        "mode": "full",
        "project_id": None,
        "chatbot_id": agent,
        "uri": "file",
    }
    manifest |= {"rows": len(rows), "run_key": f"run {number}", "started_at": f"2025-01-0{number + 1}T00:00:00+00:00"}
    held: Any = Held(rows, agent)
    with open_database(lambda: sqlite3.connect(path), "Connection 'x'", lambda: None) as database:
        return Load(database=database, table=TableName.of("t"), manifest=manifest, mode="upsert", **arguments).run(held)


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
            agent, rows = files[number]
            landed = [{"id": one, "source": source} for one, source in rows]
            counts = load(path, landed, agent=agent, number=number, chunk_size=chunk_size)
            parts = ("inserted", "updated", "unchanged", "outdated", "superseded")
            assert counts["rows"] == len(rows) == sum(counts[name] for name in parts)
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
        ([{"field_name": "\ufeffE-\u200bMail\u00a0", "field_value": "a"}], {"e-mail": "a"}),
        ('[{"field_name": "E-Mail", "field_value": "a"}]', {"e-mail": "a"}),
        ('"{\\"E-Mail\\": \\"a\\"}"', {"e-mail": "a"}),
        (['{"field_name": "E-Mail", "field_value": "a"}'], {"e-mail": "a"}),
        ("[1, 2", {}),
        ([{"field_name": ["e-mail"]}, None, 7, "e-mail", {}], {}),
        ("e-mail", {}),
        (None, {}),
    ],
)
def test_answers_are_found_in_any_form_that_lead_data_may_have(lead_data, answers):
    assert answers_of(lead_data, {"e-mail": "email"}) == answers


@given(spellings())
def test_any_spelling_of_a_form_field_gets_its_column(names):
    wanted, sent = names
    assume(field_key(wanted))
    columns = lead_columns({wanted: "c"})
    assert answers_of([{"field_name": sent, "field_value": 1}], columns) == dict.fromkeys(columns, 1)
    assert lead_columns({wanted: "c", sent: "c"}) == columns


def test_a_column_is_named_as_the_name_looks():
    assert lead_columns(["\ufeff Te\u0301le\u0301phone\u00a0mobile"]) == {"téléphone mobile": "Téléphone mobile"}


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u00a0\ufeff"])
def test_a_form_field_whose_name_cannot_be_seen_is_refused(name):
    with pytest.raises(RobofyConfigError, match="not empty"):
        lead_columns({"email": name})
    with pytest.raises(RobofyConfigError, match="not empty"):
        lead_columns([name])


@pytest.mark.parametrize(
    ("lead_fields", "rows", "named"),
    [
        (["emial", "email"], [[{"field_name": "Email", "field_value": "a"}]], "'emial'"),
        (["emial"], [[], None], "'emial'"),
        (["email"], [None, [{"field_name": "E\u200bmail", "field_value": ""}]], None),
        (["emial"], [], None),
    ],
)
def test_a_form_field_that_no_lead_has_is_warned_about(tmp_path, caplog, lead_fields, rows, named):
    landed = [{"id": str(number), "lead_data": one} for number, one in enumerate(rows)]
    load(tmp_path / "t", landed, lead_fields=lead_columns(lead_fields))
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == (named is not None)
    assert all(f"called {named}." in one for one in warnings)
