"""Pruning for the tests: the desk's folder, ledger and agent, with a body that the emulator takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.settings import Settings
from airflow_provider_robofy.knowledge.prune import Pruner

if TYPE_CHECKING:
    from airflow_provider_robofy.knowledge.ledger import Ledger

BODY = {"bot": "{chatbot_id}", "link": "{linkage_id}"}


def pruner(ledger: Ledger, *, url: str, key: str, chatbot_id: str, **options: Any) -> Pruner:
    """Return a pruner of everything that is due, one attempt a call and without pauses."""
    settings = Settings(api_key=key, base_url=url, max_attempts=2, backoff=0.0, total_timeout=10)
    usual: dict[str, Any] = {
        "ledger": ledger,
        "client": RobofyClient(settings),
        "ids": {"project_id": "24017", "chatbot_id": chatbot_id},
        "body": BODY,
        "needed": ["linkage_id"],
        "limit": 1.0,
        "run_key": "dag/run/task",
        "resend": False,
    }
    return Pruner(**{**usual, **options})


def prune(desk: Any, **options: Any) -> Pruner:
    """Prune what the desk's folder has left behind."""
    ledger = desk.ledger()
    of = {"url": desk.emulator.url, "key": desk.emulator.api_key, "chatbot_id": desk.emulator.chatbot_ids[0]}
    pruned = pruner(ledger, **of, **options)
    try:
        pruned.run({document.name for document in desk.documents().documents})
    finally:
        ledger.close()
    return pruned
