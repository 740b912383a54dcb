"""Uploading against the emulator: each content once, whatever happens to the answers."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import time
from collections import Counter

import pytest

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import (
    RobofyAuthError,
    RobofyCancelledError,
    RobofyConnectionError,
    RobofyDataError,
    RobofyLedgerError,
    RobofyNotFoundError,
    RobofyServerError,
    RobofyUncertainError,
)
from airflow_provider_robofy.api.transport import Received, Transport
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.knowledge.documents import Document, Source


def names(items) -> list[str]:
    return sorted(item["name"] for item in items)


def counts(report) -> dict[str, int]:
    return {name: len(items) for name, items in report.lists().items() if items}


def test_texts_and_files_go_their_own_ways_and_arrive_as_they_are(desk):
    desk.write("faq.md", 'Größe "x" 😀\n')
    desk.write("prices.pdf", bytes(range(256)) * 1000)
    desk.write("guides/setup.html", "<p>Setup</p>")

    report = desk.run(metadata='{"team": "docs"}')

    assets = {asset["name"]: asset for asset in desk.emulator.assets()}
    assert {name: asset["kind"] for name, asset in assets.items()} == {
        "faq.md": "text", "prices.pdf": "file", "guides-setup.html": "text",
    }  # fmt: skip
    assert {asset["chatbot_id"] for asset in assets.values()} == {desk.emulator.chatbot_ids[0]}
    assert assets["prices.pdf"]["metadata"] == '{"team": "docs"}'
    for item in report.uploaded:
        asset = assets[item["name"]]
        assert (item["asset_id"], item["linkage_id"]) == (asset["asset_id"], asset["linkage_id"])
        assert (item["size"], item["sha256"]) == (asset["size"], asset["sha256"])
    assert (desk.emulator.count("add_file"), desk.emulator.count("add_text_content")) == (1, 2)


def test_what_is_unchanged_costs_no_request_and_no_write(desk):
    desk.write("a.md", "a")
    desk.write("b.pdf", b"b")
    first = desk.run()
    desk.emulator.clear_requests()
    before = desk.ledger_path.stat()

    second = desk.run(run_key="dag/next/task")

    assert counts(second) == {"unchanged": 2}
    assert second.lists()["unchanged"] == [
        {key: item[key] for key in ("name", "asset_id", "linkage_id", "size", "sha256")}
        for item in first.lists()["uploaded"]
    ]
    assert desk.emulator.count() == 0
    assert (desk.ledger_path.stat().st_ino, desk.ledger_path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_file_is_uploaded_again_and_the_old_ids_are_reported(desk):
    desk.write("a.md", "first")
    desk.write("b.md", "same")
    [old] = [item for item in desk.run().uploaded if item["name"] == "a.md"]
    desk.write("a.md", "FIRST")  # as long as before

    report = desk.run(run_key="dag/two/task")

    assert counts(report) == {"uploaded": 1, "unchanged": 1, "superseded": 1}
    assert report.superseded == [{key: old[key] for key in ("name", "asset_id", "linkage_id", "size", "sha256")}]
    assert report.uploaded[0]["asset_id"] != old["asset_id"]

    # A retry of that run still tells of it; the next run does not.
    assert counts(desk.run(run_key="dag/two/task")) == {"unchanged": 2, "superseded": 1}
    assert counts(desk.run(run_key="dag/three/task")) == {"unchanged": 2}


def test_a_file_that_left_the_source_is_reported_as_removed_with_its_ids(desk):
    desk.write("a.md", "a")
    gone = desk.write("b.md", "b")
    uploaded = {item["name"]: item for item in desk.run().uploaded}
    gone.unlink()
    report = desk.run()
    assert [(item["name"], item["asset_id"]) for item in report.removed] == [("b.md", uploaded["b.md"]["asset_id"])]
    assert desk.arrived() == ["a.md", "b.md"]


def test_each_unusable_file_is_named_and_none_stops_the_others(desk):
    contents = {"latin.txt": b"caf\xe9", "tool.exe": b"x", "x/same.md": b"1", "x-same.md": b"2", "good.md": b"good"}
    for name, content in contents.items():
        desk.write(name, content)
    report = desk.run()
    assert names(report.uploaded) == desk.arrived() == ["good.md"]
    assert names(report.failed) == ["latin.txt", "tool.exe", "x-same.md", "x-same.md"], "both files of the one name"
    assert set(desk.ledger().entries) == {"good.md"}
    error = report.verdict(max_failed=3)
    assert isinstance(error, RobofyDataError)
    for words in ("4 documents", "latin.txt: it is not UTF-8 text", "max_failed is 3"):
        assert words in str(error)
    assert report.verdict(max_failed=4) is None


@pytest.mark.parametrize("content", [b"caf\xe9", "x".encode("utf-16"), b"abc\xc3"])
def test_a_text_that_is_no_utf8_is_refused_and_a_file_may_have_any_bytes(desk, content):
    desk.write("a.json", content)
    desk.write("a.pdf", content)
    report = desk.run()
    assert [item["reason"] for item in report.failed] == ["it is not UTF-8 text"]
    assert desk.arrived() == ["a.pdf"]
    assert set(desk.ledger().entries) == {"a.pdf"}


def test_a_file_that_robofy_refuses_fails_alone_with_robofys_words(desk):
    desk.emulator.configure(max_upload_bytes=10)
    desk.write("a.pdf", b"x" * 11)
    desk.write("b.pdf", b"x" * 10)
    report = desk.run()
    assert names(report.uploaded) == ["b.pdf"]
    assert "larger than 10 bytes" in report.failed[0]["reason"]
    assert set(desk.ledger().entries) == {"b.pdf"}


def test_a_file_that_changes_while_it_is_sent_is_recorded_as_it_was_sent(desk, monkeypatch):
    path = desk.write("a.pdf", b"first" * 40_000)
    read = Document.read
    reads = []

    def change_afterwards(self):
        content = read(self)
        reads.append(self.name)
        path.write_bytes(b"other" * 40_000)
        return content

    with monkeypatch.context() as patch:
        patch.setattr(Document, "read", change_afterwards)
        first = desk.run()
    sent = hashlib.sha256(b"first" * 40_000).hexdigest()
    assert reads == ["a.pdf"], "read once, so that nothing but the hashed bytes can be sent"
    assert [item["sha256"] for item in first.uploaded] == [sent]
    assert [asset["sha256"] for asset in desk.emulator.assets()] == [sent]
    assert desk.ledger().entries["a.pdf"]["sha256"] == sent

    assert counts(desk.run()) == {"uploaded": 1, "superseded": 1}, "the next run sees the change"
    assert desk.emulator.assets()[-1]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


# --------------------------------------------------------------------------------------------- answers that are lost


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("drop", {}), ("drop", {"reset": True}), ("truncate", {}), ("html", {}), ("wrong_shape", {}),
        ("status", {"status": 500}),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(("name", "endpoint"), [("a.md", "add_text_content"), ("a.pdf", "add_file")])
def test_an_answer_that_never_came_is_reported_and_not_asked_for_again(desk, fault, options, name, endpoint):
    desk.write(name, "content")
    desk.write("b.txt", "other")
    desk.emulator.fault(fault, endpoint=endpoint, times=1, **options)
    if endpoint == "add_text_content":
        (desk.folder / "b.txt").rename(desk.folder / "b.docx")

    report = desk.run()

    assert names(report.uncertain) == [name]
    assert len(report.uploaded) == 1, "the other one is not stopped"
    assert desk.emulator.count(endpoint) == 1
    error = report.verdict(max_failed=99)
    assert isinstance(error, RobofyUncertainError)
    assert error.permanent
    assert name in str(error)
    assert "on_uncertain='resend'" in str(error)

    again = desk.run()
    assert names(again.uncertain) == [name]
    assert again.uncertain[0]["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert counts(again) == {"uncertain": 1, "unchanged": 1}
    assert desk.emulator.count(endpoint) == 1

    assert counts(desk.run(resend=True)) == {"uploaded": 1, "unchanged": 1}
    assert counts(desk.run()) == {"unchanged": 2}
    assert desk.emulator.count(endpoint) == 2


def test_a_changed_file_whose_upload_is_uncertain_keeps_its_old_ids(desk):
    desk.write("a.md", "first")
    [old] = desk.run().uploaded
    desk.write("a.md", "second")
    desk.emulator.fault("drop", endpoint="add_text_content")
    assert counts(desk.run()) == {"uncertain": 1}
    report = desk.run(resend=True)
    assert counts(report) == {"uploaded": 1, "superseded": 1}
    assert report.superseded[0]["asset_id"] == old["asset_id"]


@pytest.mark.parametrize(
    ("fault", "options"),
    [("rate_limit", {"retry_after": 0}), ("status", {"status": 400, "code": "BAD_REQUEST"}),
     ("redirect", {"to": "/elsewhere"}), ("status", {"status": 413, "code": "TOO_LARGE"})],
    ids=str,
)  # fmt: skip
def test_what_was_surely_refused_is_forgotten_and_tried_again_by_the_next_run(desk, fault, options):
    desk.write("a.md", "first")
    [old] = desk.run().uploaded
    desk.write("a.md", "second")
    desk.emulator.fault(fault, endpoint="add_text_content", times=2, **options)

    report = desk.run()
    assert names(report.failed) == ["a.md"]
    assert desk.ledger().entries["a.md"]["asset_id"] == old["asset_id"], "the old version is what Robofy has"

    desk.emulator.clear_faults()
    assert counts(desk.run()) == {"uploaded": 1, "superseded": 1}


@pytest.fixture
def answered(monkeypatch):
    """Return a function that gives every call the same answer."""
    return lambda answer: monkeypatch.setattr(RobofyClient, "call", lambda self, call: answer)


def test_a_status_of_failed_is_a_failure(desk, answered):
    desk.write("a.md", "a")
    answered({"asset_id": 1, "linkage_id": 2, "status": "FAILED"})
    report = desk.run()
    assert counts(report) == {"failed": 1}
    assert "'FAILED'" in report.failed[0]["reason"]
    assert desk.ledger().entries == {}


def test_an_answer_without_ids_is_taken_with_a_warning(desk, answered, caplog):
    desk.write("a.md", "a")
    answered({"message": "fine", "status": "Processing"})
    assert counts(desk.run()) == {"uploaded": 1}
    assert "names no asset_id" in caplog.text
    assert counts(desk.run()) == {"unchanged": 1}


@pytest.mark.parametrize("answer", [{}, {"message": "fine"}, {"chatbot_id": "a"}])
def test_an_answer_with_neither_status_nor_id_leaves_the_upload_uncertain(desk, answered, answer):
    desk.write("a.md", "a")
    answered(answer)
    assert counts(desk.run()) == {"uncertain": 1}
    assert counts(desk.run()) == {"uncertain": 1}, "and no later run takes it for done"


@pytest.mark.parametrize(
    "answer",
    [
        {"success": False, "message": "Storage quota exceeded"},
        {"data": {"success": False, "message": "Storage quota exceeded"}},
        {"status": "error", "message": "Storage quota exceeded"},
        {"status": "failure", "asset_id": 5},
        {"data": {"status": "Rejected", "asset_id": 5}},
        {"errors": ["Storage quota exceeded"]},
        {"code": 413, "message": "Storage quota exceeded"},
    ],
)
def test_an_upload_that_was_refused_under_http_200_has_failed_and_is_tried_again(desk, monkeypatch, answer):
    desk.write("a.md", "a")
    received = Received(200, {"content-type": "application/json"}, json.dumps(answer).encode())
    monkeypatch.setattr(Transport, "send", lambda *_: received)
    report = desk.run()
    assert counts(report) == {"failed": 1}
    monkeypatch.undo()
    assert counts(desk.run()) == {"uploaded": 1}


# ------------------------------------------------------------------------------------------ what stops the whole run


def test_a_disk_that_is_full_stops_the_run_and_leaves_no_doubt_about_what_was_not_sent(desk, monkeypatch):
    desk.fill(20)
    ledger = desk.ledger()
    uploader = desk.uploader(ledger)
    finish = Spool.finish
    written = []

    def refuse(self):
        written.append(self.bytes)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        finish(self)

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "finish", refuse)
        uploader.run(desk.documents().documents)
    error = uploader.verdict(max_failed=99)
    assert isinstance(error, RobofyLedgerError)
    assert "No space left" in str(error)
    assert not error.permanent
    assert len(desk.arrived()) < 20
    ledger.close()

    again = desk.run()
    assert again.uncertain == [], "whatever was sent has its answer in the ledger by now, and the rest was never sent"
    assert max(Counter(desk.arrived()).values()) == 1
    assert len(desk.arrived()) == len(again.uploaded) + len(again.unchanged) == 20


def test_what_is_uncertain_stays_so_when_the_disk_is_full_before_it_is_sent_again(desk, monkeypatch):
    desk.write("a.md", "a")
    desk.emulator.fault("drop", endpoint="add_text_content")
    assert counts(desk.run()) == {"uncertain": 1}
    ledger = desk.ledger()
    uploader = desk.uploader(ledger, resend=True)

    def refuse(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "finish", refuse)
        uploader.run(desk.documents().documents)
        assert isinstance(uploader.stopped, RobofyLedgerError)
    ledger.close()
    assert desk.emulator.count("add_text_content") == 1
    assert counts(desk.run()) == {"uncertain": 1}


def test_a_wrong_key_stops_the_run_and_uploads_nothing(desk):
    desk.fill(20)
    desk.settings["api_key"] = "wrong"
    report = desk.run()
    assert isinstance(report.verdict(max_failed=99), RobofyAuthError)
    assert desk.emulator.count() <= 4
    assert desk.ledger().entries == {}


def test_a_404_of_add_file_says_exactly_which_setting_to_give(desk):
    desk.emulator.configure(paths={"add_file": "/v2/files"})
    desk.write("a.pdf", b"x")
    error = desk.run().verdict(max_failed=99)
    assert isinstance(error, RobofyNotFoundError)
    assert 'endpoints, for example {"add_file": "/v1/' in str(error)

    desk.settings["endpoints"] = {"add_file": "/v2/files"}
    assert counts(desk.run()) == {"uploaded": 1}


def test_an_api_that_is_down_is_given_up_after_a_few_documents(desk):
    desk.fill(40)
    url = desk.emulator.url
    desk.emulator.fault("status", status=503, endpoint="add_text_content", times=None)
    report = desk.run()
    assert isinstance(report.verdict(max_failed=99), RobofyServerError)
    assert 5 <= len(report.uncertain) <= 8, "those under way are reported, no more are begun"
    desk.emulator.clear_faults()
    assert counts(desk.run()) == {"uncertain": len(report.uncertain), "uploaded": 40 - len(report.uncertain)}
    assert desk.emulator.url == url


def test_an_api_that_cannot_be_reached_leaves_no_doubt(desk, unused_port):
    desk.fill(10)
    desk.settings["base_url"] = f"http://127.0.0.1:{unused_port}"
    report = desk.run()
    assert isinstance(report.verdict(max_failed=99), RobofyConnectionError)
    assert report.uncertain == []
    assert desk.ledger().entries == {}


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.serial
def test_a_kill_ends_the_uploads_within_a_second_and_leaves_what_was_sent_in_doubt(desk):
    desk.emulator.configure(latency=30)
    desk.fill(9)
    ledger = desk.ledger()
    uploader = desk.uploader(ledger)
    documents = desk.documents().documents
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.monotonic())
        uploader.cancel()

    threading.Timer(0.5, kill).start()
    with pytest.raises(RobofyCancelledError):
        uploader.run(documents)
    assert time.monotonic() - killed[0] < 1
    ledger.close()
    desk.emulator.configure(latency=0)
    again = desk.run()
    assert len(again.uncertain) == 4
    assert len(again.uploaded) == 5


# --------------------------------------------------------------------------------------------------- fast and lean


@pytest.mark.serial
def test_four_uploads_run_at_a_time_and_no_more(desk):
    desk.emulator.configure(latency=0.1)
    desk.fill(12)
    began = time.monotonic()
    desk.run()
    assert time.monotonic() - began < 0.9, "one after the other would take 1.2 s"
    assert desk.emulator.state()["peak_in_flight"] == 4


def test_the_budget_holds_for_all_four_together(desk):
    desk.settings["requests_per_minute"] = 600.0
    desk.fill(10)
    desk.run()
    times = sorted(request.time for request in desk.emulator.requests)
    assert times[-1] - times[0] >= 0.8, "ten requests at 600 a minute take nine gaps of a tenth of a second"


@pytest.mark.serial
def test_five_thousand_unchanged_files_take_no_request_and_less_than_two_seconds(desk):
    for number in range(5000):
        desk.write(f"{number % 50}/{number}.md", f"document {number} " * 100)
    ledger = desk.ledger()
    for one in desk.documents().documents:
        digest = hashlib.sha256((desk.folder / one.uri).read_bytes()).hexdigest()
        ledger.amend(one.name, {"state": "uploaded", "sha256": digest, "size": one.size, "asset_id": 1})
    ledger.close()
    desk.emulator.clear_requests()
    before = desk.ledger_path.stat().st_mtime_ns

    began = time.monotonic()
    report = desk.run()
    took = time.monotonic() - began

    assert counts(report) == {"unchanged": 5000}
    assert desk.emulator.count() == 0
    assert desk.ledger_path.stat().st_mtime_ns == before
    assert took <= 2, f"{took:.2f} s"


@pytest.mark.s3
def test_a_bucket_is_kept_in_step_and_an_unchanged_object_is_not_even_read(desk, bucket, monkeypatch):
    fs, name = bucket
    content = bytes(range(256)) * 5000
    fs.pipe_file(f"{name}/wiki/a.md", "Größe".encode())
    fs.pipe_file(f"{name}/wiki/b.pdf", content)
    source = Source(fs, f"{name}/wiki", f"s3://{name}/wiki")

    assert counts(desk.run(source=source)) == {"uploaded": 2}
    assert {asset["sha256"] for asset in desk.emulator.assets()} == {
        hashlib.sha256("Größe".encode()).hexdigest(), hashlib.sha256(content).hexdigest(),
    }  # fmt: skip

    def refuse(self):
        raise AssertionError("an unchanged object was read")

    with monkeypatch.context() as patch:
        patch.setattr(Document, "read", refuse)
        assert counts(desk.run(source=source)) == {"unchanged": 2}
    fs.pipe_file(f"{name}/wiki/a.md", b"other")
    assert counts(desk.run(source=source)) == {"uploaded": 1, "unchanged": 1, "superseded": 1}
