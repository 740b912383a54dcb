"""An emulator of Robofy: its REST API on a loopback port, with realistic data and faults on demand.

From a shell: `python -m airflow_provider_robofy.emulator --port 8765`. In a test: `Emulator`, or the fixtures of
`airflow_provider_robofy.emulator.pytest_plugin`. While it runs: the control API, see `control`. It shares no code with
the provider, so that a misunderstanding in one is not hidden by the other.
"""

from typing import NoReturn

__all__ = ["ControlError", "Emulator", "FaultError", "Request", "Settings", "SettingsError"]

NEEDS_AIOHTTP = (
    "The emulator needs aiohttp, which is not installed: pip install 'airflow-provider-robofy[emulator]', or in a"
    " checkout pip install -e '.[emulator]'"
)

try:
    from airflow_provider_robofy.emulator.control import ControlError
    from airflow_provider_robofy.emulator.faults import FaultError
    from airflow_provider_robofy.emulator.inprocess import Emulator
    from airflow_provider_robofy.emulator.settings import Settings, SettingsError
    from airflow_provider_robofy.emulator.wire import Request
except ModuleNotFoundError as missing:
    if missing.name != "aiohttp":
        raise

    # A project that only loads the pytest plugin works; a use of the emulator raises what to install.
    def __getattr__(name: str) -> NoReturn:
        if name in __all__:
            raise ImportError(NEEDS_AIOHTTP)
        raise AttributeError(name)
