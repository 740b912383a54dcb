"""A ledger and its journal, as version 92ce6c9 left them when a run was killed before it could close."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_provider_robofy.knowledge.ledger import Ledger

IDENTITY = {
    "project_id": "24017",
    "chatbot_id": "HbZ7N26z40HXzHFDFIZSfKNX_WK7SQP3YGdNJtvrOQ",
    "source": "/srv/docs",
}


@pytest.fixture
def open_ledger(desk):
    """A function that opens the ledger of an earlier version, which is the desk's own from then on."""
    samples = Path(__file__).parent / "ledgers"
    desk.ledger_path.parent.mkdir()
    shutil.copy(samples / "ledger.json", desk.ledger_path)
    shutil.copy(samples / "ledger.json.journal.json", f"{desk.ledger_path}.journal.json")

    def open_ledger() -> Ledger:
        ledger = Ledger(desk.store(), IDENTITY)
        ledger.load()
        return ledger

    desk.ledger = open_ledger
    return open_ledger


def test_every_entry_is_understood_and_kept(desk, open_ledger):
    entries = open_ledger().entries

    assert {name: (one["state"], one.get("asset_id")) for name, one in entries.items()} == {
        "faq.md": ("uploaded", 5786),
        "guides-größe.html": ("uploaded", 5783),
        "new.docx": ("uploaded", 5787),
        "old.txt": ("uploaded", 5784),
        "prices.pdf": ("intended", None),
    }
    assert entries["prices.pdf"]["before"]["asset_id"] == 5785
    assert [old["asset_id"] for old in entries["faq.md"]["superseded"]] == [5782]

    open_ledger().close()
    assert open_ledger().entries == entries
    assert [file.name for file in desk.ledger_path.parent.iterdir()] == [desk.ledger_path.name]


@pytest.mark.usefixtures("open_ledger")
def test_uploads_continue_from_it(desk):
    for name, content in {
        "faq.md": "Opening hours: nine to five\n",
        "guides/größe.html": "<p>Größe</p>",
        "new.docx": "PK newer",
        "prices.pdf": "%PDF-1.7 new prices",
    }.items():
        desk.write(name, content)

    report = desk.run(run_key="knowledge/scheduled__2026-11-03/docs")

    assert [item["name"] for item in report.lists()["unchanged"]] == ["faq.md", "guides-größe.html"]
    assert [(item["name"], item["intended_at"]) for item in report.uncertain] == [
        ("prices.pdf", "2026-11-26T19:55:21+00:00")
    ]
    assert [item["name"] for item in report.uploaded] == ["new.docx"]
    assert [(item["name"], item["asset_id"]) for item in report.superseded] == [("new.docx", 5787)]
    assert [(item["name"], item["asset_id"]) for item in report.removed] == [("old.txt", 5784)]

    resent = desk.run(resend=True, run_key="knowledge/scheduled__2026-11-04/docs")

    assert [item["name"] for item in resent.uploaded] == ["prices.pdf"]
    assert [(item["name"], item["asset_id"]) for item in resent.superseded] == [("prices.pdf", 5785)]
