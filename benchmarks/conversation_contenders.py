"""Ways to fetch the messages of an agent's sessions into files. Each runs in a process of its own.

Run by :mod:`benchmarks.conversations`::

    python -m benchmarks.conversation_contenders operator http://127.0.0.1:8765 CHATBOT_ID /tmp/folder
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from benchmarks.common import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "demo-key"
AT_A_TIME = 16


def session_ids(url: str, chatbot_id: str) -> Iterator[str]:
    """List the sessions as a hand-written script does."""
    import requests

    params: dict[str, str] = {}
    while True:
        address = f"{url}/v1/ai-agent/inbox/sessions/{quote(chatbot_id, safe='')}"
        content = requests.get(address, params=params, headers={"Authorization": f"Bearer {KEY}"}, timeout=30).json()
        yield from (row["session_id"] for row in content["sessions"])
        if not content.get("next_page_token"):
            return
        params = {"nextPageToken": content["next_page_token"]}


def hand_written(url: str, chatbot_id: str, folder: str) -> Callable[[], int]:
    """Run a hand-written loop: read one session after the other with requests, and write JSON lines."""
    import requests

    ids = list(session_ids(url, chatbot_id))

    def fetch() -> int:
        count = 0
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {KEY}"
        with Path(folder, "messages.jsonl").open("w") as file:
            for session_id in ids:
                answer = session.get(
                    f"{url}/v1/ai-agent/inbox/chats/{quote(chatbot_id, safe='')}/{quote(session_id, safe='')}",
                    timeout=30,
                )
                answer.raise_for_status()
                for row in answer.json()["data"]:
                    file.write(json.dumps({**row, "session_id": session_id}) + "\n")
                    count += 1
        return count

    return fetch


def operator(url: str, chatbot_id: str, folder: str) -> Callable[[], int]:
    """Run the messages operator's ``execute``: retries, order, keys, hash, counts and manifest included."""
    extra = {"chatbot_id": chatbot_id}
    os.environ["AIRFLOW_CONN_ROBOFY_DEFAULT"] = json.dumps(
        {"conn_type": "robofy", "host": url, "password": KEY, "extra": extra}
    )
    from airflow_provider_robofy.operators.inbox import RobofyFetchMessagesOperator, RobofyFetchSessionsOperator

    class TaskInstance:
        dag_id, run_id, task_id, map_index = "bench", "bench", "conversations", -1

    context: Any = {"ti": TaskInstance()}
    sessions = RobofyFetchSessionsOperator(task_id="sessions", output_path=f"{folder}/sessions.jsonl").execute(context)
    task = RobofyFetchMessagesOperator(
        task_id="messages", sessions=sessions, output_path=f"{folder}/messages.jsonl", max_concurrency=AT_A_TIME
    )

    def fetch() -> int:
        manifest = task.execute(context)
        assert manifest["sessions_read"] == sessions["rows"]
        return int(manifest["rows"])

    return fetch


def dlt_rest_api(url: str, chatbot_id: str, folder: str) -> Callable[[], int]:
    """Run dlt's ``rest_api`` source for sessions and their messages, with the operator's concurrency."""
    os.environ.update(EXTRACT__WORKERS=str(AT_A_TIME), EXTRACT__MAX_PARALLEL_ITEMS=str(2 * AT_A_TIME))
    # By name, since it is no dependency that a type checker could look into.
    dlt, rest_api = importlib.import_module("dlt"), importlib.import_module("dlt.sources.rest_api")

    paginator = {"type": "cursor", "cursor_path": "next_page_token", "cursor_param": "nextPageToken"}
    config: Any = {
        "client": {"base_url": url, "auth": {"type": "bearer", "token": KEY}},
        "resources": [
            {
                "name": "sessions",
                "endpoint": {
                    "path": f"v1/ai-agent/inbox/sessions/{chatbot_id}",
                    "data_selector": "sessions",
                    "paginator": paginator,
                },
            },
            {
                "name": "messages",
                "parallelized": True,
                "include_from_parent": ["session_id"],
                "endpoint": {
                    "path": f"v1/ai-agent/inbox/chats/{chatbot_id}/{{resources.sessions.session_id}}",
                    "data_selector": "data",
                    "paginator": "single_page",
                },
            },
        ],
    }
    pipeline = dlt.pipeline(
        "conversations",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.filesystem(f"file://{folder}/landed"),
        dataset_name="robofy",
    )

    def fetch() -> int:
        pipeline.run(rest_api.rest_api_source(config), loader_file_format="jsonl")
        return int(pipeline.last_trace.last_normalize_info.row_counts["messages"])

    return fetch


CONTENDERS = {"hand-written loop": hand_written, "operator": operator, "dlt rest_api": dlt_rest_api}


def main(name: str, url: str, chatbot_id: str, folder: str) -> None:
    """Run one contender and print its figures as JSON."""
    measure(CONTENDERS[name](url, chatbot_id, folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
