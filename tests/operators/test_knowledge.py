"""RobofyUploadKnowledgeOperator against the emulator, over a real socket."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.errors import (
    RobofyCancelledError,
    RobofyConfigError,
    RobofyDataError,
    RobofyLedgerError,
)
from airflow_provider_robofy.extract.files import Store
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator


@pytest.fixture
def connect(monkeypatch):
    def connect(emulator, **changes):
        connection = json.loads(emulator.connection_json())
        connection["extra"].update({"max_attempts": 2, "total_timeout": 20}, **changes.pop("extra", {}))
        monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps({**connection, **changes}))
        return emulator

    return connect


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=0))


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch):
    monkeypatch.setattr(RobofyClient, "_sleep", lambda self, seconds: time.sleep(min(seconds, 0.02)))


@pytest.fixture(autouse=True)
def landing(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path / "landing"))
    return tmp_path / "landing"


@pytest.fixture
def docs(tmp_path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "faq.md").write_text("Opening hours")
    (folder / "prices.pdf").write_bytes(b"%PDF-1.7 prices")
    return folder


def upload(context, source, **arguments):
    task = RobofyUploadKnowledgeOperator(task_id="docs", source=None if source is None else str(source), **arguments)
    return task.execute(context)


def test_a_folder_is_uploaded_and_the_manifest_says_what_became_of_it(robofy, context, docs, landing):
    manifest = upload(context, docs)

    assert json.loads(json.dumps(manifest)) == manifest
    assert manifest["counts"] == {
        "found": 2, "uploaded": 2, "unchanged": 0, "superseded": 0, "failed": 0, "uncertain": 0, "removed": 0,
        "not_tried": 0,
    }  # fmt: skip
    assert (manifest["project_id"], manifest["chatbot_id"]) == ("24017", robofy.chatbot_ids[0])
    assert (manifest["requests"], manifest["bytes_uploaded"]) == (2, 28)
    assert manifest["source"] == [str(docs)]
    assert manifest["lists_uri"] is None
    assets = {asset["name"]: asset for asset in robofy.assets()}
    for item in manifest["lists"]["uploaded"]:
        asset = assets[item["name"]]
        for name in ("asset_id", "linkage_id", "size", "sha256"):
            assert item[name] == asset[name]
    ledger = Path(manifest["ledger_uri"])
    assert ledger.parent == landing / "knowledge" / "24017" / robofy.chatbot_ids[0]
    assert ledger.name.startswith("docs-")


def test_each_agent_and_each_source_has_a_ledger_of_its_own(robofy, context, docs):
    first = upload(context, docs)
    other_agent = upload(context, docs, chatbot_id=robofy.chatbot_ids[1])
    other_source = upload(context, docs / "*.md")
    assert len({manifest["ledger_uri"] for manifest in (first, other_agent, other_source)}) == 3
    assert [manifest["counts"]["uploaded"] for manifest in (first, other_agent, other_source)] == [2, 2, 1]
    assert upload(context, f"{docs}/")["ledger_uri"] == first["ledger_uri"]
    assert upload(context, docs)["counts"]["unchanged"] == 2


@pytest.mark.parametrize(
    "as_", [str, Path, ObjectStoragePath, lambda path: f"file://{path}"], ids=["str", "Path", "Object", "URI"]
)
def test_a_source_may_be_given_in_any_way(robofy, context, docs, as_):
    task = RobofyUploadKnowledgeOperator(task_id="docs", source=[as_(docs / "faq.md"), as_(docs / "prices.pdf")])
    task.render_template_fields(context)
    assert task.execute(context)["counts"]["uploaded"] == 2


def test_a_text_is_uploaded_under_its_name_and_only_when_it_changes(robofy, context):
    assert upload(context, None, text="Größe", name="sizes.md")["counts"]["uploaded"] == 1
    assert upload(context, None, text="Größe", name="sizes.md")["counts"]["unchanged"] == 1
    changed = upload(context, None, text="Kleiner", name="sizes.md")
    assert (changed["counts"]["uploaded"], changed["counts"]["superseded"]) == (1, 1)
    assert changed["source"] == ["text:sizes.md"]
    assert [asset["name"] for asset in robofy.assets()] == ["sizes.md", "sizes.md"]


@pytest.mark.parametrize(
    ("text", "reason"), [("", "it is empty"), ("x" * (10 * 2**20 + 1), "larger than 10 MB"), ("\ud83d", "not UTF-8")]
)
def test_a_text_that_robofy_would_not_take_is_refused_like_a_file(robofy, context, text, reason):
    with pytest.raises(RobofyDataError, match=rf"hours\.md: .*{reason}"):
        upload(context, None, text=text, name="hours.md")
    assert robofy.count() == 0


def test_metadata_goes_as_json_with_files(robofy, context, docs):
    upload(context, docs / "prices.pdf", metadata={"team": "sales"})
    assert robofy.assets()[0]["metadata"] == '{"team": "sales"}'


def test_templates_are_rendered_where_the_api_and_the_ledger_need_them(robofy, context, docs, tmp_path):
    with DAG("d", schedule=None):
        task = RobofyUploadKnowledgeOperator(
            task_id="docs", source="{{ params.folder }}/*.md", ledger_path="{{ params.folder }}-ledger.json"
        )
    task.render_template_fields(context | {"params": {"folder": str(docs)}})
    manifest = task.execute(context)
    assert manifest["ledger_uri"] == f"{docs}-ledger.json"
    assert manifest["counts"]["uploaded"] == 1


def test_long_lists_go_to_a_file_and_the_counts_stay(robofy, context, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.md").write_text(str(number))
    manifest = upload(context, folder)
    assert manifest["lists"] is None
    assert manifest["counts"]["uploaded"] == 60
    assert len(json.dumps(manifest)) < 2000
    lists = json.loads(Path(manifest["lists_uri"]).read_text())
    assert [item["name"] for item in lists["uploaded"]] == [f"{number:02}.md" for number in range(60)]
    assert lists["counts"] == manifest["counts"]
    assert upload(context, folder)["counts"]["unchanged"] == 60


def test_too_many_failures_fail_the_task_after_everything_else_was_done(robofy, context, ti, docs):
    (docs / "tool.exe").write_bytes(b"x")
    with pytest.raises(RobofyDataError, match=r"tool\.exe") as caught:
        upload(context, docs)
    assert "max_failed is 0" in str(caught.value)
    manifest = ti.pushed["manifest"]
    assert (manifest["counts"]["uploaded"], manifest["counts"]["failed"]) == (2, 1)
    assert upload(context, docs, max_failed=1)["counts"]["unchanged"] == 2


def test_an_uncertain_upload_fails_at_once_and_resend_sends_it_again(robofy, context, ti, docs):
    robofy.fault("drop", endpoint="add_file")
    with pytest.raises(AirflowFailException, match=r"prices\.pdf") as caught:
        upload(context, docs)
    assert "on_uncertain='resend'" in str(caught.value)
    assert ti.pushed["manifest"]["counts"]["uncertain"] == 1
    with pytest.raises(AirflowFailException):
        upload(context, docs)
    assert robofy.count("add_file") == 1
    assert upload(context, docs, on_uncertain="resend")["counts"]["uploaded"] == 1
    assert upload(context, docs)["counts"]["unchanged"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ["source", "text"]),
        ({"source": "/x", "text": "x", "name": "a.md"}, ["source", "text"]),
        ({"text": "x"}, ["text", "name"]),
        ({"source": "/x", "name": "a.md"}, ["text", "name"]),
    ],
)
def test_what_contradicts_itself_is_refused_when_the_dag_is_parsed(arguments, words):
    with pytest.raises(RobofyConfigError) as caught:
        RobofyUploadKnowledgeOperator(task_id="docs", **arguments)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"on_uncertain": "maybe"}, ["on_uncertain", "fail", "resend"]),
        ({"ledger_path": "ledger.txt"}, ["ledger_path", ".json"]),
        ({"ledger_path": "{docs}/ledger.json"}, ["{docs}/ledger.json", "in the source {docs}", "ledger_path"]),
        ({"source": []}, ["source"]),
        ({"source": ["{docs}", " "]}, ["source"]),
        ({"source": None, "text": "x", "name": "a.pdf"}, ["name", "a.pdf", ".md"]),
        ({"metadata": {1, 2}}, ["metadata"]),
        ({"project_id": "99999"}, ["PROJECT_NOT_FOUND"]),
        ({"chatbot_id": "nobody"}, ["chatbot"]),
    ],
)
def test_wrong_arguments_fail_at_once_and_upload_nothing(robofy, context, docs, arguments, words):
    def filled(value):
        if isinstance(value, list):
            return [filled(one) for one in value]
        return value.replace("{docs}", str(docs)) if isinstance(value, str) else value

    task = RobofyUploadKnowledgeOperator(
        task_id="docs", **{"source": str(docs), **{name: filled(value) for name, value in arguments.items()}}
    )
    with pytest.raises(AirflowFailException) as caught:
        task.execute(context)
    for word in words:
        assert filled(word) in str(caught.value)
    assert robofy.assets() == []


def test_without_a_place_for_the_ledger_the_error_names_both_settings(robofy, context, docs, monkeypatch):
    monkeypatch.delenv("AIRFLOW__ROBOFY__LANDING_ROOT")
    with pytest.raises(AirflowFailException) as caught:
        upload(context, docs)
    assert "ledger_path" in str(caught.value)
    assert "landing_root" in str(caught.value)
    assert robofy.count() == 0


def test_a_landing_root_in_the_source_is_refused_too(robofy, context, docs, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(docs / "landing"))
    with pytest.raises(AirflowFailException, match="landing_root"):
        upload(context, docs)
    assert robofy.count() == 0


def test_a_relative_path_lies_below_the_landing_root(robofy, context, landing, monkeypatch):
    (landing / "in").mkdir(parents=True)
    (landing / "in" / "a.md").write_text("a")
    manifest = upload(context, "in", ledger_path="ledgers/in.json")
    assert manifest["source"] == [str(landing / "in")]
    assert manifest["ledger_uri"] == str(landing / "ledgers" / "in.json")
    monkeypatch.delenv("AIRFLOW__ROBOFY__LANDING_ROOT")
    with pytest.raises(AirflowFailException, match=r"source='in' is a relative path"):
        upload(context, "in", ledger_path=str(landing / "ledgers" / "in.json"))


@pytest.mark.parametrize("content", [b"{", b'{"schema_version": 99}'])
def test_a_ledger_that_cannot_be_used_fails_before_anything_is_uploaded(robofy, context, docs, tmp_path, content):
    (tmp_path / "ledger.json").write_bytes(content)
    with pytest.raises(AirflowFailException, match=r"ledger\.json"):
        upload(context, docs, ledger_path=str(tmp_path / "ledger.json"))
    assert robofy.count() == 0
    assert (tmp_path / "ledger.json").read_bytes() == content


def test_a_ledger_that_cannot_be_written_may_be_retried_and_nothing_is_sent(robofy, context, docs, landing):
    landing.write_text("a file, where a folder should be")
    with pytest.raises(RobofyLedgerError, match=r"docs-.*\.json cannot be read \(NotADirectoryError"):
        upload(context, docs)
    assert robofy.count() == 0


def test_a_file_of_long_lists_that_cannot_be_written_is_a_clear_error(robofy, context, tmp_path, monkeypatch):
    (tmp_path / "many").mkdir()
    for number in range(60):
        (tmp_path / "many" / f"{number:02}.md").write_text(str(number))
    publish = Store.publish

    def refuse(self, spooled, size):
        if self.uri.endswith(".manifest.json"):
            raise OSError(errno.ENOSPC, "No space left on device")
        publish(self, spooled, size)

    monkeypatch.setattr(Store, "publish", refuse)
    with pytest.raises(RobofyLedgerError, match=r"manifest\.json cannot be written \(OSError.*No space left"):
        upload(context, tmp_path / "many")


def test_a_wrong_key_fails_at_once_and_shows_nothing(robofy, connect, context, docs):
    connect(robofy, password="rk_wrong_4410")
    with pytest.raises(AirflowFailException, match="password field") as caught:
        upload(context, docs)
    assert "rk_wrong_4410" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_404_of_add_file_names_the_setting_and_the_setting_helps(robofy, connect, context, docs):
    robofy.configure(paths={"add_file": "/v2/files/{projectId}"})
    with pytest.raises(AirflowFailException) as caught:
        upload(context, docs)
    assert "endpoints" in str(caught.value)
    assert '"add_file"' in str(caught.value)
    connect(robofy, extra={"endpoints": {"add_file": "/v2/files/{project_id}"}})
    assert upload(context, docs)["counts"]["failed"] == 0
    assert sorted(asset["name"] for asset in robofy.assets()) == ["faq.md", "prices.pdf"]


def test_an_empty_folder_is_no_error(robofy, context, tmp_path, caplog):
    (tmp_path / "empty").mkdir()
    assert upload(context, tmp_path / "empty")["counts"]["found"] == 0
    with pytest.raises(RobofyDataError, match="is not there"):
        upload(context, tmp_path / "nowhere")


@pytest.mark.serial
def test_a_killed_task_ends_within_a_second(robofy, context, docs):
    robofy.configure(latency=30)
    task = RobofyUploadKnowledgeOperator(task_id="docs", source=str(docs))
    killed_at: list[float] = []

    def kill() -> None:
        killed_at.append(time.monotonic())
        task.on_kill()

    threading.Timer(0.5, kill).start()
    with pytest.raises(RobofyCancelledError):
        task.execute(context)
    assert time.monotonic() - killed_at[0] < 1


def test_no_content_gets_into_the_manifest_or_the_ledger(robofy, context, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("planted secret words")
    (tmp_path / "docs" / "b.txt").write_bytes(b"planted secret words \xff")
    manifest = upload(context, tmp_path / "docs", max_failed=1)
    written = json.dumps(manifest) + Path(manifest["ledger_uri"]).read_text()
    assert "planted" not in written
    assert robofy.api_key not in written


@pytest.mark.s3
def test_a_bucket_is_a_source_and_a_place_for_the_ledger(robofy, context, monkeypatch):
    """Airflow opens s3:// through the amazon provider; here its place is taken by s3fs itself."""
    s3fs = pytest.importorskip("s3fs", minversion="2025.3")
    attach = pytest.importorskip("airflow.sdk.io.store", reason="Airflow 3's stores").attach
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        fs = s3fs.S3FileSystem(
            key="testing", secret="testing", endpoint_url=f"http://{host}:{port}", skip_instance_cache=True,
            client_kwargs={"region_name": "us-east-1"},
        )  # fmt: skip
        fs.call_s3("create_bucket", Bucket="wiki")
        fs.pipe_file("wiki/docs/a.md", b"a")
        fs.pipe_file("wiki/docs/guides/b.pdf", os.urandom(100_000))
        attach(protocol="s3", fs=fs)

        manifest = upload(context, "s3://wiki/docs", ledger_path="s3://wiki/ledgers/docs.json")

        assert manifest["counts"]["uploaded"] == 2
        assert fs.exists("wiki/ledgers/docs.json")
        assert upload(context, "s3://wiki/docs", ledger_path="s3://wiki/ledgers/docs.json")["requests"] == 0
        with pytest.raises(AirflowFailException, match="in the source s3://wiki/docs"):
            upload(context, "s3://wiki/docs", ledger_path="s3://wiki/docs/ledger.json")
    finally:
        server.stop()
