"""RobofyHook against the emulator."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import sys
from datetime import UTC, datetime

import pytest
from airflow import __version__ as airflow_version
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_robofy import __version__
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.envelopes import Rows
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.hooks import robofy as module
from airflow_provider_robofy.hooks.robofy import RobofyHook


@pytest.fixture
def connect(monkeypatch, robofy_emulator):
    def connect(extra=None, **changes):
        connection = {**json.loads(robofy_emulator.connection_json()), **changes}
        if extra is not None:
            connection["extra"] = extra
        monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
        return RobofyHook()

    return connect


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(RobofyClient, "_sleep", lambda *_: None)


def test_the_connection_id_can_be_given_by_position_or_name():
    assert RobofyHook("mine").robofy_conn_id == RobofyHook(robofy_conn_id="mine").robofy_conn_id == "mine"
    assert RobofyHook().robofy_conn_id == "robofy_default"


def test_iter_leads_yields_every_lead_typed(robofy_emulator):
    leads = list(RobofyHook().iter_leads())
    rows = robofy_emulator.leads(robofy_emulator.chatbot_ids[0])
    assert [lead.id for lead in leads] == [row["id"] for row in rows]
    assert leads[0].created_at == datetime.fromisoformat(rows[0]["created_at"]).replace(tzinfo=UTC)
    wanted = next(one["field_value"] for one in rows[0]["lead_data"] if one["field_name"] == "email")
    assert leads[0].field("email") == wanted
    assert leads[0].field("no such field", "nothing") == "nothing"


def test_iter_leads_reads_no_further_than_asked_of_the_agent_and_session_given(robofy_emulator):
    other = robofy_emulator.chatbot_ids[2]
    assert next(RobofyHook().iter_leads(chatbot_id=other)).id == robofy_emulator.leads(other)[0]["id"]
    list(RobofyHook().iter_leads(session_id="+4915100099887"))
    assert [request.query for request in robofy_emulator.requests] == ["", "sessionId=%2B4915100099887"]


def test_agents_and_projects_are_typed(robofy_emulator):
    agents = RobofyHook().list_agents()
    assert [agent.chatbot_id for agent in agents] == list(robofy_emulator.chatbot_ids)
    assert all(agent.name for agent in agents)
    assert [project.project_id for project in RobofyHook().list_projects()] == ["24017"]


def test_request_calls_what_is_not_modelled(robofy_emulator):
    answer = RobofyHook().request("get", "/v1/account/limit")
    assert isinstance(answer, dict)
    assert answer


@pytest.mark.parametrize(("given", "missing"), [({}, "project_id"), ({"project_id": 1}, "chatbot_id")])
def test_a_default_that_is_missing_is_asked_for_by_name(connect, given, missing):
    with pytest.raises(RobofyConfigError, match=rf"{missing}.*robofy_default"):
        next(connect(extra={}).iter_leads(**given))


def test_the_client_is_made_once(robofy_emulator):
    hook = RobofyHook()
    assert hook.get_conn() is hook.get_conn()


def test_the_user_agent_names_provider_airflow_and_python(connect):
    agent = connect().connection.settings.user_agent
    python = ".".join(map(str, sys.version_info[:3]))
    assert agent == f"airflow-provider-robofy/{__version__} apache-airflow/{airflow_version} python/{python}"


# ---------------------------------------------------------------------------------------------- test_connection


NEEDS_AN_OBJECT = pytest.mark.skipif(
    airflow_version.startswith(("3.0.", "3.1.")), reason="this Airflow does not find a connection with such an extra"
)
PROJECT = {"project_id": "24017"}
ELSEWHERE = {**PROJECT, "chatbot_id": "elsewhere", "max_attempts": 1}


@pytest.mark.parametrize(
    ("changes", "fault", "ok", "words"),
    [
        ({}, {}, True, r"^127\.0\.0\.1:\d+ accepted the key; project 24017 has 3 agents, the agent \S+ among them$"),
        ({"extra": {}}, {}, True, r"accepted the key; it can see 1 project \(no project_id"),
        pytest.param({"extra": "null"}, {}, True, r"it can see 1 project \(no project_id", marks=NEEDS_AN_OBJECT),
        ({"extra": ""}, {}, True, r"it can see 1 project \(no project_id"),
        ({"extra": {**PROJECT, "chatbot_id": "nobody"}}, {}, False, "has 3 agents.*chatbot_id"),
        ({"extra": {"chatbot_id": "nobody"}}, {}, False, "chatbot_id"),
        # an answer that is not understood still proves the key, and a page that is no JSON proves nothing
        ({}, {"kind": "wrong_shape", "endpoint": "list_agents"}, True, "accepted the key.*not understood"),
        ({}, {"kind": "html", "endpoint": "list_agents"}, False, "text/html"),
        ({"extra": ELSEWHERE}, {"kind": "status", "status": 500, "endpoint": "retrieve_agent"}, True, "not be seen"),
        # rules that no task could use
        ({"extra": {**PROJECT, "pseudonym_secret": "abc"}}, {}, False, "3 characters"),
        ({"extra": {**PROJECT, "privacy": {"ip_address": "hash"}}}, {}, False, "pseudonym_secret.*is not set"),
        ({"extra": {**PROJECT, "privacy": {"lead_data.email": "drop"}}}, {}, False, "what becomes of others"),
        # what to fix
        ({"password": "wrong"}, {}, False, "refused the API key.*password"),
        ({"password": ""}, {}, False, "password is empty"),
        ({"host": "http://example.com"}, {}, False, "host.*unencrypted"),
        ({"host": "http://127.0.0.1:9", "extra": {"max_attempts": 1}}, {}, False, "no connection.*host"),
        ({"extra": {"project_id": "99"}}, {}, False, "PROJECT_NOT_FOUND.*project_id"),
        ({"extra": {"timezone": "X/Y"}}, {}, False, "^Connection 'robofy_default'.*timezone"),
        pytest.param({"extra": "[]"}, {}, False, "': Connection field extra must be a JSON obj", marks=NEEDS_AN_OBJECT),
        pytest.param({"extra": "{"}, {}, False, "': Connection field extra is not JSON", marks=NEEDS_AN_OBJECT),
    ],
)
def test_the_test_of_a_connection_says_what_it_found_or_what_to_fix(  # noqa: PLR0917
    connect, robofy_emulator, changes, fault, ok, words
):
    if fault:
        robofy_emulator.fault(**fault, times=0)
    found, sentence = connect(**changes).test_connection()
    assert found is ok
    assert re.search(words, sentence)


def test_every_agent_of_the_account_is_a_right_one(connect, robofy_emulator, robofy_emulator_factory):
    for agent in robofy_emulator.chatbot_ids:
        for extra in (PROJECT, {}):
            found, sentence = connect(extra={**extra, "chatbot_id": agent}).test_connection()
            assert (found, f"the agent {agent} " in sentence) == (True, True)
    paged = robofy_emulator_factory(agents=5, agents_page_size=2)
    assert connect(extra={**PROJECT, "chatbot_id": paged.chatbot_ids[-1]}, host=paged.url).test_connection()[0]


@pytest.mark.parametrize("rows", [[], ["agent"], [{"key": "x"}], [{"id": 1, "name": "A"}], [{"chatbot_id": None}]])
def test_agents_of_another_shape_do_not_fail_a_good_connection(connect, robofy_emulator, rows, mocker):
    hook = connect(extra={"project_id": robofy_emulator.project_id, "chatbot_id": robofy_emulator.chatbot_ids[0]})
    real = hook.client.call
    listed = Rows(items=rows, token=None, end_marker="absent")
    mocker.patch.object(
        hook.client, "call", side_effect=lambda call: listed if "list_agents" in call.endpoint else real(call)
    )
    assert hook.test_connection()[0]


def test_a_pickled_hook_contains_no_key_and_reads_its_connection_again(robofy_emulator):
    hook = RobofyHook()
    list(hook.iter_leads())
    pickled = pickle.dumps(hook)
    assert hook.connection.settings.api_key.encode() not in pickled
    assert list(pickle.loads(pickled).iter_leads()) == list(hook.iter_leads())


def test_a_connection_that_is_not_there_is_permanent_and_says_how_to_add_it(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ROBOFY_OTHER", raising=False)
    said = r"Connection 'robofy_other' does not exist\. Add it .*connections add robofy_other --conn-type robofy"
    with pytest.raises(RobofyConfigError, match=said) as raised:
        _ = RobofyHook("robofy_other").connection
    assert raised.value.permanent
    with pytest.raises(RobofyConfigError, match=said):
        asyncio.run(RobofyHook("robofy_other").aconnection())
    assert RobofyHook("robofy_other").test_connection()[0] is False


def test_a_connection_that_only_the_synchronous_look_up_finds_is_used(connect, monkeypatch):
    """As under `airflow dags test`, whose inline triggers do not see the connections of Airflow's database."""

    async def nothing(conn_id):
        raise AirflowNotFoundException(conn_id)

    hook = connect()
    monkeypatch.setattr(module, "get_async_connection", nothing)
    assert asyncio.run(hook.aconnection()).project_id == "24017"


def test_a_good_connection_is_tested_with_one_request(robofy_emulator):
    assert RobofyHook().test_connection()[0]
    assert len(robofy_emulator.requests) == 1


def test_the_form_of_older_airflows_is_that_of_the_metadata():
    [form] = get_provider_info()["connection-types"]
    behaviour = RobofyHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == form["ui-field-behaviour"]["relabeling"]
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}
