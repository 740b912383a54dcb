"""The whole probe: what is asked in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.probe.answer import NO_ROWS, Answer, Failure
from airflow_provider_robofy.probe.ask import Asker, Bounds
from airflow_provider_robofy.probe.others import about_endpoint, no_id, zones_of
from airflow_provider_robofy.probe.questions import Finding, about_answers, about_listing
from airflow_provider_robofy.probe.seen import Listing, id_of, objects
from airflow_provider_robofy.probe.times import ZoneEvidence, moment
from airflow_provider_robofy.probe.words import ID_NAMES, Names
from airflow_provider_robofy.resources import LEADS, MESSAGES, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.hooks.connection import RobofyConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a probe found.

    :param connection: What was probed.
    :param findings: In the order of the report.
    :param requests: Requests sent.
    :param seconds: What all took.
    :param ended: Why it ended early, or None.
    :param left_out: Calls that were not made for that reason.
    """

    connection: RobofyConnection
    findings: list[Finding]
    requests: int
    seconds: float
    ended: Failure | None
    left_out: int

    @property
    def complete(self) -> bool:
        """Return whether every question has an answer."""
        return self.ended is None and not any(finding.open for finding in self.findings)


def probe(
    connection: RobofyConnection,
    bounds: Bounds | None = None,
    *,
    reveal: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> Survey:
    """Ask an account, within bounds, how it answers what is not documented. A failed call is a finding too.

    Usage::

        connection = read_connection(host=None, password=key, extra={"project_id": 24017}, user_agent=user_agent())
        survey = probe(connection)

    :param connection: How to reach the account, and what the provider assumes of it now.
    :param bounds: How much to ask. Default :class:`Bounds`.
    :param reveal: Write names of fields, and of form fields, that the probe does not know. Default False.
    :param meanwhile: Called before the second read of leads, for tests. Default nothing.
    :raises RobofyConfigError: Proxies or certificates of the environment cannot be used.
    """
    bounds = bounds or Bounds()
    asker = Asker(connection, bounds)
    zone, others = ZoneEvidence(), list[Finding]()
    seen = partial(Listing, connection=connection, names=Names(reveal=reveal), zone=zone)
    leads, sessions, messages = (seen(one, runs=[]) for one in (LEADS, SESSIONS, MESSAGES))
    with asker.client:
        asker.reserved = min(1, bounds.max_requests - 1)  # for the second read of leads
        project_id, chatbot_id = connection.project_id, connection.chatbot_id
        if not project_id:
            # Not for paths to try: the report shows those, and nothing that an answer says.
            project_id = _first_id(asker, endpoints.list_projects(), "project_id", others)
        if project_id and not chatbot_id:
            chatbot_id = _first_id(asker, endpoints.list_agents(project_id), "chatbot_id", others)
        if project_id and chatbot_id:
            leads = seen(LEADS, runs=[asker.read(endpoints.list_leads(project_id, chatbot_id), bounds.lead_pages)])
        if chatbot_id:
            sessions = seen(SESSIONS, runs=[asker.read(endpoints.list_sessions(chatbot_id), bounds.session_pages)])
            ids = _ids_of(sessions.rows, ("session_id",))
            messages = seen(MESSAGES, runs=_read_messages(asker, chatbot_id, ids[: bounds.sessions]))
            if ids and project_id and leads.answers and not leads.ends:
                of_one = endpoints.list_leads(project_id, chatbot_id, session_id=ids[0])
                leads = replace(leads, short=asker.read(of_one, 1))
        for endpoint, answer in _ask_others(asker, project_id, chatbot_id):
            zone.hints |= zones_of(answer) if isinstance(answer, Answer) else set()
            others.append(about_endpoint(endpoint, answer, leads.names))
        asker.reserved = 0
        if project_id and chatbot_id and leads.answers and leads.by_id(leads.answers[0]):
            asker.pause(bounds.wait)
            if meanwhile is not None:
                meanwhile()
            leads = replace(leads, again=asker.read(endpoints.list_leads(project_id, chatbot_id), 1))
    _add_times(zone, leads, sessions)
    asked = [listing for listing in (leads, sessions) if listing.runs]
    if sessions.answers and sessions.worst.trouble != NO_ROWS:
        asked.append(messages)
    findings = [finding for listing in asked for finding in about_listing(listing)]
    return Survey(
        connection=connection,
        findings=[*findings, *others, *about_answers(asker.heads)],
        requests=asker.requests,
        seconds=asker.seconds,
        ended=asker.ended,
        left_out=asker.left_out,
    )


def _ids_of(rows: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Return the ids of rows, for the calls that follow; they are not written."""
    return [str(row_id) for row in objects(rows) if (row_id := id_of(row, names)) is not None]


def _first_id(asker: Asker, call: Call[Any], name: str, findings: list[Finding]) -> str | None:
    """Return the first id of a listing; where there is none, add a finding that says so."""
    answer = asker.ask(call)
    ids = [] if isinstance(answer, Failure) else _ids_of(answer.items, ID_NAMES[call.endpoint])
    if ids:
        return ids[0]
    why = answer.what if isinstance(answer, Failure) else "none was found in the answer"
    findings.append(no_id(name, call.endpoint, why))
    return None


def _read_messages(asker: Asker, chatbot_id: str, session_ids: list[str]) -> list[list[Answer | Failure]]:
    runs: list[list[Answer | Failure]] = []
    for session_id in session_ids:
        runs.append(asker.read(endpoints.list_session_messages(chatbot_id, session_id), 2))
        if isinstance(runs[-1][0], Failure):
            break
    return runs


def _ask_others(asker: Asker, project_id: str | None, chatbot_id: str | None) -> Iterator[tuple[str, Answer | Failure]]:
    """Ask the other endpoints, as far as the ids are known, and yield their names with what came of it."""
    calls: list[Call[Any]] = [
        endpoints.list_projects(), endpoints.account_limit(), endpoints.account_details(), endpoints.message_stats()
    ]  # fmt: skip
    if project_id:
        calls += [endpoints.retrieve_project(project_id), endpoints.list_agents(project_id)]
    if project_id and chatbot_id:
        of_agent = (
            endpoints.retrieve_agent, endpoints.retrieve_agent_settings, endpoints.list_linked_assets,
            endpoints.get_crawl_status,
        )  # fmt: skip
        calls += [make(project_id, chatbot_id) for make in of_agent]
    for call in calls:
        answer = asker.ask(call)
        if isinstance(answer, Answer) or answer.asked:
            yield call.endpoint, answer


def _add_times(zone: ZoneEvidence, leads: Listing, sessions: Listing) -> None:
    """Add the newest times, and those of leads that came between the two reads, to the evidence of the zone."""
    for listing in (leads, sessions):
        if listing.times.moments:
            zone.newest(max(listing.times.moments), listing.answers[0].at)
    known = {leads.id_of(row) for row in leads.rows} | {None}
    for again in leads.again:
        if isinstance(again, Answer):
            for row in objects(again.items):
                at = moment(row.get(leads.times.name or ""))
                if at is not None and leads.id_of(row) not in known:
                    zone.came(at, leads.answers[0].at, again.at)
