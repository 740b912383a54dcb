"""Splitting sessions over tasks: each session belongs to one, the same in every run."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyConfigError

if TYPE_CHECKING:
    from typing import Self


def shards(count: int) -> list[tuple[int, int]]:
    """Return what to map over, so that many tasks share one export.

    Usage::

        RobofyFetchMessagesOperator.partial(task_id="messages", sessions=sessions.output).expand(shard=shards(8))

    :param count: How many tasks, at least 1.
    :return: ``[(0, count), (1, count), ...]``
    :raises RobofyConfigError: The count is no whole number above 0.
    """
    if not _is_whole_number(count) or count < 1:
        raise RobofyConfigError(f"shards({count!r}): the number of shards must be a whole number, at least 1.")
    return [(index, count) for index in range(count)]


@dataclass(frozen=True, slots=True)
class Shard:
    """Hold which of how many parts a task takes; 0 of 1 is the whole."""

    index: int = 0
    count: int = 1

    @classmethod
    def of(cls, given: Any) -> Self:
        """Read a shard as an operator got it.

        :param given: None for the whole, or index and count. Airflow stores JSON, which makes a list of a tuple.
        :raises RobofyConfigError: It is something else, or there is no such part.
        """
        if given is None:
            return cls()
        numbers = list(given) if isinstance(given, list | tuple) else []
        if len(numbers) != 2 or not all(map(_is_whole_number, numbers)):
            raise RobofyConfigError(f"shard={given!r} must be (index, count), two whole numbers such as (0, 8).")
        index, count = numbers
        if count < 1 or not 0 <= index < count:
            raise RobofyConfigError(
                f"shard=({index}, {count}) is out of range: with a count of {count}, which must be at least 1, the "
                f"index runs from 0 to {max(count - 1, 0)}. shards({max(count, 1)}) gives all of them."
            )
        return cls(index, count)

    @property
    def is_whole(self) -> bool:
        """Tell whether there is nothing but this part."""
        return self.count == 1

    def holds(self, session_id: str) -> bool:
        """Tell whether a session belongs to this part. Equal on every machine and in every version."""
        if self.is_whole:
            return True
        digest = blake2b(session_id.encode(errors="surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index


def _is_whole_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
