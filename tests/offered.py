"""The classes that the provider's metadata offers to Airflow's users."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from airflow_provider_robofy.get_provider_info import get_provider_info

LAYERS = ("hooks", "operators", "sensors", "triggers", "transfers")


def offered() -> dict[str, type[Any]]:
    """Return each class by its name."""
    info = get_provider_info()
    modules = {one["hook-class-name"].rpartition(".")[0] for one in info["connection-types"]}
    for layer in LAYERS:
        for entry in info.get(layer, []):
            # Airflow's schema has one module for a transfer, and a list of them for everything else.
            modules |= set(entry.get("python-modules") or [entry["python-module"]])
    found: dict[str, type[Any]] = {}
    for name in modules:
        own = {key: one for key, one in vars(importlib.import_module(name)).items() if key.startswith("Robofy")}
        found |= {key: one for key, one in own.items() if inspect.isclass(one) and one.__module__ == name}
    return found
