"""The example DAG of conversations, run by a real Airflow against the emulator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.timeout(400), pytest.mark.dag_test]

KEY = "rk_planted_key_77ab"
PHONE = "+4915100099887"
SAID = "My planted card number is 4711-0815"
PSEUDONYM_KEY = "planted-pseudonym-key-90fe"


@pytest.fixture
def robofy(robofy_emulator_factory):
    robofy = robofy_emulator_factory(api_key=KEY, sessions=30, sessions_page_size=10, messages_page_size=4)
    robofy.add_session(PHONE)
    robofy.add_message(PHONE, SAID)
    return robofy


def landed(airflow_home, resource: str) -> list[tuple[dict, list[dict]]]:
    paths = sorted(airflow_home.landing.rglob("*.manifest.json"))
    manifests = [json.loads(path.read_text()) for path in paths]
    return [
        (one, [json.loads(line) for line in Path(one["uri"]).read_text().splitlines()])
        for one in manifests
        if one["resource"] == resource
    ]


def test_the_shards_land_every_message_once_and_what_failed_by_the_next_run_and_leak_nothing(airflow_home, robofy):
    robofy.fault("status", status=400, endpoint="list_session_messages", session=PHONE, times=1)
    connection = json.loads(robofy.connection_json())
    connection["extra"]["pseudonym_secret"] = PSEUDONYM_KEY

    written = ""
    for day in ("2025-02-01", "2025-02-02"):
        done = airflow_home.airflow(
            "dags", "test", "robofy_conversations", day, AIRFLOW_CONN_ROBOFY_DEFAULT=json.dumps(connection)
        )
        written += done.stdout + done.stderr

    [(first, rows)] = [one for one in landed(airflow_home, "sessions") if one[0]["mode"] == "full"]
    [(_, again)] = [one for one in landed(airflow_home, "sessions") if one[0]["mode"] == "cursor"]
    assert first["rows"] == len(rows) == 31
    assert [row["session_id"] for row in again] == [PHONE], "what failed in the first run lands again"
    parts = [one for one in landed(airflow_home, "messages") if one[0]["sessions_uri"] == first["uri"]]
    assert sorted(manifest["shard"] for manifest, _ in parts) == [[0, 4], [1, 4], [2, 4], [3, 4]]
    assert sum(manifest["sessions_asked"] for manifest, _ in parts) == 31
    asked_of = [{row["_session_id"] for row in part} for _, part in parts]
    assert len(set().union(*asked_of)) == sum(map(len, asked_of)) == 30, "no session is in two shards, one failed"
    everything = [row for _, part in landed(airflow_home, "messages") for row in part]
    assert len({row["_message_key"] for row in everything}) == len(everything)
    last_said = {row["_session_id"]: row["message"] for row in everything}
    assert last_said == {row["session_id"]: row["last_message"] for row in rows}

    written += airflow_home.everything_written()
    for secret in (KEY, PHONE, SAID, PSEUDONYM_KEY, PHONE.removeprefix("+")):
        assert secret not in written, f"{secret} was written outside the landed files"
