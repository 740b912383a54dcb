"""What people would use instead of this provider, each as its own documentation shows it.

Each runs in an environment of its own (``make bench`` makes them), so this module imports nothing but the standard
library until one is chosen. Run by :mod:`benchmarks.peer_table`::

    .venv-bench-dlt/bin/python -m benchmarks.peers dlt http://127.0.0.1:8765 CHATBOT_ID /tmp/out/leads.jsonl
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmarks.common import measure

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "demo-key"
PROJECT = "24017"


def _path(chatbot_id: str) -> str:
    return f"/v1/ai-agent/leads/{PROJECT}/{quote(chatbot_id, safe='')}"


def http_operator(url: str, chatbot_id: str, output: str) -> Callable[[], int]:
    """Run Airflow's ``HttpOperator`` with a ``pagination_function``."""
    connection = {"conn_type": "http", "host": url, "extra": {"Authorization": f"Bearer {KEY}"}}
    os.environ["AIRFLOW_CONN_ROBOFY"] = json.dumps(connection)
    from airflow.providers.http.operators.http import HttpOperator

    def next_page(response: Any) -> dict[str, Any] | None:
        token = response.json()["data"]["report"].get("next_page_token")
        return {"data": {"nextPageToken": token}} if token else None

    def write(responses: list[Any]) -> int:
        count = 0
        with Path(output).open("w") as file:
            for response in responses:
                for row in response.json()["data"]["report"]["rows"]:
                    file.write(json.dumps(row) + "\n")
                    count += 1
        return count

    leads = HttpOperator(
        task_id="leads",
        http_conn_id="robofy",
        method="GET",
        endpoint=_path(chatbot_id),
        pagination_function=next_page,
        response_filter=write,
    )
    return lambda: int(leads.execute({}))


def dlt(url: str, chatbot_id: str, output: str) -> Callable[[], int]:
    """Run dlt's ``rest_api`` source into files of JSON lines."""
    folder = Path(output).parent
    os.environ |= {"DLT_DATA_DIR": str(folder / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    import dlt
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {
                "base_url": url,
                "auth": {"type": "bearer", "token": KEY},
                "paginator": {
                    "type": "cursor",
                    "cursor_path": "data.report.next_page_token",
                    "cursor_param": "nextPageToken",
                },
            },
            "resources": [
                {
                    "name": "leads",
                    "max_table_nesting": 0,
                    "endpoint": {"path": _path(chatbot_id), "data_selector": "data.report.rows"},
                }
            ],
        }
    )
    destination = dlt.destinations.filesystem(bucket_url=folder.as_uri())
    pipeline = dlt.pipeline("bench", pipelines_dir=str(folder / "pipelines"), destination=destination)

    def fetch() -> int:
        pipeline.run(source, loader_file_format="jsonl")
        return int(pipeline.last_trace.last_normalize_info.row_counts["leads"])

    return fetch


def singer(url: str, chatbot_id: str, output: str) -> Callable[[], int]:
    """Run a tap of singer-sdk, whose messages go to a file."""
    from singer_sdk import RESTStream, Tap
    from singer_sdk import typing as th
    from singer_sdk.authenticators import BearerTokenAuthenticator

    class Leads(RESTStream):
        name = "leads"
        url_base = url
        path = _path(chatbot_id)
        primary_keys = ("id",)
        records_jsonpath = "$.data.report.rows[*]"
        next_page_token_jsonpath = "$.data.report.next_page_token"
        schema = th.PropertiesList(
            *(th.Property(name, th.StringType) for name in ("id", "created_at", "source", "page_url", "ip_address")),
            th.Property("lead_data", th.ArrayType(th.ObjectType(additional_properties=True))),
        ).to_dict()

        @property
        def authenticator(self) -> Any:
            return BearerTokenAuthenticator(token=KEY)

        def get_url_params(self, _: Any, next_page_token: Any) -> dict[str, Any]:
            return {"nextPageToken": next_page_token} if next_page_token else {}

    class Leading(Tap):
        name = "tap-robofy"

        def discover_streams(self) -> list[Any]:
            return [Leads(self)]

    def fetch() -> int:
        with Path(output).open("w") as file, contextlib.redirect_stdout(file):
            Leading(config={}).sync_all()
        with Path(output).open() as file:
            return sum('"RECORD"' in line[:40] for line in file)

    return fetch


PEERS = {"HttpOperator": http_operator, "dlt": dlt, "singer-sdk": singer}


if __name__ == "__main__":
    measure(PEERS[sys.argv[1]](*sys.argv[2:]))
