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
from airflow_provider_robofy.api.errors import (
    RobofyConfigError,
    RobofyNotFoundError,
    RobofyResponseError,
)
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


def test_iter_leads_reads_no_further_than_it_is_asked(robofy_emulator):
    next(RobofyHook().iter_leads())
    assert robofy_emulator.count("list_leads") == 1


def test_iter_leads_reads_another_agent_when_given(robofy_emulator):
    other = robofy_emulator.chatbot_ids[2]
    assert next(RobofyHook().iter_leads(chatbot_id=other)).id == robofy_emulator.leads(other)[0]["id"]


def test_a_session_id_goes_to_the_api_as_a_parameter(robofy_emulator):
    list(RobofyHook().iter_leads(session_id="+4915100099887"))
    assert robofy_emulator.requests[0].query == "sessionId=%2B4915100099887"


def test_agents_and_projects_are_typed(robofy_emulator):
    agents = RobofyHook().list_agents()
    assert [agent.chatbot_id for agent in agents] == list(robofy_emulator.chatbot_ids)
    assert all(agent.name for agent in agents)
    assert [project.project_id for project in RobofyHook().list_projects()] == ["24017"]


def test_request_calls_what_is_not_modelled(robofy_emulator):
    answer = RobofyHook().request("get", "/v1/account/limit")
    assert isinstance(answer, dict)
    assert answer


def test_request_takes_no_path_that_could_lead_elsewhere(robofy_emulator):
    with pytest.raises(RobofyConfigError, match="path"):
        RobofyHook().request("GET", "//evil.example.com")


def test_an_error_of_request_names_no_id(robofy_emulator):
    with pytest.raises(RobofyNotFoundError) as caught:
        RobofyHook().request("GET", "/v1/ai-agent/inbox/chats/nobody/%2B4915100099887")
    assert "4915100099887" not in str(caught.value)


def test_a_default_that_is_missing_is_asked_for_by_name(connect):
    hook = connect(extra={})
    with pytest.raises(RobofyConfigError, match=r"project_id.*robofy_default"):
        next(hook.iter_leads())
    with pytest.raises(RobofyConfigError, match=r"chatbot_id.*robofy_default"):
        next(hook.iter_leads(project_id=1))


def test_a_config_error_names_the_connection(connect):
    with pytest.raises(RobofyConfigError, match=r"'robofy_default'.*timezone"):
        _ = connect(extra={"timezone": "X/Y"}).connection


def test_the_client_is_made_once(robofy_emulator):
    hook = RobofyHook()
    assert hook.get_conn() is hook.get_conn()


def test_the_user_agent_names_provider_airflow_and_python(connect):
    agent = connect().connection.settings.user_agent
    python = ".".join(map(str, sys.version_info[:3]))
    assert agent == f"airflow-provider-robofy/{__version__} apache-airflow/{airflow_version} python/{python}"


# ---------------------------------------------------------------------------------------------- test_connection


def test_a_good_connection_says_what_it_found(robofy_emulator):
    host = robofy_emulator.url.removeprefix("http://")
    agent = robofy_emulator.chatbot_ids[0]
    sentence = f"{host} accepted the key; project 24017 has 3 agents, the agent {agent} among them"
    assert RobofyHook().test_connection() == (True, sentence)
    assert len(robofy_emulator.requests) == 1


def test_a_wrong_agent_is_refused(connect, robofy_emulator):
    project = robofy_emulator.project_id
    ok, sentence = connect(extra={"project_id": project, "chatbot_id": "nobody"}).test_connection()
    assert (ok, "chatbot_id" in sentence, "has 3 agents" in sentence) == (False, True, True)
    for agent in robofy_emulator.chatbot_ids:
        assert connect(extra={"project_id": project, "chatbot_id": agent}).test_connection()[0]


def test_a_wrong_agent_is_refused_without_a_project_too(connect, robofy_emulator):
    ok, sentence = connect(extra={"chatbot_id": "nobody"}).test_connection()
    assert (ok, "chatbot_id" in sentence) == (False, True)
    ok, sentence = connect(extra={"chatbot_id": robofy_emulator.chatbot_ids[1]}).test_connection()
    assert (ok, f"the agent {robofy_emulator.chatbot_ids[1]} is there" in sentence) == (True, True)


def test_an_agent_of_a_later_page_is_no_wrong_one(connect, robofy_emulator_factory):
    robofy = robofy_emulator_factory(agents=5, agents_page_size=2)
    extra = {"project_id": robofy.project_id, "chatbot_id": robofy.chatbot_ids[-1]}
    assert connect(extra=extra, host=robofy.url).test_connection()[0]


@pytest.mark.parametrize("rows", [[], ["agent"], [{"key": "x"}], [{"id": 1, "name": "A"}], [{"chatbot_id": None}]])
def test_agents_of_another_shape_do_not_fail_a_good_connection(connect, robofy_emulator, rows, mocker):
    hook = connect(extra={"project_id": robofy_emulator.project_id, "chatbot_id": robofy_emulator.chatbot_ids[0]})
    real = hook.client.call
    listed = Rows(items=rows, token=None, end_marker="absent")
    mocker.patch.object(
        hook.client, "call", side_effect=lambda call: listed if "list_agents" in call.endpoint else real(call)
    )
    assert hook.test_connection()[0]


def test_an_agent_that_cannot_be_asked_for_does_not_fail_a_good_connection(connect, robofy_emulator):
    robofy_emulator.fault("status", status=500, endpoint="retrieve_agent", times=None)
    extra = {"project_id": robofy_emulator.project_id, "chatbot_id": "elsewhere", "max_attempts": 1}
    ok, sentence = connect(extra=extra).test_connection()
    assert (ok, "could not be seen" in sentence) == (True, True)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"pseudonym_secret": "abc"}, "3 characters"),
        ({"pseudonym_secret": "abc", "privacy": {"ip_address": "drop"}}, "3 characters"),
        ({"privacy": {"ip_address": "hash"}}, "pseudonym_secret.*is not set"),
        ({"privacy": {"lead_data.email": "drop"}}, "what becomes of others"),
    ],
)
def test_a_key_or_rules_that_no_task_could_use_are_refused(connect, robofy_emulator, extra, words):
    ok, sentence = connect(extra={"project_id": robofy_emulator.project_id, **extra}).test_connection()
    assert not ok
    assert re.search(words, sentence)


def test_a_pickled_hook_contains_no_key_and_reads_its_connection_again(robofy_emulator):
    hook = RobofyHook()
    list(hook.iter_leads())
    pickled = pickle.dumps(hook)
    assert hook.connection.settings.api_key.encode() not in pickled
    assert list(pickle.loads(pickled).iter_leads()) == list(hook.iter_leads())


def test_without_a_project_it_counts_the_projects(connect, robofy_emulator):
    ok, sentence = connect(extra={}).test_connection()
    assert ok
    assert re.search(r"accepted the key; it can see 1 project \(no project_id", sentence)
    assert len(robofy_emulator.requests) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, ["refused the API key", "password"]),
        ({"password": ""}, ["password", "empty"]),
        ({"host": "http://example.com"}, ["host", "unencrypted"]),
        ({"extra": {"project_id": "99"}}, ["PROJECT_NOT_FOUND", "project_id"]),
        ({"host": "http://127.0.0.1:9", "extra": {"max_attempts": 1}}, ["no connection", "host"]),
    ],
)
def test_a_bad_connection_says_what_to_fix(connect, changes, words):
    ok, sentence = connect(**changes).test_connection()
    assert not ok
    for word in words:
        assert word in sentence


def test_an_answer_it_does_not_understand_still_proves_the_key(robofy_emulator):
    robofy_emulator.fault("wrong_shape", endpoint="list_agents", times=None)
    ok, sentence = RobofyHook().test_connection()
    assert ok
    assert "accepted the key" in sentence
    assert "not understood" in sentence


def test_a_page_that_is_no_json_proves_nothing(robofy_emulator):
    robofy_emulator.fault("html", endpoint="list_agents", times=None)
    ok, sentence = RobofyHook().test_connection()
    assert not ok
    assert "text/html" in sentence


def test_a_row_that_is_no_agent_is_named_without_its_values(robofy_emulator, mocker):
    hook = RobofyHook()
    mocker.patch.object(hook.client, "pages", return_value=[mocker.Mock(rows=[{"email": "person@example.com"}])])
    with pytest.raises(RobofyResponseError) as caught:
        hook.list_agents()
    assert "email" in str(caught.value)
    assert "person@example.com" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------- the form


def test_the_hooks_form_methods_say_what_the_metadata_says():
    [form] = get_provider_info()["connection-types"]
    behaviour = RobofyHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == form["ui-field-behaviour"]["relabeling"]
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}


def test_an_extra_that_is_no_object_names_the_connection(connect):
    ok, said = connect(extra="[]").test_connection()
    assert not ok
    # Airflow 3.0 and 3.1 do not find a connection whose extra is no object.
    absent = "Connection 'robofy_default' does not exist." if airflow_version.startswith(("3.0.", "3.1.")) else ""
    assert said.startswith(absent or "Connection 'robofy_default': Connection field extra must be a JSON object")


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(
            "null",
            marks=pytest.mark.skipif(
                airflow_version.startswith(("3.0.", "3.1.")),
                reason="Airflow 3.0 and 3.1 do not find a connection with this extra",
            ),
        ),
        "",
    ],
)
def test_an_extra_of_nothing_is_none(connect, extra):
    assert connect(extra=extra).connection.project_id is None


def test_a_connection_that_is_not_there_is_permanent_and_says_how_to_add_it(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ROBOFY_OTHER", raising=False)
    said = (
        r"Connection 'robofy_other' does not exist\. Add it .*airflow connections add robofy_other --conn-type robofy"
    )
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
