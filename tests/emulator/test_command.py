import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from airflow_provider_robofy.emulator.command import main

ROOT = Path(__file__).parents[2]


def launch(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_robofy.emulator", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_writes_one_line_serves_and_stops_cleanly(number):
    process = launch("--leads", "5", "--agents", "2", "--fault", "delay:seconds=60,endpoint=account_limit")
    try:
        line = process.stdout.readline()
        found = re.fullmatch(
            r"Robofy emulator on (http://127\.0\.0\.1:\d+) \(key: demo-key, project: 24017, agents: (\S+), (\S+)\)\n",
            line,
        )
        assert found, line
        headers = {"Authorization": "Bearer demo-key"}
        address = f"{found[1]}/v1/ai-agent/leads/24017/{found[2]}"
        answer = requests.get(address, headers=headers, timeout=10)
        assert len(answer.json()["data"]["report"]["rows"]) == 5
        with pytest.raises(requests.Timeout):
            requests.get(f"{found[1]}/v1/account/limit", headers=headers, timeout=0.2)
        process.send_signal(number)
        assert process.wait(timeout=5) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_every_option_reaches_the_server():
    process = launch(
        "--api-key=k", "--project=7", "--leads=12", "--sessions=3", "--messages=2", "--agents=1", "--seed=9",
        "--spacing=60", "--page-size=5", "--order=oldest_first", "--end-marker=null", "--timezone=Asia/Tokyo",
        "--time-format=offset", "--error-shape=2", "--envelope=named", "--envelope-of=list_agents=data",
        "--path=add_file=/v3/up/{projectId}", "--trailing-empty-page", "--message-ids", "--prerender",
        "--fault=status:times=0,endpoint=list_projects", "--fault=drop:page=2", "--crawl-result=failed",
        "--token-form=signed", "--max-in-flight=9",
    )  # fmt: skip
    try:
        url = process.stdout.readline().split()[3]
        state = requests.get(f"{url}/_robofy_emulator/state", timeout=10).json()
        shown = state["settings"]
        assert state["project_id"] == "7"
        assert [(agent["leads"], agent["sessions"]) for agent in state["agents"]] == [(12, 3)]
        assert [fault["kind"] for fault in state["faults"]] == ["status", "drop"]
        assert shown["paths"] == {"add_file": "/v3/up/{projectId}"}
        assert shown["envelopes"] == {"list_agents": "data"}
        wanted = {
            "messages": 2, "seed": 9, "spacing": 60, "page_size": 5, "order": "oldest_first", "end_marker": "null",
            "timezone": "Asia/Tokyo", "time_format": "offset", "error_shape": "2", "envelope": "named",
            "trailing_empty_page": True, "message_ids": True, "crawl_result": "failed", "token_form": "signed",
            "max_in_flight": 9,
        }  # fmt: skip
        assert {name: shown[name] for name in wanted} == wanted
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "70000"], "70000 is no port"),
        (["--port", "x"], "--port"),
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--host", "example.com"], "--allow-remote"),
        (["--leads", "-1"], "leads must be greater than or equal to 0; given: '-1'"),
        (["--page-size", "0"], "page_size must be"),
        (["--order", "sideways"], "invalid choice: 'sideways'"),
        (["--token-form", "round"], "invalid choice: 'round'"),
        (["--max-in-flight", "-1"], "max_in_flight must be greater than or equal to 0"),
        (["--timezone", "Mars/Olympus"], "timezone must be an IANA time zone"),
        (["--timezone", "../etc/passwd"], "timezone must be an IANA time zone"),
        (["--latency", "nan"], "latency must be a finite number; given: 'nan'"),
        (["--fault", "meteor"], "unknown fault 'meteor'; known: status, rate_limit"),
        (["--fault", "status:status"], "'status' is not key=value"),
        (
            ["--fault", "status:status=abc"],
            "status: status must be a valid integer, unable to parse string as an integer; given: 'abc'",
        ),
        (["--fault", "status:status=99"], "status must be greater than or equal to 200"),
        (["--fault", "trickle:delay=-1"], "delay must be greater than or equal to 0"),
        (["--fault", "trickle:bytes=0"], "bytes must be greater than or equal to 1"),
        (["--fault", "drop:reset=perhaps"], "reset must be a valid boolean"),
        (["--fault", "redirect"], "redirect: missing: to"),
        (["--fault", "malformed_rows:how=odd"], "how must be 'mixed', 'no_id'"),
        (["--path", "add_file"], "is not ENDPOINT=VALUE"),
        (["--path", "add_fiel=/x"], "paths.add_fiel names an unknown endpoint; known: list_leads"),
        (["--path", "add_file=x"], "must be a path that starts with /"),
        (["--path", "add_file=/{a}/{a}"], "paths.add_file must name each placeholder once"),
        (["--envelope-of", "list_agents=round"], "envelopes.list_agents must be 'bare'"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(arguments, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_port_in_use_is_an_error_in_one_sentence(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err


def test_help_lists_every_fault(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "malformed_rows" in shown
    assert "(default newest_first)" in shown
