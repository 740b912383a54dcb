"""Asking an agent over the emulator: verdicts, the landed file, bad days of the API, and what must not be seen."""

from __future__ import annotations

import gzip
import json
import logging
import threading
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_robofy.api.errors import (
    RobofyCancelledError,
    RobofyConfigError,
    RobofyConnectionError,
    RobofyForeignFileError,
    RobofyRateLimitError,
)
from airflow_provider_robofy.emulator import server
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.extract.manifest import Manifest
from airflow_provider_robofy.hooks import metrics
from airflow_provider_robofy.knowledge import asked
from airflow_provider_robofy.operators.ask import RobofyAskAgentOperator

KEY = "rk_planted_key_51c0"
HOURS = "We open at nine. planted answer one"
RETURNS = "Parcels are returned within 30 days. planted answer two"
GOLDEN = [
    {"ask": "When do you open?", "expect": ["open at nine"], "reject": "I do not know"},
    {"ask": "How are parcels returned?", "any_of": ["/\\b30 days/", "one month"]},
]


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(api_key=KEY, leads=0, sessions=0))


def teach(robofy, *texts):
    """Upload texts as anybody may, past the operator."""
    for text in texts:
        requests.post(
            f"{robofy.url}/v1/ai-agent/link_content/24017",
            json={"chatbot_id": robofy.chatbot_ids[0], "content": text},
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=10,
        ).raise_for_status()


def ask(context, folder, questions=GOLDEN, name="asked.jsonl", **arguments):
    path = None if name is None else str(folder / name)
    return RobofyAskAgentOperator(task_id="ask", questions=questions, output_path=path, **arguments).execute(context)


def landed(folder, name="asked.jsonl"):
    content = (folder / name).read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    manifest = json.loads((folder / f"{name}.manifest.json").read_text())
    return manifest, [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("name", ["asked.jsonl", "asked.jsonl.gz"])
def test_answers_land_with_a_verdict_each_and_xcom_gets_the_manifest(robofy, context, tmp_path, name):
    teach(robofy, HOURS, RETURNS)
    manifest = ask(context, tmp_path, name=name)

    beside, found = landed(tmp_path, name)
    assert manifest == beside
    Manifest.of(manifest)
    assert (manifest["resource"], manifest["questions_uri"]) == ("answers", None)
    counts = ("rows", "received", "passed", "failed", "unanswered", "requests")
    assert [manifest[one] for one in counts] == [2, 2, 2, 0, 0, 2]
    assert (manifest["score"], manifest["min_score"], manifest["not_passed"]) == (1.0, 1.0, [])
    assert list(rows(manifest)) == found
    assert [row["question"] for row in found] == [one["ask"] for one in GOLDEN]
    assert [row["answer"] for row in found] == [HOURS, RETURNS]
    assert [row["_position"] for row in found] == [0, 1]
    assert {(row["verdict"], str(row["reasons"]), row["_project_id"]) for row in found} == {("passed", "[]", "24017")}
    assert {row["_chatbot_id"] for row in found} == {robofy.chatbot_ids[0]}
    assert all(0 <= row["seconds"] < 10 for row in found)
    assert len({row["session_id"] for row in found}) == 2, "each question has a session of its own"
    assert robofy.state()["agents"][0]["sessions"] == 2


def test_below_min_score_the_task_fails_without_a_retry_after_the_file_is_published(robofy, context, ti, tmp_path):
    teach(robofy, HOURS)
    with pytest.raises(AirflowFailException, match=r"1 of 2 questions passed, and min_score is 0.6; 1 failed") as error:
        ask(context, tmp_path, min_score=0.6)
    assert "How are parcels returned?" in str(error.value)
    assert str(tmp_path / "asked.jsonl") in str(error.value)
    manifest, found = landed(tmp_path)
    assert ti.pushed == {"manifest": manifest}
    assert (manifest["score"], manifest["not_passed"]) == (0.5, ["How are parcels returned?"])
    assert found[1]["reasons"] == [r"any_of: none of '/\b30 days/', 'one month' is in the answer"]
    assert ask(context, tmp_path, min_score=0.5)["passed"] == 1


def test_the_file_is_below_the_landing_root_by_default(robofy, context, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))
    manifest = ask(context, tmp_path, name=None, min_score=0)
    assert manifest["uri"].startswith(f"{tmp_path}/answers/24017/{robofy.chatbot_ids[0]}/my_dag/")


def test_questions_come_from_a_file_below_the_landing_root(robofy, context, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ROBOFY__LANDING_ROOT", str(tmp_path))
    teach(robofy, HOURS)
    (tmp_path / "golden.yaml").write_text("- ask: When do you open?\n  expect: at nine\n")
    assert ask(context, tmp_path, "golden.yaml")["questions_uri"] == f"{tmp_path}/golden.yaml"
    assert ask(context, tmp_path, tmp_path / "golden.yaml")["passed"] == 1
    (tmp_path / "golden.yaml").write_text("- ask: When do you open?\n  expext: at nine\n")
    with pytest.raises(AirflowFailException, match=r"golden.yaml, line 1: unknown key expext"):
        ask(context, tmp_path, "golden.yaml")
    with pytest.raises(AirflowFailException, match=r"questions: .*/none.json is not there"):
        ask(context, tmp_path, "none.json")


def test_questions_come_from_another_store_and_answers_go_there(robofy, context):
    attach = import_module("airflow.sdk.io.store" if AIRFLOW_V_3_0_PLUS else "airflow.io.store").attach
    memory = MemoryFileSystem()
    attach(protocol="memory", fs=memory)
    memory.pipe_file("/wiki/golden.json", json.dumps(GOLDEN[:1]).encode())
    teach(robofy, HOURS)
    operator = RobofyAskAgentOperator(
        task_id="ask", questions="memory://wiki/golden.json", output_path="memory://lake/asked.jsonl"
    )
    manifest = operator.execute(context)
    assert (manifest["questions_uri"], manifest["passed"]) == ("memory://wiki/golden.json", 1)
    assert json.loads(memory.cat_file("/lake/asked.jsonl"))["answer"] == HOURS


# ------------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"questions": []}, "questions: there is no question"),
        ({"questions": [{"expect": "x"}]}, r"questions\[0\] has no ask"),
        ({"questions": [{"ask": "x", "like": "y"}]}, r"questions\[0\]: unknown key like"),
        ({"questions": [{"ask": "x", "expect": "/(/"}]}, r"questions\[0\]: expect: /\(/ is not a regular expression"),
        *(
            ({"questions": GOLDEN, "min_score": one}, "min_score=.* from 0 to 1")
            for one in (-0.1, 1.1, True, "all", None)
        ),
        ({"questions": GOLDEN, "min_score": float("nan")}, "min_score=.* from 0 to 1"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments, words):
    with pytest.raises(RobofyConfigError, match=words):
        RobofyAskAgentOperator(task_id="ask", **arguments)


def test_templated_questions_are_checked_when_they_are_rendered(robofy, context, tmp_path):
    teach(robofy, HOURS)
    one = {"ask": "When do you {{ params.verb }}?", "expect": "{{ params.wanted }}"}
    for wanted, outcome in (("at nine", 1), ("/(/", None)):
        operator = RobofyAskAgentOperator(task_id="ask", questions=[one], output_path=str(tmp_path / "a.jsonl"))
        context["params"] = {"verb": "open", "wanted": wanted}
        operator.render_template_fields(context)
        if outcome is None:
            with pytest.raises(AirflowFailException, match=r"questions\[0\]: expect"):
                operator.execute(context)
        else:
            assert operator.execute(context)["passed"] == outcome


@pytest.mark.parametrize("name", ["asked.csv", "asked.parquet", "asked.txt"])
def test_another_format_is_refused_before_the_first_question(robofy, context, tmp_path, name):
    with pytest.raises(AirflowFailException, match=r"output_path must end in .jsonl or .jsonl.gz"):
        ask(context, tmp_path, name=name)
    assert robofy.count() == 0


def test_a_file_of_another_run_is_not_overwritten_and_nothing_is_asked(robofy, context, ti, tmp_path):
    ask(context, tmp_path, min_score=0)
    ti.run_id = "another"
    with pytest.raises(AirflowFailException, match=r"asked.jsonl is not overwritten.*\{\{ run_id \}\}"):
        ask(context, tmp_path, min_score=0)
    assert robofy.count("send_message") == 2
    assert RobofyForeignFileError.permanent


# ----------------------------------------------------------------------------------------------- a bad day of the API
@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("drop", {}, "dropped before an answer"),
        ("truncate", {}, "broke off"),
        ("status", {"status": 503}, "HTTP 503"),
        ("status", {"status": 400, "code": "BAD_REQUEST"}, "HTTP 400 BAD_REQUEST"),
        ("html", {}, "not JSON"),
        ("wrong_shape", {}, "the answer is not an object"),
        ("redirect", {"to": "http://127.0.0.1:1/"}, "redirect"),
    ],
)
def test_a_question_that_may_have_arrived_is_not_asked_again_and_counts_as_unanswered(  # noqa: PLR0917
    robofy, context, tmp_path, monkeypatch, fault, options, words
):
    monkeypatch.setattr(asked, "AT_A_TIME", 1)
    teach(robofy, HOURS)
    robofy.fault(fault, endpoint="send_message", after=1, **options)
    manifest = ask(context, tmp_path, [GOLDEN[0]] * 3, min_score=0.5)
    assert [manifest[one] for one in ("passed", "failed", "unanswered", "requests")] == [2, 0, 1, 3]
    assert robofy.count("send_message") == 3
    _, found = landed(tmp_path)
    assert [row["verdict"] for row in found] == ["passed", "unanswered", "passed"]
    assert words in found[1]["reasons"][0]
    assert (found[1]["answer"], found[1]["session_id"], found[1]["seconds"]) == (None, None, None)


@pytest.mark.parametrize("options", [{}, {"retry_after": 0}, {"retry_after_date": 0}], ids=str)
def test_a_question_that_was_refused_for_the_rate_is_asked_again(robofy, context, tmp_path, options):
    teach(robofy, HOURS, RETURNS)
    robofy.fault("rate_limit", endpoint="send_message", **options)
    assert ask(context, tmp_path)["passed"] == 2
    assert robofy.count("send_message") == 3


@pytest.mark.serial
def test_slow_answers_are_waited_for_four_at_a_time(robofy, context, tmp_path):
    teach(robofy, HOURS)
    robofy.fault("delay", seconds=0.5, endpoint="send_message", times=0)
    began = time.monotonic()
    assert ask(context, tmp_path, [GOLDEN[0]] * 8)["passed"] == 8
    assert 1.0 <= time.monotonic() - began < 3.0
    assert robofy.state()["peak_in_flight"] == 4
    assert all(row["seconds"] >= 0.5 for row in landed(tmp_path)[1])


def test_an_answer_that_takes_longer_than_the_connection_waits_is_none(robofy, connect, context, tmp_path):
    connect(robofy, read_timeout=1)
    teach(robofy, HOURS)
    robofy.fault("delay", seconds=30, endpoint="send_message")
    assert ask(context, tmp_path, [GOLDEN[0]] * 2, min_score=0.5)["unanswered"] == 1
    assert robofy.count("send_message") == 2


def test_rows_keep_the_order_of_the_questions_however_long_answers_take(robofy, context, tmp_path):
    teach(robofy, HOURS)
    for after in (0, 2, 5):
        robofy.fault("delay", seconds=0.4, endpoint="send_message", after=after)
    questions = [{"ask": f"When do you open? {number}"} for number in range(12)]
    ask(context, tmp_path, questions)
    assert [row["question"] for row in landed(tmp_path)[1]] == [one["ask"] for one in questions]


@pytest.mark.parametrize(
    ("fault", "options", "error", "sent"),
    [("drop", {}, RobofyConnectionError, 5), ("rate_limit", {}, RobofyRateLimitError, 10)],
)
def test_after_five_questions_without_an_answer_no_more_are_asked_and_the_task_may_be_tried_again(  # noqa: PLR0917
    robofy, context, ti, tmp_path, monkeypatch, fault, options, error, sent
):
    monkeypatch.setattr(asked, "AT_A_TIME", 1)
    teach(robofy, HOURS)
    robofy.fault(fault, endpoint="send_message", after=1, times=0, **options)
    with pytest.raises(error):
        ask(context, tmp_path, [GOLDEN[0]] * 20, min_score=0)
    # The thread may have begun one more before the five were counted.
    assert sent + 1 <= robofy.count("send_message") <= sent + 1 + sent // 5
    manifest, found = landed(tmp_path)
    assert ti.pushed["manifest"] == manifest
    assert (manifest["passed"], manifest["unanswered"]) == (1, 19)
    assert found[0]["session_id"], "the sessions that were made are in the file"
    assert found[-1]["reasons"] == ["not asked, because 5 questions before it had no answer"]
    robofy.clear_faults()
    assert ask(context, tmp_path, [GOLDEN[0]] * 20)["passed"] == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "rk_wrong_planted"}, "password field"),
        ({"project_id": "24018"}, "project"),
        ({"chatbot_id": "nobody"}, "chatbot"),
        ({"endpoints": {"send_message": "/v1/ai-agent/talk"}}, "extra 'endpoints' under 'send_message'"),
    ],
    ids=str,
)
def test_a_wrong_key_id_or_path_fails_the_task_at_once_and_lands_nothing(  # noqa: PLR0917
    robofy, connect, context, tmp_path, change, words
):
    connect(robofy, **change)
    with pytest.raises(AirflowFailException, match=words) as error:
        ask(context, tmp_path, GOLDEN * 20, min_score=0)
    assert robofy.count() <= asked.AT_A_TIME
    assert list(tmp_path.iterdir()) == []
    assert "rk_wrong_planted" not in str(error.value)


def test_an_answer_of_a_megabyte_fails_with_its_reason_and_is_cut(robofy, context, tmp_path):
    teach(robofy, "We open at nine. " + "x" * (1 << 20))
    assert ask(context, tmp_path, GOLDEN[:1], min_score=0)["failed"] == 1
    _, [row] = landed(tmp_path)
    assert row["reasons"] == ["the answer has 1048593 characters, more than 100000"]
    assert len(row["answer"]) == 100_000


@pytest.mark.parametrize(
    "data",
    [{"session_id": "s"}, {"answer": None, "session_id": 5}, {"answer": " "}, {"answer": ["x"]}, {"reply": "x"}],
    ids=str,
)
def test_an_answer_without_text_is_none(robofy, context, tmp_path, monkeypatch, data):
    async def send_message(world, request):
        return {"message": "Success", "data": data}

    monkeypatch.setitem(server.HANDLERS, "send_message", send_message)
    assert ask(context, tmp_path, GOLDEN[:1], min_score=0)["unanswered"] == 1
    _, [row] = landed(tmp_path)
    assert "send_message (POST /v1/ai-agent/chat): the answer has no text in its field 'answer'" in row["reasons"][0]
    assert row["session_id"] == (str(data["session_id"]) if "session_id" in data else None)


# -------------------------------------------------------------------------------------------------------- the end
def test_a_killed_task_ends_at_once_and_lands_nothing(robofy, context, tmp_path):
    robofy.fault("delay", seconds=30, endpoint="send_message", times=0)
    operator = RobofyAskAgentOperator(task_id="ask", questions=GOLDEN * 3, output_path=str(tmp_path / "a.jsonl"))
    threading.Timer(0.5, operator.on_kill).start()
    began = time.monotonic()
    with pytest.raises(RobofyCancelledError):
        operator.execute(context)
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_neither_log_nor_xcom_nor_error_shows_an_answer_a_session_or_the_key(  # noqa: PLR0917
    robofy, context, ti, tmp_path, caplog, capfd, monkeypatch
):
    monkeypatch.setattr(asked, "AT_A_TIME", 1)
    teach(robofy, HOURS, RETURNS)
    robofy.fault("drop", endpoint="send_message", after=3)
    with caplog.at_level(logging.DEBUG), pytest.raises(AirflowFailException) as error:
        ask(context, tmp_path, [*GOLDEN, {"ask": "When is it open?", "expect": "at ten"}, *GOLDEN])
    manifest, found = landed(tmp_path)
    assert {row["verdict"] for row in found} == {"passed", "failed", "unanswered"}
    seen = caplog.text + "".join(capfd.readouterr()) + str(error.value) + json.dumps(ti.pushed) + json.dumps(manifest)
    assert "Asking 5 questions takes at least 0:00:08: 30 a minute, and 5000 a day." in seen
    assert "'When is it open?': failed (expect: 'at ten' is not in the answer)" in seen
    for secret in ("planted answer", "I do not know", KEY, *(row["session_id"] for row in found if row["session_id"])):
        assert secret not in seen
    assert not list(Path(tmp_path).glob("*.part"))


def test_the_agents_knowledge_and_the_file_of_questions_are_inputs_and_the_answers_are_the_output(
    robofy, context, tmp_path
):
    (tmp_path / "golden.yaml").write_text("- ask: When?\n")
    operator = RobofyAskAgentOperator(
        task_id="ask", questions=str(tmp_path / "golden.yaml"), output_path=str(tmp_path / "asked.jsonl")
    )
    operator.execute(context)
    host = robofy.url.removeprefix("http://")
    knowledge = f"robofy://{host}/24017/{robofy.chatbot_ids[0]}/knowledge"
    assert [one.uri for one in operator.lineage.inputs] == [f"file://{tmp_path}/golden.yaml", knowledge]
    assert [one.uri for one in operator.lineage.outputs] == [f"file://{tmp_path}/asked.jsonl"]


def test_what_became_of_the_questions_is_counted(robofy, context, tmp_path, monkeypatch):
    sent = {}
    monkeypatch.setattr(metrics, "Stats", SimpleNamespace(incr=lambda name, count, tags: sent.update({name: count})))
    teach(robofy, HOURS)
    ask(context, tmp_path, min_score=0)
    counts = {"passed": 1, "failed": 1, "unanswered": 0, "requests": 2}
    assert sent == {f"robofy.answers.{name}": count for name, count in counts.items()}
