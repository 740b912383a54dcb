"""Rows of a landed file as rows of a table: which field goes into which column."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.fields import field_key, opened
from airflow_provider_robofy.resources import (
    CHATBOT_ID,
    LEADS,
    PROJECT_ID,
    SESSION_ID,
    SESSION_KEY,
    SESSIONS,
    SNAPSHOTS,
)
from airflow_provider_robofy.warehouse.table import (
    APPEND,
    BOOKKEEPING,
    EXTRA,
    FETCHED_AT,
    RUN_KEY,
    Line,
    Target,
    known_fields,
)
from airflow_provider_robofy.warehouse.values import MisfitError, binder, text_of, time_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sqlalchemy.types import TypeEngine

    from airflow_provider_robofy.warehouse.load import Load
    from airflow_provider_robofy.warehouse.values import Bound

#: Fields that hold JSON whatever type their column has.
_ALWAYS_JSON: Final = frozenset({"lead_data", EXTRA})


class Projection:
    """Turn rows of one file into rows of one table: each field into its column, those without one into a last column.

    :param load: The load whose rows they are.
    :param types: The table's columns and their types.
    :param fields: Fields that some row has and that have a column. A column that no row has a field for is left alone:
        it may be somebody's own.
    :raises RobofyConfigError: A column is of a type that nothing can be loaded into, or one of ``lead_fields`` is not
        there.
    """

    def __init__(self, load: Load, types: Mapping[str, TypeEngine[Any]], fields: Iterable[str]) -> None:
        def bound(name: str) -> Callable[[Any], Bound]:
            try:
                as_json = name in _ALWAYS_JSON
                return binder(types[name], as_json=as_json, wide_integers=load.database.wide_integers)
            except MisfitError as error:
                raise RobofyConfigError(
                    f"table: the column {name} is of {error}. Text, JSON, numbers, booleans and times with a date can "
                    "be; docs/warehouse.md says more."
                ) from None

        if lacking := sorted(set(load.lead_fields.values()) - types.keys()):
            raise RobofyConfigError(
                f"lead_fields: the table has no column {', '.join(map(repr, lacking))}. Names of columns are compared "
                "with their case. Add it, or let the task do so with create_table=True."
            )
        self._load = load
        known = [one.name for one in known_fields(load.resource)]
        apart = {PROJECT_ID, CHATBOT_ID, load.resource.key, SESSION_KEY, *load.lead_fields.values(), *known}
        names = [name for name in (*known, *sorted(set(fields) - apart)) if name in types]
        self._key = bound(load.resource.key)
        #: Field, the function that converts its values, and whether plain text needs no conversion.
        self._direct = [(name, bind, bind is text_of) for name, bind in ((name, bound(name)) for name in names)]
        self._answers = [(form_field, name, bound(name)) for form_field, name in load.lead_fields.items()]
        #: Those of ``lead_fields`` that some row has.
        self.answered: set[str] = set()
        self._extra = bound(EXTRA) if EXTRA in types else None
        self._names = [*names, *load.lead_fields.values(), *([EXTRA] if self._extra else [])]
        columns = (PROJECT_ID, CHATBOT_ID, load.resource.key, *self._names, *BOOKKEEPING)
        constants = dict(zip((PROJECT_ID, CHATBOT_ID), load.owner, strict=True))
        constants |= {FETCHED_AT: time_text(load.fetched_at), RUN_KEY: load.run_key}
        #: The table and the columns that are written, in the order of a line's values.
        self.target = Target(
            load.table,
            {name: types[name] for name in columns},
            load.resource.key,
            constants,
            upserts=load.mode != APPEND,
            # A lead that was once read by its session keeps that when it is listed without it.
            kept=frozenset({SESSION_ID} if load.resource is LEADS else ()),
        )

    def line(self, number: int, row: Mapping[str, Any]) -> Line:
        """Return one row as the table takes it.

        :param number: Its position in the file, from 1.
        :param row: The row.
        :raises RobofyConfigError: The table cannot hold it.
        """
        load, fields = self._load, dict(row)
        key = self._bound(number, load.resource.key, self._key, load.key_of(fields))
        # A session's own id is gone with this where a hash stands for it.
        for name in (PROJECT_ID, CHATBOT_ID, load.resource.key):
            del fields[name]
        if load.resource is SESSIONS:
            fields.pop(SESSION_KEY, None)
        if load.resource is SNAPSHOTS:
            fields.pop(FETCHED_AT, None)  # the table has it of the manifest
        answers = answers_of(fields.get("lead_data"), load.lead_fields) if self._answers else {}
        self.answered.update(answers)
        values: list[Bound] = []
        for name, bind, takes_text in self._direct:
            value = fields.pop(name, None)
            if value is not None and not (takes_text and type(value) is str and value.isascii() and "\0" not in value):
                value = self._bound(number, name, bind, value)
            values.append(value)
        values += [self._bound(number, name, bind, answers.get(one)) for one, name, bind in self._answers]
        if self._extra is not None:
            values.append(self._bound(number, EXTRA, self._extra, fields) if fields else None)
        elif fields:
            raise RobofyConfigError(
                f"table: row {number} of {load.where} has {len(fields)} fields that the table has no column for, and "
                f"no column {EXTRA} to keep them in. Add that, or let the task do so with create_table=True."
            )
        cells = {name: of for name, of in zip(self._names, values, strict=True) if of is not None}
        document = hashed = codec.dump_line(cells)
        if not self.target.kept.isdisjoint(cells):
            # What stays when a later version of the row lacks it is no difference between the two.
            hashed = codec.dump_line({name: of for name, of in cells.items() if name not in self.target.kept})
        content = blake2b(hashed, digest_size=16).hexdigest()
        bound = (*load.owner, key, *values, self.target.constants[FETCHED_AT], load.run_key, number, content)
        return Line(str(key), number, content, document, bound)

    def _bound(self, number: int, name: str, bind: Callable[[Any], Bound], value: Any) -> Bound:
        try:
            return bind(value)
        except MisfitError as error:
            raise RobofyConfigError(
                f"table: the column {name} cannot hold what row {number} of {self._load.where} has there ({error}). "
                "Give it another type, or load into another table. Nothing was loaded."
            ) from None


def answers_of(lead_data: Any, wanted: Iterable[str]) -> dict[str, Any]:
    """Return what a lead answered in some form fields.

    Of a field that is there several times the last answer counts that is not empty. For example::

        [{"field_name": "Email", "field_type": "email", "field_value": "ada@example.com"}]

    :param lead_data: A list of objects with ``field_name`` and ``field_value``, an object of names and values, either
        of them as JSON in a text, or anything else, which answers nothing.
    :param wanted: Names of form fields, as :func:`~airflow_provider_robofy.extract.fields.field_key` returns them.
    :return: Answers by those names.
    """
    pairs: Iterable[tuple[Any, Any]] = ()
    if type(lead_data) is str:
        lead_data = opened(lead_data)
    if type(lead_data) is dict:
        pairs = lead_data.items()
    elif type(lead_data) is list:
        entries = (opened(one) if type(one) is str else one for one in lead_data)
        pairs = [(one.get("field_name"), one.get("field_value")) for one in entries if type(one) is dict]
    found: dict[str, Any] = {}
    for name, value in pairs:
        if type(name) is not str:
            continue
        key = field_key(name)
        if key in wanted and (key not in found or value not in (None, "")):
            found[key] = value
    return found
