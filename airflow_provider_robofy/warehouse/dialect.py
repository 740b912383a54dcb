"""What is done differently in each database: names, types, locks, and the statements that find and put rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from unicodedata import category

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.warehouse.layout import AGENT, FETCHED_AT, PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine import Connection

    from airflow_provider_robofy.warehouse.layout import Column
    from airflow_provider_robofy.warehouse.values import Bound, Kind

#: Columns that tell what is known of a row, in the order in which :meth:`Dialect.find` gives them, after the key.
KNOWN = (FETCHED_AT, "_run_key", "_row", "_content_hash")


@dataclass(frozen=True, slots=True)
class Place:
    """Name a column in a statement.

    :param name: Its name, ``quoted`` the same for SQL.
    :param kind: What it holds.
    :param type: Its type in SQL.
    """

    name: str
    quoted: str
    kind: Kind
    type: str


class Line(NamedTuple):
    """Hold one row as the table takes it.

    :param key: Its key.
    :param number: Its place in the file, from 1.
    :param content: Hash of what is in :attr:`document`.
    :param document: What the file says of the row, as JSON, by the names of columns; nulls are left out.
    :param values: All values, in the order of :attr:`Target.places`.
    """

    key: str
    number: int
    content: str
    document: bytes
    values: tuple[Bound, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Name a table and the columns that are written.

    :param table: The table, quoted.
    :param places: The columns, in the order of the values of a row.
    :param key: The column that tells an agent's rows apart.
    :param constants: Columns that have one value for the whole file, and that value.
    :param upserts: Does a row replace the one with the same key? Otherwise it is added.
    """

    table: str
    places: tuple[Place, ...]
    key: str
    constants: Mapping[str, str]
    upserts: bool

    @property
    def names(self) -> str:
        """Return the columns as a list in SQL."""
        return ", ".join(place.quoted for place in self.places)

    def quoted(self, *names: str) -> list[str]:
        """Return some columns, quoted."""
        found = {place.name: place.quoted for place in self.places}
        return [found[name] for name in names]

    @property
    def key_places(self) -> list[str]:
        """Return the columns that tell rows apart, quoted."""
        return self.quoted(PROJECT, AGENT, self.key)

    @property
    def changing(self) -> list[str]:
        """Return the other columns, quoted, with the time of the fetch as the last one."""
        fixed = {PROJECT, AGENT, self.key, FETCHED_AT}
        return [place.quoted for place in self.places if place.name not in fixed] + self.quoted(FETCHED_AT)


class Dialect(ABC):
    """Speak to one kind of database.

    :param url: SQLAlchemy's URL for the driver, without an address.
    """

    #: What people call it.
    name: ClassVar[str]
    #: Names may be so long, and this is what is counted.
    longest_name: ClassVar[int]
    counted: ClassVar[str] = "characters"
    #: What may not be in a name, besides control characters.
    forbidden: ClassVar[str] = ""
    #: Types that have no parameters.
    types: ClassVar[Mapping[Kind, str]]
    #: What stands for a value.
    mark: ClassVar[str] = "%s"
    #: What ends a CREATE TABLE.
    table_options: ClassVar[str] = ""
    #: Are integers in JSON kept exactly, however long?
    wide_integers: bool = True
    #: Does :meth:`put` know how many rows it has written?
    counts: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self.url = url

    def settle(self, raw: Any) -> None:  # noqa: B027 (nothing to do is a fine answer)
        """Bring a connection into the state that is expected here, whatever its hook was told."""

    def start(self, connection: Connection) -> None:  # noqa: B027
        """Make the settings of the session."""

    def begin(self, connection: Connection) -> bool:  # noqa: ARG002
        """Begin a transaction; tell whether it could be begun."""
        return True

    def check_name(self, name: str, what: str) -> None:
        """Refuse a name that the database cannot hold as it is.

        :param what: What is named, for the error.
        :raises RobofyConfigError: It is refused.
        """
        if found := next((one for one in name if one in self.forbidden or category(one) in {"Cc", "Cs"}), None):
            raise RobofyConfigError(f"{what} {name!r} holds {found!r}, which no name may in {self.name}.")
        length = self.length_of(name)
        if length > self.longest_name:
            raise RobofyConfigError(
                f"{what} {name[:80]!r} has {length} {self.counted}; a name in {self.name} has {self.longest_name} at "
                "most."
            )

    def length_of(self, name: str) -> int:
        """Return how long a name is."""
        return len(name)

    def type_of(self, column: Column) -> str:
        """Return the type of a new column."""
        return f"VARCHAR({column.length})" if column.length else self.types[column.kind]

    def try_lock(self, connection: Connection, number: int) -> bool:  # noqa: ARG002
        """Take a lock, if nobody has it."""
        return True

    def unlock(self, connection: Connection, number: int) -> None:  # noqa: B027
        """Let go of a lock that does not end with the transaction."""

    @abstractmethod
    def find(
        self, connection: Connection, target: Target, owner: tuple[str, str], keys: Sequence[str]
    ) -> Sequence[Sequence[Any]]:
        """Return key and :data:`KNOWN` of the rows that are there already.

        :param owner: Project and agent.
        :param keys: Keys to look for.
        """

    @abstractmethod
    def put(self, connection: Connection, target: Target, lines: Sequence[Line]) -> int:
        """Write rows; return how many, where that is known exactly."""
