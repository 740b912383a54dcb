"""prune=True against the emulator: what is delinked, and everything that keeps it from delinking."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError, RobofyError
from airflow_provider_robofy.hooks.storage import open_store
from airflow_provider_robofy.knowledge import prune
from airflow_provider_robofy.knowledge.lock import LedgerLock, LedgerLockedError
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.triggers import base
from airflow_provider_robofy.triggers.knowledge import RobofyKnowledgeTrigger

PATH = "/v1/ai-agent/chatbot_asset_delink"
BODY = {"bot": "{chatbot_id}", "links": [{"link_id": "{linkage_id}"}]}


@pytest.fixture(autouse=True)
def _short(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))
    monkeypatch.setattr(base, "SHORTEST_POLL", 0.05)
    monkeypatch.setattr(prune, "PAUSE", 0.01)


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    emulator = robofy_emulator_factory(leads=0, delink_body=BODY, delink_otherwise="all")
    return connect(emulator, endpoints={"delink_asset": {"path": PATH, "body": BODY}})


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "docs").mkdir()
    for number in range(10):
        (tmp_path / "docs" / f"{number}.md").write_text(f"document {number}")
    return tmp_path / "docs"


@pytest.fixture
def run(context, docs):
    """Run the operator as a run of its own, through a deferral and its trigger where it defers."""
    runs = iter(range(1000))

    def run(run_id: str | None = None, **arguments):
        ti = replace(context["ti"], run_id=run_id or f"run {next(runs)}", pushed={})
        context["ti"] = ti
        usual = {"source": str(docs), "prune": True, "deferrable": False, "poll_interval": 0.05, "timeout": 2}
        task = RobofyUploadKnowledgeOperator(task_id="docs", **{**usual, **arguments})
        try:
            return task.execute(context)
        except TaskDeferred as deferred:
            _, given = deferred.trigger.serialize()

            async def event():
                return [e.payload async for e in RobofyKnowledgeTrigger(**json.loads(json.dumps(given))).run()]

            [payload] = asyncio.run(event())
            type(ti).xcom_pull = lambda self, *, task_ids, key, map_indexes: self.pushed[key]
            again = RobofyUploadKnowledgeOperator(task_id="docs", **{**usual, **arguments})
            return again.resume_execution(deferred.method_name, {"event": payload}, context)

    return run


def linked(robofy) -> list[str]:
    return sorted(asset["name"] for asset in robofy.linked())


def names(items) -> list[str]:
    return [item["name"] for item in items]


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_a_replaced_version_and_a_removed_document_are_delinked_and_nothing_else(robofy, docs, run, deferrable):
    run()
    before = {asset["name"]: asset for asset in robofy.linked()}
    (docs / "0.md").write_text("document 0, new")
    (docs / "1.md").unlink()

    manifest = run(deferrable=deferrable)

    assert linked(robofy) == ["0.md", *(f"{number}.md" for number in range(2, 10))]
    assert before["0.md"]["linkage_id"] not in {asset["linkage_id"] for asset in robofy.linked()}
    assert manifest["counts"]["delinked"] == 2
    assert manifest["counts"]["not_delinked"] == 0
    assert [(one["name"], one["reason"], one["linkage_id"]) for one in manifest["lists"]["delinked"]] == [
        ("0.md", "replaced", before["0.md"]["linkage_id"]), ("1.md", "removed", before["1.md"]["linkage_id"]),
    ]  # fmt: skip
    assert [delink["body"] for delink in robofy.delinks()] == [
        {"bot": robofy.chatbot_ids[0], "links": [{"link_id": before[name]["linkage_id"]}]} for name in ("0.md", "1.md")
    ]
    assert json.loads(json.dumps(manifest)) == manifest

    robofy.clear_requests()
    again = run()
    assert (again["counts"]["delinked"], again["counts"]["removed"]) == (0, 0)
    assert robofy.count("delink_asset") == 0, "the ledger remembers"


@pytest.mark.parametrize("prune", [False, True])
def test_an_agent_cites_a_removed_document_until_it_is_pruned(robofy, docs, run, prune):
    (docs / "old.md").write_text("Opening hours: closed on Tuesdays")
    run()
    (docs / "old.md").unlink()
    run(prune=prune)
    body = {"query": "What are the opening hours?", "pid": "24017", "chatbot_id": robofy.chatbot_ids[0]}
    answer = requests.post(
        f"{robofy.url}/v1/ai-agent/chat",
        json={**body, "user_context": {}},
        headers={"Authorization": f"Bearer {robofy.api_key}"},
        timeout=5,
    )
    assert ("Tuesdays" in answer.json()["data"]["answer"]) is not prune


def test_a_retry_of_the_run_reports_what_the_attempt_before_has_delinked(robofy, docs, run):
    run()
    (docs / "1.md").unlink()
    run("night")
    manifest = run("night")
    assert names(manifest["lists"]["delinked"]) == ["1.md"]
    assert robofy.count("delink_asset") == 1


def test_a_document_that_comes_back_is_uploaded_again_and_keeps_its_new_link(robofy, docs, run):
    run()
    (docs / "1.md").unlink()
    run()
    (docs / "1.md").write_text("document 1")
    manifest = run()
    assert (manifest["counts"]["uploaded"], manifest["counts"]["superseded"]) == (1, 0)
    assert linked(robofy) == [f"{number}.md" for number in range(10)]
    assert robofy.count("delink_asset") == 1


def test_what_was_left_behind_before_pruning_began_is_delinked_too(robofy, docs, run):
    run(prune=False)
    for version in range(3):
        (docs / "0.md").write_text(f"version {version}")
        run(prune=False)
    (docs / "1.md").unlink()
    assert len(linked(robofy)) == 13
    manifest = run()
    assert names(manifest["lists"]["delinked"]) == ["0.md", "0.md", "0.md", "1.md"]
    assert len(linked(robofy)) == 9


def test_an_old_version_stays_until_its_successor_is_ready(robofy, docs, run):
    run()
    (docs / "0.md").write_text("new")
    robofy.configure(processing_seconds=3600)
    with pytest.raises(RobofyDataError, match="not ready within"):
        run("night", timeout=0.2)
    assert robofy.count("delink_asset") == 0
    assert len(linked(robofy)) == 11
    robofy.configure(processing_seconds=0)
    assert run("night")["counts"]["delinked"] == 1


# ------------------------------------------------------------------------------------- what is refused before an upload


def test_without_a_body_in_the_connection_it_fails_before_it_uploads(robofy, connect, run):
    for endpoints in ({}, {"delink_asset": PATH}):
        connect(robofy, endpoints=endpoints)
        with pytest.raises(AirflowFailException, match="prune=True needs the body of Delink Asset"):
            run()
    assert robofy.count() == 0


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ({"path": PATH}, "give a path, or an object"),
        ({"body": BODY}, "give a path, or an object"),
        ({"path": PATH, "body": BODY, "method": "POST"}, "give a path, or an object"),
        ({"path": PATH, "body": {}}, "uses {linkage_id} or {asset_id}"),
        ({"path": PATH, "body": {"bot": "{chatbot_id}", "project": "{project_id}"}}, "could delink all of them"),
        ({"path": PATH, "body": ["{linkage_id}"]}, '"body" must be an object'),
        ({"path": PATH, "body": "{linkage_id}"}, '"body" must be an object'),
        ({"path": PATH, "body": {"{linkage_id}": 1}}, "uses {linkage_id} or {asset_id}"),
        ({"path": PATH, "body": {"{asset_id}": "{linkage_id}"}}, "unknown placeholder asset_id"),
        ({"path": PATH, "body": {"id": "{linkage_id}", "user": "{user_id}"}}, "unknown placeholder user_id"),
        ({"path": "https://evil.example/v1", "body": BODY}, "must start with a single '/'"),
        ({"path": "/v1/{session_id}", "body": BODY}, "unknown placeholder session_id"),
        ({"path": 5, "body": BODY}, "must start with a single '/'"),
    ],
)
def test_a_body_that_could_mean_anything_else_is_refused_with_its_setting(robofy, connect, run, endpoint, words):
    connect(robofy, endpoints={"delink_asset": endpoint})
    with pytest.raises(AirflowFailException) as caught:
        run()
    assert "Connection extra endpoints, 'delink_asset'" in str(caught.value)
    assert words in str(caught.value)
    assert robofy.count() == 0


@pytest.mark.parametrize("limit", [-0.1, 1.1, "much", "", True, None, float("nan")])
def test_a_limit_that_is_no_share_is_refused(robofy, run, limit):
    with pytest.raises((RobofyConfigError, AirflowFailException), match="prune_limit"):
        run(prune_limit=limit)
    assert robofy.count() == 0


@pytest.mark.parametrize("left", ["nothing", "a hidden file", "an empty one of two sources"])
def test_an_empty_source_fails_prunes_nothing_and_uploads_nothing(robofy, docs, run, tmp_path, left):
    run()
    source = [str(docs), str(tmp_path / "more" / "*.md")] if left.startswith("an empty") else str(docs)
    if left.startswith("an empty"):
        (tmp_path / "more").mkdir()
        (docs / "new.md").write_text("new")
    else:
        for path in docs.iterdir():
            path.unlink()
        if left == "a hidden file":
            (docs / ".keep").write_text("")
    robofy.clear_requests()
    with pytest.raises(RobofyDataError, match="has no documents, and prune=True would take that for the removal"):
        run(source=source)
    assert robofy.count() == 0
    assert len(linked(robofy)) == 10


def test_a_source_that_empties_while_the_task_waits_prunes_nothing(robofy, docs, run, monkeypatch):
    run()
    (docs / "1.md").unlink()
    wait = RobofyUploadKnowledgeOperator._wait

    def unmount(self, *arguments):
        wait(self, *arguments)
        for path in docs.iterdir():
            path.unlink()

    monkeypatch.setattr(RobofyUploadKnowledgeOperator, "_wait", unmount)
    with pytest.raises(RobofyDataError, match="has no documents"):
        run()
    assert robofy.count("delink_asset") == 0


def test_a_document_that_comes_back_while_the_task_waits_is_not_delinked(robofy, docs, run, monkeypatch):
    run()
    (docs / "1.md").unlink()
    wait = RobofyUploadKnowledgeOperator._wait

    def put_back(self, *arguments):
        wait(self, *arguments)
        (docs / "1.md").write_text("document 1")

    monkeypatch.setattr(RobofyUploadKnowledgeOperator, "_wait", put_back)
    run()
    assert robofy.count("delink_asset") == 0
    assert len(linked(robofy)) == 10


@pytest.mark.parametrize("what", ["a folder", "a folder of a glob"])
def test_a_folder_that_cannot_be_read_prunes_nothing_of_it(robofy, docs, run, monkeypatch, what):
    (docs / "sub").mkdir()
    (docs / "sub" / "a.md").write_text("a")
    source = str(docs) if what == "a folder" else f"{docs}/**/*.md"
    run(source=source)
    (docs / "1.md").unlink()
    import os

    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(RobofyDataError, match="it is a folder that cannot be read"):
        run(source=source)
    assert run(source=source, max_failed=1)["prune_skipped"] == "failed documents: 1"
    assert robofy.count("delink_asset") == 0


def test_an_upload_that_failed_prunes_nothing_even_if_max_failed_allows_it(robofy, docs, run):
    run()
    (docs / "1.md").unlink()
    (docs / "tool.exe").write_bytes(b"x")
    with pytest.raises(RobofyDataError, match=r"tool\.exe"):
        run()
    manifest = run(max_failed=1)
    assert manifest["prune_skipped"] == "failed documents: 1"
    assert manifest["counts"]["delinked"] == 0
    assert names(manifest["lists"]["removed"]) == ["1.md"]
    assert robofy.count("delink_asset") == 0


def test_a_document_that_robofy_refused_keeps_the_task_from_pruning_too(robofy, docs, run):
    run()
    (docs / "1.md").unlink()
    (docs / "prices.pdf").write_bytes(b"x" * 11)
    robofy.configure(max_upload_bytes=10)
    assert run(max_failed=1)["prune_skipped"] == "failed documents: 1"
    assert robofy.count("delink_asset") == 0


def test_an_upload_that_is_uncertain_prunes_nothing(robofy, docs, run):
    run()
    (docs / "1.md").unlink()
    (docs / "0.md").write_text("new")
    robofy.fault("drop", endpoint="add_text_content")
    with pytest.raises(AirflowFailException, match="may or may not have arrived"):
        run()
    assert robofy.count("delink_asset") == 0


# ------------------------------------------------------------------------------------------------------------ the limit


def test_more_than_the_limit_fails_before_the_first_delink_and_lists_the_names(robofy, docs, run):
    run()
    for number in range(4):
        (docs / f"{number}.md").unlink()
    with pytest.raises(
        AirflowFailException, match=r"4 of 10 documents .* prune_limit=0\.2 allows 3: 0\.md; 1\.md; 2\."
    ):
        run()
    assert robofy.count("delink_asset") == 0
    assert run(prune_limit="0.5")["counts"]["delinked"] == 4


def test_three_documents_are_allowed_whatever_their_share(robofy, docs, run):
    run()
    for number in range(3):
        (docs / f"{number}.md").unlink()
    assert run(prune_limit=0)["counts"]["delinked"] == 3


def test_the_share_counts_documents_and_not_their_versions(robofy, docs, run):
    for number in range(10, 25):
        (docs / f"{number}.md").write_text(f"document {number}")
    run(prune=False)
    for version in range(3):
        (docs / "0.md").write_text(f"version {version}")
        run(prune=False)
    for number in range(1, 5):
        (docs / f"{number}.md").unlink()
    assert run()["counts"]["delinked"] == 7, "five of 25 documents are a fifth"


# -------------------------------------------------------------------------------- ids, and what could be the wrong link


def ledger_of(manifest) -> Path:
    return Path(manifest["ledger_uri"])


def edit(ledger_path: Path, name: str, fields: dict) -> None:
    ledger = json.loads(ledger_path.read_text())
    ledger["entries"][name].update(fields)
    ledger_path.write_text(json.dumps(ledger))


def test_a_document_without_the_id_that_the_body_needs_is_reported_and_not_guessed(robofy, docs, run):
    ledger = ledger_of(run())
    edit(ledger, "1.md", {"linkage_id": None})
    (docs / "1.md").unlink()
    (docs / "2.md").unlink()
    manifest = run()
    assert names(manifest["lists"]["delinked"]) == ["2.md"]
    [item] = manifest["lists"]["not_delinked"]
    assert (item["name"], item["reason"]) == ("1.md", "Robofy gave no linkage_id for it")


@pytest.mark.parametrize("body", [{"a": "{asset_id}"}, {"a": "{asset_id}", "l": "{linkage_id}"}], ids=["asset", "both"])
def test_an_id_that_is_also_that_of_a_document_which_stays_is_not_delinked(robofy, connect, docs, run, body):
    """As where Robofy keeps one asset for equal contents, and the documents are of equal content."""
    connect(robofy, endpoints={"delink_asset": {"path": PATH, "body": body}})
    robofy.configure(delink_body=body)
    ledger = ledger_of(run())
    stays = json.loads(ledger.read_text())["entries"]["2.md"]
    edit(ledger, "1.md", {"asset_id": stays["asset_id"]})
    (docs / "1.md").unlink()
    [item] = run()["lists"]["not_delinked"]
    assert item["reason"] == "its asset_id is also that of 2.md, which stays"
    assert robofy.count("delink_asset") == 0


def test_an_asset_that_is_linked_in_another_way_is_not_delinked_by_its_asset_id(robofy, connect, docs, run):
    body = {"asset": "{asset_id}", "bot": "{chatbot_id}"}
    connect(robofy, endpoints={"delink_asset": {"path": PATH, "body": body}})
    robofy.configure(delink_body=body)
    ledger = ledger_of(run())
    edit(ledger, "1.md", {"linkage_id": 99})
    (docs / "1.md").unlink()
    (docs / "2.md").unlink()
    manifest = run()
    assert names(manifest["lists"]["delinked"]) == ["2.md"]
    assert "lists its asset_id with another linkage_id" in manifest["lists"]["not_delinked"][0]["reason"]
    assert "1.md" in linked(robofy)


def test_a_connection_that_loses_its_body_while_the_task_is_deferred_delinks_nothing(
    robofy, connect, docs, run, monkeypatch
):
    run()
    (docs / "1.md").unlink()
    complete = RobofyUploadKnowledgeOperator.execute_complete

    def later(self, context, event=None):
        connect(robofy, endpoints={})
        return complete(self, context, event)

    monkeypatch.setattr(RobofyUploadKnowledgeOperator, "execute_complete", later)
    with pytest.raises(AirflowFailException, match="needs the body of Delink Asset"):
        run(deferrable=True)
    assert robofy.count("delink_asset") == 0


@pytest.mark.parametrize("lost", [False, True])
def test_two_versions_with_one_link_are_delinked_by_one_request(robofy, docs, run, lost):
    """As where Robofy keeps the link of a document whose content changes, and then gives it another one."""
    run()
    (docs / "1.md").write_text("second")
    ledger = ledger_of(run(prune=False))
    entry = json.loads(ledger.read_text())["entries"]["1.md"]
    edit(ledger, "1.md", {"superseded": [*entry["superseded"], *entry["superseded"]]})
    if lost:
        robofy.fault("status", status=503, endpoint="delink_asset")
        for _ in range(2):
            with pytest.raises(AirflowFailException, match="delinks may or may not have arrived"):
                run()
        assert robofy.delinks() == []
    else:
        assert names(run()["lists"]["delinked"]) == ["1.md", "1.md"]
    assert robofy.count("delink_asset") == 1


def test_a_folder_that_is_another_one_while_the_task_waits_removes_nothing(robofy, docs, run, monkeypatch):
    run()
    wait = RobofyUploadKnowledgeOperator._wait

    def swap(self, *arguments):
        wait(self, *arguments)
        for path in docs.iterdir():
            path.unlink()
        (docs / "other.md").write_text("other")

    monkeypatch.setattr(RobofyUploadKnowledgeOperator, "_wait", swap)
    assert run(prune_limit=1)["counts"]["delinked"] == 0
    assert robofy.count("delink_asset") == 0


def test_ids_of_the_path_are_filled_in_too(robofy, connect, docs, run):
    path = "/v2/{project_id}/links/{linkage_id}"
    connect(robofy, endpoints={"delink_asset": {"path": path, "body": {"asset": "{asset_id}"}}})
    robofy.configure(delink_body={"asset": "{asset_id}"}, paths={"delink_asset": "/v2/{projectId}/links/{link}"})
    run()
    (docs / "1.md").unlink()
    assert run()["counts"]["delinked"] == 1
    assert "1.md" not in linked(robofy)


# ------------------------------------------------------------------------------------- a wrong body, answers, and kills


@pytest.mark.parametrize("removed", [1, 3])
def test_a_body_that_delinks_everything_is_found_out_by_its_first_use(robofy, connect, docs, run, removed):
    connect(robofy, endpoints={"delink_asset": {"path": PATH, "body": {"id": "{linkage_id}"}}})
    run()
    for number in range(removed):
        (docs / f"{number}.md").unlink()
    with pytest.raises(RobofyDataError, match=r"not listed.*after 1 delinks, and no more were sent.*'delink_asset'"):
        run()
    assert robofy.count("delink_asset") == 1


def test_a_delink_that_is_answered_and_does_nothing_is_not_taken_for_done(robofy, connect, docs, run):
    robofy.configure(delink_otherwise="ignore")
    connect(robofy, endpoints={"delink_asset": {"path": PATH, "body": {"id": "{linkage_id}"}}})
    run()
    (docs / "1.md").unlink()
    (docs / "2.md").unlink()
    with pytest.raises(AirflowFailException, match=r"1 delinks may or may not .* still lists the documents: 1\.md"):
        run()
    assert robofy.count("delink_asset") == 1


def test_one_of_several_delinks_that_does_nothing_is_found_out_at_the_end(robofy, docs, run):
    run()
    for number in (1, 2, 3):
        (docs / f"{number}.md").unlink()
    robofy.fault("wrong_shape", endpoint="delink_asset", after=1)
    with pytest.raises(AirflowFailException, match=r"1 delinks may or may not .* still lists the documents: 2\.md"):
        run()
    assert [delink["names"] for delink in robofy.delinks()] == [["1.md"], ["3.md"]]
    assert names(run(on_uncertain="resend")["lists"]["delinked"]) == ["2.md"]


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_delink_that_is_refused_fails_at_once_and_may_be_sent_again(robofy, docs, run, status):
    run()
    for number in (1, 2):
        (docs / f"{number}.md").unlink()
    robofy.fault("status", status=status, code="NO", endpoint="delink_asset")
    with pytest.raises(AirflowFailException):
        run()
    assert robofy.count("delink_asset") == 1
    assert run()["counts"]["delinked"] == 2


def test_404_means_gone_where_the_listing_shows_no_link_either(robofy, connect, docs, run):
    run()
    (docs / "1.md").unlink()
    [link] = [asset["linkage_id"] for asset in robofy.linked() if asset["name"] == "1.md"]
    somebody = {"Authorization": f"Bearer {robofy.api_key}"}
    body = {"bot": robofy.chatbot_ids[0], "links": [{"link_id": link}]}
    assert requests.delete(robofy.url + PATH, json=body, headers=somebody, timeout=5).status_code == 200
    assert names(run()["lists"]["delinked"]) == ["1.md"]
    assert run()["counts"]["delinked"] == 0


def test_404_of_a_wrong_path_is_not_taken_for_gone(robofy, connect, docs, run):
    run()
    (docs / "1.md").unlink()
    connect(robofy, endpoints={"delink_asset": {"path": "/v1/elsewhere", "body": BODY}})
    with pytest.raises(AirflowFailException, match=r"lists 1\.md and does not find it .* under 'delink_asset'"):
        run()
    connect(robofy, endpoints={"delink_asset": {"path": PATH, "body": BODY}})
    assert run()["counts"]["delinked"] == 1


@pytest.mark.parametrize(
    ("fault", "options"), [("drop", {}), ("truncate", {}), ("drop", {"reset": True})], ids=str
)  # fmt: skip
def test_a_lost_answer_is_settled_by_the_listing_and_the_delink_is_not_sent_again(robofy, docs, run, fault, options):
    run()
    for number in (1, 2):
        (docs / f"{number}.md").unlink()
    robofy.fault(fault, endpoint="delink_asset", **options)
    assert run()["counts"]["delinked"] == 2
    assert robofy.count("delink_asset") == 2
    assert len(linked(robofy)) == 8


def test_a_delink_that_may_have_arrived_is_not_sent_again_until_somebody_decides(robofy, docs, run):
    run()
    for number in (1, 2):
        (docs / f"{number}.md").unlink()
    robofy.fault("status", status=503, endpoint="delink_asset")
    for _ in range(2):
        with pytest.raises(AirflowFailException, match=r"1 delinks may or may not have arrived.*: 1\.md"):
            run()
    assert [delink["names"] for delink in robofy.delinks()] == [["2.md"]], "the second run sent what the first had not"
    assert robofy.count("delink_asset") == 2
    manifest = run(on_uncertain="resend")
    assert names(manifest["lists"]["delinked"]) == ["1.md"]
    assert run()["counts"]["delinked"] == 0


def test_too_many_requests_are_waited_for(robofy, docs, run):
    run()
    for number in (1, 2):
        (docs / f"{number}.md").unlink()
    robofy.fault("rate_limit", endpoint="delink_asset", retry_after=0)
    assert run()["counts"]["delinked"] == 2
    assert robofy.count("delink_asset") == 3
    assert [delink["names"] for delink in robofy.delinks()] == [["1.md"], ["2.md"]]


@pytest.mark.parametrize("fault", ["drop", "html", "missing_list", "wrong_shape"])
def test_a_listing_that_cannot_be_read_prunes_nothing(robofy, docs, run, fault):
    run()
    (docs / "1.md").unlink()
    robofy.fault(fault, endpoint="list_linked_assets", times=0, after=1)
    with pytest.raises((RobofyError, AirflowFailException)):
        run()
    assert robofy.count("delink_asset") == 0


def test_another_run_that_uses_the_ledger_keeps_a_task_from_pruning(robofy, docs, run, monkeypatch):
    run()
    (docs / "1.md").unlink()
    wait = RobofyUploadKnowledgeOperator._wait

    def meanwhile(self, manifest, documents):
        wait(self, manifest, documents)
        self.other = LedgerLock(open_store(manifest["ledger_uri"]), "dag/other/docs")
        self.other.__enter__()

    monkeypatch.setattr(RobofyUploadKnowledgeOperator, "_wait", meanwhile)
    with pytest.raises(LedgerLockedError, match="dag/other/docs"):
        run()
    assert robofy.count("delink_asset") == 0


def test_long_lists_go_to_the_file_beside_the_ledger(robofy, docs, run):
    for number in range(10, 70):
        (docs / f"{number}.md").write_text(f"document {number}")
    run()
    for number in range(5):
        (docs / f"{number}.md").unlink()
    manifest = run(deferrable=True)
    assert manifest["lists"] is None
    lists = json.loads(Path(manifest["lists_uri"]).read_text())
    assert names(lists["delinked"]) == [f"{number}.md" for number in range(5)]
    assert len(lists["unchanged"]) == manifest["counts"]["unchanged"] == 65
