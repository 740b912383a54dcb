"""What a privacy policy keeps, drops and hashes, and what it does not let through."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.privacy import PrivacyPolicy, Pseudonyms, check_rules
from airflow_provider_robofy.resources import RESOURCES

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
        ({"ip": "hash"}, "leads", None, "pseudonym_key, the key of the hash, is not set"),
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
    [(level, message)] = said(rules, LEAD, caplog, own=("lead_data.tel",))
    assert level == "INFO"
    assert message.endswith("lead_data.tel, user_profile_name")


def test_rules_that_were_met_are_not_told(caplog):
    assert said({"ip_address": "drop", "lead_data": "drop", "id": "hash"}, LEAD, caplog, own=("ip_address",)) == []


def test_names_that_nobody_knows_do_not_fill_the_memory():
    rules = policy({"lead_data.*": "drop", "ip_address": "drop"})
    for number in range(20_000):
        rules.land({"id": 1, f"field {number}": 1, "lead_data": {f"field {number}": 1}})
    assert max(len(rules._plan), len(rules._top._found)) <= 4096
    assert len(rules._children["lead_data"]._found) <= 4096
