"""What Airflow's own collector holds after a task: the places, and nothing that only helped on the way."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator


def test_leads_come_from_robofy_and_go_to_one_file(collector, there, context, tmp_path):
    out = tmp_path / "leads.jsonl"

    manifest = RobofyFetchLeadsOperator(
        task_id="leads", output_path=str(out), cursor=str(tmp_path / "cursors")
    ).execute(context)

    assert collector.inputs == [f"{there}/leads"]
    assert collector.outputs == [f"file://{out}"], "no spool, no manifest, no cursor"
    written = {"uri": f"file://{out}", "rows": 26, "size": out.stat().st_size, "files": 1}
    assert collector.extras == [("robofy_written", written)]
    assert manifest["rows"] == 26


def test_a_default_path_with_ids_and_times_in_it_is_reported_as_it_lies_on_the_disk(
    collector, there, context, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))
    manifest = RobofyFetchLeadsOperator(task_id="leads").execute(context)
    assert collector.outputs == [f"file://{manifest['uri']}"]


def test_messages_come_from_robofy_and_from_the_file_of_sessions(collector, there, context, tmp_path):
    sessions_file, out = tmp_path / "sessions.jsonl", tmp_path / "messages.jsonl"
    sessions = RobofyFetchSessionsOperator(task_id="sessions", output_path=str(sessions_file)).execute(context)
    assert (collector.inputs, collector.outputs) == ([f"{there}/sessions"], [f"file://{sessions_file}"])

    RobofyFetchMessagesOperator(task_id="messages", sessions=sessions, output_path=str(out)).execute(context)

    assert collector.inputs[1:] == [f"{there}/messages", f"file://{sessions_file}"]
    assert collector.outputs[1:] == [f"file://{out}"]


def test_a_project_that_nobody_named_is_a_dash(collector, robofy, context, tmp_path, monkeypatch):
    connection = json.loads(robofy.connection_json())
    del connection["extra"]["project_id"]
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    RobofyFetchSessionsOperator(task_id="sessions", output_path=str(tmp_path / "sessions.jsonl")).execute(context)
    assert collector.inputs == [f"robofy://{robofy.url.removeprefix('http://')}/-/{robofy.chatbot_ids[0]}/sessions"]


@pytest.mark.parametrize("glob", ["", "/*.md"])
def test_knowledge_goes_from_a_folder_to_the_agent(collector, there, context, tmp_path, glob):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("12345")
    (folder / "b.md").write_text("123")

    def upload():
        RobofyUploadKnowledgeOperator(
            task_id="docs", source=f"{folder}{glob}", ledger_path=str(tmp_path / "ledger.json")
        ).execute(context)

    upload()
    assert collector.inputs == [f"file://{folder}"], "no document by its name, and no ledger"
    assert collector.outputs == [f"{there}/knowledge"]
    assert collector.extras == [("robofy_written", {"uri": f"{there}/knowledge", "size": 8, "files": 2})]
    upload()
    assert collector.extras[1:] == [("robofy_written", {"uri": f"{there}/knowledge", "size": 0, "files": 0})]


def test_rejected_rows_are_no_place_that_data_goes_to(collector, robofy, there, context, tmp_path):
    out = tmp_path / "leads.jsonl"
    robofy.fault("malformed_rows")

    with pytest.raises(RobofyDataError):
        RobofyFetchLeadsOperator(task_id="leads", output_path=str(out)).execute(context)

    assert (tmp_path / "leads.jsonl.rejected.jsonl").exists()
    assert (collector.inputs, collector.outputs) == ([f"{there}/leads"], [f"file://{out}"])
    manifest = context["ti"].pushed["manifest"]
    assert manifest["rejected"] > 0
    assert collector.extras[0][1]["rows"] == manifest["rows"] == len(out.read_text().splitlines())


def test_a_run_that_finds_nothing_new_has_written_nothing(collector, there, context, tmp_path):
    def sync(run):
        context["ti"].run_id = run
        RobofyFetchLeadsOperator(
            task_id="leads", output_path=str(tmp_path / f"{run}.jsonl"), cursor=str(tmp_path / "cursors")
        ).execute(context)

    sync("first")
    with pytest.raises(AirflowSkipException):
        sync("second")

    assert collector.inputs == [f"{there}/leads"] * 2, "each task's hook is a context of its own"
    assert collector.outputs == [f"file://{tmp_path / 'first.jsonl'}"]


def test_a_run_that_fails_on_its_way_has_read_and_not_written(collector, robofy, there, context, tmp_path):
    robofy.fault("status", status=400, endpoint="list_leads", times=None)
    with pytest.raises(sdk.AirflowFailException):
        RobofyFetchLeadsOperator(task_id="leads", output_path=str(tmp_path / "leads.jsonl")).execute(context)
    assert (collector.inputs, collector.outputs) == ([f"{there}/leads"], [])


def test_nobody_is_named_in_it(collector, robofy, context, tmp_path, planted):
    RobofyFetchLeadsOperator(task_id="leads", output_path=str(tmp_path / "leads.jsonl")).execute(context)
    sessions = RobofyFetchSessionsOperator(task_id="s", output_path=str(tmp_path / "sessions.jsonl")).execute(context)
    RobofyFetchMessagesOperator(task_id="m", sessions=sessions, output_path=str(tmp_path / "m.jsonl")).execute(context)

    landed = "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))
    for name in ("email", "phone", "address", "said"):
        assert planted[name] in landed
    assert [what for what in planted.values() if what in collector.text] == []


@pytest.mark.usefixtures("robofy")
def test_a_collector_that_fails_fails_no_task(context, tmp_path, monkeypatch, caplog, planted):
    class Broken(sdk.HookLineageCollector):
        def _fail(self, *_, **__):
            raise RuntimeError(planted["email"])

        add_input_asset = add_output_asset = add_input_dataset = add_output_dataset = add_extra = _fail

    monkeypatch.setattr(sdk, "get_hook_lineage_collector", Broken, raising=False)
    out = tmp_path / "leads.jsonl"

    manifest = RobofyFetchLeadsOperator(task_id="leads", output_path=str(out)).execute(context)

    assert manifest["rows"] == len(out.read_text().splitlines()) == 26
    assert "Lineage could not be reported (RuntimeError)." in caplog.text
    assert planted["email"] not in caplog.text


@pytest.mark.s3
def test_a_bucket_is_reported_without_the_connection_that_leads_to_it(collector, there, context):
    """Airflow opens s3:// through the amazon provider; here its place is taken by s3fs itself."""
    s3fs = pytest.importorskip("s3fs", minversion="2025.3")
    moto = pytest.importorskip("moto.server")
    attach = import_module("airflow.sdk.io.store" if AIRFLOW_V_3_0_PLUS else "airflow.io.store").attach
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        fs = s3fs.S3FileSystem(
            key="testing", secret="testing", endpoint_url=f"http://{host}:{port}", skip_instance_cache=True,
            client_kwargs={"region_name": "us-east-1"},
        )  # fmt: skip
        fs.call_s3("create_bucket", Bucket="lake")
        attach(protocol="s3", conn_id="lake_conn", fs=fs)

        operator = RobofyFetchLeadsOperator(task_id="leads", output_path="s3://lake_conn@lake/a/leads.jsonl")
        manifest = operator.execute(context)

        assert "lake_conn" in manifest["uri"]
        assert (collector.inputs, collector.outputs) == ([f"{there}/leads"], ["s3://lake/a/leads.jsonl"])
        assert [(place.namespace, place.name) for place in operator.lineage.outputs] == [("s3://lake", "a/leads.jsonl")]
        assert "lake_conn" not in collector.text
    finally:
        server.stop()
