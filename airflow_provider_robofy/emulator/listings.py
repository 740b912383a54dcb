"""The endpoints that list things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_robofy.emulator.answers import Answer, json_answer, not_found
from airflow_provider_robofy.emulator.pages import Page, cut, leads_payload, payload, plain

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.agents import Agent
    from airflow_provider_robofy.emulator.ask import Ask
    from airflow_provider_robofy.emulator.world import World


def leads_page(world: World, agent: Agent, number: int) -> Page:
    """
    Cut one page out of an agent's leads as they are now.

    :param world: the account.
    :param agent: whose leads.
    :param number: the page, from 1.
    """
    settings, book = world.settings, agent.leads
    start, stop, token = cut(len(book), number, settings.page_size, settings)

    def between(low: int, high: int) -> list[Any]:
        return list(book.rows(book.numbers(settings.order, low, high), world.write))

    return Page(between(start, stop), number, token, lambda: between(max(start - settings.page_size, 0), start))


def leads_bytes(world: World, agent: Agent, number: int) -> tuple[bytes, bool]:
    """
    Return one page of leads as it goes over the wire, and whether the memory for such pages still has room.

    :param world: the account.
    :param agent: whose leads.
    :param number: the page, from 1.
    """
    body = world.cache.get((agent.chatbot_id, number))
    if body is not None:
        return body, True
    body = orjson.dumps(leads_payload(leads_page(world, agent, number), world.settings))
    return body, world.cache.put((agent.chatbot_id, number), body)


def prerender(world: World) -> int:
    """
    Render pages of leads until all are there or the memory for them is full; returns how many.

    :param world: the account.
    """
    done = 0
    for agent in world.agents.values():
        for number in range(1, len(agent.leads) // world.settings.page_size + 2):
            if not leads_bytes(world, agent, number)[1]:
                return done
            done += 1
    return done


async def list_leads(world: World, ask: Ask) -> Answer:
    """Answer List Leads: an agent's, or one session's, which are all on one page unless they are many."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    session_id = ask.query.get("sessionId")
    if not session_id:
        if not ask.edits:
            return Answer(leads_bytes(world, agent, ask.page_number)[0])
        page = leads_page(world, agent, ask.page_number)
    else:
        session = agent.sessions.get(session_id)
        index = None if session is None else session.index
        rows = agent.leads.rows(agent.leads.of_session(world.settings.order, session_id, index), world.write)
        size, number = world.settings.page_size, ask.page_number
        start, stop, token = cut(len(rows), number, size, world.settings)
        page = Page(rows[start:stop], number, token, lambda: rows[max(start - size, 0) : start])
    _spoil(page, ask)
    return json_answer(leads_payload(page, world.settings))


def _spoil(page: Page, ask: Ask) -> None:
    for edit in ask.edits:
        edit(page)


def _plain(world: World, ask: Ask, rows: Sequence[Any], size: int) -> Answer:
    page = plain(ask.endpoint, rows, ask.page_number, size, world.settings)
    _spoil(page, ask)
    return json_answer(payload(ask.endpoint, page, world.settings))


class _Lazy(Sequence[Any]):
    """Rows made only for the page that is asked for."""

    def __init__(self, items: Sequence[Any], make: Any) -> None:
        self._items = items
        self._make = make

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, at: Any) -> Any:
        return [self._make(item) for item in self._items[at]] if isinstance(at, slice) else self._make(self._items[at])


async def list_sessions(world: World, ask: Ask) -> Answer:
    """Answer List Sessions of an agent."""
    agent = world.agent(ask.params["chatbotId"])
    sessions = agent.sessions.listed(world.settings.sessions_order)
    rows = _Lazy(sessions, lambda session: session.row(world.write))
    return _plain(world, ask, rows, world.settings.sessions_page_size)


async def list_session_messages(world: World, ask: Ask) -> Answer:
    """Answer List Session Messages of one session."""
    session = world.agent(ask.params["chatbotId"]).sessions.get(ask.params["sessionId"])
    if session is None:
        raise not_found("The session does not exist.", "session_id", "SESSION_NOT_FOUND")
    settings = world.settings
    # The key and number of a session's messages say what they are: nothing else about them ever changes.
    page = (session.key, session.session_id, len(session), ask.page_number)
    if not ask.edits and (body := world.cache.get(page)) is not None:
        return Answer(body)
    positions: Sequence[int] = range(len(session))
    if settings.messages_order == "newest_first":
        positions = positions[::-1]
    elif settings.messages_order == "none":
        positions = sorted(positions, key=lambda at: (at * 0x9E3779B1 & 0xFFFFFFFF, at))
    rows = _Lazy(positions, lambda at: session.message_row(at, world.write, with_id=settings.message_ids))
    answer = _plain(world, ask, rows, settings.messages_page_size)
    if not ask.edits:
        world.cache.put(page, answer.body)
    return answer


async def list_agents(world: World, ask: Ask) -> Answer:
    """Answer List Agents of the project."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    rows = [agent.row(world.write) for agent in world.agents.values()]
    return _plain(world, ask, rows, world.settings.agents_page_size)


async def list_linked_assets(world: World, ask: Ask) -> Answer:
    """Answer List Linked Assets of an agent."""
    world.check_project(ask.params.get("projectId", world.settings.project))
    agent = world.agent(ask.params["chatbotId"])
    rows = world.knowledge.asset_rows(agent.chatbot_id, world.settings.processing_seconds, world.write)
    return _plain(world, ask, rows, 0)


async def list_projects(world: World, ask: Ask) -> Answer:
    """Answer List Projects: the one there is."""
    return _plain(world, ask, [world.project_row()], 0)
