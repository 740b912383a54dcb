"""A killed task ends within a second, whatever it is at, and leaves nothing behind."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_robofy.api.errors import RobofyCancelledError
from airflow_provider_robofy.operators.crawl import RobofyCrawlWebsiteOperator
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator


@pytest.mark.serial
@pytest.mark.parametrize(
    ("operator", "arguments", "slow"),
    [
        (RobofyFetchLeadsOperator, {}, {"latency": 30}),
        (RobofyUploadKnowledgeOperator, {"text": "Open at nine.", "name": "hours.md"}, {"latency": 30}),
        (RobofyCrawlWebsiteOperator, {"start_urls": "https://a.example", "poll_interval": 30}, {"crawl_seconds": 60}),
    ],
)
def test_a_killed_task_ends_within_a_second_and_lands_nothing(  # noqa: PLR0917
    robofy_emulator, connect, context, landing, operator, arguments, slow
):
    connect(robofy_emulator).configure(**slow)
    task = operator(task_id="killed", **arguments)
    killed_at: list[float] = []

    def kill() -> None:
        killed_at.append(time.monotonic())
        task.on_kill()

    threading.Timer(0.5, kill).start()
    with pytest.raises(RobofyCancelledError):
        task.execute(context)
    assert time.monotonic() - killed_at[0] < 1
    assert not (landing / "leads").exists()
