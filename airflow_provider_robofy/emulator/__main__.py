"""Start the emulator: `python -m airflow_provider_robofy.emulator`."""

import sys

from airflow_provider_robofy.emulator import NEEDS_AIOHTTP

try:
    from airflow_provider_robofy.emulator.command import main
except ModuleNotFoundError as missing:
    if missing.name != "aiohttp":
        raise
    sys.exit(NEEDS_AIOHTTP)

if __name__ == "__main__":
    sys.exit(main())
