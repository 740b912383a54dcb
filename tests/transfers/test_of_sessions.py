"""Leads, sessions, messages and conversations of the emulator, joined in a database."""

from __future__ import annotations

import json

import pytest

from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

AWKWARD = "100%/+= 😀"
SECRET = "a secret of more than sixteen characters"
JOIN = (
    "SELECT l.id, s.last_message, count(*), min(c._message_count) "
    "FROM leads l JOIN sessions s ON s.session_id = l._session_id "
    "JOIN messages m ON m._session_id = l._session_id JOIN conversations c ON c._session_id = l._session_id "
    "GROUP BY l.id, s.last_message"
)


@pytest.mark.parametrize("privacy", [{}, {"ip_address": "drop"}], ids=["all is kept", "under a policy"])
def test_what_is_joined_is_what_the_api_has(  # noqa: PLR0917
    warehouse, robofy_emulator_factory, monkeypatch, tmp_path, load, privacy
):
    robofy = robofy_emulator_factory(leads=40, sessions=20, agents=1)
    robofy.add_session(AWKWARD, messages=3)
    robofy.add_leads(session_id=AWKWARD, id="awkward 😀")
    connection = json.loads(robofy.connection_json())
    connection["extra"].update(pseudonym_secret=SECRET, privacy=privacy)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))

    def fetch(operator, name, **arguments):
        return operator(task_id=name, output_path=f"{tmp_path}/{name}.csv", **arguments).execute({})

    sessions = fetch(RobofyFetchSessionsOperator, "sessions")
    load(sessions, "sessions")
    load(fetch(RobofyFetchMessagesOperator, "messages", sessions=sessions), "messages")
    load(fetch(RobofyFetchMessagesOperator, "conversations", sessions=sessions, rows="conversations"), "conversations")
    load(fetch(RobofyFetchLeadsOperator, "leads", sessions=sessions), "leads")
    found = sorted(warehouse.run(JOIN))
    hook = RobofyHook()
    expected = []
    for session in hook.iter_sessions():
        count = len(list(hook.iter_messages(session.session_id)))
        of_session = hook.iter_leads(session_id=session.session_id)
        expected += [(one.id, session.last_message, count, count) for one in of_session]
    assert found == sorted(expected)
    assert len(found) > 20
    listed = load(fetch(RobofyFetchLeadsOperator, "all"), "leads")
    assert listed["inserted"] == 41 - len(found)
    assert sorted(warehouse.run(JOIN)) == found, "a lead keeps its session when it is listed without it"
