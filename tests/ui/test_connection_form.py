"""The connection form and its Test button, in a browser."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import redact
from cryptography.fernet import Fernet

from airflow_provider_robofy.get_provider_info import get_provider_info
from airflow_provider_robofy.hooks.connection import read_connection

[KIND] = get_provider_info()["connection-types"]
LOOK = KIND["ui-field-behaviour"]
FIELDS = KIND["conn-fields"]
# Airflow's own words for its fields and for what holds those that name no section.
LABELS = {"description": "Description", "host": "Host", "login": "Login", "port": "Port", "schema": "Schema"}
REST = "Extra Fields"
WRONG_KEY = "rk-of-another-account"
PSEUDONYM_KEY = "pk-5b0e4d0a-browser-and-long-enough"


def kind_of(field):
    return next(name for name in field["schema"]["type"] if name != "null")


def secret(field):
    return field["schema"].get("format") == "password"


def masked(name, field):
    """Whether Airflow shows stars for what is stored, which it decides by the extra's name alone."""
    return secret(field) and redact({name: PSEUDONYM_KEY})[name] == "***"


def sections():
    """Every section with its fields, in the order of the form."""
    found: dict[str, dict[str, Any]] = {REST: {}}
    for name, field in FIELDS.items():
        found.setdefault(field["schema"].get("section", REST), {})[name] = field
    return found.items()


def value_for(name, field, robofy):
    """Something to type that is not the default, and that the provider accepts."""
    known = {
        "project_id": robofy.project_id,
        "chatbot_id": robofy.chatbot_ids[0],
        "timezone": "Europe/Berlin",
    }
    schema = field["schema"]
    if name in known:
        return known[name]
    if secret(field):
        return PSEUDONYM_KEY
    if "enum" in schema:
        return schema["enum"][-1]
    if kind_of(field) == "integer":
        return str(min(schema.get("minimum", 1) + 120, schema.get("maximum", 1000)))
    return LOOK["placeholders"][name]


def stored(value, field):
    """What the form makes of what was typed."""
    read: dict[str, Any] = {"integer": int, "object": json.loads}
    return read.get(kind_of(field), str)(value)


def kept(airflow, conn_id):
    """Key and extras as they are in Airflow's database, deciphered."""
    fernet = Fernet(airflow.environment["AIRFLOW__CORE__FERNET_KEY"])
    with closing(sqlite3.connect(f"file:{airflow.folder}/airflow.db?mode=ro", uri=True)) as database:
        row = database.execute("SELECT password, extra FROM connection WHERE conn_id = ?", (conn_id,)).fetchone()
    password, extra = (fernet.decrypt(value.encode()).decode() for value in row)
    return password, json.loads(extra)


@pytest.fixture
def form(screens):
    screens.connections()
    return screens.add_connection("robofy_form", "Robofy")


def test_the_form_has_the_standard_fields_that_the_provider_names_and_no_others(form):
    from playwright.sync_api import expect

    for name, label in LABELS.items():
        shown = LOOK["relabeling"].get(name, label)
        expect(form.standard(shown)).to_have_count(0 if name in LOOK["hidden-fields"] else 1)
    for name, label in LOOK["relabeling"].items():
        expect(form.standard(label)).to_have_attribute("placeholder", LOOK["placeholders"][name])
    expect(form.standard(LOOK["relabeling"]["password"])).to_have_attribute("type", "password")


def test_the_form_has_every_field_of_the_provider_with_its_label_and_description(form):
    from playwright.sync_api import expect

    for section, fields in sections():
        form.section(section)
        shown = form.dialog.locator("[name^='element_']:visible, input[type=hidden][name^='element_']")
        names = [name.removeprefix("element_") for name in shown.evaluate_all("all => all.map(each => each.name)")]
        # A list of values keeps its value in a hidden input, also in a part that is closed.
        assert [name for name in names if name in fields] == list(fields)
        for name, field in fields.items():
            around = form.around(name)
            expect(around).to_contain_text(field["label"])
            expect(around).to_contain_text(field["description"])
            expect(around).not_to_contain_text("null")
            if secret(field):
                expect(form.extra(name)).to_have_attribute("type", "password")
            if "enum" in field["schema"]:
                expect(around).to_contain_text(field["schema"]["default"])


def test_a_number_below_the_least_becomes_the_least(form):
    from playwright.sync_api import expect

    for section, fields in sections():
        form.section(section)
        for name in (name for name, field in fields.items() if kind_of(field) == "integer"):
            form.extra(name).fill("-3")
            form.extra(name).blur()
            expect(form.extra(name)).to_have_value("1")


def test_a_connection_is_made_tested_and_changed_without_its_key_ever_showing(screens, window, airflow, robofy):
    from playwright.sync_api import expect

    window.keep_secret(PSEUDONYM_KEY)
    screens.connections()
    form = screens.add_connection("robofy_default", "Robofy")
    form.standard("Base URL").fill(robofy.url)
    form.standard("API key").fill(WRONG_KEY)
    typed = {name: value_for(name, field, robofy) for name, field in FIELDS.items()}
    for section, fields in sections():
        form.section(section)
        for name, field in fields.items():
            if "enum" in field["schema"]:
                form.choose(name, typed[name])
            else:
                form.extra(name).fill(typed[name])
        if section == REST:
            window.picture("connection-extras", height=1700, of=form.dialog)
    form.section("Standard Fields")
    window.picture("connection-form", height=900, of=form.dialog)
    form.save()

    # The provider reads what the form sent.
    [made] = [request.post_data_json for request in window.sent if request.url.endswith("/connections")]
    extra = json.loads(made["extra"])
    assert extra == {name: stored(typed[name], field) for name, field in FIELDS.items()}
    connection = read_connection(host=made["host"], password=made["password"], extra=extra, user_agent="test")
    assert connection.settings.base_url == robofy.url
    assert connection.settings.total_timeout == float(typed["total_timeout"])

    # A wrong key, then the right one.
    refused = screens.test_connection("robofy_default")
    assert refused.startswith("Test Connection Failed")
    assert "Robofy refused the API key, HTTP 401" in refused
    assert "Check the API key in the connection's password field" in refused
    form = screens.edit_connection("robofy_default")
    form.standard("API key").fill(robofy.api_key)
    form.save()
    accepted = screens.test_connection("robofy_default", picture="connection-test")
    assert accepted.startswith("Test Connection Successful")
    host = robofy.url.removeprefix("http://")
    assert f"{host} accepted the key; project {robofy.project_id} has 3 agents" in accepted

    # It is as it was left, after the page was loaded anew.
    window.page.reload()
    form = screens.edit_connection("robofy_default")
    expect(form.standard("Base URL")).to_have_value(robofy.url)
    expect(form.standard("API key")).to_have_value("***")
    for section, fields in sections():
        form.section(section)
        for name, field in fields.items():
            value = json.dumps(json.loads(typed[name]), indent=2) if kind_of(field) == "object" else typed[name]
            expect(form.extra(name)).to_have_value("***" if masked(name, field) else value)
    assert robofy.api_key not in window.shown()

    # Something else is changed, the key is not typed again, and it still opens the door.
    form.section("Standard Fields")
    form.standard("Description").fill("Leads of the shop")
    form.section(REST)
    form.extra("timezone").fill("Europe/Paris")
    form.save()
    expect(screens.row("robofy_default")).to_contain_text("Leads of the shop")
    assert "accepted the key" in screens.test_connection("robofy_default")
    assert kept(airflow, "robofy_default") == (robofy.api_key, extra | {"timezone": "Europe/Paris"})

    told = window.told()
    assert "Europe/Paris" in told  # so that the next lines look at something
    hidden = [typed[name] for name, field in FIELDS.items() if masked(name, field)]
    for key in (robofy.api_key, WRONG_KEY, *hidden):
        assert key not in told
        assert key not in window.shown()


def test_a_field_left_empty_is_its_default(screens, window, robofy):
    screens.connections()
    form = screens.add_connection("robofy_bare", "Robofy")
    form.standard("Base URL").fill(robofy.url)
    form.standard("API key").fill(robofy.api_key)
    for section, _ in sections():
        form.section(section)
    form.save()
    [made] = [request.post_data_json for request in window.sent if request.url.endswith("/connections")]
    extra = json.loads(made.get("extra", "{}"))
    given = {"host": made["host"], "password": made["password"], "user_agent": "test"}
    read, bare = read_connection(extra=extra, **given), read_connection(extra={}, **given)
    assert (read.settings, read.times.timezone) == (bare.settings, bare.times.timezone)
    assert replace(read, times=bare.times) == bare
    assert "1 project" in screens.test_connection("robofy_bare")
