"""Arguments: durations in both forms, templates that render to nothing, and contexts that are none."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.operators.snapshot import RobofySnapshotOperator
from airflow_provider_robofy.sensors.knowledge import RobofyCrawlSensor
from airflow_provider_robofy.sensors.leads import RobofyNewLeadsSensor
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator
from airflow_provider_robofy.triggers.knowledge import RobofyCrawlTrigger
from airflow_provider_robofy.triggers.leads import RobofyNewLeadsEventTrigger
from tests.child import python

LISTINGS: list[Any] = [RobofyFetchLeadsOperator, RobofyFetchSessionsOperator]
SENSORS: list[Any] = [RobofyNewLeadsSensor, RobofyCrawlSensor]
URLS = {"start_urls": ["https://example.com"]}
WATCHER = {"project_id": 1, "chatbot_id": "a", "cursor_name": "c"}


TRIGGER = {"project_id": "1", "chatbot_id": "a", "robofy_conn_id": "r", "deadline": 1.0}


@pytest.mark.parametrize(
    ("make", "given", "name", "stored"),
    [
        *((make, {"cursor": "c"}, name, timedelta(minutes=2)) for make in LISTINGS for name in ("lag", "full_every")),
        *((RobofyCrawlWebsiteOperator, URLS, name, 120.0) for name in ("poll_interval", "timeout")),
        *((sensor, {}, name, 120) for sensor in SENSORS for name in ("poke_interval", "timeout")),
        (RobofyCrawlTrigger, TRIGGER, "poll_interval", 120.0),
        *((RobofyNewLeadsEventTrigger, WATCHER, name, 120.0) for name in ("poll_interval", "repeat_after")),
    ],
)
def test_a_duration_is_a_timedelta_or_seconds(make, given, name, stored):
    if make is RobofyNewLeadsEventTrigger and not AIRFLOW_V_3_3_PLUS:
        pytest.skip("watchers that read state came with Airflow 3.3")
    task = {} if "Trigger" in make.__name__ else {"task_id": "a"}
    durations: list[Any] = [120, timedelta(minutes=2)]
    for value in durations:
        made = make(**{**task, **given, name: value})
        read = getattr(made, name) if task else json.loads(json.dumps(made.serialize()[1]))[name]
        assert read == stored
    for value in (True, "60", *([0] if make is RobofyNewLeadsEventTrigger else [])):
        with pytest.raises(RobofyConfigError, match=f"^{name}"):
            make(**{**task, **given, name: value})


@pytest.mark.parametrize("name", ["poke_interval", "timeout"])
def test_a_duration_of_the_dags_default_arguments_is_checked_too(name):
    with DAG("d", schedule=None, default_args={name: -1}), pytest.raises(RobofyConfigError, match=f"^{name}"):
        RobofyNewLeadsSensor(task_id="a")


WINDOW = {"since": "2025-01-01"}


@pytest.mark.parametrize(
    ("operator", "arguments", "words"),
    [
        *((listing, {"full_every": 0}, "full_every has no effect without a cursor") for listing in LISTINGS),
        *((listing, {"advance_cursor": False}, "advance_cursor=False has no effect") for listing in LISTINGS),
        *((listing, {"cursor": "c", **WINDOW}, "cannot be combined") for listing in LISTINGS),
        *((listing, {"privacy": {"x": "y"}}, "privacy: the action of 'x'") for listing in LISTINGS),
        (RobofyFetchLeadsOperator, {"cursor": "c", "until": "2025-01-01"}, "cannot be combined"),
        (RobofyFetchLeadsOperator, {"lag": timedelta(minutes=-1)}, "lag"),
        (RobofyFetchLeadsOperator, {"sessions": "s", **WINDOW}, "since"),
        (RobofyFetchLeadsOperator, {"sessions": "s", "until": "2025-01-01"}, "until"),
        (RobofyFetchLeadsOperator, {"sessions": "s", "cursor": "c"}, "cursor"),
        (RobofyFetchLeadsOperator, {"sessions": "s", "chatbot_id": "a"}, "chatbot_id"),
        (RobofyFetchLeadsOperator, {"shard": (0, 2)}, "shard has no effect"),
        (RobofyFetchMessagesOperator, {"sessions": "s", "privacy": {"x": "y"}}, "privacy: the action of 'x'"),
        (RobofyFetchMessagesOperator, {"sessions": "s", "rows": "turns"}, "'turns' must be one of 'messages', 'conver"),
        (RobofySnapshotOperator, {"resource": "agents", "missing": "no"}, "missing='no' must be one of fail, skip"),
        (RobofyUploadKnowledgeOperator, {}, "source.*text"),
        (RobofyUploadKnowledgeOperator, {"source": "/x", "text": "x", "name": "a.md"}, "source.*text"),
        (RobofyUploadKnowledgeOperator, {"text": "x"}, "text.*name"),
        (RobofyUploadKnowledgeOperator, {"source": "/x", "name": "a.md"}, "text.*name"),
        (RobofyCrawlWebsiteOperator, {**URLS, "poll_interval": 0}, "poll_interval"),
        (RobofyCrawlWebsiteOperator, {**URLS, "timeout": -1}, "timeout"),
    ],
)
def test_what_contradicts_itself_is_refused_when_the_dag_is_parsed(operator, arguments, words):
    with pytest.raises(RobofyConfigError, match=words):
        operator(task_id="a", **arguments)


@pytest.mark.parametrize("value", ["5", None, True, -1, 1.5])
@pytest.mark.parametrize(
    ("operator", "name", "more"),
    [
        (RobofyFetchLeadsOperator, "max_rejected", {}),
        (RobofyFetchMessagesOperator, "max_rejected", {"sessions": "s"}),
        (RobofyFetchMessagesOperator, "max_failed_sessions", {"sessions": "s"}),
        (RobofyUploadKnowledgeOperator, "max_failed", {"source": "s"}),
        (RobofyNewLeadsSensor, "min_count", {}),
    ],
)
def test_a_limit_that_is_no_number_is_refused_when_the_dag_is_parsed(operator, name, more, value):
    with pytest.raises(RobofyConfigError, match=rf"^{name}=.* must be a whole number, at least [01]\."):
        operator(task_id="a", **{name: value}, **more)


@pytest.mark.parametrize("missing", ["None", None])
@pytest.mark.parametrize(
    ("operator", "name", "given"),
    [
        *(
            (operator, name, {"cursor": "c"} if name == "cursor_name" else {})
            for operator in LISTINGS
            for name in ("output_path", "cursor", "cursor_name", "chatbot_id")
        ),
        (RobofyFetchLeadsOperator, "project_id", {}),
        (RobofyFetchMessagesOperator, "sessions", {}),
        (RobofyFetchMessagesOperator, "output_path", {"sessions": "s.jsonl"}),
        (RobofyUploadKnowledgeOperator, "source", {}),
        (RobofyUploadKnowledgeOperator, "ledger_path", {"source": "docs"}),
        (RobofyUploadKnowledgeOperator, "text", {"name": "a.md"}),
        (RobofyUploadKnowledgeOperator, "name", {"text": "a"}),
        (RobofyCrawlWebsiteOperator, "chatbot_id", URLS),
        (RobofyManifestToSqlOperator, "manifest", {"table": "t", "sql_conn_id": "sql"}),
    ],
)
def test_a_template_that_renders_to_nothing_fails_and_names_the_argument(  # noqa: PLR0917
    robofy_emulator, context, landing, monkeypatch, operator, name, given, missing
):
    monkeypatch.setenv("AIRFLOW_CONN_SQL", "sqlite:////tmp/never.db")
    task = operator(task_id="a", **{name: "{{ ti.xcom_pull('zz') }}", **given})
    setattr(task, name, missing)  # what rendering makes of it, as text and as native objects
    with pytest.raises(AirflowFailException, match=name):
        task.execute(context)
    assert not landing.exists()
    assert not robofy_emulator.requests


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (RobofyCrawlWebsiteOperator, {**URLS, "wait_for_completion": False}),
        (RobofySnapshotOperator, {"resource": "agents"}),
        (RobofyUploadKnowledgeOperator, {"text": "Open at nine.", "name": "hours.md"}),
    ],
)
def test_a_given_project_counts_before_the_connections(  # noqa: PLR0917
    robofy_emulator, context, landing, monkeypatch, operator, arguments
):
    connection = json.loads(robofy_emulator.connection_json())
    project = connection["extra"].pop("project_id")
    connection["extra"]["project_id"] = "another"
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(connection))
    operator(task_id="a", project_id=project, **arguments).execute(context)
    with pytest.raises((AirflowFailException, RobofyDataError), match="project"):
        operator(task_id="b", **arguments).execute(context)


@pytest.mark.parametrize("root", ["landing", "./landing", "../landing", "C:landing"])
def test_a_relative_landing_root_is_refused(robofy_emulator, context, monkeypatch, tmp_path, root):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", root)
    relative: list[dict[str, Any]] = [{}, {"output_path": "leads.jsonl"}, {"cursor": "cursors"}]
    for arguments in relative:
        with pytest.raises(AirflowFailException, match="AIRFLOW__ROBOFY__LANDING_ROOT to an absolute path"):
            RobofyFetchLeadsOperator(task_id="leads", **arguments).execute(context)
    assert not list(tmp_path.iterdir())


CONTEXTS = {
    "empty": dict,
    "mock": MagicMock,
    "mocked task instance": lambda: {"ti": MagicMock()},
    "half a task instance": lambda: {"ti": MagicMock(dag_id="d", run_id="r", task_id="t")},
    "under its long name": lambda: {"task_instance": MagicMock()},
}


@pytest.mark.parametrize("make", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize("arguments", [{}, {"cursor": "cursors"}], ids=str)
def test_execute_works_outside_of_a_run(robofy_emulator, landing, make, arguments):
    with DAG("mine", schedule=None):
        task = RobofyFetchLeadsOperator(task_id="leads", **arguments)
    manifest = task.execute(make())
    assert manifest["rows"] == 250
    if make is CONTEXTS["half a task instance"]:
        assert manifest["run_key"] == "d/r/t"
    else:
        assert manifest["run_key"] == "mine/manual/leads"
        assert manifest["uri"].endswith("/mine/manual/leads.jsonl")


def test_what_is_pushed_reaches_a_mocked_task_instance_and_needs_none(robofy_emulator, landing):
    robofy_emulator.fault("malformed_rows", count=1, endpoint="list_leads", page=1)
    ti = MagicMock()
    contexts: list[Any] = [{"ti": ti}, {}]
    for context in contexts:
        with pytest.raises(RobofyDataError, match="rejected"):
            RobofyFetchLeadsOperator(task_id="leads").execute(context)
    assert ti.xcom_push.call_args.kwargs["value"]["rejected"] == 1


def test_the_other_operators_work_outside_of_a_run_too(robofy_emulator_factory, monkeypatch, landing, tmp_path):
    emulator = robofy_emulator_factory(leads=0, sessions=3, crawl_seconds=0.0)
    monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", emulator.connection_json())
    sessions = RobofyFetchSessionsOperator(task_id="sessions").execute({})
    assert sessions["rows"] == 3
    messages = RobofyFetchMessagesOperator(task_id="messages", sessions=sessions).execute({})
    assert messages["sessions_read"] == 3
    upload = RobofyUploadKnowledgeOperator(task_id="text", text="Open at nine.", name="hours.md").execute({})
    assert upload["counts"]["uploaded"] == 1
    keys = [manifest["run_key"] for manifest in (sessions, messages, upload)]
    assert keys == ["no_dag/manual/sessions", "no_dag/manual/messages", "no_dag/manual/text"]
    crawl = RobofyCrawlWebsiteOperator(task_id="crawl", start_urls=["https://example.com"], wait_for_completion=False)
    assert crawl.execute({})["run_id"]
    assert RobofyCrawlSensor(task_id="crawled", poke_interval=0.1, timeout=5).execute({})["status"]


def test_the_contexts_fixture_gives_what_an_operator_and_its_templates_need(robofy_emulator, robofy_context, tmp_path):
    context = robofy_context(dag_id="mine", task_id="leads", params={"kind": "all"})
    task = RobofyFetchLeadsOperator(task_id="leads", output_path=f"{tmp_path}/{{{{ ds }}}}/{{{{ params.kind }}}}.jsonl")
    task.render_template_fields(context)
    manifest = task.execute(context)
    assert manifest["uri"] == f"{tmp_path}/2025-01-15/all.jsonl"
    assert manifest["run_key"] == "mine/manual__2025-01-15T00:00:00+00:00/leads"

    context = robofy_context(conf={"robofy_cursor": "1798120800000"}, task_id="leads")
    task = RobofyFetchLeadsOperator(
        task_id="leads", cursor=f"{tmp_path}/cursor.json", output_path=f"{tmp_path}/b.jsonl"
    )
    with pytest.raises(AirflowException):  # skipped: no lead is newer than 2026-12-24
        task.execute(context)
    assert context["ti"].xcoms["manifest"]["watermark_before"] == "2026-12-24T14:00:00+00:00"


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("s3://aws@bucket/leads.jsonl", r"apache-airflow-providers-amazon\[s3fs\]"),
        ("gs://gcp@bucket/leads.jsonl", "apache-airflow-providers-google"),
        ("abfs://az@bucket/leads.jsonl", "apache-airflow-providers-microsoft-azure"),
        ("nope://bucket/leads.jsonl", "the Airflow provider of that storage"),
    ],
)
def test_a_path_that_no_provider_opens_fails_at_once_and_names_the_provider(robofy_emulator, context, uri, remedy):
    for task in (
        RobofyFetchLeadsOperator(task_id="a", output_path=uri),
        RobofyFetchMessagesOperator(task_id="a", sessions=uri),
        RobofyUploadKnowledgeOperator(task_id="a", source=uri, ledger_path="/tmp/never.json"),
    ):
        with pytest.raises(AirflowFailException, match=remedy) as raised:
            task.execute(context)
        assert uri in str(raised.value)
        assert "on every worker" in str(raised.value)
    assert not robofy_emulator.requests


def test_no_connection_at_all_fails_at_once_and_says_how_to_add_one(monkeypatch, landing):
    monkeypatch.delenv("AIRFLOW_CONN_ROBOFY_DEFAULT", raising=False)
    for task in (RobofyFetchLeadsOperator(task_id="a"), RobofyCrawlSensor(task_id="b", deferrable=False)):
        with pytest.raises(AirflowFailException, match=r"'robofy_default' does not exist.*airflow connections add"):
            task.execute({})


def test_the_example_of_the_documents_passes(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "testing-your-dags.md").read_text(encoding="utf-8")
    [code] = re.findall(r"<!-- tested: test_one_operator -->\n```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["airflow_provider_robofy.emulator.pytest_plugin"]\n')
    (tmp_path / "test_mine.py").write_text(code)
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path, cwd=tmp_path)
    assert "1 passed" in done.stdout, done.stdout[-3000:]


@pytest.mark.parametrize("value", ["5", None, True, 1.5, 0])
def test_a_concurrency_that_is_no_whole_number_is_refused(robofy_emulator, context, value):
    with pytest.raises(AirflowFailException, match="max_concurrency"):
        RobofyFetchMessagesOperator(task_id="a", sessions="/tmp/s.jsonl", max_concurrency=value).execute(context)
