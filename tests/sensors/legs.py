"""Run a sensor to its end in any mode, as Airflow does, without an Airflow around it."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

if TYPE_CHECKING:
    from airflow_provider_robofy.sensors.base import RobofyBaseSensor


class Rescheduled:
    """A task instance that says when it was first rescheduled, as Airflow keeps it."""

    dag_id, task_id, run_id, map_index, try_number, max_tries, id = "d", "wait", "r", -1, 1, 0, "x"

    first: datetime | None = None

    def get_first_reschedule_date(self, context):
        return self.first


def finish(one: RobofyBaseSensor, states: dict | None = None):
    """Run a sensor to its end, in whichever legs its mode takes."""
    Rescheduled.first = None
    ti = Rescheduled()
    context: Any = {"ti": ti, "task": one, "params": {}, "dag_run": SimpleNamespace(conf={})}
    context["asset_state_store"] = states or {}
    for _ in range(200):
        try:
            return one.execute(context)
        except TaskDeferred as deferred:
            _, arguments = deferred.trigger.serialize()
            [payload] = asyncio.run(events_of(type(deferred.trigger)(**json.loads(json.dumps(arguments)))))
            return one.resume_execution(deferred.method_name, {"event": payload}, context)
        except Exception as left:
            if type(left).__name__ != "AirflowRescheduleException":
                raise
            Rescheduled.first = Rescheduled.first or datetime.now(UTC)
            time.sleep(0.1)
    pytest.fail("it never ended")


async def events_of(trigger) -> list:
    return [event.payload async for event in trigger.run()]
