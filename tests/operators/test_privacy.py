"""A privacy policy on the fetch operators: planted personal data is searched in every file they leave."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.extract.overlap import fingerprint
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from tests.operators.conftest import fetch_leads, fetch_messages, fetch_sessions, lines

if TYPE_CHECKING:
    from pathlib import Path

KEY = "planted-pseudonym-key-77aa"
EMAIL, PHONE, NAME, SAID = "ann.planted@example.com", "+4915155501234", "Ann Planted-Person", "planted words of mine"
ADDRESS = "203.0.113.77"
POLICY = {
    "ip_address": "drop",
    "lead_data.email": "hash",
    "lead_data.*": "drop",
    "user_profile_name": "hash",
    "last_message": "drop",
    "message": "drop",
}


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    robofy = robofy_emulator_factory(leads=5, page_size=3, sessions=4, sessions_page_size=3)
    robofy.add_leads(
        1,
        ip_address=ADDRESS,
        lead_data=[
            {"field_name": "name", "field_type": "text", "field_value": NAME},
            {"field_name": "Email", "field_type": "email", "field_value": f" {EMAIL.title()}"},
            {"field_name": "a new field", "field_type": "tel", "field_value": PHONE},
        ],
    )
    robofy.add_session(PHONE, user_profile_name=NAME)
    robofy.add_message(PHONE, SAID)
    return connect(robofy, privacy=POLICY, pseudonym_secret=KEY)


def written(folder: Path, *but: str) -> str:
    """Return all that lies in a folder, but for the files named."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in but]
    assert files
    return "\n".join(path.read_text() for path in files)


def test_leads_obey_the_connections_policy(robofy, context, tmp_path):
    manifest = fetch_leads(context, tmp_path / "leads.jsonl")
    assert (manifest["rows"], manifest["received"]) == (6, 6)
    assert manifest["privacy"] == {**POLICY, "id": "keep", "created_at": "keep"}
    [ann] = [row for row in lines(manifest["uri"]) if row["lead_data"][0]["field_value"] == Pseudonyms(KEY).full(EMAIL)]
    assert "ip_address" not in ann
    assert len(ann["lead_data"]) == 1
    for planted in (EMAIL, EMAIL.title(), PHONE, NAME, ADDRESS, KEY):
        assert planted not in written(tmp_path)


def test_the_rules_of_a_task_come_on_top_of_the_connections(robofy, context, tmp_path):
    manifest = fetch_leads(
        context, tmp_path / "leads.jsonl", privacy={"lead_data.name": "keep", "lead_data.EMAIL": "drop"}
    )
    assert [row["lead_data"] for row in lines(manifest["uri"]) if NAME in str(row)] == [
        [{"field_name": "name", "field_type": "text", "field_value": NAME}]
    ]
    assert all("ip_address" not in row for row in lines(manifest["uri"]))


def test_rejected_rows_obey_too(robofy, context, ti, tmp_path):
    robofy.fault("malformed_rows", endpoint="list_leads", page=1, count=3, times=1)
    with pytest.raises(RobofyDataError):
        fetch_leads(context, tmp_path / "leads.jsonl", since="2000-01-01")
    rejected = lines(ti.pushed["manifest"]["rejected_uri"])
    assert len(rejected) >= 3
    whole = [line["row"] for line in rejected if isinstance(line["row"], dict)]
    assert all("ip_address" not in row for row in whole)
    bare = [line["row"] for line in rejected if not isinstance(line["row"], dict)]
    assert all(str(row).startswith("withheld by the privacy policy: a ") for row in bare)
    for planted in (EMAIL.title(), PHONE, NAME, ADDRESS):
        assert planted not in written(tmp_path)


def test_a_session_keeps_its_id_where_it_is_needed_and_nowhere_else(robofy, context, tmp_path, caplog, capfd):
    landed = fetch_sessions(context, tmp_path / "sessions.jsonl")
    said = fetch_messages(context, tmp_path / "messages.jsonl", landed)
    name = Pseudonyms(KEY).full(PHONE)
    [session] = [row for row in lines(landed["uri"]) if row["session_id"] == PHONE]
    assert session["_session_key"] == name
    assert session["user_profile_name"] == Pseudonyms(KEY).full(NAME)
    assert "last_message" not in session
    assert {row["_session_id"] for row in lines(said["uri"])} == {row["_session_key"] for row in lines(landed["uri"])}
    assert name in {row["_session_id"] for row in lines(said["uri"])}
    seen = written(tmp_path, "sessions.jsonl") + caplog.text + "".join(capfd.readouterr())
    for planted in (PHONE, PHONE[1:], NAME, SAID, KEY):
        assert planted not in seen
    for planted in (NAME, SAID):
        assert planted not in written(tmp_path)


def test_keys_of_messages_are_all_different_and_the_same_again_though_their_texts_are_dropped(
    robofy, context, tmp_path
):
    for _ in range(3):
        robofy.add_message(PHONE, SAID, at=datetime(2025, 1, 1, tzinfo=UTC))
    landed = fetch_sessions(context, tmp_path / "sessions.jsonl")
    first = lines(fetch_messages(context, tmp_path / "messages.jsonl", landed)["uri"])
    again = lines(fetch_messages(context, tmp_path / "messages.jsonl", landed)["uri"])
    assert len({row["_message_key"] for row in first}) == len(first)
    assert first == again


def test_a_failed_session_is_named_by_its_hash_only(robofy, context, ti, tmp_path):
    robofy.fault("status", status=500, endpoint="list_session_messages", session=PHONE, times=0)
    landed = fetch_sessions(context, tmp_path / "sessions.jsonl")
    manifest = fetch_messages(context, tmp_path / "messages.jsonl", landed, max_failed_sessions=1)
    [failed] = lines(manifest["failed_uri"])
    name = str(Pseudonyms(KEY).full(PHONE))
    assert (failed["session_id"], failed["session"]) == (name, name[:16])
    assert PHONE[1:] not in written(tmp_path, "sessions.jsonl")


def test_a_cursor_holds_no_hash_that_tells_what_was_dropped(robofy, connect, monkeypatch, tmp_path):
    """The address is the only thing dropped: a hash of the whole row could be found out by trying all addresses."""
    connect(robofy, privacy={"ip_address": "drop", "id": "hash"}, pseudonym_secret=KEY)
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))

    def run(run_id: str, **arguments) -> dict:
        ti = SimpleNamespace(dag_id="d", run_id=run_id, task_id="t", map_index=-1, xcom_push=lambda **_: None)
        context: Any = {"ti": ti, "dag_run": SimpleNamespace(run_type="scheduled", conf={})}
        task = RobofyFetchLeadsOperator(task_id="leads", cursor="cursors", skip_if_empty=False, **arguments)
        return task.execute(context)

    landed = lines(run("r1")["uri"])
    [path] = (tmp_path / "cursors").glob("*.json")
    kept = path.read_text()
    raw = RobofyHook().request("GET", "/v1/ai-agent/leads/24017/" + robofy.chatbot_ids[0])["data"]["report"]["rows"]
    assert raw[0]["ip_address"] == ADDRESS, "the newest lead is one that the cursor remembers"
    assert fingerprint(raw[0]) not in kept
    assert raw[0]["id"] not in kept
    [newest] = [row for row in landed if row["id"] == Pseudonyms(KEY).full(raw[0]["id"])]
    assert newest["id"] in kept
    assert fingerprint({name: of for name, of in newest.items() if not name.startswith("_")}) in kept
    assert run("r2")["rows"] == 0, "the hash of what landed knows the row again"
    assert run("r3", privacy={"source": "drop"})["rows"] == 1, "under another policy it is another row"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"privacy": {"ip_address": "remove"}}, "Connection extra privacy: the action of 'ip_address'"),
        ({"privacy": "no JSON"}, "Connection extra privacy is not JSON"),
        ({"privacy": POLICY}, "pseudonym_secret"),
    ],
)
def test_a_wrong_policy_of_the_connection_fails_before_the_first_request(  # noqa: PLR0917
    robofy, connect, context, tmp_path, extra, words
):
    connect(robofy, **extra)
    before = len(robofy.requests)
    with pytest.raises(AirflowFailException, match=words):
        fetch_leads(context, tmp_path / "leads.jsonl")
    assert len(robofy.requests) == before
    assert not list(tmp_path.iterdir())
