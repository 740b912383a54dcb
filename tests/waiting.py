"""Run a task that may wait in the triggerer, and triggers, as Airflow does."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

import requests
from airflow.providers.common.compat.sdk import TaskDeferred


def rebuilt(trigger: Any) -> Any:
    """Return the trigger that Airflow makes of what its database has of one."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))


def payloads(trigger: Any) -> list[Any]:
    """Return all events of a trigger."""

    async def run() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    return asyncio.run(run())


def finish(task: Any, context: Any) -> Any:
    """Run a task to its end, through a deferral and its trigger where it defers."""
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        [payload] = payloads(rebuilt(deferred.trigger))
        return task.resume_execution(deferred.method_name, {"event": payload}, context)


def start_crawl(robofy: Any) -> str:
    """Let an emulator's first agent crawl a site, and return the run's id."""
    body = {"start_urls": [{"url": "https://example.com"}], "chatbot_id": robofy.chatbot_ids[0]}
    headers = {"Authorization": f"Bearer {robofy.api_key}"}
    answer = requests.post(f"{robofy.url}/v1/ai-agent/crawl_website", json=body, headers=headers, timeout=10)
    return str(answer.json()["run_id"])
