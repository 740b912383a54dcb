"""
A fake Robofy: its REST API on a loopback port, with believable data and trouble on demand.

From a shell: `python -m airflow_provider_robofy.emulator --port 8765`. In a test: `Emulator`, or the fixtures of
`airflow_provider_robofy.emulator.pytest_plugin`. While it runs: the control API, see `control`. It shares no code with
the provider, so that a misunderstanding in one is not hidden by the other.
"""

from airflow_provider_robofy.emulator.faults import FaultError
from airflow_provider_robofy.emulator.inprocess import Emulator
from airflow_provider_robofy.emulator.journal import Request
from airflow_provider_robofy.emulator.operations import ControlError
from airflow_provider_robofy.emulator.settings import Settings, SettingsError

__all__ = ["ControlError", "Emulator", "FaultError", "Request", "Settings", "SettingsError"]
