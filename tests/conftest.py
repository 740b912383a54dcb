"""Airflow reads its environment when it is first imported, so it is set here, before any test module is."""

from __future__ import annotations

import os
import tempfile

from hypothesis import HealthCheck, settings

_home = tempfile.mkdtemp(prefix="robofy-tests-")
os.environ.update(
    AIRFLOW_HOME=_home,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_home}/airflow.db",
)
for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_") or name.endswith(("_PROXY", "_proxy"))]:
    del os.environ[name]

pytest_plugins = ["airflow_provider_robofy.emulator.pytest_plugin"]

# Two shared cores: how long a property takes says nothing about the code.
settings.register_profile("robofy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("robofy")
