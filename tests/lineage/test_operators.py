"""What a task reports: to Airflow's own collector, and to OpenLineage's provider, asked with its own extractors."""

from __future__ import annotations

import json
from importlib import import_module

import pytest
from airflow.providers.common.compat import sdk
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Asset
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

pytest.importorskip("airflow.providers.openlineage")


@pytest.fixture
def account(robofy) -> str:
    return f"robofy://{robofy.url.removeprefix('http://')}"


@pytest.fixture
def agent(robofy) -> str:
    return f"{robofy.project_id}/{robofy.chatbot_ids[0]}"


def amount(dataset) -> tuple:
    facet = dataset.outputFacets["outputStatistics"]
    return facet.rowCount, facet.size, facet.fileCount


def leads(path, **arguments) -> RobofyFetchLeadsOperator:
    return RobofyFetchLeadsOperator(task_id="leads", output_path=str(path), **arguments)


def test_leads_come_from_robofy_and_go_to_one_file(  # noqa: PLR0917
    collector, extract, account, agent, context, tmp_path
):
    out = tmp_path / "leads.jsonl.gz"
    operator = leads(out, cursor=str(tmp_path / "cursors"))
    manifest = operator.execute(context)

    assert collector.inputs == [f"{account}/{agent}/leads"]
    assert collector.outputs == [f"file://{out}"], "no spool, no manifest, no cursor"
    written = {"uri": f"file://{out}", "rows": 26, "size": out.stat().st_size, "files": 1}
    assert collector.extras == [("robofy_written", written)]
    found = extract(operator)
    assert (found.inputs, found.outputs) == ([(account, f"{agent}/leads")], [("file", str(out))])
    assert amount(found.raw.outputs[0]) == (manifest["rows"], manifest["bytes"], 1) == (26, out.stat().st_size, 1)


def test_a_default_path_with_ids_and_times_in_it_is_reported_as_it_lies_on_the_disk(
    collector, there, context, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))
    manifest = RobofyFetchLeadsOperator(task_id="leads").execute(context)
    assert collector.outputs == [f"file://{manifest['uri']}"]


def test_messages_come_from_robofy_and_from_the_file_of_sessions(  # noqa: PLR0917
    collector, extract, account, agent, context, tmp_path, planted
):
    sessions_file, out = tmp_path / "sessions.jsonl", tmp_path / "messages.jsonl"
    sessions = RobofyFetchSessionsOperator(task_id="sessions", output_path=str(sessions_file)).execute(context)
    assert (collector.inputs, collector.outputs) == ([f"{account}/{agent}/sessions"], [f"file://{sessions_file}"])

    operator = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions, output_path=str(out))
    manifest = operator.execute(context)

    assert collector.inputs[1:] == [f"{account}/{agent}/messages", f"file://{sessions_file}"]
    assert collector.outputs[1:] == [f"file://{out}"]
    found = extract(operator)
    assert found.inputs == [(account, f"{agent}/messages"), ("file", str(sessions_file))]
    assert found.outputs == [("file", str(out))]
    assert amount(found.raw.outputs[0]) == (manifest["rows"], manifest["bytes"], 1)
    leads(tmp_path / "leads.jsonl").execute(context)
    landed = "".join(path.read_text() for path in tmp_path.glob("*.jsonl"))
    assert all(planted[name] in landed for name in ("email", "phone", "address", "said"))
    assert [what for what in planted.values() if what in collector.text + str(found.raw)] == [], "nobody is named"


def test_a_project_that_nobody_named_is_a_dash(collector, robofy, context, tmp_path, monkeypatch):
    connection = json.loads(robofy.connection_json())
    del connection["extra"]["project_id"]
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    RobofyFetchSessionsOperator(task_id="sessions", output_path=str(tmp_path / "sessions.jsonl")).execute(context)
    assert collector.inputs == [f"robofy://{robofy.url.removeprefix('http://')}/-/{robofy.chatbot_ids[0]}/sessions"]


def test_a_run_that_finds_nothing_new_has_written_nothing(  # noqa: PLR0917
    collector, extract, account, agent, context, tmp_path
):
    def sync(run: str) -> RobofyFetchLeadsOperator:
        context["ti"].run_id = run
        return leads(tmp_path / f"{run}.jsonl", cursor=str(tmp_path / "cursors"))

    sync("first").execute(context)
    operator = sync("second")
    with pytest.raises(AirflowSkipException):
        operator.execute(context)

    assert collector.inputs == [f"{account}/{agent}/leads"] * 2, "each task's hook is a context of its own"
    assert collector.outputs == [f"file://{tmp_path / 'first.jsonl'}"]
    found = extract(operator)
    assert (found.inputs, found.outputs) == ([(account, f"{agent}/leads")], [])


def test_a_run_that_fails_on_its_way_has_read_and_not_written(collector, robofy, there, context, tmp_path):
    robofy.fault("status", status=400, endpoint="list_leads", times=None)
    with pytest.raises(AirflowFailException):
        leads(tmp_path / "leads.jsonl").execute(context)
    assert (collector.inputs, collector.outputs) == ([f"{there}/leads"], [])


@pytest.mark.parametrize(("ending", "first"), [("jsonl", None), ("csv", ("id", "text")), ("csv.gz", ("id", "text"))])
@pytest.mark.usefixtures("robofy")
def test_columns_are_named_where_every_row_has_the_same(extract, context, tmp_path, ending, first):
    operator = leads(tmp_path / f"leads.{ending}")
    operator.execute(context)

    [output] = extract(operator).raw.outputs

    fields = [(one.name, one.type) for one in output.facets["schema"].fields] if output.facets else []
    assert fields[:1] == ([first] if first else [])
    assert "email" not in str(fields), "a form field is no column"


def test_inlets_and_outlets_of_a_task_that_has_reported_nothing_are_shown(extract):
    operator = RobofyFetchLeadsOperator(
        task_id="leads", inlets=[leads_asset(24017, "UOmf")], outlets=[Asset(uri="file:///data/leads.jsonl")]
    )
    found = extract(operator, "RUNNING")
    assert found.inputs == [("robofy://agents.robofy.ai", "24017/UOmf/leads")]
    assert found.outputs == [("file", "/data/leads.jsonl")]


def test_no_event_lists_the_arguments_of_an_operator_as_unknown(extract):
    with DAG("d", schedule=None):
        operator = RobofyCrawlWebsiteOperator(task_id="crawl", start_urls="https://shop.example/")
    found = extract(operator)
    assert (found.inputs, found.outputs, found.raw.run_facets) == ([], [], {})


@pytest.mark.usefixtures("robofy")
def test_a_collector_that_fails_fails_no_task(context, tmp_path, monkeypatch, caplog, planted):
    class Broken(sdk.HookLineageCollector):
        def _fail(self, *_, **__):
            raise RuntimeError(planted["email"])

        add_input_asset = add_output_asset = add_input_dataset = add_output_dataset = add_extra = _fail

    monkeypatch.setattr(sdk, "get_hook_lineage_collector", Broken, raising=False)
    out = tmp_path / "leads.jsonl"

    manifest = leads(out).execute(context)

    assert manifest["rows"] == len(out.read_text().splitlines()) == 26
    assert "Lineage could not be reported (RuntimeError)." in caplog.text
    assert planted["email"] not in caplog.text


@pytest.mark.parametrize(
    ("given", "size", "files"),
    [({"source": ""}, 8, 2), ({"source": "/*.md"}, 8, 2), ({"text": "open", "name": "hours.md"}, 4, 1)],
    ids=["folder", "glob", "text"],
)
def test_knowledge_goes_to_the_agent_from_a_folder_or_from_no_place(  # noqa: PLR0917
    collector, extract, account, agent, context, tmp_path, given, size, files
):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("12345")
    (folder / "b.md").write_text("123")
    origin = []
    if "source" in given:
        given, origin = {"source": f"{folder}{given['source']}"}, [str(folder)]
    there = f"{account}/{agent}/knowledge"
    for number, (sent, count) in enumerate(((size, files), (0, 0))):
        ledger = str(tmp_path / "ledger.json")
        operator = RobofyUploadKnowledgeOperator(task_id="docs", ledger_path=ledger, **given)
        operator.execute(context)
        assert collector.extras[number] == ("robofy_written", {"uri": there, "size": sent, "files": count})
        found = extract(operator)
        assert found.inputs == [("file", path) for path in origin]
        assert found.outputs == [(account, f"{agent}/knowledge")]
        assert amount(found.raw.outputs[0]) == (None, sent, count), "documents, and no rows"
    assert set(collector.inputs) == {f"file://{path}" for path in origin}, "no document by its name, and no ledger"
    assert set(collector.outputs) == {there}


def test_a_task_that_fails_over_rejected_rows_names_what_landed(collector, extract, robofy, there, context, tmp_path):  # noqa: PLR0917
    out = tmp_path / "leads.jsonl"
    robofy.fault("malformed_rows")
    operator = leads(out)
    with pytest.raises(RobofyDataError):
        operator.execute(context)
    assert (collector.inputs, collector.outputs) == ([f"{there}/leads"], [f"file://{out}"])
    landed = len(out.read_text().splitlines())
    assert collector.extras[0][1]["rows"] == landed == context["ti"].pushed["manifest"]["rows"]
    found = extract(operator, "FAILED")
    assert (found.outputs, amount(found.raw.outputs[0])[0]) == ([("file", str(out))], landed)


@pytest.mark.s3
def test_a_bucket_is_reported_without_the_connection_that_leads_to_it(collector, there, context, bucket):
    """Airflow opens s3:// through the amazon provider; here its place is taken by s3fs itself."""
    fs, name = bucket
    stores = import_module("airflow.sdk.io.store" if AIRFLOW_V_3_0_PLUS else "airflow.io.store")
    stores.attach(protocol="s3", conn_id="lake_conn", fs=fs)
    operator = leads(f"s3://lake_conn@{name}/a/leads.jsonl")
    assert "lake_conn" in operator.execute(context)["uri"]
    assert (collector.inputs, collector.outputs) == ([f"{there}/leads"], [f"s3://{name}/a/leads.jsonl"])
    assert [(one.namespace, one.name) for one in operator.lineage.outputs] == [(f"s3://{name}", "a/leads.jsonl")]
    assert "lake_conn" not in collector.text
