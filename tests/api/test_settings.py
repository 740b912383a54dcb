"""What a client is told, and what it refuses to be told."""

from __future__ import annotations

import copy
import pickle

import pytest

from airflow_provider_robofy import __version__
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.api.settings import DEFAULT_BASE_URL, Settings, base_url, user_agent


@pytest.mark.parametrize(
    ("host", "url"),
    [
        *((nothing, DEFAULT_BASE_URL) for nothing in (None, "", "  ")),
        ("agents.robofy.ai", "https://agents.robofy.ai"),
        (" Agents.Robofy.AI/ ", "https://agents.robofy.ai"),
        ("agents.robofy.ai:8443", "https://agents.robofy.ai:8443"),
        ("HTTPS://agents.robofy.ai//", "https://agents.robofy.ai"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("http://LOCALHOST:8765", "http://localhost:8765"),
        ("http://127.0.0.1:8765/", "http://127.0.0.1:8765"),
        ("http://127.200.0.9", "http://127.200.0.9"),
        ("http://[::1]:8765", "http://[::1]:8765"),
        ("robofy_internal-proxy", "https://robofy_internal-proxy"),
    ],
)
def test_a_host_becomes_a_url(host, url):
    assert base_url(host) == url
    assert base_url(url) == url


#: By the reason, which names field and remedy, what is no host. Some hold a key, which no error shows.
REFUSED = {
    r"would send the API key unencrypted": [
        *("http://agents.robofy.ai", "http://10.0.0.7", "http://0.0.0.0:8765", "http://localhost.evil.example"),
        *("http://127.0.0.1.evil.example", "http://127.1", "http://2130706433", "http://[::]:80"),
    ],
    r"holds user info.*password field": [
        *("user@agents.robofy.ai", "rk_secret@", "https://rk_secret@agents.robofy.ai", "https://rk_secret@[broken"),
        *("https://user:rk_secret@agents.robofy.ai:99999", "http://127.0.0.1@evil.example"),
    ],
    r"is not a host or": [
        *("ftp://agents.robofy.ai", "://x", "https://", "https:///v1", "agents..robofy.ai", "a" * 64 + ".example"),
        *("https://agents.robofy.ai:99999", "https://agents.robofy.ai:port", "https://[::1", "agents robofy.ai"),
        *("agents.robofy.ai\\evil.example", "<host>", "https://%41gents.robofy.ai"),
    ],
    r"has a path\..*extra 'endpoints'": [
        *("https://agents.robofy.ai/v1", "agents.robofy.ai/v1/", "agents.robofy.ai?x=rk_secret", "agents.robofy.ai#x"),
        "agents.robofy.ai/%2e",
    ],
}


@pytest.mark.parametrize(("said", "host"), [(said, host) for said, hosts in REFUSED.items() for host in hosts])
def test_what_is_no_host_is_refused_by_its_field_and_without_a_key(said, host):
    with pytest.raises(RobofyConfigError, match=f"Connection field host.*{said}") as caught:
        base_url(host)
    assert "rk_secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


# ------------------------------------------------------------------------------------------------------ settings
def test_settings_are_what_the_design_says():
    settings = Settings(api_key="k")
    assert settings.base_url == "https://agents.robofy.ai"
    assert (settings.connect_timeout, settings.read_timeout, settings.total_timeout) == (5, 30, 300)
    assert (settings.max_attempts, settings.max_response_mb, settings.max_bytes) == (5, 64, 64 << 20)
    assert settings.requests_per_minute is None
    assert settings.endpoints == {}


def test_the_key_does_not_show():
    assert "rk_secret" not in repr(Settings(api_key="rk_secret"))


def test_an_empty_key_is_refused_by_its_field():
    with pytest.raises(RobofyConfigError, match="Connection field password is empty"):
        Settings(api_key="")


@pytest.mark.parametrize(
    "key",
    [
        *("rk secret", "rk_secret\n", "\trk_secret", "rk_secret\r\nX: y"),
        *("rk_s\u00e9cret", "rk_secret\x7f", "\ufeffrk_secret"),
    ],
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(key):
    with pytest.raises(RobofyConfigError, match="Connection field password holds a character") as caught:
        Settings(api_key=key)
    assert "rk" not in str(caught.value)


NAMES = ["connect_timeout", "read_timeout", "total_timeout", "max_response_mb", "requests_per_minute"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), -float("inf")])
def test_a_number_that_makes_no_sense_is_refused_by_its_field(name, value):
    with pytest.raises(RobofyConfigError, match=f"Connection extra {name} must be .* 0"):
        Settings(**{"api_key": "k", name: value})


@pytest.mark.parametrize("value", [0, -1])
def test_less_than_one_attempt_is_refused(value):
    with pytest.raises(RobofyConfigError, match="Connection extra max_attempts"):
        Settings(api_key="k", max_attempts=value)


def test_the_user_agent_names_provider_hosts_and_python():
    agent = user_agent("apache-airflow/3.3.2")
    assert agent.startswith(f"airflow-provider-robofy/{__version__} apache-airflow/3.3.2 python/3.")
    assert Settings(api_key="k").user_agent == user_agent()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_settings_are_not_pickled_since_that_would_show_the_key(protocol):
    with pytest.raises(TypeError, match="contain the API key, so they cannot be pickled") as caught:
        pickle.dumps([Settings(api_key="rk_123")], protocol)
    assert "rk_123" not in str(caught.value)


def test_settings_can_be_copied():
    settings = Settings(api_key="rk_123")
    assert copy.copy(settings) is copy.deepcopy({"a": settings})["a"] is settings
