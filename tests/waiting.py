"""Run a task that may wait in the triggerer, and triggers, as Airflow does."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module
from typing import Any

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
