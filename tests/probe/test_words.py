"""What may be said: words of a closed list, and numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.probe.words import FIELD_TYPES, ROLES, Names, known, word

APIS = """
session_id createdAt last_message_time user-profile-name lead_data isReady ip_address nextPageToken chatbotID
next_page_token llm_api_key id
"""
PEOPLE = """
+4915155500011 4915155500011 address1 anna anna@example.org _id message: message_from_user id2024 größe
6ff922ed-9884-4430-83c9-7ac83a7b0574
"""
ODD = ["", " id", "id ", "id\n", "Anna Schmidt", "id_" * 40 + "id", "\uff49\uff44"]


@pytest.mark.parametrize("name", APIS.split())
def test_names_of_apis_are_known(name):
    assert known(name)


@pytest.mark.parametrize("name", [*PEOPLE.split(), *ODD])
def test_what_may_be_somebody_is_not(name):
    assert not known(name)


@given(st.lists(st.text(), max_size=8))
def test_names_that_are_not_known_are_only_counted(names):
    said = Names().many(names)
    assert all(known(one) or one.endswith(("name is not shown", "names are not shown")) for one in said)
    assert {one for one in names if known(one)} <= set(said)


@given(st.text())
def test_a_path_is_written_without_unknown_names(name):
    assert Names().path(("data", name)) == ("data." + (name if known(name) else "?"))


def test_on_demand_names_are_written_but_not_numbers_addresses_or_sentences():
    names = Names(reveal=True)
    assert names.path(["utterance"]) == "utterance"
    for odd in ("+4915155500011", "a@b.org", "", "x" * 61, "a\nb", "born 1980", "https://x.example"):
        assert names.path([odd]) == "?"


def test_many_names_are_cut():
    said = Names(reveal=True).many([f"name {chr(65 + number % 26)}{number}" for number in range(300)])
    assert len(said) == 41
    assert said[-1] == "260 whose names are not shown"


@pytest.mark.parametrize(
    ("value", "among", "said"),
    [
        ("User", ROLES, "user"),
        (" Bot ", ROLES, "bot"),
        ("Anna", ROLES, None),
        (7, ROLES, None),
        ("EMAIL", FIELD_TYPES, "email"),
    ],
)
def test_values_are_written_if_they_are_one_of_a_few_words(value, among, said):
    assert word(value, among) == said
