"""The chat sessions of one agent, and the messages in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_robofy.emulator import seeded

_Write = Callable[[int], str | int]
_SECONDS_BETWEEN_MESSAGES = 25


@dataclass(slots=True)
class Message:
    """
    One message that was written after the start.

    :param at: seconds since 1970.
    :param incoming: True for the visitor's words, False for the agent's.
    :param text: what was said.
    :param fields: what its object says beside or instead of that.
    """

    at: int
    incoming: bool
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """
    One conversation: some seeded messages, made when asked for, then those written since.

    :param session_id: a UUID, a phone number or anything else.
    :param index: number among the seeded sessions of its agent, None for a later one.
    :param key: the seed of its seeded messages.
    :param seeded_count: how many of them there are.
    :param seeded_end: when the last of them was written, in seconds since 1970.
    :param fields: what its object says beside or instead of the usual.
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
        """When it was last touched, in seconds since 1970."""
        return max((message.at for message in self.later), default=self.seeded_end)

    def message(self, position: int) -> Message:
        """
        Return one message.

        :param position: its place from the oldest, from 0.
        """
        if position >= self.seeded_count:
            return self.later[position - self.seeded_count]
        incoming = position % 2 == 0
        return Message(
            at=self.seeded_end - (self.seeded_count - 1 - position) * _SECONDS_BETWEEN_MESSAGES,
            incoming=incoming,
            text=seeded.sentence(self.key, position, question=incoming),
        )

    def row(self, write: _Write) -> dict[str, Any]:
        """
        Return it as an item of List Sessions.

        :param write: how a time is written.
        """
        bits = seeded.mix(self.key, 0)
        last = self.message(len(self) - 1) if len(self) else None
        phone = self.session_id.startswith("+")
        return {
            "session_id": self.session_id,
            "last_message_time": write(self.last_time),
            "last_message": last.text if last else None,
            "user_profile_name": None if bits % 5 == 0 else seeded.person(bits)[0],
            "last_message_direction": None if last is None else "incoming" if last.incoming else "outgoing",
            "website_url": None if phone else "https://example.com/contact",
            **self.fields,
        }

    def message_row(self, position: int, write: _Write, *, with_id: bool) -> dict[str, Any]:
        """
        Return a message as an item of List Session Messages.

        :param position: its place from the oldest, from 0.
        :param write: how a time is written.
        :param with_id: True adds an `id`.
        """
        message = self.message(position)
        row: dict[str, Any] = {"id": f"msg_{self.key % 10**9}_{position}"} if with_id else {}
        row["direction"] = "incoming" if message.incoming else "outgoing"
        row["sender"] = "user" if message.incoming else "agent"
        row["message"] = message.text
        row["created_at"] = write(message.at)
        row.update(message.fields)
        return row


class SessionBook:
    """
    Keep an agent's sessions, sorted by their last message when asked.

    :param key: the seed of these sessions.
    :param count: how many are seeded.
    :param messages: messages in each; None gives each its own number.
    :param spacing: seconds between two sessions.
    :param mixed_ids: False makes all ids UUIDs.
    """

    def __init__(self, *, key: int, count: int, messages: int | None, spacing: int, mixed_ids: bool) -> None:
        self._key = key
        self._count = count
        self._messages = messages
        self._spacing = spacing
        self._mixed_ids = mixed_ids
        self._known: dict[str, Session] | None = None

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
        count = key % 12 + 1 if self._messages is None else self._messages
        name = seeded.session_id(self._key, index, mixed=self._mixed_ids)
        return Session(name, index, key, count, seeded.BASE - index * self._spacing)

    def get(self, session_id: str) -> Session | None:
        """
        Return one session, None if there is none.

        :param session_id: its id, decoded.
        """
        return self._sessions.get(session_id)

    def listed(self, order: str) -> list[Session]:
        """
        Return all sessions in the order of the listing.

        :param order: newest_first, oldest_first or none.
        """
        if order == "none":
            return sorted(self._sessions.values(), key=lambda session: seeded.mix(session.key, 7))
        every = sorted(self._sessions.values(), key=lambda session: session.last_time)
        return every[::-1] if order == "newest_first" else every

    def add(self, session_id: str, at: int, fields: dict[str, Any]) -> Session:
        """
        Add a session without messages, or return the one that is there.

        :param session_id: its id.
        :param at: its time until somebody writes, in seconds since 1970.
        :param fields: what its object says beside or instead of the usual.
        """
        session = self._sessions.get(session_id)
        if session is None:
            key = seeded.mix(self._key, 10**9 + len(self._sessions))
            session = self._sessions[session_id] = Session(session_id, None, key, 0, at)
        session.fields.update(fields)
        return session

    def delete(self, session_id: str) -> bool:
        """
        Delete a session with its messages; False if there was none.

        :param session_id: its id.
        """
        return self._sessions.pop(session_id, None) is not None
