"""Questions: how they are read from a list and from files, and how an answer is judged."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.knowledge.asked import shortest_time
from airflow_provider_robofy.knowledge.questions import LONGEST_ANSWER, parse_questions, read_questions

HOURS = "We open Monday to Friday at 9:30,\nand close at 18:00. Straße 5, \uff21\uff11."


def judge(answer: str = HOURS, **rules) -> list[str]:
    [question] = read_questions([{"ask": "When?", **rules}])
    return question.judge(answer)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"expect": "9:30"},
        {"expect": ["MONDAY", "9:30, and\tclose"]},
        {"expect": ["STRASSE 5", "A1."]},
        {"expect": [r"/clos\w+? at|close at/", "/^we open .* A1\\.$/"]},
        {"any_of": ["10:00", "9:30"]},
        {"any_of": ["/10:\\d\\d/", "/9:\\d\\d/"], "reject": "I do not know"},
        {"reject": ["Sunday", "/straße 6/"]},
    ],
    ids=str,
)
def test_an_answer_that_has_what_it_must_have_passes(rules):
    assert judge(**rules) == []


@pytest.mark.parametrize(
    ("rules", "reasons"),
    [
        ({"expect": ["9:30", "Sunday"]}, ["expect: 'Sunday' is not in the answer"]),
        ({"expect": "/^monday/"}, ["expect: '/^monday/' is not in the answer"]),
        ({"any_of": ["10:00", "/1\\d:30/"]}, ["any_of: none of '10:00', '/1\\d:30/' is in the answer"]),
        ({"reject": ["FRIDAY", "Sunday"]}, ["reject: 'FRIDAY' is in the answer"]),
        ({"expect": "x", "any_of": ["q"], "reject": "18:00"}, ["expect", "any_of", "reject"]),
    ],
    ids=str,
)
def test_each_rule_that_an_answer_breaks_is_a_reason(rules, reasons):
    found = judge(**rules)
    assert len(found) == len(reasons)
    assert all(one.startswith(reason) for one, reason in zip(found, reasons, strict=True))


@given(st.text(min_size=1, max_size=30), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_case_unicode_form_and_white_space_make_no_difference(text, form):
    if not " ".join(unicodedata.normalize("NFKC", text).split()).strip("/ "):
        return
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        text = f"{text} "
    written = unicodedata.normalize(form, text).replace(" ", "\u00a0\n")
    assert judge(f"It says {written} here", expect=text) == []


def test_an_answer_that_is_too_long_fails_whatever_it_contains():
    assert judge("x" * LONGEST_ANSWER, expect="x") == []
    assert judge("x" * (1 << 20), expect="x") == ["the answer has 1048576 characters, more than 100000"]


# ------------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("given_questions", "words"),
    [
        ([], "questions: there is no question"),
        (None, "questions: there is no question"),
        ({"ask": "x"}, "questions must be a list of questions, not dict"),
        (["When?"], r"questions\[0\] must be an object with ask, and not str"),
        ([{"ask": "x"}, {"expect": "x"}], r"questions\[1\] has no ask"),
        ([{"ask": " "}], r"questions\[0\] has no ask"),
        ([{"ask": 5}], r"questions\[0\] has no ask"),
        ([{"ask": "x", "expcet": "y"}], r"questions\[0\]: unknown key expcet; known are ask, expect, any_of, reject"),
        ([{"ask": "x", "expect": 24}], r"questions\[0\]: expect must be text or a list of texts, not int"),
        ([{"ask": "x", "expect": None}], r"questions\[0\]: expect must be text or a list of texts, not NoneType"),
        ([{"ask": "x", "any_of": []}], r"questions\[0\]: any_of is an empty list"),
        ([{"ask": "x", "reject": ["ok", " "]}], r"questions\[0\]: reject has an empty text"),
        ([{"ask": "x", "reject": "//"}], r"questions\[0\]: reject has an empty text"),
        ([{"ask": "x", "expect": "/(/"}], r"questions\[0\]: expect: /\(/ is not a regular expression \(missing \)"),
    ],
    ids=str,
)
def test_a_list_that_cannot_be_used_is_refused_with_the_index(given_questions, words):
    with pytest.raises(RobofyConfigError, match=words):
        read_questions(given_questions)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("q.yaml", b"", "q.yaml: there is no question"),
        ("q.yaml", b"# nothing\n", "q.yaml: there is no question"),
        ("q.json", b" \n", "q.json: there is no question"),
        ("q.json", b"[]", "q.json: there is no question"),
        ("q.yaml", b"just text", "q.yaml must be a list of questions, not str"),
        ("q.yaml", b"- ask: a\n\n- expect: b\n", "q.yaml, line 3 has no ask"),
        ("q.yml", b"- ask: a\n- ask: b\n  expects: c\n", "q.yml, line 2: unknown key expects"),
        ("q.yaml", b"# x\n- ask: a\n  expect: /[/\n", "q.yaml, line 2: expect: /\\[/ is not a regular expression"),
        ("q.yaml", b"- ask: a\n- ask: b\n  expect: c\n  expect: d\n", "q.yaml, line 2: expect is there twice"),
        ("q.yaml", b"- ask: a\n- ask: [\n", "q.yaml, line 3: not YAML"),
        ("q.yaml", b"- ask: a\n---\n- ask: b\n", "q.yaml, line 2: not YAML"),
        ("q.yaml", b"- !!python/object/apply:os.getcwd []\n", "q.yaml, line 1 must be an object"),
        ("q.yaml", b"- ask: \x01\n", "q.yaml has characters that YAML does not allow"),
        ("q.yaml", b"[" * 5000, "q.yaml .* nested too deeply"),
        ("q.json", b'[{"ask": "a"},\n{"ask" "b"}]', "q.json, line 2: not JSON"),
        ("q.json", b'[{"ask": "a"}, {"expect": "b"}]', r"q.json\[1\] has no ask"),
        ("q.json", "[{'ask': 'é'}]".encode("latin-1"), "q.json is not UTF-8 text"),
        ("q.csv", b"ask\na\n", r"a file that ends in .yaml, .yml or .json, not 'q.csv'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_line(name, content, words):
    with pytest.raises(RobofyConfigError, match=words):
        parse_questions(content, name)


def test_yaml_and_json_give_the_same_questions_and_yaml_takes_values_as_they_are_written():
    questions = [
        {"ask": "When do you öffnen?", "expect": ["9:30", "yes", "2025-01-01", "007"]},
        {"ask": "Returns?", "any_of": ["30 days", "/(one|a) month/"], "reject": "no"},
    ]
    text = """
- ask: When do you öffnen?
  expect: [9:30, yes, 2025-01-01, 007]
- ask: Returns?
  any_of:
    - 30 days
    - /(one|a) month/
  reject: no
"""
    expected = read_questions(questions)
    assert parse_questions(text.encode(), "/data/q.yaml") == expected
    assert parse_questions(f"\ufeff{text}".encode(), "s3://c@bucket/q.yml") == expected
    assert parse_questions(json.dumps(questions, indent="\t").encode(), "q.json") == expected


@pytest.mark.parametrize(
    ("count", "per_minute", "time"),
    [
        (1, 30, "0:00:00"),
        (2, 30, "0:00:02"),
        (31, 30, "0:01:00"),
        (31, 20, "0:01:30"),
        (5_000, 30, "2:46:38"),
        (5_001, 30, "1 day, 0:00:00"),
        (10_000, 30, "1 day, 2:46:38"),
    ],
)
def test_the_time_that_questions_take_at_least_counts_both_limits(count, per_minute, time):
    assert str(shortest_time(count, per_minute)) == time
