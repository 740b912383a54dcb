"""The first reading of a file: which fields it has, and whether every row can be told apart; nothing is written yet."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.warehouse.layout import AGENT, PROJECT, SESSION_KEY
from airflow_provider_robofy.warehouse.values import fits_text, json_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airflow_provider_robofy.warehouse.layout import Layout

#: Fields of other names have no column of their own: every database takes these, and tells them apart.
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_OFTEN: Final = 1000


@dataclass(frozen=True, slots=True)
class Survey:
    """Hold what a file is like.

    :param fields: Fields that some row has and that have a column, or are to get one.
    :param new: Those of them that are to get one.
    :param keyed: Do its sessions bear a hash that stands for their id?
    """

    fields: frozenset[str]
    new: tuple[str, ...]
    keyed: bool


class Surveyor:
    """Read a file's rows without loading them.

    :param layout: What rows of the resource need.
    :param owner: Project and agent, as the manifest names them.
    :param where: The file, for errors.
    :param key_length: Characters that the key's column takes.
    """

    def __init__(self, layout: Layout, owner: tuple[str | None, str], where: str, key_length: int | None) -> None:
        self._layout = layout
        self._owner = owner
        self._where = where
        self._key_length = key_length or sys.maxsize

    def survey(self, rows: Iterable[Any], columns: Iterable[str], room: int, check: Callable[[], None]) -> Survey:
        """Go through the rows.

        :param rows: All rows.
        :param columns: Columns that are there already, or are reserved.
        :param room: So many columns may be added.
        :param check: Called now and then; raises where the task was killed.
        :raises RobofyConfigError: A row has no key, one that is too long, or belongs to another agent.
        """
        layout = self._layout
        known = {PROJECT, AGENT, layout.key.name, SESSION_KEY, *(column.name for column in layout.fields), *columns}
        taken = {name.casefold() for name in (*known, *layout.reserved)}
        present: set[str] = set()
        new: dict[str, None] = {}
        keyed = plain = False
        is_session = layout.resource == "sessions"
        project, agent = self._owner
        # Most rows have the fields of the one before them.
        like: Any = None
        for number, row in enumerate(rows, 1):
            if number % _OFTEN == 0:
                check()
            if type(row) is not dict:
                raise self._wrong(number, "is no object")
            if row.get(PROJECT) != project or row.get(AGENT) != agent:
                raise self._wrong(number, "belongs to another project or agent than the manifest says")
            if is_session:
                has_key = row.get(SESSION_KEY) is not None
                keyed, plain = keyed or has_key, plain or not has_key
            self._check_key(number, key_of(row, layout) if is_session else row.get(layout.key.name))
            if row.keys() == like:
                continue
            like = row.keys()
            # In the order of the row: of names that differ in case the first one gets the column, in every run.
            for name in [name for name in row if name not in present]:
                if name in known:
                    present.add(name)
                elif len(new) < room and name.casefold() not in taken and _PLAIN.fullmatch(name):
                    taken.add(name.casefold())
                    present.add(name)
                    new[name] = None
        if keyed and plain:
            raise RobofyConfigError(
                f"manifest: some rows of {self._where} bear _session_key and others do not, so ids of sessions would "
                "get into the table. Land them again under one privacy policy."
            )
        return Survey(frozenset(present), tuple(new), keyed)

    def _check_key(self, number: int, key: Any) -> None:
        if type(key) is str and 0 < len(key) <= self._key_length and key.isascii() and "\0" not in key:
            return
        name = self._layout.key.name
        if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
            raise self._wrong(number, f"has no {name} that is text or a whole number")
        text = key if type(key) is str else json_of(key)
        if not fits_text(text):
            raise self._wrong(number, f"has {name} with a NUL or half a surrogate pair, which no database takes")
        if len(text) > self._key_length:
            raise self._wrong(number, f"has {name} of {len(text)} characters, and the column takes {self._key_length}")

    def _wrong(self, number: int, what: str) -> RobofyConfigError:
        return RobofyConfigError(f"manifest: row {number} of {self._where} {what}. Nothing was loaded.")


def key_of(row: dict[str, Any], layout: Layout) -> Any:
    """Return that by which a row is told apart: of a session the hash that stands for its id, if there is one."""
    if layout.resource == "sessions" and (key := row.get(SESSION_KEY)) is not None:
        return key
    return row.get(layout.key.name)
