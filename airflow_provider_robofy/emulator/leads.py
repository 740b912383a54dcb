"""Leads: the model of one agent's leads, and the endpoint that lists them."""

from __future__ import annotations

from array import array
from bisect import insort
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.emulator import seeded
from airflow_provider_robofy.emulator.pages import listing
from airflow_provider_robofy.emulator.wire import ApiRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from airflow_provider_robofy.emulator.account import World


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
        self._seeded = count
        self._spacing = spacing
        self._first_id = first_id
        self._last_number = count
        self._by_time: range | array[int] = range(1, count + 1)
        self._scattered: array[int] | None = None
        self._times: dict[int, int] = {}
        self._fields: dict[int, dict[str, Any]] = {}
        self._sessions: dict[int, str] = {}
        self._own_ids: dict[Any, int] = {}
        self._deleted: set[int] = set()
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
        found = set()
        if index is not None and index % 4 != 3:
            found = {self._seeded - 2 * index, self._seeded - 2 * index - 1}
        found = {n for n in found if n not in self._sessions and self._exists(n)}
        found.update(n for n, owner in self._sessions.items() if owner == session_id)
        return sorted(found, key=self._scatter if order == "none" else self._when, reverse=order == "newest_first")

    def rows(self, numbers: Iterable[int], write: Callable[[int], str | int]) -> list[dict[str, Any]]:
        """Return leads as rows of List Leads.

        :param numbers: Which.
        :param write: How a time is written.
        """
        return [
            seeded.lead(self._key, n, f"lead_{self._first_id + n}", write(self.time_of(n))) | self._fields.get(n, {})
            for n in numbers
        ]

    def time_of(self, number: int) -> int:
        """Return when a lead was created, in seconds since 1970.

        :param number: Which lead.
        """
        given = self._times.get(number)
        if given is not None:
            return given
        age = (self._seeded - number) * self._spacing
        # Uneven, but never so much that two leads change places.
        return seeded.BASE - age - (seeded.mix(self._key, -number) % self._spacing if age else 0)

    def find(self, lead_id: Any) -> int | None:
        """Return the number of a lead, None if there is no such lead now.

        :param lead_id: Its `id` as the API shows it.
        """
        number = self._own_ids.get(lead_id) if isinstance(lead_id, str | int | float) else None
        if number is not None:
            return number
        digits = lead_id.removeprefix("lead_") if isinstance(lead_id, str) else ""
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            return None
        number = int(digits) - self._first_id
        return number if self._exists(number) and "id" not in self._fields.get(number, ()) else None

    def add(self, created_at: int, session_id: str | None, fields: dict[str, Any]) -> int:
        """Add one lead and return its number.

        :param created_at: Seconds since 1970; an old time makes a late arrival.
        :param session_id: The session that it came from, if any.
        :param fields: What its row says instead of seeded values.
        """
        number = self._last_number = self._last_number + 1
        if session_id is not None:
            self._sessions[number] = session_id
        self._place(number, created_at)
        self._set_fields(number, fields)
        return number

    def change(self, number: int, created_at: int | None, fields: dict[str, Any]) -> None:
        """Change a lead's fields, its time, or both.

        :param number: Which lead.
        :param created_at: Its new time, None to leave it.
        :param fields: What its row says from now on.
        """
        if created_at is not None:
            self._changeable().remove(number)
            self._place(number, created_at)
        self._set_fields(number, fields)

    def delete(self, number: int) -> None:
        """Delete a lead for good.

        :param number: Which lead.
        """
        self._changeable().remove(number)
        self._deleted.add(number)
        for known in (self._times, self._fields, self._sessions):
            known.pop(number, None)
        self._own_ids = {own: n for own, n in self._own_ids.items() if n != number}

    def _set_fields(self, number: int, fields: dict[str, Any]) -> None:
        self.version += 1
        if fields:
            self._fields[number] = {**self._fields.get(number, {}), **fields}
        if isinstance(fields.get("id"), str | int | float):
            self._own_ids[fields["id"]] = number

    def _when(self, number: int) -> tuple[int, int]:
        return self.time_of(number), number

    @staticmethod
    def _scatter(number: int) -> tuple[int, int]:
        return number * 0x9E3779B1 & 0xFFFFFFFF, number

    def _exists(self, number: int) -> bool:
        return 1 <= number <= self._last_number and number not in self._deleted

    def _changeable(self) -> array[int]:
        self.version += 1
        self._scattered = None
        if isinstance(self._by_time, range):
            self._by_time = array("q", self._by_time)
        return self._by_time

    def _place(self, number: int, created_at: int) -> None:
        self._times[number] = created_at
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
