"""Twenty thousand leads and 500 sessions while a tenth of the answers fails in every way: the bytes of a calm run."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_robofy.api import ahead
from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

LEADS, PAGE_SIZE, SESSIONS = 20_000, 100, 500
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 500}),
    ("status", {"status": 502}),
    ("status", {"status": 503, "code": "SERVICE_UNAVAILABLE"}),
    ("status", {"status": 200, "code": "INTERNAL_ERROR"}),
    ("html", {"status": 502}),
    ("html", {"status": 200}),
    ("not_json", {}),
    ("rate_limit", {"retry_after": 0}),
    ("drop", {}),
    ("drop", {"reset": True}),
    ("truncate", {}),
    ("truncate", {"chunked": True}),
    ("delay", {"seconds": 0.05}),
]


@pytest.mark.parametrize(
    ("name", "width"), [("leads.jsonl", 1), ("leads.jsonl", 8), ("leads.csv", 1), ("leads.parquet", 8)]
)
def test_what_lands_among_faults_is_what_lands_without(  # noqa: PLR0917
    robofy_emulator_factory, monkeypatch, tmp_path, context, name, width
):
    robofy = robofy_emulator_factory(leads=LEADS, page_size=PAGE_SIZE)
    monkeypatch.setattr(RobofyClient, "_sleep", lambda self, seconds: time.sleep(min(seconds, 0.001)))
    monkeypatch.setattr(ahead, "SLOW", 0.0)

    def land(folder: str, width: int) -> tuple[dict[str, Any], bytes]:
        connection = json.loads(robofy.connection_json())
        connection["extra"].update(max_attempts=8, max_parallel_pages=width)
        monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
        task = RobofyFetchLeadsOperator(task_id="leads", output_path=str(tmp_path / folder / name))
        manifest = task.execute(context)
        return manifest, Path(manifest["uri"]).read_bytes()

    calm, wanted = land("calm", 1)
    dice = random.Random(20_000)
    pages = LEADS // PAGE_SIZE
    struck = dice.sample(range(1, pages + 1), pages // 10)
    for number, page in enumerate(struck):
        kind, options = FAULTS[number % len(FAULTS)]
        robofy.fault(kind, endpoint="list_leads", page=page, times=dice.randint(1, 3), **options)
    stormy, landed = land("stormy", width)

    assert landed == wanted
    counts = ("rows", "received", "duplicates", "rejected", "outside_window", "pages", "sha256")
    assert {one: stormy[one] for one in counts} == {one: calm[one] for one in counts}
    assert calm["rows"] == LEADS
    assert stormy["requests"] > calm["requests"] + len(struck) // 2
    assert (stormy["requests_unused"] > 0) == (width > 1)


@pytest.mark.parametrize("rows", ["messages", "conversations"])
def test_what_lands_of_500_sessions_among_faults_is_what_lands_without(
    robofy_emulator_factory, monkeypatch, tmp_path, context, rows
):
    robofy = robofy_emulator_factory(sessions=SESSIONS, messages=8, messages_page_size=5)
    monkeypatch.setattr(RobofyClient, "_sleep", lambda self, seconds: time.sleep(min(seconds, 0.001)))
    connection = json.loads(robofy.connection_json())
    connection["extra"].update(max_attempts=8)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    sessions = RobofyFetchSessionsOperator(task_id="s", output_path=str(tmp_path / "s.jsonl")).execute(context)
    ids = [json.loads(line)["session_id"] for line in Path(sessions["uri"]).read_text().splitlines()]

    def land(folder: str) -> tuple[dict[str, Any], bytes]:
        path = str(tmp_path / folder / "leads.jsonl")
        task = RobofyFetchMessagesOperator(task_id="m", sessions=sessions, rows=rows, output_path=path)
        manifest = task.execute(context)
        return manifest, Path(manifest["uri"]).read_bytes()

    calm, wanted = land("calm")
    dice = random.Random(SESSIONS)
    struck = dice.sample([(one, page) for one in ids for page in (1, 2)], SESSIONS // 5)
    for number, (session, page) in enumerate(struck):
        kind, options = FAULTS[number % len(FAULTS)]
        times = dice.randint(1, 3)
        robofy.fault(kind, endpoint="list_session_messages", session=session, page=page, times=times, **options)
    stormy, landed = land("stormy")

    assert landed == wanted
    assert (stormy["sessions_read"], stormy["sessions_failed"]) == (SESSIONS, 0) == (calm["sessions_read"], 0)
    assert stormy["received"] == calm["received"] >= SESSIONS
    assert stormy["requests"] > calm["requests"] + len(struck) // 2
