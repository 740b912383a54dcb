"""Metrics reach a real listener of StatsD and of OpenTelemetry, and no backend can fail a task."""

from __future__ import annotations

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

import pytest
from airflow.providers.common.compat.sdk import Stats

from airflow_provider_robofy.hooks import metrics
from tests.child import python

MANIFEST = {
    "resource": "leads",
    "rows": 7,
    "duplicates": 2,
    "outside_window": 1,
    "rejected": 0,
    "requests": 4,
    "started_at": "2025-01-15T12:00:00+00:00",
    "finished_at": "2025-01-15T12:00:03+00:00",
    "watermark_after": "2025-01-15T11:48:00+00:00",
}
TAGS = {"dag_id": "sync", "task_id": "leads"}

# A task's process on Airflow 3 sets Stats up as this does; Airflow 2 does it at the first use.
SEND = f"""
try:
    # A worker does this from Airflow 3.2 on; earlier versions do it when they are imported.
    from airflow.sdk.observability import stats
    from airflow.sdk.observability.metrics import stats_utils
except ImportError:
    pass
else:
    if hasattr(stats, "initialize"):
        stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
    else:
        Stats = stats.Stats
        Stats.initialize(factory=stats_utils.get_stats_factory(Stats))
from airflow_provider_robofy.hooks import metrics
class Client:
    retries, rate_limited_seconds = 1, 2.5
metrics.count_fetch({MANIFEST!r}, Client, {TAGS!r})
metrics.count("robofy.leads.load", {{"inserted": 5, "updated": 2}}, {TAGS!r})
metrics.count("robofy.knowledge", {{"uploaded": 3, "failed": 1}}, {TAGS!r})
"""


def send(tmp_path, **environment):
    done = python("-c", SEND, env={**os.environ, "AIRFLOW_HOME": str(tmp_path), **environment})
    assert done.returncode == 0, done.stderr


def test_statsd_receives_every_count_by_its_documented_name(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        options = {"PORT": str(listener.getsockname()[1]), "ON": "True", "INFLUXDB_ENABLED": "True"}
        send(tmp_path, **{f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in options.items()})
        received: dict[str, str] = {}
        while len(received) < 13:
            name, _, value = listener.recv(4096).decode().partition(":")
            if ".robofy." in name:
                received[name] = value

    where = ",dag_id=sync,task_id=leads"
    lag = received.pop(f"airflow.robofy.leads.watermark_lag{where}")
    assert received == {
        f"airflow.robofy.leads.rows{where}": "7|c",
        f"airflow.robofy.leads.duplicates{where}": "2|c",
        f"airflow.robofy.leads.outside_window{where}": "1|c",
        f"airflow.robofy.leads.rejected{where}": "0|c",
        f"airflow.robofy.leads.requests{where}": "4|c",
        f"airflow.robofy.leads.retries{where}": "1|c",
        f"airflow.robofy.leads.duration{where}": "3000.000000|ms",
        f"airflow.robofy.leads.rate_limited{where}": "2500.000000|ms",
        f"airflow.robofy.leads.load.inserted{where}": "5|c",
        f"airflow.robofy.leads.load.updated{where}": "2|c",
        f"airflow.robofy.knowledge.uploaded{where}": "3|c",
        f"airflow.robofy.knowledge.failed{where}": "1|c",
    }
    seconds, kind = lag.split("|")
    assert (int(seconds) > 0, kind) == (True, "g")


@pytest.mark.skipif(
    version("apache-airflow").startswith(("2.", "3.0.", "3.1.")),
    reason="the exporter of these versions is configured in another way",
)
def test_opentelemetry_receives_them_too(tmp_path):
    bodies = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        send(
            tmp_path,
            AIRFLOW__METRICS__OTEL_ON="True",
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_METRIC_EXPORT_INTERVAL="500",
        )
    finally:
        server.shutdown()
        server.server_close()
    everything = b"".join(bodies)
    for name in (b"robofy.leads.rows", b"robofy.leads.watermark_lag", b"robofy.knowledge.uploaded", b"sync"):
        assert name in everything


def test_a_backend_that_fails_does_not_fail_the_task(mocker, caplog):
    mocker.patch.object(Stats, "incr", create=True, side_effect=OSError("secret.host"))
    metrics.count_fetch(MANIFEST, mocker.Mock(), TAGS)
    metrics.count("robofy.leads.load", {"inserted": 1}, TAGS)
    assert "Metrics could not be sent (OSError)." in caplog.text
    assert "secret.host" not in caplog.text
