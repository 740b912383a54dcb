"""Start the probe: `python -m airflow_provider_robofy.probe`."""

import sys

from airflow_provider_robofy.probe.command import main

if __name__ == "__main__":
    sys.exit(main())
