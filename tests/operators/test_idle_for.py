"""Sessions fetched with a cursor and idle_for: none that is not silent lands, and none is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.landed import rows
from airflow_provider_robofy.operators.inbox import RobofyFetchSessionsOperator
from tests.operators.sync_world import World

HOUR = timedelta(hours=1)


@pytest.fixture
def inbox(robofy_emulator_factory, tmp_path, monkeypatch):
    return Inbox(robofy_emulator_factory(leads=0, sessions=8, sessions_page_size=3, agents=1), tmp_path, monkeypatch)


class Inbox(World):
    """One agent, and a task that fetches its sessions once they are silent for an hour."""

    def fetch(self, run_id, **arguments):
        manifest = self.run(run_id, operator=RobofyFetchSessionsOperator, **{"idle_for": HOUR, **arguments})
        return manifest, sorted(row["session_id"] for row in rows(manifest))


def ago(minutes: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=minutes)


@pytest.mark.parametrize("order", ["newest_first", "unknown"])
def test_a_session_lands_once_it_is_silent_and_again_after_it_has_gone_on(inbox, order):
    inbox.extra = {"sessions_order": order}
    inbox.emulator.add_session("talks", at=ago(55))
    first, landed = inbox.fetch("r1")
    assert (first["rows"], first["outside_window"], "talks" in landed) == (8, 1, False)
    with pytest.raises(AirflowSkipException):
        inbox.fetch("r2")
    inbox.emulator.add_message("talks", "goodbye", at=ago(61))
    assert inbox.fetch("r3")[1] == ["talks"]
    inbox.emulator.add_message("talks", "one more thing", at=ago(2))
    with pytest.raises(AirflowSkipException):
        inbox.fetch("r4")
    assert inbox.fetch("r5", idle_for=60)[1] == ["talks"]


def test_a_change_of_idle_for_is_in_the_cursor_even_where_nothing_is_new(inbox):
    inbox.fetch("r1")
    assert inbox.state["idle_for"] == 3600
    inbox.emulator.add_session("talks", at=ago(90))
    with pytest.raises(AirflowSkipException):
        inbox.fetch("r2", idle_for=2 * HOUR)
    assert inbox.state["idle_for"] == 7200
    assert inbox.fetch("r3", idle_for=0)[1] == ["talks"]
    assert "idle_for" not in inbox.state


def test_a_full_run_that_left_sessions_out_is_no_whole_listing(inbox):
    assert inbox.fetch("r1", advance_cursor=False)[0]["mode"] == "full"
    inbox.emulator.add_session("talks", at=ago(5))
    manifest, _ = inbox.fetch("r2", full_every=timedelta(0), advance_cursor=False)
    assert (manifest["mode"], manifest["rows"], manifest["outside_window"]) == ("cursor", 8, 1)


def test_a_time_ahead_of_the_clock_is_warned_of_since_it_is_never_silent(inbox, caplog):
    inbox.emulator.add_session("tomorrow", at=ago(-24 * 60))
    manifest, landed = inbox.fetch("r1")
    assert ("tomorrow" in landed, manifest["future"]) == (False, 1)
    assert "connection's extra timezone" in caplog.text


def test_a_session_without_a_readable_time_lands_at_once_and_once(inbox):
    inbox.fetch("r1")
    inbox.emulator.add_session("undated", last_message_time="some day")
    assert inbox.fetch("r2")[1] == ["undated"]
    with pytest.raises(AirflowSkipException):
        inbox.fetch("r3")


@pytest.mark.parametrize("arguments", [{}, {"since": "2025-01-15"}])
def test_it_needs_a_cursor(arguments):
    with pytest.raises(RobofyConfigError, match="idle_for needs a cursor"):
        RobofyFetchSessionsOperator(task_id="sessions", idle_for=HOUR, **arguments)
