"""The example DAG of conversations, run by a real Airflow against the emulator."""

from __future__ import annotations

import pytest

from tests.lineage.conftest import PLANTED, plant

pytestmark = [pytest.mark.timeout(400), pytest.mark.dag_test]


@pytest.fixture
def robofy(robofy_emulator_factory):
    return robofy_emulator_factory(api_key=PLANTED["key"], sessions=30, sessions_page_size=10, messages_page_size=4)


def test_the_shards_land_every_message_once_and_what_failed_by_the_next_run_and_leak_nothing(airflow_home, robofy):
    environment = {"AIRFLOW_CONN_ROBOFY_DEFAULT": plant(robofy)}
    phone = PLANTED["phone"]
    robofy.fault("status", status=400, endpoint="list_session_messages", session=phone, times=1)
    written = airflow_home.run_dag("robofy_conversations", "2025-02-01", **environment)
    written += airflow_home.run_dag("robofy_conversations", "2025-02-02", **environment)

    landed = airflow_home.landed()
    [(first, rows), (_, again)] = [one for one in landed if one[0]["resource"] == "sessions"]
    assert first["rows"] == len(rows) == 31
    assert [row["session_id"] for row in again] == [phone], "what failed in the first run lands again"
    messages = [one for one in landed if one[0]["resource"] == "messages"]
    parts = [one for one in messages if one[0]["sessions_uri"] == first["uri"]]
    assert sorted(manifest["shard"] for manifest, _ in parts) == [[0, 4], [1, 4], [2, 4], [3, 4]]
    assert sum(manifest["sessions_asked"] for manifest, _ in parts) == 31
    asked_of = [{row["_session_id"] for row in part} for _, part in parts]
    assert len(set().union(*asked_of)) == sum(map(len, asked_of)) == 30, "no session is in two shards, one failed"
    everything = [row for _, part in messages for row in part]
    assert len({row["_message_key"] for row in everything}) == len(everything)
    last_said = {row["_session_id"]: row["message"] for row in everything}
    assert last_said == {row["session_id"]: row["last_message"] for row in rows}

    written += airflow_home.everything_written()
    for secret in (*PLANTED.values(), phone.removeprefix("+")):
        assert secret not in written, f"{secret} was written outside the landed files"
