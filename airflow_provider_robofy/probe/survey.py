"""The whole probe: what is asked in which order, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.api.times import TimeReader
from airflow_provider_robofy.probe import general, inbox, leads, others
from airflow_provider_robofy.probe.asking import Asker, Bounds
from airflow_provider_robofy.probe.failure import Failure
from airflow_provider_robofy.probe.finding import Finding
from airflow_provider_robofy.probe.lead_data import LeadDataStudy
from airflow_provider_robofy.probe.listing import ListingSeen, first_page, read_listing
from airflow_provider_robofy.probe.listings import Teller
from airflow_provider_robofy.probe.rows import RowsStudy
from airflow_provider_robofy.probe.shapes import NO_ROWS
from airflow_provider_robofy.probe.times import ZoneEvidence
from airflow_provider_robofy.probe.words import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airflow_provider_robofy.api.client import Clock
    from airflow_provider_robofy.hooks.connection import RobofyConnection


@dataclass(slots=True)
class Survey:
    """Hold what a probe found.

    :param findings: In the order of the report.
    :param requests: Requests sent, and the ``seconds`` that all took.
    :param ended: Why it ended early, if it did.
    :param left_out: Calls that were not made for that reason.
    """

    findings: list[Finding] = field(default_factory=list)
    requests: int = 0
    seconds: float = 0.0
    ended: Failure | None = None
    left_out: int = 0

    @property
    def complete(self) -> bool:
        """Tell whether every question that was asked has an answer."""
        return self.ended is None and not any(finding.open for finding in self.findings)


class Prober:
    """Ask an account, within bounds, how it answers what is not documented.

    Usage::

        connection = read_connection(host=None, password=key, extra={"project_id": 24017}, user_agent=user_agent())
        survey = Prober(connection, Bounds()).run()

    :param connection: How to reach the account, and what it is taken for now.
    :param bounds: How much to ask.
    :param reveal: Say names of fields, and of form fields, that the probe does not know.
    :param clock: Clocks and dice, for tests.
    :param meanwhile: Called before the second look at leads; for tests.
    """

    def __init__(
        self,
        connection: RobofyConnection,
        bounds: Bounds,
        *,
        reveal: bool = False,
        clock: Clock | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self._connection = connection
        self._bounds = bounds
        self._names = Names(reveal=reveal)
        self._asker = Asker(connection.settings, bounds, clock=clock)
        self._meanwhile = meanwhile
        self._project_id = connection.project_id
        self._chatbot_id = connection.chatbot_id
        self._zone = ZoneEvidence()
        self._other: list[Finding] = []
        self._stopped: Failure | None = None
        self._first_page: list[Any] = []
        self._session_ids: list[str] = []
        self._leads = ListingSeen("list_leads", RowsStudy(times=("created_at",), ids=("id",)))
        self._sessions = ListingSeen("list_sessions", RowsStudy(times=("last_message_time",), ids=("session_id",)))
        self._messages = ListingSeen(
            "list_session_messages", RowsStudy(times=inbox.MESSAGE_TIMES, ids=inbox.MESSAGE_IDS)
        )

    def run(self) -> Survey:
        """Ask everything, and return what was found. Failures are findings too."""
        with self._asker.client:
            self._asker.reserved = min(1, self._bounds.max_requests - 1)  # for the second look
            self._find_ids()
            data, directions, speakers = LeadDataStudy(), inbox.WordsStudy(), inbox.WordsStudy()
            if self._project_id and self._chatbot_id:
                self._read_leads(data)
            if self._chatbot_id:
                self._read_sessions(directions)
            conversations = self._read_messages(speakers)
            self._read_others()
            self._asker.reserved = 0
            second = self._look_again()
        return self._told(data, directions, speakers, conversations, second)

    # -------------------------------------------------------------------------------------------------- asking
    def _find_ids(self) -> None:
        """Take the first project and agent of the key where none is given."""
        if not self._project_id:
            self._project_id = self._first_of(endpoints.list_projects(), "project_id")
        if self._project_id and not self._chatbot_id:
            self._chatbot_id = self._first_of(endpoints.list_agents(self._project_id), "chatbot_id")

    def _first_of(self, call: Any, name: str) -> str | None:
        answer = self._asker.ask(others.looked(call))
        found = None if isinstance(answer, Failure) else answer.value.id
        if found is None:
            why = answer.what if isinstance(answer, Failure) else "none was found in the answer"
            option = f"--{name.replace('_', '-')}"
            self._other.append(
                Finding(
                    topic="other",
                    name=name,
                    found=f"none is set, and {call.endpoint} gave none: {why}",
                    assumed=f"the connection's extra {name}",
                    advice=f"Give {option}, or set the extra {name}. It stands in Robofy's dashboard.",
                    open=True,
                )
            )
        return found

    def _read_leads(self, data: LeadDataStudy) -> None:
        def look(rows: list[Any]) -> None:
            data.take(rows)
            if self._leads.study.pages == 1:
                self._first_page = rows

        assert self._project_id  # noqa: S101 (asked before)
        assert self._chatbot_id  # noqa: S101
        call = endpoints.list_leads(self._project_id, self._chatbot_id)
        read_listing(self._asker, call, self._leads, self._bounds.lead_pages, project_id=self._project_id, look=look)
        self._note_newest(self._leads)

    def _read_sessions(self, directions: inbox.WordsStudy) -> None:
        def look(rows: list[Any]) -> None:
            directions.take(rows)
            ids = (row.get("session_id") for row in rows if isinstance(row, dict))
            self._session_ids += [str(one) for one in ids if isinstance(one, str | int) and not isinstance(one, bool)]
            del self._session_ids[self._bounds.sessions :]

        call = endpoints.list_sessions(self._chatbot_id or "")
        read_listing(
            self._asker, call, self._sessions, self._bounds.session_pages, project_id=self._project_id, look=look
        )
        self._note_newest(self._sessions)

    def _read_messages(self, speakers: inbox.WordsStudy) -> int:
        """Read some sessions' messages, and one session's leads: a listing so short that its end is seen."""
        for number, session_id in enumerate(self._session_ids):
            self._messages.study.begin()
            read_listing(
                self._asker,
                endpoints.list_session_messages(self._chatbot_id or "", session_id),
                self._messages,
                2,
                project_id=self._project_id if number == 0 else None,
                look=speakers.take,
            )
            if self._messages.failure is not None:
                break
        if self._session_ids and self._project_id and not self._leads.end_markers and not self._leads.failure:
            call = endpoints.list_leads(self._project_id, self._chatbot_id or "", session_id=self._session_ids[0])
            few = ListingSeen("list_leads", RowsStudy(times=(), ids=("id",)))
            read_listing(self._asker, call, few, 1)
            self._leads.end_markers += few.end_markers
        return len(self._session_ids)

    def _read_others(self) -> None:
        for call in others.calls(self._project_id, self._chatbot_id):
            if self._asker.stopped:
                self._stopped = self._asker.stopped
                self._asker.left_out += 1
                continue
            finding, seen = others.look(self._asker, call, self._project_id, self._names)
            self._other.append(finding)
            if seen is not None:
                self._zone.hints.update(seen.glance.zones)

    def _look_again(self) -> leads.Second | Failure | None:
        study, first_at = self._leads.study, self._leads.first_at
        if not self._first_page or first_at is None or not self._project_id:
            return None
        if self._bounds.wait and self._asker.ended is None:
            self._asker.pause(self._bounds.wait)
        if self._meanwhile is not None:
            self._meanwhile()
        again = first_page(self._asker, endpoints.list_leads(self._project_id, self._chatbot_id or ""))
        if isinstance(again, Failure):
            return again
        rows, now = again
        after = study.hashes(rows)
        for name in after.keys() - study.seen.keys():
            at = after[name][1]
            if at is not None:
                self._zone.came(at, first_at, now)
                self._zone.newest(at, now)
        seconds = max((now - first_at).total_seconds(), 0.0)
        return leads.compare(study.hashes(self._first_page), set(study.seen), after, seconds)

    def _note_newest(self, seen: ListingSeen) -> None:
        newest = seen.study.times.newest
        if newest is not None and seen.first_at is not None:
            self._zone.newest(newest, seen.first_at)

    # -------------------------------------------------------------------------------------------------- telling
    def _told(
        self,
        data: LeadDataStudy,
        directions: inbox.WordsStudy,
        speakers: inbox.WordsStudy,
        conversations: int,
        second: leads.Second | Failure | None,
    ) -> Survey:
        found: list[Finding] = []
        if self._project_id and self._chatbot_id:
            teller = Teller("leads", self._leads, self._names)
            found += leads.findings(
                teller,
                data,
                order=self._connection.leads_order,
                zone_finding=leads.zone(teller, self._zone, self._connection.times.timezone, self._now()),
                change=leads.changes(teller, second),
            )
        if self._chatbot_id:
            teller = Teller("sessions", self._sessions, self._names)
            found += inbox.sessions(teller, directions, self._connection.sessions_order)
            if not self._sessions.failure and self._sessions.trouble != NO_ROWS:
                teller = Teller("messages", self._messages, self._names)
                found += inbox.messages(teller, speakers, conversations)
        found += self._other
        found += general.findings(self._asker.wire)
        asker = self._asker
        return Survey(found, asker.wire.requests, asker.seconds, asker.ended or self._stopped, asker.left_out)

    def _now(self) -> datetime:
        return self._leads.first_at or TimeReader().read(0)
