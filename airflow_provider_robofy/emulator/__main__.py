"""Start the emulator: `python -m airflow_provider_robofy.emulator`."""

import sys

from airflow_provider_robofy.emulator.command import main

if __name__ == "__main__":
    sys.exit(main())
