"""What may be done to a running emulator; the control API and the in-process class both stand on this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_robofy.emulator import fault_kinds, times
from airflow_provider_robofy.emulator.sessions import Message, Session

if TYPE_CHECKING:
    from airflow_provider_robofy.emulator.agents import Agent
    from airflow_provider_robofy.emulator.journal import Request
    from airflow_provider_robofy.emulator.server import RobofyServer


class ControlError(ValueError):
    """Something that cannot be done; the text says why."""


class Operations:
    """
    Change and watch a server. Must be called on its event loop.

    :param server: the server.
    """

    def __init__(self, server: RobofyServer) -> None:
        self._server = server

    # ------------------------------------------------------------------------------------------------- watching
    def state(self) -> dict[str, Any]:
        """Return counts, settings, faults and how many requests each endpoint got."""
        world, journal = self._server.world, self._server.journal
        return {
            "url": self._server.url,
            "project_id": str(world.settings.project),
            "agents": [
                {"chatbot_id": agent.chatbot_id, "leads": len(agent.leads), "sessions": len(agent.sessions)}
                for agent in world.agents.values()
            ],
            "assets": len(world.knowledge.assets),
            "crawls": len(world.knowledge.crawls),
            "requests": dict(journal.served),
            "in_flight": journal.in_flight,
            "peak_in_flight": journal.peak_in_flight,
            "faults": self.faults(),
            "settings": world.settings.as_json(),
        }

    def requests(self, endpoint: str | None = None) -> list[Request]:
        """
        Return recent requests, oldest first.

        :param endpoint: only of this endpoint.
        """
        return [each for each in self._server.journal.recent if endpoint in {None, each.endpoint}]

    def clear_requests(self) -> None:
        """Forget all requests and start counting anew."""
        self._server.journal.clear()

    def assets(self) -> list[dict[str, Any]]:
        """Return every file and text taken in, delinked ones too."""
        return [asset.as_json() for asset in self._server.world.knowledge.assets]

    def crawls(self) -> list[dict[str, Any]]:
        """Return every crawl started."""
        return [crawl.as_json() for crawl in self._server.world.knowledge.crawls]

    # ---------------------------------------------------------------------------------------------------- leads
    def leads(self, chatbot_id: str | None = None) -> list[dict[str, Any]]:
        """
        Return all rows of an agent as the API would list them.

        :param chatbot_id: the agent, None for the first.
        """
        world, agent = self._server.world, self._agent(chatbot_id)
        return agent.leads.rows(agent.leads.numbers(world.settings.order, 0, len(agent.leads)), world.write)

    def add_leads(
        self, count: int, *, chatbot_id: str | None, created_at: Any, session_id: str | None, fields: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """
        Add leads and return their rows.

        :param count: how many.
        :param chatbot_id: of which agent, None for the first.
        :param created_at: their time, None for now.
        :param session_id: the session that they came from, if any.
        :param fields: what their rows say instead of seeded values.
        """
        if not _is_count(count, 1, 100_000):
            raise ControlError(f"count must be a whole number from 1 to 100000, not {count!r}")
        if count > 1 and "id" in fields:
            raise ControlError("an id can be given to one lead only")
        _check_json(fields)
        world, agent = self._server.world, self._agent(chatbot_id)
        if "id" in fields and agent.leads.find(fields["id"]) is not None:
            raise ControlError(f"there is a lead {fields['id']!r} already")
        moment = self._moment(created_at)
        numbers = [agent.leads.add(moment, session_id, fields) for _ in range(count)]
        world.touch()
        return agent.leads.rows(numbers, world.write)

    def change_lead(
        self, lead_id: str, *, chatbot_id: str | None, created_at: Any, fields: dict[str, Any]
    ) -> dict[str, Any]:
        """
        Change a lead and return its row.

        :param lead_id: its id.
        :param chatbot_id: its agent, None to look at all.
        :param created_at: its new time, None to leave it.
        :param fields: what its row says from now on.
        """
        _check_json(fields)
        agent, number = self._lead(lead_id, chatbot_id)
        agent.leads.change(number, None if created_at is None else self._moment(created_at), fields)
        self._server.world.touch()
        return agent.leads.rows([number], self._server.world.write)[0]

    def delete_lead(self, lead_id: str, *, chatbot_id: str | None) -> None:
        """
        Delete a lead.

        :param lead_id: its id.
        :param chatbot_id: its agent, None to look at all.
        """
        agent, number = self._lead(lead_id, chatbot_id)
        agent.leads.delete(number)
        self._server.world.touch()

    # ------------------------------------------------------------------------------------------------- sessions
    def add_session(
        self, session_id: str, *, chatbot_id: str | None, at: Any, messages: int, fields: dict[str, Any]
    ) -> dict[str, Any]:
        """
        Add a session and return its row.

        :param session_id: its id, any text.
        :param chatbot_id: of which agent, None for the first.
        :param at: when it was last touched, None for now.
        :param messages: how many messages it holds.
        :param fields: what its row says beside or instead of the usual.
        """
        if not session_id:
            raise ControlError("session_id must not be empty")
        if not _is_count(messages, 0, 1_000_000):
            raise ControlError(f"messages must be a whole number from 0 to 1000000, not {messages!r}")
        _check_json(fields)
        agent = self._agent(chatbot_id)
        if agent.sessions.get(session_id) is not None:
            raise ControlError("there is a session of that id already")
        session = agent.sessions.add(session_id, self._moment(at), fields)
        session.seeded_count = messages
        return session.row(self._server.world.write)

    def add_message(
        self, session_id: str, text: str, *, chatbot_id: str | None, incoming: bool, at: Any, fields: dict[str, Any]
    ) -> dict[str, Any]:
        """
        Add a message at the end of a session and return its row.

        :param session_id: which session.
        :param text: what was said.
        :param chatbot_id: of which agent, None for the first.
        :param incoming: True for the visitor's words, False for the agent's.
        :param at: when, None for now.
        :param fields: what its object says beside or instead of that.
        """
        _check_json(fields)
        session = self._session(session_id, chatbot_id)
        session.later.append(Message(self._moment(at), incoming, text, fields))
        world = self._server.world
        return session.message_row(len(session) - 1, world.write, with_id=world.settings.message_ids)

    def delete_session(self, session_id: str, *, chatbot_id: str | None) -> None:
        """
        Delete a session with its messages; its leads stay.

        :param session_id: which session.
        :param chatbot_id: of which agent, None for the first.
        """
        self._session(session_id, chatbot_id)
        self._agent(chatbot_id).sessions.delete(session_id)

    # ------------------------------------------------------------------------------------------------- settings
    def faults(self) -> list[dict[str, Any]]:
        """Return the faults that are set, spent ones too."""
        return [fault.as_json() for fault in self._server.faults]

    def fault(self, kind: str, options: dict[str, Any]) -> dict[str, Any]:
        """
        Set a fault.

        :param kind: its name.
        :param options: its options.
        """
        made = fault_kinds.build(kind, options)
        self._server.faults.append(made)
        return made.as_json()

    def clear_faults(self, kind: str | None = None) -> None:
        """
        Take faults away.

        :param kind: only those of this kind.
        """
        if kind is not None and kind not in fault_kinds.KINDS:
            raise ControlError(f"unknown fault {kind!r}; known: {', '.join(fault_kinds.KINDS)}")
        self._server.faults = [fault for fault in self._server.faults if kind is not None and fault.kind != kind]

    def configure(self, changes: dict[str, Any]) -> None:
        """
        Change settings.

        :param changes: new values by name.
        """
        self._server.configure(changes)

    def reset(self, changes: dict[str, Any]) -> None:
        """
        Start over with the data, settings and faults of the start.

        :param changes: settings that differ from those of the start.
        """
        self._server.reset(changes)

    # -------------------------------------------------------------------------------------------------- finding
    def _agent(self, chatbot_id: str | None) -> Agent:
        agents = self._server.world.agents
        found = next(iter(agents.values()), None) if chatbot_id is None else agents.get(chatbot_id)
        if found is None:
            raise ControlError("there is no agent" + ("" if chatbot_id is None else f" {chatbot_id!r}"))
        return found

    def _lead(self, lead_id: str, chatbot_id: str | None) -> tuple[Agent, int]:
        several = self._server.world.agents.values() if chatbot_id is None else [self._agent(chatbot_id)]
        for agent in several:
            number = agent.leads.find(lead_id)
            if number is not None:
                return agent, number
        raise ControlError(f"there is no lead {lead_id!r}")

    def _session(self, session_id: str, chatbot_id: str | None) -> Session:
        session = self._agent(chatbot_id).sessions.get(session_id)
        if session is None:
            raise ControlError(f"there is no session {session_id!r}")
        return session

    def _moment(self, value: Any) -> int:
        if value is None:
            return self._server.world.now
        try:
            moment = times.read(value, self._server.world.settings)
        except ValueError as unreadable:
            raise ControlError(str(unreadable)) from None
        if not _EARLIEST <= moment <= _LATEST:
            raise ControlError(f"{value!r} is outside the years 1 to 9999")
        return moment


# A day inside what datetime can hold, so that every time zone can write it.
_EARLIEST, _LATEST = -62_135_510_400, 253_402_214_400


def _is_count(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_json(fields: Any) -> None:
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise ControlError(f"fields must be an object, not {fields!r}")
    try:
        orjson.dumps(fields)
    except TypeError as unwritable:
        raise ControlError(f"fields cannot be written as JSON: {unwritable}") from None
