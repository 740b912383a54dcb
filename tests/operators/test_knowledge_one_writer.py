"""Uploads that meet at one ledger, a ledger that cannot be closed, and arguments that cannot be written."""

from __future__ import annotations

import errno
import inspect
import json
import threading
import time
from dataclasses import replace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.extract.spool import Spool
from airflow_provider_robofy.knowledge import lock
from airflow_provider_robofy.knowledge.ledger import LedgerStorageError
from airflow_provider_robofy.knowledge.lock import LedgerLockedError
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=0))


@pytest.fixture
def docs(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))
    (tmp_path / "docs").mkdir()
    for number in range(8):
        (tmp_path / "docs" / f"{number}.md").write_text(str(number))
    return tmp_path / "docs"


def upload(docs, **arguments):
    return RobofyUploadKnowledgeOperator(task_id="docs", source=str(docs), **arguments)


def of_run(context, run_id):
    return {**context, "ti": replace(context["ti"], run_id=run_id, pushed={})}


def started(task, context, errors=None):
    """Run a task on a thread. Airflow 2.11 wraps execute, in a way that works on the main thread alone."""
    execute = inspect.unwrap(type(task).execute)

    def run() -> None:
        try:
            execute(task, context)
        except LedgerLockedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.serial
def test_a_second_run_is_refused_while_the_first_uploads_and_goes_on_when_that_has_ended(robofy, context, docs):
    robofy.configure(latency=0.5)
    first = started(upload(docs), of_run(context, "one"))
    while not robofy.count("add_text_content") and first.is_alive():
        time.sleep(0.01)
    with pytest.raises(LedgerLockedError, match="in use by run my_dag/one/leads"):
        upload(docs).execute(of_run(context, "two"))
    first.join()
    robofy.configure(latency=0)
    assert upload(docs).execute(of_run(context, "two"))["counts"]["unchanged"] == 8
    assert robofy.count("add_text_content") == 8


@pytest.mark.serial
def test_the_lock_is_renewed_through_an_upload_that_takes_long(robofy, context, docs, monkeypatch):
    monkeypatch.setattr(lock, "RENEW_EVERY", 0.1)
    monkeypatch.setattr(lock, "EXPIRES_AFTER", 3.0)
    robofy.configure(latency=5)
    first = started(upload(docs), of_run(context, "one"))
    while not robofy.count("add_text_content") and first.is_alive():
        time.sleep(0.01)
    time.sleep(3.5)
    with pytest.raises(LedgerLockedError, match="my_dag/one/leads"):
        upload(docs).execute(of_run(context, "two"))
    first.join()


def test_an_attempt_whose_lock_is_taken_over_stops_and_its_successor_has_every_answer(robofy, context, docs):
    """A try that Airflow believes dead, and its retry, which has the same run key, at the same time."""
    robofy.configure(latency=0.4)
    errors: list[str] = []
    thread = started(upload(docs), of_run(context, "one"), errors)
    while not robofy.count("add_text_content") and thread.is_alive():
        time.sleep(0.01)
    with pytest.raises(AirflowFailException, match=r"uploads? \(.* may or may not have arrived"):
        upload(docs).execute(of_run(context, "one"))
    thread.join()
    assert "by a later attempt of this run" in errors[0]
    names = [asset["name"] for asset in robofy.assets()]
    assert sorted(names) == [f"{number}.md" for number in range(8)], "and no document went twice"


@pytest.mark.parametrize("failed", [0, 1], ids=["no other error", "an error of the manifest"])
def test_a_ledger_that_cannot_be_closed_replaces_no_other_error(robofy, context, docs, monkeypatch, failed):
    (docs / "tool.exe").write_bytes(b"x" * failed)
    if not failed:
        (docs / "tool.exe").unlink()
    publish = Store.publish

    def refuse(self, spooled, size):
        if self.path.endswith(".json") and not self.path.endswith((".journal.json", ".lock.json")):
            raise OSError(errno.ENOSPC, "No space left on device")
        publish(self, spooled, size)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "publish", refuse)
        with pytest.raises(RobofyDataError if failed else LedgerStorageError) as caught:
            upload(docs).execute(context)
    assert ("tool.exe" if failed else "No space left") in str(caught.value)
    assert context["ti"].pushed["manifest"]["counts"]["uploaded"] == 8
    assert upload(docs, max_failed=1).execute(context)["counts"]["unchanged"] == 8, "the journal has it all"


def test_a_disk_that_is_full_before_anything_is_sent_is_the_error_of_the_ledger(robofy, context, docs, monkeypatch):
    def refuse(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "finish", refuse)
    with pytest.raises(LedgerStorageError, match=r"lock\.json cannot be written .*No space left"):
        upload(docs).execute(context)
    assert robofy.count() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"source": None, "text": "x", "name": "a\ud83d.md"}, r"name='a\\\\ud83d\.md' has half a character"),
        ({"metadata": "team \ud83d"}, "metadata=.* has half a character"),
        ({"ledger_path": "/tmp/\udcff.json"}, "ledger_path=.* has half a character"),
        ({"source": "/data/\udcff"}, "source=.* has half a character"),
        ({"ledger_path": f"/tmp/{'x' * 230}.json"}, "ledger_path: a name in .* is too long"),
        ({"ledger_path": f"/tmp/{'ü' * 110}.json"}, "ledger_path: a name in .* is too long"),
    ],
)
def test_what_cannot_be_written_fails_at_once_and_names_the_argument(robofy, context, docs, arguments, words):
    task = RobofyUploadKnowledgeOperator(task_id="docs", **{"source": str(docs), **arguments})
    with pytest.raises(AirflowFailException, match=words):
        task.execute(context)
    assert robofy.count() == 0


def test_metadata_that_becomes_json_may_have_any_text(robofy, context, tmp_path, docs):
    (docs / "prices.pdf").write_bytes(b"%PDF")
    upload(docs / "prices.pdf", metadata={"team": "\ud83d"}).execute(context)
    assert json.loads(robofy.assets()[0]["metadata"]) == {"team": "\ud83d"}


def test_the_longest_ledger_path_that_is_allowed_can_be_used(robofy, context, docs, tmp_path):
    fits = None
    for length in range(200, 256):
        task = upload(docs, ledger_path=str(tmp_path / f"{'x' * length}.json"))
        try:
            task.execute(context)
        except AirflowFailException:
            break
        fits = length
    assert fits is not None
    assert 200 < fits < 250
