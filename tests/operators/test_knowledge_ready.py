"""Waiting for uploaded documents against the emulator: on the worker, deferred, and in the sensor."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_robofy.api.errors import RobofyDataError, RobofyError
from airflow_provider_robofy.operators.knowledge import RobofyUploadKnowledgeOperator
from airflow_provider_robofy.sensors.knowledge import RobofyKnowledgeSensor
from airflow_provider_robofy.triggers import base
from tests.waiting import finish


@pytest.fixture(autouse=True)
def _short(landing, monkeypatch):
    monkeypatch.setattr(base, "SHORTEST_POLL", 0.1)


@pytest.fixture
def robofy(robofy_emulator_factory, connect):
    return connect(robofy_emulator_factory(leads=0), max_attempts=1)


def upload(docs, **arguments):
    usual = {"wait": True, "deferrable": False, "poll_interval": 0.05, "timeout": 5}
    return RobofyUploadKnowledgeOperator(task_id="docs", source=str(docs), **{**usual, **arguments})


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
def test_an_upload_waits_until_its_documents_are_ready(robofy, context, docs, deferrable):
    robofy.configure(processing_seconds=0.5)
    began = time.monotonic()
    manifest = finish(upload(docs, deferrable=deferrable), context)
    assert time.monotonic() - began >= 0.5
    assert manifest["counts"]["uploaded"] == 2
    assert robofy.count("list_linked_assets") >= 2


def test_a_poll_that_fails_does_not_end_the_wait(robofy, context, docs):
    robofy.fault("drop", endpoint="list_linked_assets")
    assert finish(upload(docs), context)["counts"]["uploaded"] == 2
    assert robofy.count("list_linked_assets") == 2


@pytest.mark.parametrize("deferrable", [False, True], ids=["worker", "deferred"])
@pytest.mark.parametrize("status", ["Failed", "Pondering"])
def test_a_document_that_fails_or_is_never_ready_fails_the_task(robofy, context, docs, deferrable, status):
    robofy.configure(processing_result=status)
    with pytest.raises(RobofyError, match=r"(could not process|not ready within).*faq\.md: '(Failed|Pondering)'"):
        finish(upload(docs, deferrable=deferrable, timeout=0.5), context)
    assert context["ti"].pushed["manifest"]["counts"]["uploaded"] == 2


def test_a_retry_waits_for_what_an_earlier_attempt_has_uploaded_and_uploads_nothing(robofy, context, docs):
    robofy.configure(processing_seconds=3600)
    with pytest.raises(RobofyDataError, match=r"faq\.md: 'Processing'"):
        finish(upload(docs, timeout=0.2), context)
    robofy.configure(processing_seconds=0)
    assert finish(upload(docs), context)["counts"]["unchanged"] == 2
    assert len(robofy.assets()) == 2


def sensor(manifest, mode, **arguments):
    usual = {"deferrable": mode == "deferred", "poke_interval": 0.1, "timeout": 5}
    return RobofyKnowledgeSensor(task_id="ready", manifest=manifest, **{**usual, **arguments})


@pytest.mark.parametrize("mode", ["poke", "deferred"])
def test_the_sensor_waits_for_the_documents_of_a_manifest(robofy, context, docs, mode):
    manifest = finish(upload(docs, wait=False), context)
    robofy.configure(processing_seconds=0.5)
    assert finish(sensor(manifest, mode), context) == {"ready": 2}


def test_the_sensor_reads_the_long_lists_of_a_manifest_from_their_file(robofy, context, docs):
    for number in range(60):
        (docs / f"{number}.md").write_text(str(number))
    manifest = finish(upload(docs, wait=False), context)
    assert manifest["lists"] is None
    assert finish(sensor(manifest, "poke"), context) == {"ready": 62}


def test_the_sensor_names_what_was_not_ready_in_time(robofy, context, docs):
    manifest = finish(upload(docs, wait=False), context)
    robofy.configure(processing_result="Pondering")
    with pytest.raises(AirflowSensorTimeout, match=r"faq\.md: 'Pondering'"):
        finish(sensor(manifest, "poke", timeout=0.3), context)


@pytest.mark.parametrize("manifest", ["{}", {}, {"lists": None, "lists_uri": "/nowhere.json"}], ids=str)
def test_the_sensor_refuses_what_is_no_manifest_of_an_upload(robofy, context, manifest):
    with pytest.raises(AirflowFailException, match="manifest"):
        finish(sensor(manifest, "poke"), context)
