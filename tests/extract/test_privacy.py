"""What a privacy policy keeps, drops and hashes, and what it does not let through."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from unicodedata import normalize

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.fields import field_key
from airflow_provider_robofy.extract.privacy import (
    PrivacyPolicy,
    Pseudonyms,
    applied_rules,
    check_pseudonym_secret,
    check_rules,
    own_rules,
)
from airflow_provider_robofy.resources import RESOURCES
from tests.extract.conftest import spellings

KEY = "0123456789abcdef-a-long-key"
LEAD = {
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


def fields(row) -> dict[str, object]:
    return {entry["field_name"]: entry["field_value"] for entry in row["lead_data"]}


# ----------------------------------------------------------------------------------------------------------- rules
def test_the_policy_of_the_documents_does_what_it_says():
    row = policy({"ip_address": "drop", "lead_data.email": "hash", "lead_data.*": "drop"}).land(LEAD)
    assert row == {
        "id": "lead_1",
        "created_at": "2025-01-15 10:30:00",
        "source": "chatbot",
        "lead_data": [{"field_name": "Email ", "field_type": "email", "field_value": hashed("ann@example.com")}],
    }


def test_a_type_stands_for_every_field_of_it_and_a_name_counts_more():
    row = policy({"lead_data.type:Email": "hash", "lead_data.work mail": "keep", "lead_data.*": "drop"}).land(LEAD)
    assert fields(row) == {"Email ": hashed("ann@example.com"), "work mail": "ann@work.example"}


def test_actions_that_were_read_from_text_count_like_others():
    rules = json.loads('{"ip_address": "drop", "source": "hash", "id": "keep"}')
    landed = policy(rules).land(LEAD)
    assert ("ip_address" in landed, landed["source"], landed["id"]) == (False, hashed("chatbot"), "lead_1")


def test_the_row_that_came_stays_as_it_was():
    before = json.dumps(LEAD)
    policy({"*": "hash", "lead_data.*": "hash"}).land(LEAD)
    assert json.dumps(LEAD) == before


def test_the_fallback_of_the_row_does_not_take_what_rows_are_told_apart_by():
    assert policy({"*": "drop"}).land(LEAD) == {"id": "lead_1", "created_at": "2025-01-15 10:30:00"}
    assert policy({"*": "drop", "id": "hash"}).land(LEAD)["id"] == hashed("lead_1")


def test_without_a_rule_a_field_of_the_row_is_kept():
    assert policy({"ip_address": "drop"}).land({"id": 1, "new": "field"}) == {"id": 1, "new": "field"}


def test_a_whole_field_may_be_dropped_or_hashed():
    assert "lead_data" not in policy({"lead_data": "drop"}).land(LEAD)
    assert len(policy({"lead_data": "hash"}).land(LEAD)["lead_data"]) == 64


def test_a_rule_for_the_whole_field_is_the_fallback_for_its_parts():
    assert fields(policy({"lead_data": "drop", "lead_data.name": "keep"}).land(LEAD)) == {"name": "Ann"}


def test_a_name_with_dots_is_one_name():
    row = {"id": 1, "lead_data": [{"field_name": "a.b", "field_value": "x"}, {"field_name": "a", "field_value": "y"}]}
    assert fields(policy({"lead_data.a.b": "drop", "lead_data.*": "keep"}).land(row)) == {"a": "y"}


def test_the_fields_of_an_object_are_its_keys():
    row = {"sender": {"Phone": "+49151", "role": "user"}, "files": [{"url": "u", "size": 1}, "loose"]}
    rules = {"sender.phone": "hash", "sender.*": "keep", "files.url": "drop", "files.*": "keep", "session_id": "keep"}
    assert policy(rules, "messages").land(row) == {
        "sender": {"Phone": hashed("+49151"), "role": "user"},
        "files": [{"size": 1}, "loose"],
    }


@pytest.mark.parametrize(
    ("lead_data", "landed"),
    [
        (None, {}),
        ("Ann, ann@example.com", {}),
        (["Ann", 5, None, ["ann@example.com"]], {"lead_data": []}),
        ([{"field_value": "ann@example.com"}], {"lead_data": []}),
        ([{"field_name": ["email"], "field_value": "x"}], {"lead_data": []}),
        ([{"field_name": 7, "field_value": "x"}], {"lead_data": []}),
        ({"email": "ann@example.com", "size": 5}, {"lead_data": {"email": hashed("ann@example.com")}}),
    ],
)
def test_lead_data_of_another_shape_obeys_the_fallback(lead_data, landed):
    rules = {"lead_data.email": "hash", "lead_data.*": "drop"}
    assert policy(rules).land({"id": 1, "lead_data": lead_data}) == {"id": 1, **landed}


def test_a_hashed_entry_says_its_value_nowhere_else():
    entry = {"field_name": "email", "field_type": "email", "field_value": "a@b.c", "label": "Mail of a@b.c"}
    row = policy({"lead_data.*": "hash"}).land({"id": 1, "lead_data": [entry]})
    assert row["lead_data"] == [{"field_name": "email", "field_type": "email", "field_value": hashed("a@b.c")}]


# ------------------------------------------------------------------------------------------------------- spellings
@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ("téléphone", "te\u0301le\u0301phone"),
        ("te\u0301le\u0301phone", "Téléphone"),
        ("téléphone", "télé\u200bphone"),
        ("téléphone", "\ufefftéléphone"),
        ("téléphone", "télé\u00adphone\u200d"),
        ("work phone", "Work\u00a0\u00a0phone"),
        ("isim", "İSİM"),
        ("İSİM", "isim"),
        ("Straße", "STRASSE"),
        (" email", "email "),
    ],
)
@pytest.mark.parametrize("shape", ["entries", "object", "row", "text", "entry texts"])
def test_no_spelling_gets_past_a_rule(rule, field, shape):
    entry = {"field_name": field, "field_type": "text", "field_value": "secret"}
    value = {
        "entries": [entry],
        "object": {field: "secret"},
        "row": None,
        "text": json.dumps([entry]),
        "entry texts": [json.dumps(entry)],
    }[shape]
    if shape == "row":
        row, rules = {"id": 1, field: "secret"}, {rule: "drop"}
    else:
        row, rules = {"id": 1, "Lead_Data\u200b": value}, {f"lead_data.{rule}": "drop", "lead_data.*": "keep"}
    assert "secret" not in json.dumps(policy(rules).land(row))


@given(spellings(), st.sampled_from(["drop", "hash"]), st.sampled_from(["entry", "type", "object", "row"]))
def test_any_spelling_of_a_rules_name_obeys_the_rule(names, action, shape):
    rule, field = names
    assume(field_key(rule) and not rule.startswith("*") and "." not in field_key(rule))
    assume(field_key(rule) not in {"id", "created_at", "lead_data", "field_name", "field_type", "field_value"})
    assume(not field_key(rule).startswith("type:"))
    row = {
        "entry": {"id": 1, "lead_data": [{"field_name": field, "field_value": "planted"}]},
        "type": {"id": 1, "lead_data": [{"field_name": "x", "field_type": field, "field_value": "planted"}]},
        "object": {"id": 1, "lead_data": {field: "planted"}},
        "row": {"id": 1, field: "planted"},
    }[shape]
    name = {"type": f"lead_data.type:{rule}", "row": rule}.get(shape, f"lead_data.{rule}")
    rules = policy({name: action} if shape == "row" else {name: action, "lead_data.*": "keep"})
    assert "planted" not in json.dumps(rules.land(row))
    assert not [one for one in rules._unmet if one not in {"id", "created_at"}], "the rule was met"


def test_two_spellings_of_one_rule_are_one_rule():
    assert check_rules({"lead_data.Té": "drop", "LEAD_DATA. te\u0301": "drop"}, "privacy") == {"lead_data.té": "drop"}
    with pytest.raises(RobofyConfigError, match="two actions"):
        check_rules({"té": "drop", "te\u0301": "keep"}, "privacy")


def test_a_field_of_the_row_may_have_a_dot_in_its_name():
    assert policy({"utm.source": "drop", "utm.*": "keep"}).land({"id": 1, "utm.source": "x"}) == {"id": 1}


# ------------------------------------------------------------------------------------------------------- JSON in text
ENTRIES = [
    {"field_name": "name", "field_type": "text", "field_value": "Ann"},
    {"field_name": "email", "field_type": "email", "field_value": "ann@example.com"},
]


def test_json_in_a_text_obeys_the_rules_and_stays_a_text():
    rules = policy({"lead_data.email": "drop", "lead_data.*": "keep"})
    landed = rules.land({"id": 1, "lead_data": json.dumps(ENTRIES)})["lead_data"]
    assert isinstance(landed, str)
    assert json.loads(landed) == ENTRIES[:1]


@pytest.mark.parametrize("rule", ["email", "type:email"])
@pytest.mark.parametrize(
    "lead_data",
    [
        json.dumps(ENTRIES),
        f"\ufeff {json.dumps(ENTRIES)} ",
        json.dumps(json.dumps(ENTRIES)),
        [json.dumps(one) for one in ENTRIES],
        json.dumps([json.dumps(one) for one in ENTRIES]),
        [ENTRIES],
        json.dumps([ENTRIES]),
        {"form": ENTRIES},
        {"form": json.dumps(ENTRIES)},
        [{"field_name": "form", "field_value": ENTRIES}],
        [{"field_name": "form", "field_value": json.dumps(ENTRIES)}],
        json.dumps(ENTRIES)[:-1] + ', {"n": NaN}]',
    ],
)
def test_json_in_a_text_is_opened_wherever_it_stands(rule, lead_data):
    kept = policy({f"lead_data.{rule}": "drop", "lead_data.*": "keep"}).land({"id": 1, "lead_data": lead_data})
    assert "ann@example.com" not in json.dumps(kept)
    assert "Ann" in json.dumps(kept)
    hidden = policy({f"lead_data.{rule}": "hash", "lead_data.*": "keep"}).land({"id": 1, "lead_data": lead_data})
    assert hashed("ann@example.com") in json.dumps(hidden)
    assert "ann@example.com" not in json.dumps(hidden)


def test_a_named_field_is_kept_of_json_in_a_text():
    landed = policy({"lead_data.name": "keep", "lead_data.*": "drop"}).land({"id": 1, "lead_data": json.dumps(ENTRIES)})
    assert json.loads(landed["lead_data"]) == ENTRIES[:1]


def test_a_text_of_which_nothing_is_taken_stays_as_it_was():
    text = '[ {"field_name": "b",   "field_value": 1.50} ]'
    assert policy({"lead_data.email": "drop", "lead_data.*": "keep"}).land({"id": 1, "lead_data": text}) == {
        "id": 1,
        "lead_data": text,
    }


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
def test_a_hash_is_one_that_anybody_with_the_key_can_make():
    assert Pseudonyms(KEY).full(" Ann@EXAMPLE.com\n") == hashed("ann@example.com")
    assert Pseudonyms(KEY).full("STRASSE") == Pseudonyms(KEY).full("straße")


def test_equal_values_have_equal_hashes_wherever_they_stand():
    rows: list[dict] = [
        {"id": 1, "phone": "+49 1", "lead_data": [{"field_name": "tel", "field_value": "+49 1"}]},
        {"id": 2, "phone": 491},
    ]
    rules = policy({"phone": "hash", "lead_data.tel": "hash", "lead_data.*": "drop"})
    first, second = [rules.land(row) for row in rows]
    assert first["phone"] == fields(first)["tel"] == hashed("+49 1")
    assert second["phone"] == hashed("491")


@pytest.mark.parametrize(("value", "name"), [(None, None), ("", ""), ("  ", ""), (True, hashed("true"))])
def test_what_says_nothing_has_no_hash(value, name):
    assert Pseudonyms(KEY).full(value) == name


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("José", "Jose\u0301"),
        (" JOSÉ", "jose\u0301\n"),
        ("Ångström", "\u212bngstro\u0308m"),
        ("ΐ", "\u0399\u0308\u0301"),
    ],
)
def test_a_value_has_one_hash_however_its_letters_are_composed(one, another):
    assert Pseudonyms(KEY).full(one) == Pseudonyms(KEY).full(another)
    assert Pseudonyms(KEY).full("José") == hashed("josé")


@given(st.text(max_size=8), st.sampled_from(["NFC", "NFD"]))
def test_the_form_of_a_text_makes_no_difference_to_its_hash(text, form):
    assert Pseudonyms(KEY).full(text) == Pseudonyms(KEY).full(normalize(form, text))


def test_an_id_is_hashed_as_it_is():
    assert Pseudonyms(KEY).exact("José") != Pseudonyms(KEY).exact("Jose\u0301")


def test_another_key_gives_another_hash():
    assert Pseudonyms(KEY).full("a") != Pseudonyms(KEY + "1").full("a")


# -------------------------------------------------------------------------------------------------------- sessions
SESSION = {"session_id": "+4915112345678", "last_message_time": "t", "user_profile_name": "Ann"}


def test_a_session_lands_with_its_id_and_the_hash_that_its_messages_bear():
    sessions, messages = policy({"*": "drop"}, "sessions"), policy({"*": "drop"}, "messages")
    landed = sessions.land(SESSION)
    assert landed == {
        "session_id": "+4915112345678",
        "last_message_time": "t",
        "_session_key": messages.session("+4915112345678"),
    }
    assert landed["_session_key"] == hashed("+4915112345678")


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


def test_a_rule_of_the_task_that_meets_no_field_is_warned_about(caplog):
    [(level, message)] = said({"ip_adress": "drop", "source": "keep"}, LEAD, caplog, own=("ip_adress", "source"))
    assert level == "WARNING"
    assert "'ip_adress'" in message
    assert "source" not in message


def test_rules_of_the_connection_and_for_form_fields_are_told_quietly(caplog):
    rules = {
        "user_profile_name": "drop",
        "lead_data.tel": "drop",
        "lead_data.type:email": "drop",
        "lead_data.*": "keep",
    }
    [(level, message)] = said(rules, LEAD, caplog)
    assert level == "INFO"
    assert message.endswith("lead_data.tel, user_profile_name")


def test_a_rule_for_a_form_field_that_protected_nothing_is_warned_about(caplog):
    [(level, message)] = said({"lead_data.emial": "drop", "lead_data.*": "keep"}, LEAD, caplog, ("lead_data.emial",))
    assert (level, "'lead_data.emial'" in message) == ("WARNING", True)


def test_a_rule_for_a_form_field_whose_others_are_dropped_is_told_quietly(caplog):
    [(level, _)] = said({"lead_data.tel": "hash", "lead_data.*": "drop"}, LEAD, caplog, ("lead_data.tel",))
    assert level == "INFO"


@pytest.mark.parametrize("name", ["ip_adress", "ipaddress", "lead-data", "page_urls"])
def test_a_rule_of_the_connection_that_is_nearly_a_field_is_warned_about(name, caplog):
    [(level, message)] = said({name: "drop"}, LEAD, caplog)
    assert (level, repr(name) in message) == ("WARNING", True)


def test_rules_that_were_met_are_not_told(caplog):
    assert said({"ip_address": "drop", "lead_data": "drop", "id": "hash"}, LEAD, caplog, own=("ip_address",)) == []


def test_names_that_nobody_knows_do_not_fill_the_memory():
    rules = policy({"lead_data.*": "drop", "ip_address": "drop"})
    for number in range(20_000):
        rules.land({"id": 1, f"field {number}": 1, "lead_data": {f"field {number}": 1}})
    assert max(len(rules._plan), len(rules._top._found)) <= 4096
    assert len(rules._children["lead_data"]._found) <= 4096


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
