"""Every field of a connection: what it may hold, and what is said of the rest."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.hooks import connection as module
from airflow_provider_robofy.hooks.connection import read_connection


def read(host=None, password="key", port=None, **extra):
    return read_connection(host=host, password=password, extra=extra, user_agent="test", port=port)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("robofy.example", 8443, "https://robofy.example:8443"),
        ("http://127.0.0.1", 8765, "http://127.0.0.1:8765"),
        ("http://127.0.0.1:8765", 9999, "http://127.0.0.1:8765"),
        (" https://agents.robofy.ai/ ", None, "https://agents.robofy.ai"),
        ("robofy.example", 0, "https://robofy.example"),
        ("", 8443, "https://agents.robofy.ai"),
    ],
)
def test_a_port_counts_where_the_host_names_none(host, port, url):
    assert read(host, port=port).settings.base_url == url


def test_an_empty_connection_with_a_key_reaches_the_public_api_with_documented_defaults():
    connection = read()
    assert connection.settings == Settings(api_key="key", user_agent="test")
    assert (connection.leads_order, connection.sessions_order) == ("unknown", "unknown")
    assert connection.times.timezone == "UTC"
    assert (connection.project_id, connection.chatbot_id, connection.pseudonym_secret) == (None, None, None)


def test_the_form_and_the_reader_know_the_same_extras():
    [form] = get_provider_info()["connection-types"]
    assert set(form["conn-fields"]) == set(module._EXTRAS)


def test_every_extra_is_read_from_the_texts_that_a_form_sends():
    endpoints = {"list_leads": "/v2/leads/{project_id}/{chatbot_id}"}
    texts: dict[str, Any] = {"connect_timeout": "2", "read_timeout": "10.5", "total_timeout": 60, "max_attempts": "3"}
    texts |= {"max_response_mb": "8", "requests_per_minute": "120", "endpoints": json.dumps(endpoints)}
    orders = {"leads_order": "newest_first", "sessions_order": "newest_first"}
    connection = read(
        project_id=24017, chatbot_id=" abc ", timezone="Europe/Berlin", pseudonym_secret="salt",
        privacy='{"ip_address": "drop"}', **orders, **texts,
    )  # fmt: skip
    assert (connection.project_id, connection.chatbot_id) == ("24017", "abc")
    assert connection.times.timezone == "Europe/Berlin"
    assert {name: getattr(connection, name) for name in orders} == orders
    wanted: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 10.5, "total_timeout": 60, "max_attempts": 3}
    wanted |= {"max_response_mb": 8, "requests_per_minute": 120, "endpoints": endpoints}
    assert {name: getattr(connection.settings, name) for name in wanted} == wanted
    assert (connection.pseudonym_secret, connection.privacy) == ("salt", {"ip_address": "drop"})


def test_what_a_form_leaves_empty_is_the_default():
    empty = dict.fromkeys(module._EXTRAS, "") | {"read_timeout": None}
    assert read(**empty).settings == read().settings
    assert read(**empty).project_id is None


@pytest.mark.parametrize(
    ("name", "warning"), [("api_secret", "api_secret"), ("pseudonym_key", r"pseudonym_key (now pseudonym_secret)")]
)
def test_an_unknown_extra_is_named_with_its_new_name_and_goes_nowhere(caplog, name, warning):
    with caplog.at_level(logging.WARNING):
        connection = read(**{name: "hidden-value"})
    assert warning in caplog.text
    assert "hidden-value" not in caplog.text + repr(connection)
    assert connection.pseudonym_secret is None


def test_neither_key_shows_in_a_repr():
    connection = read(password=" rk_123\n", pseudonym_secret="salt_456")
    assert connection.settings.api_key == "rk_123", "a line break that was pasted with it is cut off"
    assert not re.search("rk_123|salt_456", repr(connection))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_connection_is_not_pickled_since_that_would_show_both_keys(protocol):
    connection = read(password="rk_123", pseudonym_secret="salt_456")
    with pytest.raises(TypeError, match="cannot be pickled") as caught:
        pickle.dumps({"connection": connection}, protocol)
    assert not re.search("rk_123|salt_456", str(caught.value))
    assert copy.deepcopy([connection])[0] is copy.copy(connection) is connection


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"password": None}, "password"),
        ({"leads_order": "oldest_first"}, "leads_order"),
        ({"sessions_order": 1}, "sessions_order"),
        ({"connect_timeout": "fast"}, "connect_timeout"),
        ({"connect_timeout": True}, "connect_timeout"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"requests_per_minute": "many"}, "requests_per_minute"),
        ({"project_id": ["1"]}, "project_id"),
        ({"chatbot_id": True}, "chatbot_id"),
        ({"endpoints": "no json"}, "endpoints"),
        ({"endpoints": ["list_leads"]}, "endpoints"),
    ],
)
def test_what_cannot_be_used_is_named(fields, named):
    with pytest.raises(RobofyConfigError, match=named) as caught:
        read(**fields)
    assert caught.value.permanent


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(extra=st.dictionaries(st.sampled_from(sorted(module._EXTRAS)), json_values, max_size=4))
def test_no_extra_whatever_it_holds_ends_in_anything_but_an_error_of_ours(extra):
    refused = ""
    try:
        read(**extra)
    except RobofyError as error:
        refused = str(error)
    assert refused == "" or any(name in refused for name in extra)


@pytest.mark.parametrize("extra", [["a"], [], 5, 0, True, False, "text", 1.5])
def test_an_extra_that_is_no_object_is_refused_with_an_example(extra):
    with pytest.raises(RobofyConfigError, match=r"field extra must be a JSON object, for example .*project_id.*not "):
        read_connection(host=None, password="key", extra=extra, user_agent="test")


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1:8766", None, "http://127.0.0.1:8766"),
        ("LOCALHOST", None, "http://LOCALHOST"),
        ("[::1]:8766", None, "http://[::1]:8766"),
        ("127.8.8.8", 0, "http://127.8.8.8"),
    ],
)
def test_a_loopback_host_without_a_scheme_is_an_error_that_shows_how_to_write_it(host, port, said):
    with pytest.raises(RobofyConfigError, match="has no scheme") as raised:
        read(host, port=port)
    assert f"write {said}, or https://" in str(raised.value)
