"""The run over many sessions, against the emulator: counts that add up, bytes that stay the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.endpoints import list_sessions
from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.emulator import Emulator
from airflow_provider_robofy.extract.landed import Shard
from tests.extract.conftest import land_sessions, make_extraction

#: What a fault does to its session; None: it is read all the same.
FAULTS: dict[str, tuple[str | None, str, dict[str, Any]]] = {
    "busy for once": (None, "status", {"status": 503, "times": 1}),
    "limited for once": (None, "rate_limit", {"retry_after": 0, "times": 1}),
    "dropped for once": (None, "drop", {"times": 1}),
    "truncated for once": (None, "truncate", {"times": 1}),
    "slow": (None, "delay", {"seconds": 0.02, "times": 1}),
    "in disorder": (None, "disorder", {"count": 2}),
    "repeating": (None, "duplicate_rows", {"count": 1}),
    "gone": ("gone", "status", {"status": 404, "code": "SESSION_NOT_FOUND", "times": 0}),
    "gone by 410": ("gone", "status", {"status": 410, "code": "GONE", "times": 0}),
    "failing": ("failed", "status", {"status": 500, "times": 0}),
    "refused": ("failed", "status", {"status": 400, "code": "BAD_REQUEST", "times": 0}),
    "not json": ("failed", "html", {"times": 0}),
    "of another shape": ("failed", "wrong_shape", {"times": 0}),
    "without its list": ("failed", "missing_list", {}),
    "going round in circles": ("failed", "token_loop", {}),
}


@pytest.fixture(scope="module")
def robofy():
    with Emulator(sessions=12, leads=0, agents=1) as emulator:
        yield emulator


def sessions_of(emulator: Emulator, folder: Path) -> tuple[list[str], dict[str, Any]]:
    [agent] = emulator.chatbot_ids
    with RobofyClient(Settings(api_key=emulator.api_key, base_url=emulator.url)) as client:
        found = [row for page in client.pages(list_sessions(agent)) for row in page.rows]
    return [row["session_id"] for row in found], land_sessions(folder / "sessions.jsonl", found, chatbot_id=agent)


def extraction(emulator: Emulator, sessions: dict[str, Any], path: Path, **changes):
    settings = Settings(api_key=emulator.api_key, base_url=emulator.url, backoff=0.001, max_attempts=3)
    return make_extraction(sessions, path, **{"settings": settings, "max_failed_sessions": 10**6, **changes})


def lines(path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_read_gone_and_failed_add_up_and_two_runs_give_the_same_bytes(robofy, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("property")
    robofy.reset(
        sessions_page_size=data.draw(st.sampled_from([0, 1, 5]), "sessions on a page"),
        messages_page_size=data.draw(st.sampled_from([0, 1, 2, 5]), "messages on a page"),
        envelope=data.draw(st.sampled_from([None, "named", "data", "data_list", "bare"]), "envelope"),
        token_key=data.draw(st.sampled_from(["next_page_token", "nextPageToken"]), "token"),
        end_marker=data.draw(st.sampled_from(["absent", "null", "empty"]), "end marker"),
        trailing_empty_page=data.draw(st.booleans(), "an empty page at the end"),
        messages_order=data.draw(st.sampled_from(["oldest_first", "newest_first", "none"]), "order"),
    )
    ids, sessions = sessions_of(robofy, folder)
    assert len(set(ids)) == 12
    struck = data.draw(st.dictionaries(st.sampled_from(ids), st.sampled_from(sorted(FAULTS)), max_size=8), "faults")

    def run(name: str, at_a_time: int):
        robofy.clear_faults()
        for session_id, fault in struck.items():
            _, kind, options = FAULTS[fault]
            robofy.fault(kind, endpoint="list_session_messages", session=session_id, **options)
        path = folder / name
        return extraction(robofy, sessions, path, max_concurrency=at_a_time).run(), path

    first, path = run("first.jsonl", data.draw(st.integers(min_value=1, max_value=8), "at a time"))
    second, again = run("second.jsonl", data.draw(st.integers(min_value=1, max_value=8), "at a time, again"))

    fates = {session_id: FAULTS[fault][0] for session_id, fault in struck.items()}
    # A bare array is one page without a token, so there is no circle to go round in.
    bare = robofy.state()["settings"]["envelope"] == "bare"
    looped = [one for one, fault in struck.items() if fault == "going round in circles" and bare]
    fates.update(dict.fromkeys(looped))
    gone = [one for one in ids if fates.get(one) == "gone"]
    failed = [one for one in ids if fates.get(one) == "failed"]
    for manifest in (first, second):
        assert (
            manifest.sessions_asked == 12 == manifest.sessions_read + manifest.sessions_gone + manifest.sessions_failed
        )
        assert (manifest.sessions_gone, manifest.sessions_failed) == (len(gone), len(failed))
        assert manifest.received == manifest.rows + manifest.rejected
    assert path.read_bytes() == again.read_bytes()
    assert (first.sha256, first.rows) == (second.sha256, second.rows)
    landed = lines(path)
    assert len({row["_message_key"] for row in landed}) == len(landed) == first.rows
    in_file = list(dict.fromkeys(row["_session_id"] for row in landed))
    assert in_file == [one for one in ids if one not in gone and one not in failed], "sessions come in the file's order"
    for session_id in in_file:
        positions = [row["_position"] for row in landed if row["_session_id"] == session_id]
        assert positions == list(range(len(positions)))
    assert [row["session_id"] for row in (lines(first.failed_uri) if failed else [])] == failed


def test_the_keys_are_those_of_any_other_order_of_the_api(robofy, tmp_path):
    keys = []
    for order in ("oldest_first", "newest_first", "none"):
        robofy.reset(messages_order=order, messages_page_size=2)
        _, sessions = sessions_of(robofy, tmp_path)
        extraction(robofy, sessions, tmp_path / f"{order}.jsonl").run()
        keys.append([row["_message_key"] for row in lines(tmp_path / f"{order}.jsonl")])
    assert sorted(keys[0]) == sorted(keys[1]) == sorted(keys[2])
    assert keys[0] != keys[1]


def test_a_session_of_ten_thousand_messages_keeps_its_order_and_holds_nobody_up(robofy, tmp_path):
    robofy.reset(messages_page_size=500)
    robofy.add_session("long", messages=10_000)
    robofy.add_session("empty")
    ids, sessions = sessions_of(robofy, tmp_path)
    manifest = extraction(robofy, sessions, tmp_path / "m.jsonl").run()
    rows = lines(tmp_path / "m.jsonl")
    assert manifest.sessions_read == 14
    assert [row["_position"] for row in rows if row["_session_id"] == "long"] == list(range(10_000))
    assert list(dict.fromkeys(row["_session_id"] for row in rows)) == [one for one in ids if one != "empty"]
    assert {path.name for path in tmp_path.iterdir()} == {"sessions.jsonl", "m.jsonl", "m.jsonl.manifest.json"}


def test_no_more_sessions_are_read_at_a_time_than_allowed(robofy, tmp_path):
    robofy.reset(latency=0.05)
    _, sessions = sessions_of(robofy, tmp_path)
    for at_a_time in (1, 5):
        robofy.clear_requests()
        extraction(robofy, sessions, tmp_path / f"{at_a_time}.jsonl", max_concurrency=at_a_time).run()
        assert robofy.state()["peak_in_flight"] == at_a_time


def test_each_shard_keeps_to_its_part_of_the_request_budget(robofy, tmp_path):
    robofy.reset()
    _, sessions = sessions_of(robofy, tmp_path)
    budget = Settings(api_key=robofy.api_key, base_url=robofy.url, requests_per_minute=80)
    assert extraction(robofy, sessions, tmp_path / "m.jsonl", settings=budget).settings == budget
    for index in range(8):
        part = extraction(robofy, sessions, tmp_path / "m.jsonl", settings=budget, shard=Shard(index, 8))
        assert part.settings.requests_per_minute == 10


def test_when_nothing_answers_any_more_the_rest_is_not_asked_but_named(robofy, tmp_path):
    robofy.reset(sessions=80)
    ids, sessions = sessions_of(robofy, tmp_path)
    robofy.fault("status", status=500, endpoint="list_session_messages", times=0)
    robofy.clear_requests()
    with pytest.raises(RobofyDataError, match="80 of 80 sessions failed, and max_failed_sessions is 3") as caught:
        extraction(robofy, sessions, tmp_path / "m.jsonl", max_failed_sessions=3).run()
    assert robofy.count("list_session_messages") < 60 * 3
    failed = lines(tmp_path / "m.jsonl.failed.jsonl")
    assert [row["session_id"] for row in failed] == ids
    assert "not read, because" in failed[-1]["message"]
    assert caught.value.manifest is not None
    assert caught.value.manifest["sessions_failed"] == 80
    assert (tmp_path / "m.jsonl").read_bytes() == b""


def test_a_run_that_goes_well_takes_the_file_of_failed_sessions_away(robofy, tmp_path):
    robofy.reset()
    ids, sessions = sessions_of(robofy, tmp_path)
    robofy.fault("status", status=500, endpoint="list_session_messages", session=ids[2], times=0)
    extraction(robofy, sessions, tmp_path / "m.jsonl").run()
    assert len(lines(tmp_path / "m.jsonl.failed.jsonl")) == 1
    robofy.clear_faults()
    manifest = extraction(robofy, sessions, tmp_path / "m.jsonl").run()
    assert manifest.failed_uri is None
    assert not (tmp_path / "m.jsonl.failed.jsonl").exists()
