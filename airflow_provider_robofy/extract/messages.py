"""One run over many sessions, from the file that names them to the published manifest."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.aio import AsyncRobofyClient
from airflow_provider_robofy.api.endpoints import ENDPOINTS
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.extract.background import Background
from airflow_provider_robofy.extract.fanout import fan_out
from airflow_provider_robofy.extract.landing import Landing, identity
from airflow_provider_robofy.extract.listing import Progress
from airflow_provider_robofy.extract.messages_manifest import MessagesManifest
from airflow_provider_robofy.extract.rows import UNKNOWN
from airflow_provider_robofy.extract.session_reader import SessionReader
from airflow_provider_robofy.extract.transcript import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.api.errors import RobofyError
    from airflow_provider_robofy.api.settings import Settings
    from airflow_provider_robofy.extract.files import Spool, Store
    from airflow_provider_robofy.extract.landed import LandedSessions, Shard
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy, Pseudonyms
    from airflow_provider_robofy.extract.session_reader import ReadSession

#: That so many listed sessions have all been deleted is less likely than that the path is wrong.
FEWEST_FOR_DRIFT = 5
#: For each session that is being read so many others may wait, read, for one before them.
_AHEAD = 3

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Counts:
    """Count sessions, and the pages and rows of those that came whole."""

    asked: int = 0
    read: int = 0
    gone: int = 0
    failed: int = 0
    pages: int = 0
    received: int = 0


@dataclass(kw_only=True)
class MessagesExtraction:
    """Read the messages of many sessions, some sessions at a time, and land them.

    Usage::

        extraction = MessagesExtraction(sessions=LandedSessions.of(manifest, open_store), ...)
        manifest = extraction.run()

    :param sessions: Which sessions.
    :param shard: Which part of them.
    :param settings: How to reach Robofy. Each shard keeps to its part of the request budget.
    :param max_concurrency: Sessions read at a time.
    :param run_key: Which task of which run this is.
    :param store: Where the rows go.
    :param pseudonyms: What a session is called in the log.
    :param privacy: What becomes of personal data, or None.
    :param defuse_formulas: In CSV, put an apostrophe before what a spreadsheet could take for a formula.
    :param max_failed_sessions: Sessions that may fail, likewise ``max_rejected`` rows that may be rejected.
    :param now: Clock, for tests.
    """

    sessions: LandedSessions
    shard: Shard
    settings: Settings
    max_concurrency: int
    run_key: str
    store: Store
    pseudonyms: Pseudonyms
    privacy: PrivacyPolicy | None = None
    defuse_formulas: bool = True
    max_failed_sessions: int = 0
    max_rejected: int = 0
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _first_error: RobofyError | None = field(default=None, init=False)
    _background: Background = field(default_factory=Background, init=False)
    _counts: _Counts = field(default_factory=_Counts, init=False)

    def run(self) -> MessagesManifest:
        """Land every message, publish, and return the manifest.

        Until all sessions have been tried nothing is published, so an earlier good file survives a run that fails.

        :raises RobofyDataError: More sessions failed, or rows were rejected, than is allowed. What landed stays.
        :raises RobofyCancelledError: :meth:`cancel` was called.
        :raises RobofyError: The key was refused, all sessions are gone, or the result could not be landed.
        """
        started = self.now()
        progress = Progress(_log, "messages")
        with Landing(self.store, identity(self._common()), defuse_formulas=self.defuse_formulas) as landing:
            landing.check()
            with landing.spool() as data, landing.spool_rejected() as rejected, landing.spool_failed() as failed:
                requests = self._background.run(lambda: self._read_all(data, rejected, failed, progress))
                self._check_drift()
                for spool in (data, rejected, failed):
                    spool.finish()
                manifest = self._manifest(
                    **landing.facts(data, rejected),
                    failed_uri=landing.failed_uri if failed.rows else None,
                    requests=requests,
                    started_at=started.isoformat(),
                    finished_at=self.now().isoformat(),
                )
                self._background.heed_cancel()
                landing.publish(data, rejected, manifest, failed)
        self._summarise(manifest, progress.seconds)
        self._tolerate(manifest)
        return manifest

    def cancel(self) -> None:
        """End the run; nothing is published. May be called from a signal handler or another thread."""
        self._background.cancel()

    async def _read_all(self, data: Spool, rejected: Spool, failed: Spool, progress: Progress) -> int:
        """Read all sessions, write what comes into the spools, and return how many requests it took."""
        counts = self._counts

        def write(read: ReadSession) -> None:
            with closing(read):
                if read.error is None:
                    counts.read += 1
                    counts.pages += read.pages
                    counts.received += read.transcript.received
                    for lines in blocks(read.transcript.landing):
                        data.append(lines)
                    for lines in blocks(read.transcript.rejected):
                        rejected.append(lines)
                elif read.is_gone:
                    counts.gone += 1
                else:
                    counts.failed += 1
                    self._first_error = self._first_error or read.error
                    failed.append(read.failure(self.pseudonyms.short(read.session_id)))
            progress.report(counts.pages, counts.received)

        async with AsyncRobofyClient(self._settings(), connections=self.max_concurrency) as client:
            reader = SessionReader(
                client,
                chatbot_id=self.sessions.chatbot_id,
                stamp={"_project_id": self.sessions.project_id, "_chatbot_id": self.sessions.chatbot_id},
                folder=data.path.parent,
                pseudonyms=self.pseudonyms,
                privacy=self.privacy,
                at_a_time=self.max_concurrency,
            )
            await fan_out(
                self._asked(),
                reader.read,
                write,
                at_a_time=self.max_concurrency,
                ahead=_AHEAD * self.max_concurrency,
            )
            return client.requests

    def _asked(self) -> Iterator[str]:
        for session_id in self.sessions.ids(self.shard):
            self._counts.asked += 1
            yield session_id

    def _settings(self) -> Settings:
        budget = self.settings.requests_per_minute
        if budget is None or self.shard.is_whole:
            return self.settings
        return replace(self.settings, requests_per_minute=budget / self.shard.count)

    def _check_drift(self) -> None:
        asked, name = self._counts.asked, "list_session_messages"
        if asked >= FEWEST_FOR_DRIFT and self._counts.gone == asked:
            raise RobofyConfigError(
                f"{name} ({' '.join(ENDPOINTS[name])}): all {asked} sessions are gone (404), though they were listed. "
                "More likely the path differs for this account: set it in the connection's extra 'endpoints' under "
                f"{name!r}. If the sessions were deleted indeed, list them again. Nothing was published."
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
        """Return what identity and manifest have in common."""
        return {
            "resource": "messages",
            "mode": self.sessions.manifest["mode"],
            "project_id": self.sessions.project_id,
            "chatbot_id": self.sessions.chatbot_id,
            "since": self.sessions.manifest.get("since"),
            "until": None,
            "run_key": self.run_key,
            "sessions_uri": self.sessions.store.uri,
            "shard": None if self.shard.is_whole else [self.shard.index, self.shard.count],
        }

    def _manifest(self, **rest: Any) -> MessagesManifest:
        counts = self._counts
        return MessagesManifest(
            **self._common(),
            received=counts.received,
            duplicates=0,
            outside_window=0,
            undated=0,
            future=0,
            pages=counts.pages,
            end_marker=None,
            first_at=None,
            last_at=None,
            row_order=UNKNOWN,
            mark_before=None,
            mark_after=None,
            cursor_generation=None,
            privacy=self.privacy.rules if self.privacy else None,
            sessions_asked=counts.asked,
            sessions_read=counts.read,
            sessions_gone=counts.gone,
            sessions_failed=counts.failed,
            **rest,
        )

    def _summarise(self, manifest: MessagesManifest, seconds: float) -> None:
        _log.info(
            "Landed %s messages in %s: %s sessions asked, %s read, %s gone, %s failed; received %s, rejected %s; "
            "%s pages, %s requests, %.1f s",
            manifest.rows,
            manifest.uri,
            manifest.sessions_asked,
            manifest.sessions_read,
            manifest.sessions_gone,
            manifest.sessions_failed,
            manifest.received,
            manifest.rejected,
            manifest.pages,
            manifest.requests,
            seconds,
        )
        if self.privacy:
            self.privacy.report(_log, manifest.received)
