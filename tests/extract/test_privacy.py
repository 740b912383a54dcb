"""What a privacy policy keeps, drops and hashes, and what it does not let through."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.fields import field_key
from airflow_provider_robofy.extract.privacy import PrivacyPolicy, applied_rules, check_rules, own_rules
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms, check_pseudonym_secret
from airflow_provider_robofy.resources import RESOURCES
from tests.extract.conftest import spellings

KEY = "0123456789abcdef-a-long-key"
LEAD: dict[str, Any] = {
    "id": "lead_1",
    "created_at": "2025-01-15 10:30:00",
    "source": "chatbot",
    "ip_address": "192.0.2.7",
    "lead_data": [
        {"field_name": "name", "field_type": "text", "field_value": "Ann"},
        {"field_name": "Email ", "field_type": "email", "field_value": " Ann@Example.com"},
        {"field_name": "work mail", "field_type": "email", "field_value": "ann@work.example"},
        {"field_name": "notes", "field_type": "text", "field_value": "call +4915112345678"},
    ],
}


def policy(rules, resource="leads", key=KEY, own=()) -> PrivacyPolicy:
    return PrivacyPolicy(check_rules(rules, "privacy"), key, RESOURCES[resource], own)


def hashed(text: str) -> str:
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


# ----------------------------------------------------------------------------------------------------------- rules
def entry(name: object, value: object, kind: str = "text") -> dict[str, object]:
    return {"field_name": name, "field_type": kind, "field_value": value}


TOP = {"id": "lead_1", "created_at": "2025-01-15 10:30:00"}
MAIL_HASHED = entry("Email ", hashed("ann@example.com"), "email")
DOTTED = {"id": 1, "utm.source": "x", "lead_data": [entry("a.b", "x"), entry("a", "y")]}
LABELLED = {"id": 1, "lead_data": [entry("email", "a@b.c", "email") | {"label": "Mail of a@b.c"}]}
#: Rules, what they are applied to, and what lands.
LANDED: dict[str, tuple[dict[str, str], dict[str, Any], dict[str, Any]]] = {
    "the policy of the documents": (
        {"ip_address": "drop", "lead_data.email": "hash", "lead_data.*": "drop"},
        LEAD,
        {**TOP, "source": "chatbot", "lead_data": [MAIL_HASHED]},
    ),
    "a type stands for every field of it, and a name counts more": (
        {"lead_data.type:Email": "hash", "lead_data.work mail": "keep", "lead_data.*": "drop", "*": "drop"},
        LEAD,
        {**TOP, "lead_data": [MAIL_HASHED, entry("work mail", "ann@work.example", "email")]},
    ),
    "the fallback of the row does not take what rows are told apart by": ({"*": "drop"}, LEAD, TOP),
    "but a rule does": ({"*": "drop", "id": "hash"}, LEAD, {**TOP, "id": hashed("lead_1")}),
    "without a rule a field of the row is kept": ({"ip_address": "drop"}, {"id": 1, "new": 2}, {"id": 1, "new": 2}),
    "a whole field": ({"lead_data": "drop", "source": "drop", "ip_address": "drop"}, LEAD, TOP),
    "a rule for the whole field is the fallback for its parts": (
        {"lead_data": "drop", "lead_data.name": "keep", "*": "drop"},
        LEAD,
        {**TOP, "lead_data": [entry("name", "Ann")]},
    ),
    "a name with dots is one name": (
        {"lead_data.a.b": "drop", "lead_data.*": "keep", "utm.source": "drop", "utm.*": "keep"},
        DOTTED,
        {"id": 1, "lead_data": [entry("a", "y")]},
    ),
    "a hashed entry says its value nowhere else": (
        {"lead_data.*": "hash"},
        LABELLED,
        {"id": 1, "lead_data": [entry("email", hashed("a@b.c"), "email")]},
    ),
}


@pytest.mark.parametrize(("rules", "row", "landed"), LANDED.values(), ids=LANDED)
def test_what_lands_under_rules(rules, row, landed):
    before = json.dumps(row)
    assert policy(rules).land(row) == landed
    assert json.dumps(row) == before, "the row that came stays as it was"


def test_a_whole_field_may_be_hashed():
    assert len(policy({"lead_data": "hash"}).land(LEAD)["lead_data"]) == 64


def test_the_fields_of_an_object_are_its_keys():
    row = {"sender": {"Phone": "+49151", "role": "user"}, "files": [{"url": "u", "size": 1}, "loose"]}
    rules = {"sender.phone": "hash", "sender.*": "keep", "files.url": "drop", "files.*": "keep", "session_id": "keep"}
    sender = {"Phone": hashed("+49151"), "role": "user"}
    assert policy(rules, "messages").land(row) == {"sender": sender, "files": [{"size": 1}, "loose"]}


@pytest.mark.parametrize(
    ("lead_data", "landed"),
    [
        *((nothing, {}) for nothing in (None, "Ann, ann@example.com")),
        (["Ann", 5, None, ["ann@example.com"]], {"lead_data": []}),
        ([{"field_value": "ann@example.com"}, entry(["email"], "x"), entry(7, "x")], {"lead_data": []}),
        ({"email": "ann@example.com", "size": 5}, {"lead_data": {"email": hashed("ann@example.com")}}),
    ],
)
def test_lead_data_of_another_shape_obeys_the_fallback(lead_data, landed):
    rules = {"lead_data.email": "hash", "lead_data.*": "drop"}
    assert policy(rules).land({"id": 1, "lead_data": lead_data}) == {"id": 1, **landed}


# ------------------------------------------------------------------------------------------------------- spellings
@given(spellings(), st.sampled_from(["drop", "hash"]), st.sampled_from(["entry", "type", "object", "row", "text"]))
def test_any_spelling_of_a_rules_name_obeys_the_rule(names, action, shape):
    rule, field = names
    assume(field_key(rule) and not rule.startswith("*") and "." not in field_key(rule))
    assume(field_key(rule) not in {"id", "created_at", "lead_data", "field_name", "field_type", "field_value"})
    assume(not field_key(rule).startswith("type:"))
    lead_data = {
        "entry": [entry(field, "planted")],
        "type": [entry("x", "planted", field)],
        "object": {field: "planted"},
        "text": [json.dumps(entry(field, "planted"))],
    }
    row = {"id": 1, field: "planted"} if shape == "row" else {"id": 1, "Lead_Data\u200b": lead_data[shape]}
    name = {"type": f"lead_data.type:{rule}", "row": rule}.get(shape, f"lead_data.{rule}")
    rules = policy({name: action} if shape == "row" else {name: action, "lead_data.*": "keep"})
    assert "planted" not in json.dumps(rules.land(row))
    assert not [one for one in rules._unmet if one not in {"id", "created_at"}], "the rule was met"


def test_two_spellings_of_one_rule_are_one_rule():
    assert check_rules({"lead_data.Té": "drop", "LEAD_DATA. te\u0301": "drop"}, "privacy") == {"lead_data.té": "drop"}
    with pytest.raises(RobofyConfigError, match="two actions"):
        check_rules({"té": "drop", "te\u0301": "keep"}, "privacy")


# ------------------------------------------------------------------------------------------------------- JSON in text
ENTRIES = [entry("name", "Ann"), entry("email", "ann@example.com", "email")]


@pytest.mark.parametrize(
    "rules", [{"lead_data.email": "drop", "lead_data.*": "keep"}, {"lead_data.name": "keep", "lead_data.*": "drop"}]
)
def test_json_in_a_text_obeys_the_rules_and_stays_a_text(rules):
    landed = policy(rules).land({"id": 1, "lead_data": json.dumps(ENTRIES)})["lead_data"]
    assert isinstance(landed, str)
    assert json.loads(landed) == ENTRIES[:1]


TEXTS = [json.dumps(one) for one in ENTRIES]
NESTED: list[Any] = [
    *(json.dumps(ENTRIES), f"\ufeff {json.dumps(ENTRIES)} ", json.dumps(json.dumps(ENTRIES)), TEXTS, json.dumps(TEXTS)),
    *([ENTRIES], json.dumps([ENTRIES]), {"form": ENTRIES}, {"form": json.dumps(ENTRIES)}),
    *([entry("form", ENTRIES)], [entry("form", json.dumps(ENTRIES))], json.dumps(ENTRIES)[:-1] + ', {"n": NaN}]'),
]


@pytest.mark.parametrize("rule", ["email", "type:email"])
@pytest.mark.parametrize("lead_data", NESTED)
def test_json_in_a_text_is_opened_wherever_it_stands(rule, lead_data):
    row = {"id": 1, "lead_data": lead_data}
    kept, hidden = (
        json.dumps(policy({f"lead_data.{rule}": action, "lead_data.*": "keep"}).land(row))
        for action in ("drop", "hash")
    )
    assert "ann@example.com" not in kept + hidden
    assert "Ann" in kept
    assert hashed("ann@example.com") in hidden


def test_a_text_of_which_nothing_is_taken_stays_as_it_was():
    row = {"id": 1, "lead_data": '[ {"field_name": "b",   "field_value": 1.50} ]'}
    assert policy({"lead_data.email": "drop", "lead_data.*": "keep"}).land(row) == row


def test_what_is_nested_beyond_reason_does_not_land():
    deep: object = ENTRIES
    for _ in range(400):
        deep = [deep]
    kept = policy({"lead_data.email": "drop", "lead_data.*": "keep"}).land({"id": 1, "lead_data": deep})
    assert "ann@example.com" not in json.dumps(kept)


TEXT = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@given(
    names=st.lists(st.text(alphabet="abc .:*", min_size=1, max_size=4), max_size=4),
    depth=st.integers(min_value=0, max_value=2),
    action=st.sampled_from(["drop", "hash"]),
    shape=st.sampled_from(["value", "list", "entry", "object", "loose entry"]),
)
def test_no_shape_and_no_name_gets_a_value_past_a_fallback(names, depth, action, shape):
    secret: object = "PLANTED-5551234"
    for _ in range(depth):
        secret = [secret] if depth % 2 else {"x": secret}
    field = "".join(names) or "f"
    data = {
        "value": secret,
        "list": [secret],
        "entry": [{"field_name": field, "field_type": "text", "field_value": secret}],
        "object": {field: secret},
        "loose entry": [{"field_value": secret, "note": secret}],
    }[shape]
    row = {"id": 1, "lead_data": data, "new field": secret}
    landed = policy({"lead_data.*": action, "*": action}).land(row)
    assert "PLANTED" not in json.dumps(landed)
    assert "PLANTED" not in json.dumps(policy({"*": action}).land(row))
    assert "PLANTED" not in json.dumps(policy({"lead_data": action, "*": action}).rejected(row))


@given(row=st.dictionaries(TEXT.filter(bool), VALUES))
def test_keep_changes_nothing(row):
    assert policy({"*": "keep", "lead_data.*": "keep"}).land(row) == row


# ------------------------------------------------------------------------------------------------------------ hash
def test_equal_values_have_equal_hashes_wherever_they_stand():
    rows: list[dict] = [{"id": 1, "phone": "+49 1", "lead_data": [entry("tel", "+49 1")]}, {"id": 2, "phone": 491}]
    rules = policy({"phone": "hash", "lead_data.tel": "hash", "lead_data.*": "drop"})
    first, second = [rules.land(row) for row in rows]
    assert first["phone"] == first["lead_data"][0]["field_value"] == hashed("+49 1")
    assert second["phone"] == hashed("491")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *(
            (None, None),
            ("", ""),
            ("  ", ""),
            (True, hashed("true")),
            (" Ann@EXAMPLE.com\n", hashed("ann@example.com")),
        ),
        *((jose, hashed("josé")) for jose in ("José", "Jose\u0301", " JOSÉ", "jose\u0301\n")),
        ("\u212bngstro\u0308m", hashed("ångström")),
        ("STRASSE", Pseudonyms(KEY).full("straße")),
        ("ΐ", Pseudonyms(KEY).full("\u0399\u0308\u0301")),
    ],
)
def test_a_hash_is_one_that_anybody_with_the_key_can_make_whatever_the_letters_are_composed_of(value, name):
    assert Pseudonyms(KEY).full(value) == name
    assert not name or Pseudonyms(KEY + "1").full(value) != name


@given(st.text(max_size=8), st.sampled_from(["NFC", "NFD"]))
def test_the_form_of_a_text_makes_no_difference_to_its_hash(text, form):
    assert Pseudonyms(KEY).full(text) == Pseudonyms(KEY).full(normalize(form, text))


def test_an_id_is_hashed_as_it_is_and_half_a_character_too():
    assert Pseudonyms(KEY).exact("José") != Pseudonyms(KEY).exact("Jose\u0301")
    names = [Pseudonyms(key).short(one) for key in ("key", "other") for one in ("+4915112345678", "a", "half \ud83d")]
    assert [len(name) for name in names] == [16] * 6
    assert len(set(names)) == 6
    assert Pseudonyms("key").short("a") == names[1]


# -------------------------------------------------------------------------------------------------------- sessions
SESSION = {"session_id": "+4915112345678", "last_message_time": "t", "user_profile_name": "Ann"}


def test_a_session_lands_with_its_id_and_the_hash_that_its_messages_bear():
    key = policy({"*": "drop"}, "messages").session("+4915112345678")
    session = {"session_id": "+4915112345678", "last_message_time": "t", "_session_key": key}
    assert policy({"*": "drop"}, "sessions").land(SESSION) == session
    assert key == hashed("+4915112345678")


def test_a_rejected_session_does_not_need_its_id():
    assert policy({"*": "keep"}, "sessions").rejected(SESSION)["session_id"] == hashed("+4915112345678")


def test_session_ids_may_be_kept():
    kept = policy({"session_id": "keep", "user_profile_name": "drop"}, "sessions", key=None)
    assert kept.land(SESSION) == {"session_id": "+4915112345678", "last_message_time": "t"}
    assert kept.added == frozenset()
    assert policy({"session_id": "keep"}, "messages", key=None).session("+49151") == "+49151"


def test_ids_that_differ_in_case_stay_two():
    leads = policy({"id": "hash"})
    assert len({leads.land({"id": one})["id"] for one in ("aB", "Ab", "ab", "ab ")}) == 4
    sessions, messages = policy({"*": "keep"}, "sessions"), policy({"*": "keep"}, "messages")
    keys = [sessions.land({**SESSION, "session_id": one})["_session_key"] for one in ("aB", "ab", " ab")]
    assert keys == [messages.session(one) for one in ("aB", "ab", " ab")]
    assert len(set(keys)) == 3
    assert sessions.rejected({"session_id": "aB"})["session_id"] == keys[0]


@pytest.mark.parametrize("row", ["+49151", ["Ann", "ann@example.com"], 5, None])
def test_of_a_rejected_row_without_fields_nothing_is_kept(row):
    said = policy({"ip_address": "drop"}).rejected(row)
    assert said == f"withheld by the privacy policy: a {type(row).__name__}, which has no fields"


# ---------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("drop", "privacy must be an object of rules"),
        ({"ip": "delete"}, "the action of 'ip' must be one of keep, drop, hash"),
        ({"ip": None}, "the action of 'ip'"),
        ({"": "drop"}, "'' names no field"),
        ({".email": "drop"}, "'.email' names no field"),
        ({"lead_data.": "drop"}, "'lead_data.' names no field"),
        ({"lead_data.type:": "drop"}, "'lead_data.type:' names no field"),
        ({5: "drop"}, "5 names no field"),
        ({"IP": "drop", "ip ": "hash"}, "two actions for 'ip'"),
        ({"session_id": "drop"}, "session_id can be kept or hashed, but not dropped"),
    ],
)
def test_rules_that_are_none_are_refused_by_name(rules, said):
    with pytest.raises(RobofyConfigError, match=said.replace("(", r"\(")):
        check_rules(rules, "privacy")


@pytest.mark.parametrize(
    ("rules", "resource", "key", "said"),
    [
        ({"lead_data.email": "hash"}, "leads", KEY, "does not say what becomes of others"),
        ({"id": "drop"}, "leads", KEY, "id of leads must be kept or hashed"),
        ({"created_at": "hash"}, "leads", KEY, "created_at of leads must be kept"),
        ({"last_message_time": "drop"}, "sessions", KEY, "last_message_time of sessions must be kept"),
        ({"ip": "hash"}, "leads", None, "pseudonym_secret, the key of the hash, is not set"),
        ({"text": "drop"}, "messages", None, "session_id is to be hashed"),
        ({"text": "drop"}, "sessions", "", "session_id is to be hashed"),
        ({"ip": "hash"}, "leads", "short", "has 5 characters"),
    ],
)
def test_a_policy_that_cannot_be_kept_says_why(rules, resource, key, said):
    with pytest.raises(RobofyConfigError, match=said) as caught:
        policy(rules, resource, key)
    assert caught.value.permanent
    assert KEY not in str(caught.value)


def test_a_policy_without_a_hash_needs_no_key():
    assert policy({"ip_address": "drop"}, key=None).land(LEAD)["id"] == "lead_1"


# ---------------------------------------------------------------------------------------------------------- report
def said(rules, row, caplog, own=()) -> list[tuple[str, str]]:
    rules_ = policy(rules, own=own)
    rules_.land(row)
    with caplog.at_level(logging.INFO):
        rules_.report(logging.getLogger("here"), 1)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


TEL = {"lead_data.tel": "drop", "lead_data.type:email": "drop", "lead_data.*": "keep"}


@pytest.mark.parametrize(
    ("rules", "own", "level", "words"),
    [
        ({"ip_adress": "drop", "source": "keep"}, ["ip_adress", "source"], "WARNING", "'ip_adress'"),
        ({"lead_data.emial": "drop", "lead_data.*": "keep"}, ["lead_data.emial"], "WARNING", "'lead_data.emial'"),
        *(({name: "drop"}, [], "WARNING", f"'{name}'") for name in ("ipaddress", "lead-data", "page_urls")),
        ({"lead_data.tel": "hash", "lead_data.*": "drop"}, ["lead_data.tel"], "INFO", "lead_data.tel"),
        ({"user_profile_name": "drop", **TEL}, [], "INFO", "lead_data.tel, user_profile_name"),
    ],
)
def test_a_rule_that_protected_nothing_is_warned_about_where_it_may_be_a_mistake(caplog, rules, own, level, words):
    [(said_level, message)] = said(rules, LEAD, caplog, own=own)
    assert said_level == level
    assert words in message
    assert "source" not in message
    assert level == "WARNING" or message.endswith(words)


def test_rules_that_were_met_are_not_told(caplog):
    assert said({"ip_address": "drop", "lead_data": "drop", "id": "hash"}, LEAD, caplog, own=("ip_address",)) == []


def test_names_that_nobody_knows_do_not_fill_the_memory():
    rules = policy({"lead_data.*": "drop", "ip_address": "drop"})
    for number in range(20_000):
        rules.land({"id": 1, f"field {number}": 1, "lead_data": {f"field {number}": 1}})
    assert max(one.cache_info().currsize for one in (rules._plan, rules._top._found)) <= 4096
    assert rules._children["lead_data"]._found.cache_info().currsize <= 4096


# ------------------------------------------------------------------------------------------- what a cursor says of it
def test_a_cursor_names_the_rules_and_tells_keys_apart_without_showing_them():
    applied = applied_rules(policy({"IP_address": "drop", "lead_data": "hash"}, own=("lead_data",)))
    rules = {"created_at": "keep", "id": "keep", "ip_address": "drop", "lead_data": "hash"}
    assert (applied["rules"], applied["own"]) == (rules, ["lead_data"])
    assert KEY not in json.dumps(applied)
    another = applied_rules(policy({"ip_address": "drop", "lead_data": "hash"}, key=f"{KEY}2", own=("lead_data",)))
    assert another["rules"] == rules
    assert another["key"] != applied["key"]
    assert own_rules(json.loads(json.dumps(applied))) == {"lead_data": "hash"}


def test_without_a_policy_a_cursor_says_that_there_is_none():
    assert applied_rules(None) == {"rules": {}, "own": [], "key": None}
    assert own_rules(None) == own_rules(applied_rules(None)) == {}


@pytest.mark.parametrize("key", ["abc", "x" * 15, " "])
def test_a_short_key_is_refused(key):
    with pytest.raises(RobofyConfigError, match=r"found by trying.*16 or more"):
        check_pseudonym_secret(key)
