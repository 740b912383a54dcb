"""RobofyNewLeadsSensor: one suite over its three modes."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.sensors.leads import RobofyNewLeadsSensor
from tests.operators.sync_world import State
from tests.sensors.legs import Rescheduled, finish

NOW = datetime.now(UTC).replace(microsecond=0)
SINCE = NOW - timedelta(hours=1)


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=30, page_size=10), leads_order="newest_first")


def sensor(mode: str, **arguments) -> RobofyNewLeadsSensor:
    return RobofyNewLeadsSensor(
        task_id="wait",
        deferrable=mode == "deferred",
        mode="reschedule" if mode == "reschedule" else "poke",
        **{"since": SINCE, "poke_interval": 0.1, "timeout": 3, **arguments},
    )


@pytest.fixture
def arrive(robofy):
    def arrive(count=1, minutes_ago=0.0):
        robofy.add_leads(count, chatbot_id=robofy.chatbot_ids[0], created_at=NOW - timedelta(minutes=minutes_ago))

    return arrive


def test_enough_leads_give_the_same_result_in_every_mode(robofy, arrive, mode):
    arrive(3, minutes_ago=5)
    result = finish(sensor(mode, min_count=2))
    rows = robofy.leads(robofy.chatbot_ids[0])[:3]
    assert result["count"] == 3
    assert sorted(result["lead_ids"]) == sorted(row["id"] for row in rows)
    assert result["newest"] == (NOW - timedelta(minutes=5)).isoformat()
    assert set(result) == {"count", "newest", "lead_ids"}
    assert robofy.count("list_leads") == 1, "the first page had enough"


def test_it_waits_until_there_are_enough(robofy, arrive, mode):
    arrive(1)
    later = threading.Timer(0.6, arrive)
    later.start()
    result = finish(sensor(mode, min_count=2))
    later.join()
    assert result["count"] == 2
    assert robofy.count("list_leads") > 2


def test_leads_before_since_do_not_count(robofy, arrive, mode):
    arrive(5, minutes_ago=90)
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, timeout=0.3))


def test_without_since_every_lead_counts(robofy, mode):
    assert finish(sensor(mode, since=None, min_count=30))["count"] == 30


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_timeout_fails_or_skips(robofy, mode, soft_fail):
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout):
        finish(sensor(mode, timeout=0.3, soft_fail=soft_fail))


@pytest.mark.parametrize("soft_fail", [False, True])
def test_a_wrong_key_fails_at_once_and_is_never_a_skip(robofy, connect, mode, soft_fail):
    connect(robofy, password="rk_wrong_5102")
    with pytest.raises(AirflowFailException, match="password field") as caught:
        finish(sensor(mode, soft_fail=soft_fail))
    assert "rk_wrong_5102" not in str(caught.value)
    assert robofy.count("list_leads") == 1


def test_trouble_that_may_pass_is_waited_out(robofy, arrive, mode):
    arrive(1)
    robofy.fault("status", status=503, endpoint="list_leads", times=2)
    robofy.fault("drop", endpoint="list_leads", times=1)
    robofy.fault("html", endpoint="list_leads", times=1)
    assert finish(sensor(mode))["count"] == 1


@pytest.mark.parametrize("soft_fail", [False, True])
def test_wrong_arguments_fail_at_once_and_are_never_a_skip(robofy, mode, soft_fail):
    with pytest.raises(AirflowFailException, match="since"):
        finish(sensor(mode, since="whenever", soft_fail=soft_fail))


def test_the_first_look_comes_before_a_deferral(robofy, arrive):
    arrive(1)
    assert sensor("deferred").execute({})["count"] == 1


def test_a_listing_of_unknown_order_is_read_to_its_end_and_said_so_once(robofy_emulator_factory, connect, caplog):
    robofy = connect(robofy_emulator_factory(leads=120, page_size=10, order="oldest_first"))
    robofy.add_leads(1, chatbot_id=robofy.chatbot_ids[0], created_at=NOW)
    one = sensor("poke", min_count=2, timeout=0.5)
    with pytest.raises(AirflowSensorTimeout):
        finish(one)
    assert robofy.count("list_leads") >= 2 * 13
    assert caplog.text.count("leads_order=newest_first") == 1


def test_newest_first_stops_at_the_first_page_that_is_too_old(robofy, arrive):
    arrive(1)
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor("poke", min_count=2, timeout=0))
    assert robofy.count("list_leads") == 2, "the first page held a new lead, the second none"


def test_a_row_out_of_order_is_read_past(robofy, arrive):
    arrive(1, minutes_ago=5)
    robofy.fault("disorder", endpoint="list_leads", page=2, times=None)
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor("poke", min_count=2, timeout=0))
    assert robofy.count("list_leads") == 4, "read to the end"


def test_no_personal_data_leaves_the_sensor(robofy, mode):
    robofy.add_leads(
        1,
        chatbot_id=robofy.chatbot_ids[0],
        created_at=NOW,
        lead_data=[{"field_name": "email", "field_type": "email", "field_value": "planted@example.com"}],
    )
    assert "planted@example.com" not in json.dumps(finish(sensor(mode)))


def test_templates_are_rendered(robofy, arrive):
    arrive(1)
    one = sensor("poke", since="{{ params.since }}", chatbot_id="{{ params.agent }}")
    one.render_template_fields({"params": {"since": SINCE.isoformat(), "agent": robofy.chatbot_ids[0]}})
    assert one.execute({})["count"] == 1


def test_a_count_below_one_is_refused():
    with pytest.raises(RobofyConfigError, match="min_count"):
        RobofyNewLeadsSensor(task_id="wait", min_count=0)


# ------------------------------------------------------------------------------------------------ a sync's cursor
@pytest.fixture
def sync(robofy, monkeypatch, tmp_path):
    """Land what there is, and keep the cursor in a file."""
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))

    def sync(cursor="cursors", states=None):
        task = RobofyFetchLeadsOperator(task_id="leads", cursor=cursor, cursor_name="leads")
        run = SimpleNamespace(run_type="manual", conf={})
        context: Any = {"ti": Rescheduled(), "dag_run": run, "asset_state_store": states or {}}
        return task.execute(context)

    return sync


@pytest.mark.parametrize("privacy", [{}, {"id": "hash", "ip_address": "drop"}], ids=["open", "private"])
def test_with_a_cursor_it_waits_for_what_the_sync_has_not_landed(robofy, connect, arrive, sync, mode, privacy):  # noqa: PLR0917
    connect(robofy, leads_order="newest_first", privacy=privacy, pseudonym_secret="sixteen characters")
    waiting = {"since": None, "cursor": "cursors", "cursor_name": "leads", "timeout": 0.5}
    first = finish(sensor(mode, **waiting, min_count=30))
    assert first["count"] == 30, "before the first landing everything counts"
    assert set(first["lead_ids"]) == {row["id"] for row in rows(sync())}
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, **waiting))
    arrive(2)
    assert finish(sensor(mode, **waiting))["count"] == 2


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="an asset's state came with Airflow 3.3")
def test_the_state_of_an_asset_is_read_before_it_defers(robofy, arrive, sync, mode):
    asset = leads_asset("24017", robofy.chatbot_ids[0])
    states: dict = {asset: State({})}
    waiting = {"since": None, "cursor": asset, "cursor_name": "leads", "timeout": 0.5}
    sync(asset, states)
    assert asset in sensor(mode, **waiting).inlets
    with pytest.raises(AirflowSensorTimeout):
        finish(sensor(mode, **waiting), states)
    arrive(2)
    assert finish(sensor(mode, **waiting), states)["count"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cursor": "c", "cursor_name": "n"}, "cannot be combined with since"),
        ({"since": None, "cursor": "c"}, "belong together"),
        ({"since": None, "cursor_name": "n"}, "belong together"),
    ],
)
def test_a_cursor_without_its_name_or_with_since_is_refused_at_parse(arguments, message):
    with pytest.raises(RobofyConfigError, match=message):
        sensor("poke", **arguments)
