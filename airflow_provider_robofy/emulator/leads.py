"""The leads of one agent: seeded ones that exist only as numbers, and what was added, changed or deleted since."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from airflow_provider_robofy.emulator import seeded

_Numbers = Sequence[int]


class LeadBook:
    """
    Keep an agent's leads in the three orders a listing can ask for.

    A lead is a number, counted from the oldest seeded one; its row is made when asked for. As long as nothing
    has changed, the order is a `range` and a million leads cost nothing.

    :param key: the seed of these leads.
    :param count: how many are seeded.
    :param spacing: seconds between two of them.
    :param first_id: number in the id before the first lead's; different agents need different ones.
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

    def __len__(self) -> int:
        return len(self._by_time)

    def numbers(self, order: str, start: int, stop: int) -> _Numbers:
        """
        Return the leads at some positions of the listing.

        :param order: newest_first, oldest_first or none.
        :param start: the first position, from 0.
        :param stop: the position after the last; beyond the end is fine.
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

    def of_session(self, order: str, session_id: str, index: int | None) -> _Numbers:
        """
        Return the leads that one session brought.

        :param order: as in `numbers`.
        :param session_id: whose.
        :param index: that session's number among the seeded ones, None if it is none of them.
        """
        # Every seeded session but each fourth brought up to two of the seeded leads, newest with newest.
        found = set()
        if index is not None and index % 4 != 3:
            found = {self._seeded - 2 * index, self._seeded - 2 * index - 1}
        found = {n for n in found if n not in self._sessions and self._position(n) is not None}
        found.update(n for n, owner in self._sessions.items() if owner == session_id)
        return sorted(found, key=self._scatter if order == "none" else self._when, reverse=order == "newest_first")

    def rows(self, numbers: Iterable[int], write: Callable[[int], str | int]) -> list[dict[str, Any]]:
        """
        Return leads as rows of List Leads.

        :param numbers: which.
        :param write: how a time is written.
        """
        rows = []
        for n in numbers:
            row = seeded.lead(self._key, n, f"lead_{self._first_id + n}", write(self.time_of(n)))
            if n in self._fields:
                row.update(self._fields[n])
            rows.append(row)
        return rows

    def time_of(self, number: int) -> int:
        """
        Return when a lead was created, in seconds since 1970.

        :param number: which lead.
        """
        given = self._times.get(number)
        if given is not None:
            return given
        age = (self._seeded - number) * self._spacing
        # Uneven, but never so much that two leads change places.
        return seeded.BASE - age - (seeded.mix(self._key, -number) % self._spacing if age else 0)

    def find(self, lead_id: Any) -> int | None:
        """
        Return the number of a lead, None if there is no such lead now.

        :param lead_id: its `id` as the API shows it.
        """
        number = self._own_ids.get(lead_id)
        if number is not None:
            return number
        digits = lead_id.removeprefix("lead_") if isinstance(lead_id, str) else ""
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            return None
        number = int(digits) - self._first_id
        if "id" in self._fields.get(number, ()) or not 1 <= number <= self._last_number:
            return None
        return number if self._position(number) is not None else None

    def add(self, created_at: int, session_id: str | None, fields: dict[str, Any]) -> int:
        """
        Add one lead and return its number.

        :param created_at: seconds since 1970; an old time makes a late arrival.
        :param session_id: the session that it came from, if any.
        :param fields: what its row says instead of seeded values.
        """
        number = self._last_number = self._last_number + 1
        self._times[number] = created_at
        self._insert(number)
        self._set_fields(number, fields)
        if session_id is not None:
            self._sessions[number] = session_id
        return number

    def change(self, number: int, created_at: int | None, fields: dict[str, Any]) -> None:
        """
        Change a lead's fields, its time, or both.

        :param number: which lead.
        :param created_at: its new time, None to leave it.
        :param fields: what its row says from now on.
        """
        if created_at is not None:
            self._remove(number)
            self._times[number] = created_at
            self._insert(number)
        self._set_fields(number, fields)

    def delete(self, number: int) -> None:
        """
        Delete a lead for good.

        :param number: which lead.
        """
        self._remove(number)
        for known in (self._times, self._fields, self._sessions):
            known.pop(number, None)
        self._own_ids = {own: n for own, n in self._own_ids.items() if n != number}

    def _set_fields(self, number: int, fields: dict[str, Any]) -> None:
        if fields:
            self._fields[number] = {**self._fields.get(number, {}), **fields}
        if isinstance(fields.get("id"), str | int | float):
            self._own_ids[fields["id"]] = number

    def _when(self, number: int) -> tuple[int, int]:
        return self.time_of(number), number

    def _scatter(self, number: int) -> tuple[int, int]:
        return number * 0x9E3779B1 & 0xFFFFFFFF, number

    def _position(self, number: int) -> int | None:
        if isinstance(self._by_time, range):
            return number - 1 if number in self._by_time else None
        if not 1 <= number <= self._last_number:
            return None
        at = bisect_left(self._by_time, self._when(number), key=self._when)
        return at if at < len(self._by_time) and self._by_time[at] == number else None

    def _insert(self, number: int) -> None:
        self._by_time = _as_array(self._by_time)
        self._by_time.insert(bisect_left(self._by_time, self._when(number), key=self._when), number)
        if self._scattered is not None:
            at = bisect_left(self._scattered, self._scatter(number), key=self._scatter)
            self._scattered.insert(at, number)

    def _remove(self, number: int) -> None:
        at = self._position(number)
        if at is None:
            raise KeyError(number)
        self._by_time = _as_array(self._by_time)
        del self._by_time[at]
        if self._scattered is not None:
            del self._scattered[bisect_left(self._scattered, self._scatter(number), key=self._scatter)]


def _as_array(numbers: range | array[int]) -> array[int]:
    return array("q", numbers) if isinstance(numbers, range) else numbers
