"""`make airflow`: start Airflow with its UI, the example DAGs and the emulator. Ctrl-C ends everything."""

import json
import os
import shutil
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from airflow_provider_robofy.get_provider_info import get_provider_info
from scripts.local import (
    CONNECTION,
    DAGS,
    ROOT,
    LocalAirflow,
    RunningEmulator,
    Trouble,
    running_emulator,
    shown,
    started,
    stop_means_exit,
    tell,
)

FOLDER = ROOT / ".airflow-ui"
LANDING = FOLDER / "landing"
WAREHOUSE = FOLDER / "warehouse.db"
RECENT_LEADS = 8  # robofy_wait_for_leads waits for five
DOCUMENTS = {
    "opening-hours.md": "# Opening hours\n\nMonday to Friday, 9:00 to 17:00.\n",
    "returns.txt": "Goods can be returned within 30 days.\n",
}
PATIENCE = 300  # seconds until all of Airflow answers, on a slow and busy machine too


def free_port(wanted: int = 8080) -> int:
    """Return the wanted port, or a free one if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Trouble("No free port on the loopback address.")


def settings(port: int) -> dict[str, str]:
    """Return the settings of a local Airflow that only this machine can reach."""
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        # The connection form gets its Test button.
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
    }


def wait_until_healthy(process: Popen[bytes], url: str, log: Path) -> None:
    """Wait until the API, the scheduler and the DAG processor are healthy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise Trouble("Airflow stopped while it was starting.", log)
        with suppress(urllib.error.URLError, OSError, ValueError):
            with opener.open(f"{url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
            if all((health.get(part) or {}).get("status") == "healthy" for part in ("scheduler", "dag_processor")):
                # The first request of a task blocks the API for seconds, on a slow machine for longer than the task
                # waits. So this request comes first.
                opener.open(f"{url}/execution/health", timeout=60).close()
                return
        time.sleep(0.5)
    raise Trouble(f"Airflow did not come up within {PATIENCE} seconds.", log)


def password(airflow: LocalAirflow) -> str:
    """Return the password that Airflow has generated for the user admin."""
    for path in airflow.home.glob("simple_auth_manager_passwords.json*"):
        return str(json.loads(path.read_text(encoding="utf-8"))["admin"])
    return f"see {shown(airflow.log)}"


def robofy_default(emulator: RunningEmulator) -> dict[str, Any]:
    """Return the connection to the emulator, with every field of the form."""
    [kind] = get_provider_info()["connection-types"]
    # The form shows the extras that are stored, and Airflow 3.3.1 and 3.3.2 test only what has a port.
    return {**emulator.connection, "port": 0, "extra": dict.fromkeys(kind["conn-fields"]) | emulator.extra}


def connect(airflow: LocalAirflow, connections: dict[str, dict[str, Any]]) -> None:
    """Store connections in Airflow's database and not in its environment, so that the UI shows their forms."""
    path = FOLDER / "connections.json"
    path.write_text(json.dumps(connections), encoding="utf-8")
    failure = "Airflow did not accept the connections of the examples."
    airflow.run("connections", "import", "--overwrite", str(path), seconds=60, failure=failure)


def write_documents(folder: Path) -> None:
    """Write what the example robofy_knowledge uploads, unless the folder is there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for name, text in DOCUMENTS.items():
            (folder / name).write_text(text, encoding="utf-8")


def add_recent_leads(emulator: RunningEmulator) -> None:
    """Give each agent leads of today: the emulator's own are of 2025, and robofy_wait_for_leads waits for new ones."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for agent in emulator.agents:
        body = json.dumps({"chatbot_id": agent, "count": RECENT_LEADS}).encode()
        request = urllib.request.Request(f"{emulator.url}/_robofy_emulator/leads", body, method="POST")
        opener.open(request, timeout=30).close()


def run(stack: ExitStack) -> None:
    """Start everything and wait for Ctrl-C."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    airflow = LocalAirflow(FOLDER, LANDING, settings=settings(port))
    print(f"Airflow {airflow.version} is starting, which takes half a minute ...", flush=True)
    if airflow.migrate():
        pool = ("robofy", "4", "Calls to Robofy at a time")
        airflow.run("pools", "set", *pool, seconds=60, failure="Airflow could not create the pool of the examples.")
    # The examples also need a database to load into, and documents to upload.
    connections: dict[str, dict[str, Any]] = {"warehouse": {"conn_type": "sqlite", "host": str(WAREHOUSE)}}
    write_documents(LANDING / "documents")
    if os.environ.get(CONNECTION):
        robofy = f"the account that {CONNECTION} names"
    else:
        emulator = stack.enter_context(running_emulator(FOLDER / "robofy.log"))
        # A new emulator has none of the documents that the ledgers of an earlier one remember.
        shutil.rmtree(LANDING / "knowledge", ignore_errors=True)
        add_recent_leads(emulator)
        connections["robofy_default"] = robofy_default(emulator)
        # robofy_lead_events needs its ids when it is parsed.
        airflow.env |= {"ROBOFY_PROJECT_ID": emulator.project, "ROBOFY_CHATBOT_ID": emulator.agents[0]}
        robofy = f"an emulator on {emulator.url}, connection robofy_default"
    connect(airflow, connections)
    command = [sys.executable, "-m", "airflow", "standalone"]
    process = stack.enter_context(started(command, airflow.log, airflow.env, patience=20))
    wait_until_healthy(process, url, airflow.log)
    print(
        f"""
  UI        {url}
  user      admin
  password  {password(airflow)}
  Robofy    {robofy}
  DAGs      {shown(DAGS)}, all paused: switch one on and it runs, robofy_lead_sync first
  landing   {shown(LANDING)}
  warehouse {shown(WAREHOUSE)}, an SQLite file, connection warehouse
  log       {shown(airflow.log)}

Ctrl-C ends it.""",
        flush=True,
    )
    process.wait()
    raise Trouble("Airflow stopped by itself.", airflow.log)


def main() -> int:
    """Return the exit code."""
    stop_means_exit()
    try:
        with ExitStack() as stack:
            run(stack)
    except Trouble as trouble:
        return tell(trouble)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
