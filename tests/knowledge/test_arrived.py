"""Which failed requests may have been carried out."""

from __future__ import annotations

from airflow_provider_robofy.api.transport import Received, Transport


def test_a_server_that_answers_before_it_has_the_whole_document_has_not_taken_it(desk, monkeypatch):
    """As a proxy may, for example with 503 for a request that it does not want to read."""
    desk.write("a.md", "a")
    desk.write("b.pdf", b"b")
    with monkeypatch.context() as patch:
        patch.setattr(Transport, "send", lambda *_: Received(503, {"content-type": "text/html"}, b"<html>"))
        report = desk.run()
    assert [item["name"] for item in report.lists()["failed"]] == ["a.md", "b.pdf"]
    assert report.uncertain == []
    assert len(desk.run().uploaded) == 2
