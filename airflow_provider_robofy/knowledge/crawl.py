"""Reads the status of an agent's crawl, from an answer that is documented nowhere.

The status call takes an agent and no run, so its answer is the status of the agent's crawling and not of one run.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider_robofy.api.answers import meaning_of
from airflow_provider_robofy.api.endpoints import get_crawl_status
from airflow_provider_robofy.api.errors import RobofyCrawlError, RobofyError, RobofyNotFoundError
from airflow_provider_robofy.api.times import TimeReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from airflow_provider_robofy.api.client import RobofyClient

State = Literal["running", "completed", "failed", "idle", "unknown"]

_STATES: Final[dict[str, State]] = {
    **dict.fromkeys(("running", "crawling", "started", "queued", "pending", "processing", "in_progress"), "running"),
    **dict.fromkeys(("completed", "complete", "finished", "done"), "completed"),
    **dict.fromkeys(("cancelled", "canceled", "aborted", "stopped", "killed", "terminated", "expired"), "failed"),
    **dict.fromkeys(("timed_out", "timedout", "timeout"), "failed"),
    **dict.fromkeys(("idle", "not_started", "none", "never"), "idle"),
}
_STATUS_FIELDS: Final = ("status", "crawl_status", "crawlStatus", "crawling_status", "state")
#: Words about the call and not about the crawl, if an object further inside has a word as well.
_ABOUT_THE_CALL: Final = {"success", "ok"}
_times: Final = TimeReader()
_log = logging.getLogger(__name__)


def crawl_status(client: RobofyClient, project_id: str, chatbot_id: str) -> Any:
    """Return the answer to the status call.

    :param client: The client.
    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :raises RobofyError: The call failed.
    """
    return client.call(get_crawl_status(project_id, chatbot_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlStatus:
    """Describe the status of an agent's crawling.

    :param state: Meaning of the status word; ``unknown`` counts as still running.
    :param word: The status word as Robofy sent it, or None if there was none.
    :param run_id: Run that the answer names, or None.
    :param started_at: Start of the crawl in Robofy's own format, or None.
    """

    state: State
    word: str | None = None
    run_id: str | None = None
    started_at: object = None

    @classmethod
    def read(cls, payload: Any, *, run_id: str | None = None) -> CrawlStatus:
        """Return the status of an answer. The status word is found at any depth and in any case.

        The outermost objects with a word decide, those in ``data`` first. Of several crawls that disagree, an open one
        counts; if all have ended in different ways, the state is ``unknown``. A usual answer::

            {"message": "ok", "data": {"run_id": "r1", "status": "Crawling", "started_at": "2026-02-20 14:45:00"}}

        :param payload: The decoded answer.
        :param run_id: The run that is asked about, for an answer that lists several crawls.
        :return: The status.
        """
        inner = payload.get("data") if isinstance(payload, dict) else None
        for level in (*_levels(inner), *_levels(payload)):
            found = [cls._of(one, word) for one in level if (word := _word(one)) is not None]
            if not found or all((one.word or "").lower() in _ABOUT_THE_CALL for one in found):
                continue
            mine = [one for one in found if run_id is not None and one.run_id == run_id]
            found = mine or found
            open_ones = [one for one in found if one.state not in {"completed", "failed"}]
            if open_ones:
                return open_ones[0]
            return found[0] if len({one.state for one in found}) == 1 else cls(state="unknown", word=found[0].word)
        return cls(state="unknown")

    @classmethod
    def _of(cls, one: dict[str, Any], word: str) -> CrawlStatus:
        run_id = one.get("run_id", one.get("runId"))
        state = _STATES.get("_".join(word.lower().replace("-", " ").replace("_", " ").split()))
        if state is None:
            state = "unknown" if meaning_of(word) is None else "failed"
        return cls(
            state=state,
            word=word,
            run_id=None if run_id is None else str(run_id),
            started_at=one.get("started_at", one.get("startedAt")),
        )

    def began_after(self, moment: datetime, times: TimeReader) -> bool:
        """Return whether the crawl began at or after a moment; False if the answer has no readable time.

        :param moment: An aware datetime.
        :param times: Reader of Robofy's times.
        """
        try:
            return times.read(self.started_at) >= moment
        except ValueError:
            return False

    def as_dict(self) -> dict[str, Any]:
        """Return the status word, run id and start as plain JSON, for XCom."""
        started_at = self.started_at if isinstance(self.started_at, str | int | float) else None
        return {"status": self.word, "run_id": self.run_id, "started_at": started_at}


class CrawlWatch:
    """Decide at each poll whether the wait is over: the same in poke, reschedule and deferred mode.

    :param run_id: The run waited for; a status that names another one is not its own. Default unknown.
    :param started_at: Start of that run as Robofy wrote it; a status with an earlier start is not its own. Default
        unknown.
    :param unknown_until: Second since 1970 up to which Robofy may not know of the crawl yet. Default None, for a wait
        that did not start the crawl itself.
    """

    def __init__(
        self, *, run_id: str | None = None, started_at: object = None, unknown_until: float | None = None
    ) -> None:
        self.run_id = run_id
        self._started_at = started_at
        self._unknown_until = unknown_until
        self._warned = False

    def judge(self, payload: Any) -> dict[str, Any] | None:
        """Return the result of a completed crawl, or None while it is not complete.

        :param payload: The decoded answer.
        :return: Status word, run id and start as plain JSON, or None.
        :raises RobofyCrawlError: The crawl has failed.
        """
        status = CrawlStatus.read(payload, run_id=self.run_id)
        _log.info("The status of the agent's crawling is %r.", status.word)
        if self._is_of_another_run(status):
            if not self._warned:
                self._warned = True
                _log.warning("That is the status of another run than the one waited for, %r.", self.run_id)
            return None
        if status.state == "completed":
            return {**status.as_dict(), "run_id": self.run_id or status.run_id}
        if status.state == "failed":
            raise RobofyCrawlError(
                f"Robofy says {status.word!r} of the agent's crawling"
                f"{'' if self.run_id is None else f' (run {self.run_id} was waited for)'}. "
                "Its dashboard may say why; check start_urls, include_urls and exclude_urls."
            )
        if status.state != "running" and not self._warned:
            self._warned = True
            seen = "no status word" if status.word is None else f"the status word {status.word!r}"
            _log.warning("Robofy's crawl status has %s, which this provider takes for still running.", seen)
        return None

    def _is_of_another_run(self, status: CrawlStatus) -> bool:
        if self.run_id is not None and status.run_id is not None and status.run_id != self.run_id:
            return True
        try:
            # Both in Robofy's own writing, so the zone does not matter.
            return _times.read(status.started_at) < _times.read(self._started_at)
        except ValueError:
            return False

    def tolerate(self, error: RobofyError) -> None:
        """Log an error of a poll, where the next poll may succeed.

        :param error: The error.
        :raises RobofyError: The error, where no later poll can succeed.
        """
        if isinstance(error, RobofyNotFoundError):
            if self._unknown_until is None:
                raise RobofyCrawlError(f"Robofy knows of no crawl of this agent. {error}") from None
            if time.time() > self._unknown_until:
                raise error
        elif not error.may_pass:
            raise error
        _log.warning("The crawl status could not be read; the next poll reads it again: %s", error)


def _levels(value: Any) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of each depth of an answer, outermost first."""
    layer = [value]
    while layer:
        flat = [item for one in layer for item in (one if isinstance(one, list) else [one])]
        objects = [one for one in flat if isinstance(one, dict)]
        if objects:
            yield objects
        layer = [inner for one in objects for inner in one.values() if isinstance(inner, dict | list)]


def _word(one: dict[str, Any]) -> str | None:
    """Return the status word of an object."""
    words = (one.get(name) for name in _STATUS_FIELDS)
    return next((word.strip() for word in words if isinstance(word, str) and word.strip()), None)
