"""The whole probe: what is asked in which order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api import endpoints
from airflow_provider_robofy.probe.ask import Asker, Bounds
from airflow_provider_robofy.probe.others import about_endpoint, no_id
from airflow_provider_robofy.probe.questions import about_answers, about_listing
from airflow_provider_robofy.probe.seen import Listing, compare
from airflow_provider_robofy.probe.shapes import NO_ROWS, Failure, ids_of
from airflow_provider_robofy.probe.times import ZoneEvidence
from airflow_provider_robofy.probe.words import ID_NAMES, Names
from airflow_provider_robofy.resources import LEADS, MESSAGES, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.probe.findings import Finding


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
    names, zone = Names(reveal=reveal), ZoneEvidence()
    leads, sessions, messages = (Listing(one, connection, names, zone) for one in (LEADS, SESSIONS, MESSAGES))
    others: list[Finding] = []
    with asker.client:
        asker.reserved = min(1, bounds.max_requests - 1)  # for the second read of leads
        project_id, chatbot_id = connection.project_id, connection.chatbot_id
        if not project_id:
            # Not for paths to try: the report shows those, and nothing that an answer says.
            project_id = _first_id(asker, endpoints.list_projects(), "project_id", others)
        if project_id and not chatbot_id:
            chatbot_id = _first_id(asker, endpoints.list_agents(project_id), "chatbot_id", others)
        if project_id and chatbot_id:
            _read(asker, endpoints.list_leads(project_id, chatbot_id), leads, bounds.lead_pages)
        if chatbot_id:
            ids = _read(asker, endpoints.list_sessions(chatbot_id), sessions, bounds.session_pages)[: bounds.sessions]
            _read_messages(asker, chatbot_id, ids, messages)
            if ids and project_id and leads.pages and not leads.end_markers:
                # The leads of one session are a listing so short that its end is seen.
                few = Listing(LEADS, connection, names, zone)
                _read(asker, endpoints.list_leads(project_id, chatbot_id, session_id=ids[0]), few, 1)
                leads.end_markers += few.end_markers
        for listing in (leads, sessions):
            if listing.first_at is not None and listing.times.different:
                zone.newest(max(listing.times.different), listing.first_at)
        others += _ask_others(asker, project_id, chatbot_id, names, zone)
        asker.reserved = 0
        if leads.first_page and project_id and chatbot_id:
            asker.pause(bounds.wait)
            if meanwhile is not None:
                meanwhile()
            _read_again(asker, endpoints.list_leads(project_id, chatbot_id), leads)
    asked = [listing for listing in (leads, sessions) if listing.reads]
    if sessions.pages and sessions.shape.trouble != NO_ROWS:
        asked.append(messages)
    findings = [finding for listing in asked for finding in about_listing(listing)]
    return Survey(
        connection=connection,
        findings=[*findings, *others, *about_answers(asker.answers)],
        requests=asker.requests,
        seconds=asker.seconds,
        ended=asker.ended,
        left_out=asker.left_out,
    )


def _first_id(asker: Asker, call: Call[Any], name: str, findings: list[Finding]) -> str | None:
    """Return the first id of a listing; where there is none, add a finding that says so."""
    answer = asker.ask(call)
    rows = answer.rows.items if not isinstance(answer, Failure) and answer.rows else []
    found = ids_of(rows, ID_NAMES[call.endpoint])
    if found:
        return found[0]
    why = answer.what if isinstance(answer, Failure) else "none was found in the answer"
    findings.append(no_id(name, call.endpoint, why))
    return None


def _read(asker: Asker, call: Call[Any], listing: Listing, pages: int) -> list[str]:
    """Read the first pages of a listing, and return the ids of their rows: for asking on only."""
    ids: list[str] = []
    token: str | None = None
    listing.begin()
    for number, answer in enumerate(islice(asker.pages(call), pages)):
        if isinstance(answer, Failure):
            listing.stopped = answer
            listing.failure = None if number else answer
            break
        listing.take(answer, asker.at, token)
        if answer.rows is not None:
            token = answer.rows.token
            ids += ids_of(answer.rows.items, (listing.resource.id or "",))
    return ids


def _read_messages(asker: Asker, chatbot_id: str, session_ids: list[str], messages: Listing) -> None:
    for session_id in session_ids:
        _read(asker, endpoints.list_session_messages(chatbot_id, session_id), messages, 2)
        if messages.failure is not None:
            return


def _read_again(asker: Asker, call: Call[Any], leads: Listing) -> None:
    """Read the first page of leads again, to see which came, changed or vanished since."""
    again = Listing(LEADS, leads.connection, leads.names, leads.zone)
    _read(asker, call, again, 1)
    if again.shape.trouble == NO_ROWS:
        again.failure = Failure(what="no list of rows was found in the answer")
    leads.second = again.failure
    if again.failure or leads.first_at is None or again.first_at is None:
        return
    for row_id in again.seen.keys() - leads.seen.keys():
        if (at := again.seen[row_id][1]) is not None:
            leads.zone.came(at, leads.first_at, again.first_at)
    seconds = max((again.first_at - leads.first_at).total_seconds(), 0.0)
    leads.second = {"seconds": round(seconds), **compare(leads, again)}


def _ask_others(
    asker: Asker, project_id: str | None, chatbot_id: str | None, names: Names, zone: ZoneEvidence
) -> Iterator[Finding]:
    """Ask the other endpoints, as far as the ids are known, and yield a finding about each."""
    calls: list[Call[Any]] = [
        endpoints.list_projects(),
        endpoints.account_limit(),
        endpoints.account_details(),
        endpoints.message_stats(),
    ]
    if project_id:
        calls += [endpoints.retrieve_project(project_id), endpoints.list_agents(project_id)]
    if project_id and chatbot_id:
        calls += [
            endpoints.retrieve_agent(project_id, chatbot_id),
            endpoints.retrieve_agent_settings(project_id, chatbot_id),
            endpoints.list_linked_assets(project_id, chatbot_id),
            endpoints.get_crawl_status(project_id, chatbot_id),
        ]
    for call in calls:
        answer = asker.ask(call)
        if isinstance(answer, Failure) and not answer.asked:
            continue
        zone.hints.update(() if isinstance(answer, Failure) else answer.zones)
        yield about_endpoint(call.endpoint, answer, names)
