"""The example DAG in a browser: switched on, triggered, and looked at."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

DAG_ID = "robofy_lead_sync"


def test_a_dag_is_switched_on_and_triggered_and_its_manifests_are_seen(screens, window, airflow, robofy):
    airflow.connect("robofy_default", json.loads(robofy.connection_json()))
    screens.dag(DAG_ID)
    screens.switch_on()
    screens.run(DAG_ID, "scheduled")
    window.picture("dag-run", height=600)
    screens.task("fetch_leads")
    log = screens.log()
    assert "Landed 250 leads" in log
    first = screens.xcom()
    window.picture("xcom-manifest", height=800)
    assert (first["mode"], first["rows"], first["received"]) == ("full", 250, 250)

    # What came in since is all that a second run lands.
    new = robofy.add_leads(3)
    screens.dag(DAG_ID)
    run_id = screens.trigger()
    screens.run(DAG_ID, "manual")
    screens.task("fetch_leads")
    second = screens.xcom()
    assert second == airflow.xcom(DAG_ID, run_id, "fetch_leads")
    assert (second["mode"], second["rows"]) == ("cursor", 3)
    landed = Path(urlsplit(second["uri"]).path).read_text()
    assert {json.loads(line)["id"] for line in landed.splitlines()} == {lead["id"] for lead in new}

    told = window.told()
    assert "sha256" in told
    assert robofy.api_key not in told
    assert robofy.api_key not in window.shown()
    assert robofy.api_key not in log
    assert robofy.api_key not in airflow.everything_written()
