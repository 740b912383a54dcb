"""Which spellings of a field's name are one name, and which texts are JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.extract.fields import clean_name, field_key, opened
from tests.extract.conftest import spellings


@pytest.mark.parametrize(
    ("one", "another"),
    [
        # Composed otherwise, in capitals, with other spaces, and with letters that cannot be seen.
        *(("téléphone", "te\u0301le\u0301phone"), ("Téléphone", "TÉLÉPHONE"), ("work mail", "work\u00a0\u2003\tmail ")),
        *(("email", "\ufeffe\u200bm\u00ada\u200di\u2060l"), ("❤\ufe0f", "❤"), ("e\u200b\u0301mail", "émail")),
        # The i of Turkish with and without its dot, and letters whose capitals are others.
        *(("isim", "İSİM"), ("isim", "ISIM"), ("ad\u0131", "ADI"), ("ADİ", "adi"), ("ad\u0131", "ADİ")),
        *(("straße", "STRASSE"), ("ΝΟΣΟΣ", "νοσος"), ("ﬁeld", "FIELD"), ("email", "\uff45\uff4d\uff41\uff49\uff4c")),
    ],
)
def test_two_spellings_are_one_name(one, another):
    assert field_key(one) == field_key(another)


@pytest.mark.parametrize(
    ("one", "another"), [("telephone", "téléphone"), ("workmail", "work mail"), ("e-mail", "email"), ("नाम", "नम")]
)
def test_other_names_stay_apart(one, another):
    assert field_key(one) != field_key(another)


@given(spellings())
def test_every_spelling_of_a_name_is_that_name(names):
    one, another = names
    assert field_key(one) == field_key(another)


@given(st.text(max_size=12))
def test_a_key_is_its_own_key(name):
    assert field_key(field_key(name)) == field_key(name)
    assert field_key(clean_name(name)) == field_key(name)


def test_a_clean_name_keeps_its_letters():
    assert clean_name("a\0b") == "a\0b", "for the database to refuse"
    assert clean_name("\ufeff Te\u0301le\u0301phone\u00a0 \u200bMobile ") == "Téléphone Mobile"


LIST = [{"field_name": "email", "field_value": "a@b.c"}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((json.dumps(LIST), LIST), (json.dumps(LIST, indent=1), LIST), (f"\ufeff {json.dumps(LIST)}\n", LIST)),
        (json.dumps(json.dumps(json.dumps(LIST))), LIST),
        ('{"a": 12345678901234567890123}', {"a": 12345678901234567890123}),
        *(('{"a": NaN}', {"a": "NaN"}), ('{"a": "\\ud83d"}', {"a": "\ud83d"})),
        *((text, None) for text in ("[1, 2", "call [me]", '"[hm]"', "[" * 100_000, "5", "")),
    ],
)
def test_a_text_is_opened_where_it_is_json(text, value):
    assert opened(text) == value
