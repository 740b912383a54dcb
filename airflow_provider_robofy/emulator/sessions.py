"""Chat sessions: the model of one agent's sessions with their messages, and the endpoints for them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import seeded
from airflow_provider_robofy.emulator.knowledge import answer_from
from airflow_provider_robofy.emulator.pages import listing
from airflow_provider_robofy.emulator.wire import bad_request, not_found, success, text_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_robofy.emulator.account import World
    from airflow_provider_robofy.emulator.settings import Settings
    from airflow_provider_robofy.emulator.wire import ApiRequest

_SECONDS_BETWEEN_MESSAGES = 25


@dataclass(slots=True)
class Message:
    """One message.

    :param at: Seconds since 1970.
    :param incoming: True for the visitor's words, False for the agent's.
    :param text: What was said.
    :param fields: What its object says beside or instead of that.
    """

    at: int
    incoming: bool
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """One session: some seeded messages, made when asked for, then those written since.

    :param session_id: A UUID, a phone number or anything else.
    :param index: Number among the seeded sessions of its agent, None for a later one.
    :param key: Seed of its seeded messages.
    :param seeded_count: How many of them there are.
    :param seeded_end: When the last of them was written, in seconds since 1970.
    :param later: The messages written since.
    :param fields: What its object says beside or instead of the usual.
    """

    session_id: str
    index: int | None
    key: int
    seeded_count: int
    seeded_end: int
    later: list[Message] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.seeded_count + len(self.later)

    @property
    def last_time(self) -> int:
        """Return when it was last touched, in seconds since 1970."""
        return max((message.at for message in self.later), default=self.seeded_end)

    def message(self, position: int) -> Message:
        """Return one message.

        :param position: Its place from the oldest, from 0.
        """
        if position >= self.seeded_count:
            return self.later[position - self.seeded_count]
        incoming = position % 2 == 0
        return Message(
            at=self.seeded_end - (self.seeded_count - 1 - position) * _SECONDS_BETWEEN_MESSAGES,
            incoming=incoming,
            text=seeded.sentence(self.key, position, question=incoming),
        )

    def row(self, write: Callable[[int], str | int]) -> dict[str, Any]:
        """Return it as an item of List Sessions.

        :param write: How a time is written.
        """
        bits = seeded.mix(self.key, 0)
        last = self.message(len(self) - 1) if len(self) else None
        return {
            "session_id": self.session_id,
            "last_message_time": write(self.last_time),
            "last_message": last.text if last else None,
            "user_profile_name": None if bits % 5 == 0 else seeded.person(bits)[0],
            "last_message_direction": None if last is None else "incoming" if last.incoming else "outgoing",
            "website_url": None if self.session_id.startswith("+") else "https://example.com/contact",
            **self.fields,
        }

    def message_row(self, position: int, world: World) -> dict[str, Any]:
        """Return a message as an item of List Session Messages.

        :param position: Its place from the oldest, from 0.
        :param world: Says how a time is written, and whether messages have an id.
        """
        message = self.message(position)
        return {
            **({"id": f"msg_{self.key % 10**9}_{position}"} if world.settings.message_ids else {}),
            "direction": "incoming" if message.incoming else "outgoing",
            "sender": "user" if message.incoming else "agent",
            "message": message.text,
            "created_at": world.write(message.at),
            **message.fields,
        }


class SessionBook:
    """The sessions of one agent, sorted by their last message when asked.

    :param key: Seed of these sessions.
    :param count: How many are seeded.
    :param settings: Their ids, their messages and the seconds between two of them.
    """

    def __init__(self, key: int, count: int, settings: Settings) -> None:
        self._key = key
        self._count = count
        self._settings = settings
        self._known: dict[str, Session] | None = None
        self.version = 0

    def __len__(self) -> int:
        return self._count if self._known is None else len(self._known)

    @property
    def _sessions(self) -> dict[str, Session]:
        # Made on first use: three agents of 20,000 sessions should not slow a start that asks for leads only.
        if self._known is None:
            self._known = {session.session_id: session for session in map(self._seed, range(self._count))}
        return self._known

    def _seed(self, index: int) -> Session:
        key = seeded.mix(self._key, index)
        count = key % 12 + 1 if self._settings.messages is None else self._settings.messages
        name = seeded.session_id(self._key, index, mixed=self._settings.session_ids == "mixed")
        return Session(name, index, key, count, seeded.BASE - index * self._settings.spacing)

    def get(self, session_id: str) -> Session | None:
        """Return one session, None if there is none.

        :param session_id: Its id, decoded.
        """
        return self._sessions.get(session_id)

    def listed(self, order: str) -> list[Session]:
        """Return all sessions in the order of the listing.

        :param order: newest_first, oldest_first or none.
        """
        if order == "none":
            return sorted(self._sessions.values(), key=lambda session: seeded.mix(session.key, 7))
        every = sorted(self._sessions.values(), key=lambda session: session.last_time)
        return every[::-1] if order == "newest_first" else every

    def add(self, session_id: str, at: int, messages: int = 0, fields: dict[str, Any] | None = None) -> Session:
        """Add a session, and return it.

        :param session_id: Its id.
        :param at: Its time until somebody writes, in seconds since 1970.
        :param messages: How many seeded messages it holds.
        :param fields: What its object says beside or instead of the usual.
        """
        key = seeded.mix(self._key, 10**9 + len(self._sessions))
        session = self._sessions[session_id] = Session(session_id, None, key, messages, at, fields=fields or {})
        self.version += 1
        return session

    def write(self, session: Session, *messages: Message) -> None:
        """Add messages at the end of a session.

        :param session: Which.
        :param messages: What is said.
        """
        session.later.extend(messages)
        self.version += 1

    def delete(self, session_id: str) -> None:
        """Delete a session with its messages.

        :param session_id: Its id.
        """
        del self._sessions[session_id]
        self.version += 1


async def list_sessions(world: World, request: ApiRequest) -> Any:
    """Answer List Sessions of an agent."""
    sessions = world.agent(request.params["chatbotId"]).sessions.listed(world.settings.sessions_order)
    return listing(
        world, request, len(sessions), lambda start, stop: [s.row(world.write) for s in sessions[start:stop]]
    )


async def list_session_messages(world: World, request: ApiRequest) -> Any:
    """Answer List Session Messages of one session."""
    book = world.agent(request.params["chatbotId"]).sessions
    session = book.get(request.params["sessionId"])
    if session is None:
        raise not_found("The session does not exist.", "session_id", "SESSION_NOT_FOUND")
    positions: Sequence[int] = range(len(session))
    if world.settings.messages_order == "newest_first":
        positions = positions[::-1]
    elif world.settings.messages_order == "none":
        positions = sorted(positions, key=lambda at: (at * 0x9E3779B1 & 0xFFFFFFFF, at))
    return listing(
        world,
        request,
        len(positions),
        lambda start, stop: [session.message_row(at, world) for at in positions[start:stop]],
        version=book.version,
    )


async def send_message(world: World, request: ApiRequest) -> Any:
    """Answer Send Message from the texts that the agent was taught, and keep both sides of it in the session."""
    body = await request.json_object()
    query = text_field(body, "query")
    if "pid" not in body:
        raise bad_request("The field pid is required.", "pid")
    world.check_project(body["pid"])
    agent = world.agent(text_field(body, "chatbot_id"))
    book = agent.sessions
    context = body.get("user_context")
    if not isinstance(context, dict):
        raise bad_request("The field user_context is required and must be an object.", "user_context")
    key = seeded.mix(world.settings.seed, len(book))
    if context.get("session_id") is None:
        context["session_id"] = str(uuid.UUID(int=key << 64 | seeded.mix(key, 1), version=4))
    session_id = text_field(context, "session_id")
    session = book.get(session_id)
    if session is None:
        session = book.add(session_id, world.now)
    answer = answer_from(world, agent.chatbot_id, query)
    book.write(session, Message(world.now, incoming=True, text=query), Message(world.now, incoming=False, text=answer))
    return success("Success", {"answer": answer, "session_id": session_id})
