"""What docs/troubleshooting.md quotes is what the operator says, word for word."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.assets.robofy import leads_asset
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [block.strip() for block in re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)]
#: Quotations that a test has heard, and the tests that were run.
HEARD: set[str] = set()
RAN: set[str] = set()
REQUESTED = re.compile(r"requested at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(autouse=True)
def _count(request):
    RAN.add(request.function.__name__)


@pytest.fixture
def robofy(robofy_emulator, monkeypatch):
    monkeypatch.setattr(RobofyClient, "_sleep", lambda *_: None)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # tests/conftest.py has removed the proxies
        monkeypatch.delenv(name, raising=False)
    return robofy_emulator


@pytest.fixture
def connect(robofy, monkeypatch):
    """Change the connection: fields by their names, all others are extras; an empty extra is left out."""

    def change(**fields: Any) -> None:
        value = json.loads(robofy.connection_json())
        for name, field in fields.items():
            if name in {"host", "password", "extra"}:
                value[name] = field
            elif field:
                value["extra"][name] = field
            else:
                value["extra"].pop(name, None)
        monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", json.dumps(value))

    return change


@pytest.fixture
def fetch(robofy, tmp_path):
    def run(
        run_id: str = "monday", *, task_id: str = "leads", kind: str = "manual", **arguments: Any
    ) -> dict[str, Any]:
        arguments.setdefault("output_path", str(tmp_path / f"{run_id}.jsonl"))
        ti = SimpleNamespace(dag_id="my_dag", run_id=run_id, task_id=task_id, map_index=-1, xcom_push=lambda **_: None)
        context: Any = {"ti": ti, "dag_run": SimpleNamespace(run_type=kind, conf=None)}
        return RobofyFetchLeadsOperator(task_id="leads", **arguments).execute(context)

    return run


@pytest.fixture
def is_quoted(tmp_path):
    """Look a message up in the document, where folders and times are examples."""

    def check(message: object) -> None:
        text = REQUESTED.sub("requested at 2025-01-15T10:30:00Z", str(message)).replace(str(tmp_path), "/landing")
        assert text in QUOTED, f"docs/troubleshooting.md does not quote this, or no longer:\n{text}"
        HEARD.add(text)

    return check


@pytest.fixture
def fails(fetch, is_quoted):
    def check(**arguments: Any) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011 (the message is what is compared)
            fetch(**arguments)
        is_quoted(caught.value)

    return check


TWICE, HASHED = {"max_attempts": "2"}, {"lead_data.email": "hash"}
AT_LANDING_ROOT = {"output_path": None}


@pytest.mark.parametrize(
    ("fields", "fault", "arguments"),
    [
        # a wrong connection
        ({"password": "wrong-key"}, {}, {}),
        ({"password": ""}, {}, {}),
        ({"host": "http://example.com"}, {}, {}),
        ({"timezone": "Mars/Base"}, {}, {}),
        ({"read_timeout": "soon"}, {}, {}),
        ({"leads_order": "newest"}, {}, {}),
        ({"endpoints": {"list_leads": "https://example.com/leads"}}, {}, {}),
        ({"project_id": ""}, {}, {}),
        ({"project_id": "1"}, {}, {}),
        ({"host": "http://127.0.0.1:9", "max_attempts": "1"}, {}, {}),
        ({"max_response_mb": "0.01"}, {}, {}),
        ({"host": "127.0.0.1:8766"}, {}, {}),
        ({"extra": "[]"}, {}, {}),
        ({"extra": "{"}, {}, {}),
        # an answer that goes wrong
        (TWICE, {"kind": "rate_limit", "retry_after": 0}, {}),
        (TWICE, {"kind": "status", "status": 503}, {}),
        (TWICE, {"kind": "drop"}, {}),
        (TWICE, {"kind": "truncate"}, {}),
        ({}, {"kind": "html"}, {}),
        ({}, {"kind": "wrong_shape"}, {}),
        ({}, {"kind": "missing_list"}, {}),
        ({}, {"kind": "token_unknown"}, {}),
        ({}, {"kind": "token_loop"}, {}),
        ({}, {"kind": "redirect", "to": "https://example.com/x"}, {}),
        ({"total_timeout": "1"}, {"kind": "trickle", "delay": 0.2}, {}),
        ({"read_timeout": "0.5", "max_attempts": "1"}, {"kind": "delay", "seconds": 3}, {}),
        ({}, {"kind": "malformed_rows", "page": 2}, {"output_path": "{tmp}/leads.jsonl"}),
        # arguments that cannot be
        ({}, {}, {"since": "2025-01-01", "until": "2025-01-01"}),
        ({}, {}, {"since": "2025-01-02", "until": "2025-01-01"}),
        ({}, {}, {"since": "yesterday"}),
        ({}, {}, AT_LANDING_ROOT),
        ({}, {}, {"cursor": "somewhere", "since": "2025-01-01"}),
        ({}, {}, {"cursor": "somewhere", "kind": "backfill"}),
        ({}, {}, {"full_every": 7}),
        # privacy rules that cannot be kept
        ({}, {}, {"privacy": HASHED}),
        ({}, {}, {"privacy": {**HASHED, "lead_data.*": "drop"}}),
        ({"pseudonym_secret": "short"}, {}, {"privacy": {**HASHED, "lead_data.*": "drop"}}),
        ({}, {}, {"privacy": {"id": "drop"}}),
    ],
    ids=str,
)
def test_a_fetch_that_fails(robofy, connect, fails, tmp_path, fields, fault, arguments):  # noqa: PLR0917
    connect(**fields)
    if fault:
        robofy.fault(endpoint="list_leads", times=0, **fault)
    if path := arguments.get("output_path"):
        arguments = {"output_path": path.format(tmp=tmp_path)}
    fails(**arguments)


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("HTTPS_PROXY", "socks5://127.0.0.1:1", {}),
        ("REQUESTS_CA_BUNDLE", "/nowhere", {}),
        ("AIRFLOW__ROBOFY__LANDING_ROOT", "landing", AT_LANDING_ROOT),
        ("AIRFLOW_CONN_ROBOFY_DEFAULT", None, {}),
    ],
)
def test_an_environment_that_cannot_be(connect, fails, monkeypatch, name, value, arguments):  # noqa: PLR0917
    connect(host="https://agents.robofy.ai")
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    fails(**arguments)


def test_a_package_or_an_airflow_that_is_missing(fails, tmp_path, monkeypatch):
    if AIRFLOW_V_3_3_PLUS:
        fails(cursor=leads_asset(24017, "a"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    fails(output_path=str(tmp_path / "x.parquet"))


def test_a_template_without_a_value(robofy, is_quoted):
    for rendered in (None, "leads/None/leads.jsonl"):
        operator = RobofyFetchLeadsOperator(task_id="leads", output_path="{{ ti.xcom_pull('nothing') }}")
        operator.output_path = rendered
        with pytest.raises(AirflowFailException) as caught:
            operator.execute({})
        is_quoted(caught.value)


def test_files_that_stand_in_the_way(fetch, fails, tmp_path):
    fetch("monday", output_path=str(tmp_path / "leads.jsonl"))
    fails(run_id="tuesday", output_path=str(tmp_path / "leads.jsonl"))
    fails(run_id="monday", task_id="more", output_path=str(tmp_path / "leads.jsonl"))
    (tmp_path / "foreign.jsonl").write_text('{"x": 1}\n', encoding="utf-8")
    fails(output_path=str(tmp_path / "foreign.jsonl"))
    fails(output_path=str(tmp_path / "x.txt"))


def test_a_file_that_does_not_fit_its_manifest(robofy, fetch, is_quoted, tmp_path):
    robofy.reset(leads=33)
    manifest = fetch(output_path=str(tmp_path / "leads.jsonl"))
    with Path(manifest["uri"]).open("a", encoding="utf-8") as file:
        file.write("{}\n")
    for changed in ({}, {"uri": "s3://aws_default@lake/x.jsonl"}):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            list(rows(manifest | changed))
        is_quoted(caught.value)


def test_a_cursor_on_its_way(robofy, fetch, fails, is_quoted, tmp_path):
    cursor = str(tmp_path / "cursor.json")
    monday = fetch("monday", cursor=cursor)
    with pytest.raises(AirflowSkipException) as skipped:
        fetch("tuesday", cursor=cursor)
    is_quoted(skipped.value)
    robofy.add_leads(2)
    fetch("wednesday", cursor=cursor)
    assert fetch("monday", cursor=cursor) == monday
    Path(monday["uri"]).unlink()
    fails(run_id="monday", cursor=cursor)
    Path(cursor).write_text("{oops", encoding="utf-8")
    fails(run_id="thursday", cursor=cursor)


def test_the_next_state_of_a_cursor_is_gone(fetch, is_quoted, tmp_path):
    cursor = str(tmp_path / "cursor.json")
    manifest = fetch("monday", cursor=cursor, advance_cursor=False)
    Path(manifest["cursor_next_uri"]).unlink()
    with pytest.raises(AirflowFailException) as caught:
        RobofyAdvanceCursorOperator(task_id="advance", manifest=manifest, cursor=cursor).execute({})
    is_quoted(caught.value)


def test_warnings(robofy, connect, fetch, is_quoted, monkeypatch):
    said: list[str] = []
    log = SimpleNamespace(warning=lambda text, *values: said.append(text % values), info=lambda *_: None)
    for name in ("extract.listing._log", "operators.listing.RobofyListingOperator.log"):
        monkeypatch.setattr(f"airflow_provider_robofy.{name}", log)
    fetch("monday", since="", until="None")
    is_quoted(said.pop())
    fetch("protected", privacy={"ip_adress": "drop"})
    is_quoted(said.pop())
    robofy.configure(timezone="Asia/Tokyo")
    robofy.add_leads(3)
    fetch("tuesday")
    is_quoted(said.pop())
    robofy.configure(order="oldest_first")
    connect(leads_order="newest_first")
    fetch("wednesday", since=datetime(2025, 1, 20, tzinfo=UTC))
    is_quoted(said[0])


def test_loading_into_a_database(fetch, is_quoted, monkeypatch, tmp_path):
    pytest.importorskip("airflow.providers.sqlite")
    manifest = fetch(output_path=str(tmp_path / "leads.jsonl")) | {"started_at": "2025-01-15T10:30:00+00:00"}

    def load(given: Any = manifest, kind: str = "sqlite", **arguments: Any) -> None:
        connection = {"conn_type": kind, "host": str(tmp_path / "w.db")}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
        arguments = {"manifest": given, "table": "t", "sql_conn_id": "warehouse", **arguments}
        RobofyManifestToSqlOperator(task_id="load", **arguments).execute({})

    def refused(*given: Any, **arguments: Any) -> None:
        with pytest.raises(Exception) as caught:  # noqa: PT011
            load(*given, **arguments)
        is_quoted(caught.value)

    refused(sql_conn_id="nowhere")
    refused(kind="robofy")
    refused(kind="nothing_known")
    refused(lead_fields=["source"])
    refused(manifest | {"mode": "window"}, mode="replace")
    load()
    empty = tmp_path / "sessions.jsonl"
    empty.touch()
    no_rows = {"rows": 0, "bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    refused(manifest | no_rows | {"resource": "sessions", "uri": str(empty)})
    load(manifest | {"started_at": "2025-01-16T10:30:00+00:00"})
    refused(mode="replace")
    with sqlite3.connect(tmp_path / "w.db") as database:
        database.execute("DROP TABLE t")
    load(mode="append")
    refused()
    refused(manifest | {"sha256": "0" * 64})
    monkeypatch.setitem(sys.modules, "airflow.providers.common.sql.hooks.sql", None)
    refused()


def test_every_quotation_was_raised_by_a_test_above():
    assert len(QUOTED) == len(set(QUOTED))
    tests = {name for name in globals() if name.startswith("test_")}
    if tests != RAN or not AIRFLOW_V_3_3_PLUS:
        pytest.skip("only when all of this module is run, on an Airflow that says it all")
    assert set(QUOTED) == HEARD
