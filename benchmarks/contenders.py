"""Ways to fetch an agent's leads into a file. Each runs in a process of its own; its time leaves out imports.

Run by :mod:`benchmarks.lead_sync`::

    python -m benchmarks.contenders operator http://127.0.0.1:8765 CHATBOT_ID /tmp/leads.jsonl
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from benchmarks.common import measure

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "demo-key"
PROJECT = "24017"


def bare_socket(url: str, chatbot_id: str, output: str) -> Callable[[], int]:
    """Receive the bytes and parse only the token: a lower bound for every client."""
    token_pattern = re.compile(rb'"next_page_token":\s*"([^"]+)"')
    address = urlsplit(url)
    path = f"/v1/ai-agent/leads/{PROJECT}/{quote(chatbot_id, safe='')}"

    def fetch() -> int:
        token, pages = "", 0
        with socket.create_connection((str(address.hostname), int(address.port or 80))) as line:
            reader = line.makefile("rb")
            with Path(output).open("wb") as file:
                while True:
                    query = f"?nextPageToken={quote(token)}" if token else ""
                    line.sendall(
                        f"GET {path}{query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
                        f"Authorization: Bearer {KEY}\r\n\r\n".encode()
                    )
                    length = 0
                    while (header := reader.readline().lower()) not in {b"\r\n", b""}:
                        if header.startswith(b"content-length:"):
                            length = int(header.partition(b":")[2])
                    body = reader.read(length)
                    file.write(body)
                    pages += 1
                    found = token_pattern.search(body)
                    if found is None:
                        return pages
                    token = found.group(1).decode()

    return fetch


def hand_written(url: str, chatbot_id: str, output: str) -> Callable[[], int]:
    """Run a hand-written loop: read pages with requests, write JSON lines, check nothing."""
    import requests

    def fetch() -> int:
        count = 0
        params: dict[str, str] = {}
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {KEY}"
        with Path(output).open("w") as file:
            while True:
                answer = session.get(
                    f"{url}/v1/ai-agent/leads/{PROJECT}/{quote(chatbot_id, safe='')}", params=params, timeout=30
                )
                answer.raise_for_status()
                report = answer.json()["data"]["report"]
                for row in report["rows"]:
                    file.write(json.dumps(row) + "\n")
                    count += 1
                token = report.get("next_page_token")
                if not token:
                    return count
                params = {"nextPageToken": token}

    return fetch


def one_at_a_time(url: str, chatbot_id: str, output: str) -> Callable[[], int]:
    """Run the operator with ``max_parallel_pages=1``."""
    return operator(url, chatbot_id, output, width=1)


def operator(url: str, chatbot_id: str, output: str, *, width: int = 8) -> Callable[[], int]:
    """Run the operator's ``execute``: checks, de-duplication, hash and manifest included."""
    connection = {
        "conn_type": "robofy",
        "host": url,
        "password": KEY,
        "extra": {"project_id": PROJECT, "chatbot_id": chatbot_id, "max_parallel_pages": width},
    }
    os.environ["AIRFLOW_CONN_ROBOFY_DEFAULT"] = json.dumps(connection)
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

    get_hook_lineage_collector()  # imports every plugin, which a worker does before it runs a task

    class TaskInstance:
        dag_id, run_id, task_id, map_index = "bench", "bench", "leads", -1

    task = RobofyFetchLeadsOperator(task_id="leads", output_path=output)

    def fetch() -> int:
        manifest = task.execute({"ti": TaskInstance()})  # type: ignore[typeddict-item]
        return int(manifest["rows"])

    return fetch


CONTENDERS = {
    "bare socket": bare_socket,
    "hand-written loop": hand_written,
    "one page at a time": one_at_a_time,
    "operator": operator,
}


def main(name: str, url: str, chatbot_id: str, output: str) -> None:
    """Run one contender and print its figures as JSON."""
    measure(CONTENDERS[name](url, chatbot_id, output))


if __name__ == "__main__":
    main(*sys.argv[1:])
