"""Foreseeing page tokens: what only counts is foreseen, and nothing else."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.tokens import foresee


def b64(text: str, *, url: bool = False, padded: bool = True) -> str:
    encode = base64.urlsafe_b64encode if url else base64.b64encode
    token = encode(text.encode()).decode()
    return token if padded else token.rstrip("=")


COUNTING = {
    "a page number": str,
    "JSON": lambda n: json.dumps({"page": n}),
    "the documented sample": lambda n: b64(json.dumps({"page": n}, separators=(",", ":"))),
    "base64 without padding": lambda n: b64(json.dumps({"page": n, "sort": "desc?>"}), padded=False),
    "base64 for URLs": lambda n: b64(json.dumps({"filter": "ÿþ?>", "page": n}, ensure_ascii=False), url=True),
    "spaces and another order of keys": lambda n: b64(f'{{ "size" : 100 ,\n "page" : {n} }}'),
    "a nested number": lambda n: b64(json.dumps({"after": {"page": n, "of": 9000}})),
    "a number in base64": lambda n: b64(str(n)),
}
ROWS = 100


@pytest.mark.parametrize("token", COUNTING.values(), ids=COUNTING)
@pytest.mark.parametrize("step", [1, ROWS], ids=["pages", "rows"])
def test_what_counts_pages_or_rows_is_foreseen(token, step):
    number = 5 * step
    form = foresee(token(number), token(number + step), ROWS)
    assert form is not None
    ahead = [form.token(one) for one in range(2000)]
    assert ahead == [token(number + (one + 1) * step) for one in range(2000)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("3", "3"), ("4", "3"), ("3", "5"), ("03", "04"), ("-1", "0"), ("1.5", "2.5"), ("[1]", "[2]"), ("", "1")),
        *(("true", "false"), ("lead_12345", "lead_12346"), ("f3a9c1", "f3a9c2"), ("{" * 500, "{" * 499 + "1")),
        (b64('{"after":1736935200}'), b64('{"after":1736935260}')),
        (b64('{"after":"2025-01-15"}'), b64('{"after":"2025-01-16"}')),
        (b64('{"page":"2"}'), b64('{"page":"3"}')),
        (b64('{"page":2,"sig":"a7"}'), b64('{"page":3,"sig":"b1"}')),
        (b64('{"page":2,"n":7}'), b64('{"page":3,"n":8}')),
        (b64('{"page":2}'), '{"page":3}'),
        (b64('{"page":2}'), b64('{ "page":3}')),
        (b64('{"page":2}') + "\n", b64('{"page":3}') + "\n"),
        ("2" * 1_000_000, "3" * 1_000_000),
        (b64('{"page":2}') * 100_000, b64('{"page":3}') * 100_000),
    ],
)
def test_what_does_something_else_is_opaque(first, second):
    assert foresee(first, second, ROWS) is None


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 1000))
def test_a_form_always_makes_both_tokens_anew(first, second, rows):
    form = foresee(first, second, rows)
    if form is not None:
        assert (form.token(-1), form.token(0)) == (first, second)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_no_bytes_in_base64_raise_or_give_a_form_that_does_not_fit(first, second):
    tokens = base64.b64encode(first).decode(), base64.b64encode(second).decode()
    form = foresee(*tokens, 100)
    assert form is None or (form.token(-1), form.token(0)) == tokens
