"""What OpenLineage's provider makes of a task, asked with its own extractors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset

from airflow_provider_robofy.api.errors import RobofyDataError
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

manager = pytest.importorskip("airflow.providers.openlineage.extractors.manager")
states = pytest.importorskip("airflow.utils.state").TaskInstanceState


def extract(operator, state=states.SUCCESS):
    """Ask as the provider's listener does when a task has ended."""
    return manager.ExtractorManager().extract_metadata(SimpleNamespace(run_id="r"), operator, state, SimpleNamespace())


def names(datasets) -> list[tuple[str, str]]:
    return [(one.namespace, one.name) for one in datasets]


def amount(dataset) -> tuple:
    facet = dataset.outputFacets["outputStatistics"]
    return facet.rowCount, facet.size, facet.fileCount


@pytest.fixture
def agent(robofy) -> tuple[str, str]:
    """Return the namespace of the account, and the agent in it."""
    return f"robofy://{robofy.url.removeprefix('http://')}", f"{robofy.project_id}/{robofy.chatbot_ids[0]}"


def test_a_fetch_names_source_and_file_with_the_manifests_numbers(collector, robofy, agent, context, tmp_path):
    out = tmp_path / "leads.jsonl.gz"
    operator = RobofyFetchLeadsOperator(task_id="leads", output_path=str(out))
    manifest = operator.execute(context)

    lineage = extract(operator)

    assert names(lineage.inputs) == [(agent[0], f"{agent[1]}/leads")]
    assert names(lineage.outputs) == [("file", str(out))], "once, though the collector has it too"
    assert collector.outputs == [f"file://{out}"]
    assert amount(lineage.outputs[0]) == (manifest["rows"], manifest["bytes"], 1) == (26, out.stat().st_size, 1)


@pytest.mark.parametrize(("ending", "first"), [("jsonl", None), ("csv", ("id", "text")), ("csv.gz", ("id", "text"))])
@pytest.mark.usefixtures("robofy")
def test_columns_are_named_where_every_row_has_the_same(context, tmp_path, ending, first):
    operator = RobofyFetchLeadsOperator(task_id="leads", output_path=str(tmp_path / f"leads.{ending}"))
    operator.execute(context)

    [output] = extract(operator).outputs

    fields = [(one.name, one.type) for one in output.facets["schema"].fields] if output.facets else []
    assert fields[:1] == ([first] if first else [])
    assert "email" not in str(fields), "a form field is no column"


def test_messages_name_both_that_they_are_made_of(robofy, agent, context, tmp_path):
    sessions = RobofyFetchSessionsOperator(task_id="s", output_path=str(tmp_path / "s.jsonl")).execute(context)
    operator = RobofyFetchMessagesOperator(task_id="m", sessions=sessions, output_path=str(tmp_path / "m.jsonl"))
    manifest = operator.execute(context)

    lineage = extract(operator)

    assert names(lineage.inputs) == [(agent[0], f"{agent[1]}/messages"), ("file", str(tmp_path / "s.jsonl"))]
    assert names(lineage.outputs) == [("file", str(tmp_path / "m.jsonl"))]
    assert amount(lineage.outputs[0]) == (manifest["rows"], manifest["bytes"], 1)


def test_an_upload_counts_documents_and_not_rows(robofy, agent, context, tmp_path):
    operator = RobofyUploadKnowledgeOperator(
        task_id="hours", text="open", name="hours.md", ledger_path=str(tmp_path / "ledger.json")
    )
    operator.execute(context)

    lineage = extract(operator)

    assert names(lineage.inputs) == []
    assert names(lineage.outputs) == [(agent[0], f"{agent[1]}/knowledge")]
    assert amount(lineage.outputs[0]) == (None, 4, 1)


def test_a_task_that_fails_over_rejected_rows_names_what_landed(robofy, agent, context, tmp_path):
    robofy.fault("malformed_rows")
    operator = RobofyFetchLeadsOperator(task_id="leads", output_path=str(tmp_path / "leads.jsonl"))
    with pytest.raises(RobofyDataError):
        operator.execute(context)

    lineage = extract(operator, states.FAILED)

    assert names(lineage.outputs) == [("file", str(tmp_path / "leads.jsonl"))]
    assert amount(lineage.outputs[0])[0] == context["ti"].pushed["manifest"]["rows"]


def test_a_task_that_found_nothing_new_names_no_file(robofy, agent, context, tmp_path):
    def sync(run):
        context["ti"].run_id = run
        path = str(tmp_path / f"{run}.jsonl")
        return RobofyFetchLeadsOperator(task_id="leads", output_path=path, cursor=str(tmp_path / "cursors"))

    sync("first").execute(context)
    operator = sync("second")
    with pytest.raises(AirflowSkipException):
        operator.execute(context)

    lineage = extract(operator)
    assert (names(lineage.inputs), lineage.outputs) == ([(agent[0], f"{agent[1]}/leads")], [])


def test_inlets_and_outlets_of_a_task_that_has_reported_nothing_are_shown():
    operator = RobofyFetchLeadsOperator(
        task_id="leads", inlets=[leads_asset(24017, "UOmf")], outlets=[Asset(uri="file:///data/leads.jsonl")]
    )
    lineage = extract(operator, states.RUNNING)
    assert names(lineage.inputs) == [("robofy://agents.robofy.ai", "24017/UOmf/leads")]
    assert names(lineage.outputs) == [("file", "/data/leads.jsonl")]


def test_no_event_lists_the_arguments_of_an_operator_as_unknown():
    with DAG("d", schedule=None):
        operator = RobofyCrawlWebsiteOperator(task_id="crawl", start_urls="https://shop.example/")
    lineage = extract(operator, states.SUCCESS)
    assert (lineage.inputs, lineage.outputs, lineage.run_facets) == ([], [], {})
