"""Leads: the model of one agent's leads, and the endpoint that lists them."""

from __future__ import annotations

from array import array
from bisect import insort
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import seeded
from airflow_provider_robofy.emulator.pages import listing
from airflow_provider_robofy.emulator.wire import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_provider_robofy.emulator.account import World


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead that was added or changed.

    :param at: Its time, in seconds since 1970.
    :param session_id: The session that it came from. Default that of the seeded one, if any.
    :param fields: What its row says instead of seeded values.
    """

    at: int
    session_id: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class LeadBook:
    """The leads of one agent, in the three orders that a listing can have.

    A lead is a number, counted from the oldest seeded one; its row is made when asked for. As long as nothing has
    changed, the order is a `range` and a million leads cost nothing.

    :param key: Seed of these leads.
    :param count: How many are seeded.
    :param spacing: Seconds between two of them.
    :param first_id: Number in the id before the first lead's; different agents need different ones.
    """

    def __init__(self, *, key: int, count: int, spacing: int, first_id: int) -> None:
        self._key = key
        self._seeded = self._last_number = count
        self._spacing = spacing
        self._first_id = first_id
        self._by_time: range | array[int] = range(1, count + 1)
        self._scattered: array[int] | None = None
        self._changed: dict[int, Lead] = {}
        self.version = 0

    def __len__(self) -> int:
        return len(self._by_time)

    def numbers(self, order: str, start: int, stop: int) -> Sequence[int]:
        """Return the leads at some positions of the listing.

        :param order: newest_first, oldest_first or none.
        :param start: The first position, from 0.
        :param stop: The position after the last; beyond the end is fine.
        """
        total = len(self._by_time)
        start, stop = min(start, total), min(stop, total)
        if order == "newest_first":
            return self._by_time[total - stop : total - start][::-1]
        if order == "oldest_first":
            return self._by_time[start:stop]
        if self._scattered is None:
            self._scattered = array("q", sorted(self._by_time, key=self._scatter))
        return self._scattered[start:stop]

    def of_session(self, order: str, session_id: str, index: int | None) -> Sequence[int]:
        """Return the leads that one session brought.

        :param order: As in `numbers`.
        :param session_id: Whose.
        :param index: That session's number among the seeded ones, None if it is none of them.
        """
        # Every seeded session but each fourth brought up to two of the seeded leads, newest with newest.
        seeded_ones = (
            () if index is None or index % 4 == 3 else (self._seeded - 2 * index, self._seeded - 2 * index - 1)
        )
        found = [n for n in seeded_ones if 1 <= n <= self._seeded and n in self._by_time]
        found += [n for n, lead in self._changed.items() if lead.session_id == session_id]
        return sorted(found, key=self._scatter if order == "none" else self._when, reverse=order == "newest_first")

    def rows(self, numbers: Iterable[int], write: Callable[[int], str | int]) -> list[dict[str, Any]]:
        """Return leads as rows of List Leads.

        :param numbers: Which.
        :param write: How a time is written.
        """
        return [
            seeded.lead(self._key, n, f"lead_{self._first_id + n}", write(self.time_of(n)))
            | (self._changed[n].fields if n in self._changed else {})
            for n in numbers
        ]

    def time_of(self, number: int) -> int:
        """Return when a lead was created, in seconds since 1970.

        :param number: Which lead.
        """
        if number in self._changed:
            return self._changed[number].at
        age = (self._seeded - number) * self._spacing
        # Uneven, but never so much that two leads change places.
        return seeded.BASE - age - (seeded.mix(self._key, -number) % self._spacing if age else 0)

    def find(self, lead_id: Any) -> int | None:
        """Return the number of a lead, None if there is no such lead now.

        :param lead_id: Its `id` as the API shows it.
        """
        own = {n: lead.fields["id"] for n, lead in self._changed.items() if "id" in lead.fields}
        digits = lead_id.removeprefix("lead_") if isinstance(lead_id, str) else ""
        if digits.isascii() and digits.isdigit() and len(digits) < 20:
            number = int(digits) - self._first_id
            if number in self._by_time and number not in own:
                return number
        return next((n for n, each in own.items() if type(each) is type(lead_id) and each == lead_id), None)

    def add(self, created_at: int, session_id: str | None, fields: dict[str, Any]) -> int:
        """Add one lead and return its number.

        :param created_at: Seconds since 1970; an old time makes a late arrival.
        :param session_id: The session that it came from, if any.
        :param fields: What its row says instead of seeded values.
        """
        self._last_number += 1
        self._place(self._last_number, Lead(created_at, session_id, fields))
        return self._last_number

    def change(self, number: int, created_at: int | None, fields: dict[str, Any]) -> None:
        """Change a lead's fields, its time, or both.

        :param number: Which lead.
        :param created_at: Its new time, None to leave it.
        :param fields: What its row says from now on.
        """
        lead = self._changed.get(number) or Lead(self.time_of(number))
        self.delete(number)
        at = lead.at if created_at is None else created_at
        self._place(number, replace(lead, at=at, fields=lead.fields | fields))

    def delete(self, number: int) -> None:
        """Delete a lead for good.

        :param number: Which lead.
        """
        self._changeable().remove(number)
        self._changed.pop(number, None)

    def _when(self, number: int) -> tuple[int, int]:
        return self.time_of(number), number

    @staticmethod
    def _scatter(number: int) -> tuple[int, int]:
        return number * 0x9E3779B1 & 0xFFFFFFFF, number

    def _changeable(self) -> array[int]:
        self.version += 1
        self._scattered = None
        if isinstance(self._by_time, range):
            self._by_time = array("q", self._by_time)
        return self._by_time

    def _place(self, number: int, lead: Lead) -> None:
        self._changed[number] = lead
        insort(self._changeable(), number, key=self._when)


async def list_leads(world: World, request: ApiRequest) -> Any:
    """Answer List Leads: an agent's, or one session's."""
    agent, order = world.agent(request.params["chatbotId"]), world.settings.order
    book, session_id = agent.leads, request.query.get("sessionId")
    if not session_id:
        return listing(
            world,
            request,
            len(book),
            lambda start, stop: book.rows(book.numbers(order, start, stop), world.write),
            version=book.version,
        )
    session = agent.sessions.get(session_id)
    numbers = book.of_session(order, session_id, None if session is None else session.index)
    return listing(world, request, len(numbers), lambda start, stop: book.rows(numbers[start:stop], world.write))


async def prerender(world: World) -> None:
    """Render pages of leads until all are there or the memory for them is full.

    :param world: The account.
    """
    for agent in world.agents.values():
        for number in range(1, len(agent.leads) // world.settings.page_size + 2):
            await list_leads(world, ApiRequest("list_leads", {"chatbotId": agent.chatbot_id}, page=number))
            if world.cache.full:
                return
