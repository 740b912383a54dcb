import json
import threading
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from airflow_provider_robofy.emulator import ControlError, Emulator, FaultError, SettingsError


def test_it_leaves_no_thread_behind():
    before = set(threading.enumerate())
    with Emulator():
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) == before


def test_two_run_side_by_side():
    with Emulator(leads=1) as one, Emulator(leads=2, api_key="other", project=7) as two:
        assert one.url != two.url
        assert (len(one.leads()), len(two.leads())) == (1, 2)
        assert (two.api_key, two.project_id) == ("other", "7")


def test_leads_are_created_now_unless_a_time_is_given(wire):
    wire.emulator.configure(time_format="epoch")
    [now] = wire.emulator.add_leads()
    assert abs(now["created_at"] - time.time()) < 5
    moment = datetime(2025, 3, 1, tzinfo=UTC)
    for given in (moment, moment.replace(tzinfo=None), "2025-03-01", moment.timestamp()):
        assert wire.emulator.add_leads(created_at=given)[0]["created_at"] == moment.timestamp()


def test_what_cannot_be_done_is_raised_in_the_calling_thread(wire):
    with pytest.raises(ControlError, match="cannot be written as JSON"):
        wire.emulator.add_leads(source=object())
    with pytest.raises(FaultError, match="unknown fault"):
        wire.emulator.fault("meteor")
    with pytest.raises(
        SettingsError, match="order must be 'newest_first', 'oldest_first' or 'none'; given: 'sideways'"
    ):
        wire.emulator.configure(order="sideways")
    with pytest.raises(SettingsError, match="leads must be greater than or equal to 0"):
        Emulator(leads=-1)
    with pytest.raises(FaultError, match="unknown fault"):
        Emulator(faults=["meteor"])


def test_many_threads_may_change_and_read_at_once(wire):
    def work():
        for _ in range(20):
            wire.emulator.add_leads()
            assert requests.get(
                wire.emulator.url + wire.leads_path, headers={"Authorization": "Bearer demo-key"}, timeout=10
            ).ok

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = wire.leads_rows()
    assert len(rows) == len({row["id"] for row in rows}) == 105


def test_a_small_memory_for_pages_changes_nothing_but_time(serve):
    wire = serve(leads=2000, cache_mb=0, prerender=True)
    assert wire.leads_rows() == wire.leads_rows() == wire.emulator.leads()
    wire = serve(leads=5000, page_size=50, agents=1, cache_mb=1)
    assert wire.leads_rows() == wire.leads_rows() == wire.emulator.leads()
    assert wire.emulator._server.world.cache.size <= 1024 * 1024


def test_the_fixture_sets_the_default_connection(robofy_emulator, monkeypatch):
    import os

    connection = json.loads(os.environ["AIRFLOW_CONN_ROBOFY_DEFAULT"])
    assert connection["host"] == robofy_emulator.url
    assert len(robofy_emulator.leads()) == 250


def test_it_serves_inside_the_with_statement_only_and_can_be_started_again():
    emulator = Emulator(leads=1)
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url
    for expected in (1, 2):
        with emulator:
            url = emulator.url
            assert requests.get(f"{url}/v1/projects", timeout=10).status_code == 401
            with pytest.raises(RuntimeError, match="running already"):
                emulator.start()
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/v1/projects", timeout=2)
        assert emulator.count("list_projects") == expected, "what happened can still be looked at"
    emulator.stop()


def test_a_port_in_use_is_an_error_where_it_was_started(wire):
    with pytest.raises(OSError, match="address already in use"):
        Emulator(port=urlsplit(wire.emulator.url).port or 0).start()


def test_the_connection_names_everything_as_json_and_as_a_uri(wire, serve):
    emulator = wire.emulator
    agent = emulator.chatbot_ids[0]
    assert json.loads(emulator.connection_json(leads_order="newest_first")) == {
        "conn_type": "robofy",
        "host": emulator.url,
        "password": "demo-key",
        "extra": {"project_id": "24017", "chatbot_id": agent, "leads_order": "newest_first"},
    }
    second = emulator.chatbot_ids[2]
    assert json.loads(emulator.connection_json(chatbot_id=second))["extra"]["chatbot_id"] == second
    uri = urlsplit(emulator.connection_uri)
    assert (uri.scheme, unquote(uri.netloc.partition("@")[2]), uri.password) == ("robofy", emulator.url, "demo-key")
    assert parse_qs(uri.query) == {"project_id": ["24017"], "chatbot_id": [agent]}
    empty = serve(agents=0).emulator
    assert json.loads(empty.connection_json())["extra"] == {"project_id": "24017"}
    with pytest.raises(ControlError, match="there is no agent"):
        empty.leads()
