"""Read the messages or leads of many sessions, some sessions at a time, and land them in one file."""

from __future__ import annotations

import logging
from collections import Counter, deque
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.client import RobofyClient
from airflow_provider_robofy.api.codec import dump_line
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.errors import (
    RobofyAuthError,
    RobofyCallError,
    RobofyCancelledError,
    RobofyConfigError,
    RobofyDataError,
    RobofyError,
    RobofyNotFoundError,
)
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.api.workers import Workers
from airflow_provider_robofy.extract.landing import Landing
from airflow_provider_robofy.extract.listing import Progress
from airflow_provider_robofy.extract.manifest import MessagesManifest, identity
from airflow_provider_robofy.extract.transcript import SessionLeads, Transcript, blocks
from airflow_provider_robofy.resources import CHATBOT_ID, PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.extract.files import Store
    from airflow_provider_robofy.extract.landed import LandedSessions, Shard
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.extract.pseudonyms import Pseudonyms
    from airflow_provider_robofy.extract.spool import Spool
    from airflow_provider_robofy.extract.transcript import SessionRows

#: If at least so many sessions were listed and all are gone, the path is more likely to be wrong.
FEWEST_FOR_DRIFT = 5
#: Smallest number of failures in sequence after which the run gives up: with all its attempts each takes seconds.
FEWEST_TO_GIVE_UP = 50
#: Sessions read ahead for each session that is being read: they wait until those before them are written.
_AHEAD = 3
#: Failures that are logged one by one.
_LOGGED_FAILURES = 10
#: Seconds between two checks for cancellation, and seconds to wait for cancelled reads.
_SLICE, _PATIENCE = 0.1, 1.0
#: If so many sessions have the same leads, the server ignores the filter.
_SAME_LEADS = 3

#: Fields of the manifest that count what was read.
_COUNTS = (
    *("sessions_asked", "sessions_read", "sessions_gone", "sessions_failed"),
    *("pages", "received", "duplicates", "undated", "future"),
)

_log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class MessagesExtraction:
    """Read the messages or leads of many sessions, some sessions at a time, and land them.

    Usage::

        extraction = MessagesExtraction(sessions=LandedSessions.of(manifest, open_store), ...)
        manifest = extraction.run()

    Threads read. The thread that calls :meth:`run` writes, in the order of the sessions.

    :param sessions: The landed sessions to read.
    :param reading: What is read of each session: messages, one row each or one for each session, or leads. Default:
        messages, one row each.
    :param shard: The part of the sessions that this run reads.
    :param settings: Settings of the client. A shard uses its share of ``requests_per_minute``.
    :param max_concurrency: Number of sessions read at a time.
    :param run_key: Key of the task in its run, for the manifest.
    :param store: Store of the file.
    :param pseudonyms: Names of sessions for the log: keyed hashes.
    :param privacy: The privacy policy, or None.
    :param times: Parser of the API's times. Default: UTC.
    :param defuse_formulas: In CSV, put an apostrophe before text that a spreadsheet could run as a formula.
    :param max_failed_sessions: Sessions that may fail before the run does. Default 0.
    :param max_rejected: Rows that may be rejected before the run fails. Default 0.
    :param now: Clock, for tests.
    """

    sessions: LandedSessions
    shard: Shard
    settings: Settings
    max_concurrency: int
    run_key: str
    store: Store
    pseudonyms: Pseudonyms
    reading: type[SessionRows] = Transcript
    times: TimeReader = field(default_factory=TimeReader)
    privacy: PrivacyPolicy | None = None
    defuse_formulas: bool = True
    max_failed_sessions: int = 0
    max_rejected: int = 0
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    #: Counts of the manifest, by its fields.
    _counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_COUNTS, 0)), init=False)
    _times_seen: list[datetime] = field(default_factory=list, init=False)
    _first_error: RobofyError | None = field(default=None, init=False)
    _failures_in_sequence: int = field(default=0, init=False)
    #: For leads, how many sessions have each first page, by its ids.
    _first_pages: Counter[tuple[str, ...]] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        budget = self.settings.requests_per_minute
        if budget is not None:
            self.settings = replace(self.settings, requests_per_minute=budget / self.shard.count)
        #: Reads the sessions.
        self.client = RobofyClient(self.settings)

    def run(self) -> MessagesManifest:
        """Land the rows of every session, publish, and return the manifest.

        Until all sessions have been tried nothing is published, so an earlier good file survives a run that fails.

        :raises RobofyDataError: More sessions failed, or rows were rejected, than is allowed. What landed stays.
        :raises RobofyCancelledError: :meth:`cancel` was called.
        :raises RobofyError: The key was refused, all sessions are gone, or the result could not be landed.
        """
        started = self.now()
        progress = Progress(_log, self.reading.resource)
        with Landing(self.store, identity(self._common()), defuse_formulas=self.defuse_formulas) as landing:
            landing.check()
            with landing.spool() as data, landing.spool_rejected() as rejected, landing.spool_failed() as failed:
                self._read_all(data, rejected, failed, progress)
                self._check_drift()
                for spool in (data, rejected, failed):
                    spool.finish()
                manifest = MessagesManifest(
                    **self._common(),
                    **landing.facts(data, rejected),
                    first_at=self._times_seen[0].isoformat() if self._times_seen else None,
                    last_at=self._times_seen[1].isoformat() if self._times_seen else None,
                    privacy=self.privacy.rules if self.privacy else None,
                    failed_uri=landing.failed.uri if failed.rows else None,
                    requests=self.client.requests,
                    started_at=started.isoformat(),
                    finished_at=self.now().isoformat(),
                )
                self.client.check_cancelled()
                landing.publish(data, rejected, manifest, failed)
        self._summarise(manifest, progress.seconds)
        self._tolerate(manifest)
        return manifest

    def cancel(self) -> None:
        """End the run; nothing is published. Safe in a signal handler and from another thread."""
        self.client.cancel()

    def _read_all(self, data: Spool, rejected: Spool, failed: Spool, progress: Progress) -> None:
        """Read all sessions, and write what comes into the spools."""
        self.client.check_cancelled()
        workers = Workers(self.max_concurrency, f"robofy-{self.reading.resource}")
        folder = data.path.parent
        pending: deque[Future[SessionRows]] = deque()

        def write_next() -> None:
            with closing(self._result(pending)) as rows:
                pending.popleft()
                self._write(rows, data, rejected, failed)
            progress.report(self._counts["pages"], self._counts["received"])

        try:
            for session_id in self.sessions.ids(self.shard):
                self._counts["sessions_asked"] += 1
                pending.append(workers.submit(self._read, session_id, folder))
                if len(pending) >= (1 + _AHEAD) * self.max_concurrency:
                    write_next()
            while pending:
                write_next()
        finally:
            workers.stop()
            if pending:
                self.client.cancel()
            for future in wait(pending, timeout=_PATIENCE).done:
                if not future.cancelled() and future.exception() is None:
                    future.result().close()
            self.client.close()

    def _result(self, pending: Sequence[Future[SessionRows]]) -> SessionRows:
        """Return what was read of the first session. Raise at once for an error of any that concerns all sessions."""
        while True:
            self.client.check_cancelled()
            for future in pending:
                if future.done() and (error := future.exception()) is not None:
                    raise error
            if wait([pending[0]], timeout=_SLICE).done:
                return pending[0].result()

    def _read(self, session_id: str, folder: Path) -> SessionRows:
        """Return all rows of a session, or its error. Runs in a thread.

        :raises RobofyError: An error that every session would have, such as a wrong key or agent.
        """
        stamp = {PROJECT_ID: self.sessions.project_id, CHATBOT_ID: self.sessions.chatbot_id}
        rows = self.reading(session_id, stamp=stamp, folder=folder, privacy=self.privacy, times=self.times)
        try:
            failures = self._failures_in_sequence
            if failures >= self._hopeless_after:
                raise RobofyError(  # noqa: TRY301 (it is the outcome of this session)
                    f"not read, because the {failures} sessions before it failed in sequence"
                )
            for page in self.client.pages(rows.call(self.sessions, session_id)):
                rows.add(page.rows)
                rows.counts["pages"] += 1
            rows.finish()
        except BaseException as error:
            rows.close()
            if not isinstance(error, RobofyError) or isinstance(error, RobofyCancelledError) or _concerns_all(error):
                raise
            rows.error = error
        return rows

    @property
    def _hopeless_after(self) -> int:
        # A short outage makes all sessions fail that are being read at the time.
        return max(FEWEST_TO_GIVE_UP, 5 * self.max_concurrency)

    def _write(self, rows: SessionRows, data: Spool, rejected: Spool, failed: Spool) -> None:
        """Write and count what was read of the next session, in the order of the sessions."""
        if rows.error is not None and not isinstance(rows.error, RobofyNotFoundError):
            self._counts["sessions_failed"] += 1
            self._first_error = self._first_error or rows.error
            name = self.pseudonyms.short(rows.session_id)
            self._log_failure(name, rows.error)
            failed.append(_failed_line(rows.landed_id, name, rows.error))
            return
        self._failures_in_sequence = 0
        if rows.error is not None:
            self._counts["sessions_gone"] += 1
            return
        if isinstance(rows, SessionLeads):
            self._check_filter(rows.first_ids)
        self._counts["sessions_read"] += 1
        self._counts.update(rows.counts)
        self._times_seen += [at for at in (rows.first_at, rows.last_at) if at is not None]
        self._times_seen = [min(self._times_seen), max(self._times_seen)] if self._times_seen else []
        for lines in blocks(rows.landing):
            data.append(lines)
        for lines in blocks(rows.rejected):
            rejected.append(lines)

    def _log_failure(self, name: str, error: RobofyError) -> None:
        self._failures_in_sequence += 1
        failures = self._counts["sessions_failed"]
        if failures <= _LOGGED_FAILURES:
            _log.warning("Session %s failed: %s", name, error)
        if failures == _LOGGED_FAILURES:
            _log.warning("Further failures are not logged. The file of failed sessions lists all of them.")
        if self._failures_in_sequence == self._hopeless_after:
            _log.error(
                "%s sessions in sequence failed, so the others are not read. Check whether Robofy is up, then clear "
                "the task.",
                self._hopeless_after,
            )

    def _check_filter(self, first_ids: tuple[str, ...] | None) -> None:
        """Raise where several sessions have the same leads.

        :param first_ids: The ids on the first page of a session's leads.
        """
        if not first_ids:
            return
        self._first_pages[first_ids] += 1
        if (count := self._first_pages[first_ids]) >= _SAME_LEADS:
            raise RobofyConfigError(
                f"list_leads ({' '.join(ENDPOINTS['list_leads'])}): the server ignores the filter sessionId, since it "
                f"gives the same leads for {count} different sessions. So leads cannot be joined to sessions for this "
                "account: fetch them without sessions. No file was written."
            )

    def _check_drift(self) -> None:
        asked, name = self._counts["sessions_asked"], self.reading.endpoint
        if asked >= FEWEST_FOR_DRIFT and self._counts["sessions_gone"] == asked:
            raise RobofyConfigError(
                f"{name} ({' '.join(ENDPOINTS[name])}): all {asked} sessions are gone (404), though they were listed. "
                "The path probably differs for this account: set it in the connection's extra 'endpoints' under "
                f"{name!r}. If the sessions were really deleted, list them again. No file was written."
            )

    def _tolerate(self, manifest: MessagesManifest) -> None:
        wrong = []
        if manifest.sessions_failed > self.max_failed_sessions:
            wrong.append(
                f"{manifest.sessions_failed} of {manifest.sessions_asked} sessions failed, and max_failed_sessions is "
                f"{self.max_failed_sessions}. They are in {manifest.failed_uri}; the first one: {self._first_error}"
            )
        if manifest.rejected > self.max_rejected:
            wrong.append(
                f"{manifest.rejected} of {manifest.received} rows were rejected, and max_rejected is "
                f"{self.max_rejected}. They are in {manifest.rejected_uri} with the reasons."
            )
        if wrong:
            wrong.append(f"The others landed in {manifest.uri}, and the manifest is in XCom under the key 'manifest'.")
            error = RobofyDataError(" ".join(wrong))
            error.manifest = manifest.as_dict()
            raise error

    def _common(self) -> dict[str, Any]:
        """Return the fields that the file's identity and the manifest share."""
        return {
            "resource": self.reading.resource,
            "mode": self.sessions.manifest["mode"],
            "project_id": self.sessions.project_id,
            "chatbot_id": self.sessions.chatbot_id,
            "since": self.sessions.manifest.get("since"),
            "run_key": self.run_key,
            "sessions_uri": self.sessions.store.uri,
            "shard": None if self.shard.is_whole else [self.shard.index, self.shard.count],
            **self._counts,
        }

    def _summarise(self, manifest: MessagesManifest, seconds: float) -> None:
        _log.info(
            "Landed %s %s: %s sessions asked, %s read, %s gone, %s failed; received %s, rejected %s; "
            "%s pages, %s requests, %.1f s; in %s",
            manifest.rows,
            manifest.resource,
            manifest.sessions_asked,
            manifest.sessions_read,
            manifest.sessions_gone,
            manifest.sessions_failed,
            manifest.received,
            manifest.rejected,
            manifest.pages,
            manifest.requests,
            seconds,
            manifest.uri,
        )
        if self.privacy:
            self.privacy.report(_log, manifest.received)


def _failed_line(session_id: str, name: str, error: RobofyError) -> bytes:
    """Return a session's line in the file of failed sessions.

    :param session_id: Its id in the landed rows.
    :param name: Name of the session in the log, a keyed hash.
    :param error: The error for which it could not be read.
    """
    facts: dict[str, Any] = {}
    if isinstance(error, RobofyCallError):
        facts = {
            "endpoint": error.endpoint,
            "status": error.status,
            "attempts": error.attempts,
            "requested_at": error.requested_at,
        }
    what = {"error": type(error).__name__, "message": error.args[0]}
    return dump_line({"session_id": session_id, "session": name, **what, **facts})


def _concerns_all(error: RobofyError) -> bool:
    """Return whether every session would have this error, because key, project or agent is wrong."""
    code = error.code if isinstance(error, RobofyNotFoundError) else ""
    of_parent = "SESSION" not in code and any(word in code for word in ("PROJECT", "CHATBOT", "AGENT"))
    return isinstance(error, RobofyAuthError) or of_parent
