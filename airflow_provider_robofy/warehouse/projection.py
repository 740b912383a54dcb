"""From a row of a file to the values of a row of the table: each field into its column, and what has none into one."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api import codec
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.warehouse.dialect import Line
from airflow_provider_robofy.warehouse.layout import AGENT, BOOKS, EXTRA, PROJECT, SESSION_KEY
from airflow_provider_robofy.warehouse.naming import field_key
from airflow_provider_robofy.warehouse.survey import key_of
from airflow_provider_robofy.warehouse.values import Kind, MisfitError, binder, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_robofy.warehouse.dialect import Place
    from airflow_provider_robofy.warehouse.layout import Layout
    from airflow_provider_robofy.warehouse.schema import Found
    from airflow_provider_robofy.warehouse.survey import Survey
    from airflow_provider_robofy.warehouse.values import Bound

#: Fields that hold JSON whatever type their column has.
_ALWAYS_JSON: Final = frozenset({"lead_data", EXTRA})


class Projection:
    """Turn rows of one file into rows of one table.

    :param layout: What rows of the resource need.
    :param columns: The table's columns.
    :param survey: What the file is like. A column that no row has a field for is left alone: it may be somebody's own.
    :param lead_fields: Form field to column.
    :param owner: Project and agent, as they are stored.
    :param load: Time of the fetch, as it is bound, and the key of the run.
    :param wide_integers: Does JSON keep integers beyond 64 bits?
    :param where: The file, for errors.
    :raises RobofyConfigError: A column is of a type that nothing can be loaded into.
    """

    def __init__(
        self,
        layout: Layout,
        columns: Mapping[str, Found],
        survey: Survey,
        *,
        lead_fields: Mapping[str, str],
        owner: tuple[str, str],
        load: tuple[str, str],
        wide_integers: bool,
        where: str,
    ) -> None:
        self._layout = layout
        self._wide_integers = wide_integers
        self._where = where
        self._owner = owner
        self._load = load
        self._lead_fields = dict(lead_fields)
        apart = {*layout.reserved, layout.key.name, *lead_fields.values()}
        known = [column.name for column in layout.fields]
        fields = [*known, *sorted(survey.fields - apart - set(known))]
        #: Field, what makes it fit, and whether plain text fits without that.
        self._direct = [
            (name, bind, bind is text_of)
            for name, bind in ((name, self._binder(name, columns[name])) for name in fields if name in columns)
        ]
        self._answers = [
            (field, name, self._binder(name, columns[name])) for field, name in lead_fields.items() if name in columns
        ]
        if lacking := sorted(set(lead_fields.values()) - columns.keys()):
            raise RobofyConfigError(
                f"lead_fields: the table has no column {', '.join(map(repr, lacking))}. Names of columns are compared "
                "with their case. Add it, or let the task do so with create_table=True."
            )
        self._key = self._binder(layout.key.name, columns[layout.key.name])
        self._extra = self._binder(EXTRA, columns[EXTRA]) if EXTRA in columns else None
        names = [name for name, *_ in self._direct] + [name for _, name, _ in self._answers]
        names += [EXTRA] if self._extra else []
        self._names = names
        written = (PROJECT, AGENT, layout.key.name, *names, *(column.name for column in BOOKS))
        #: The columns that are written, in the order of a line's values.
        self.places: tuple[Place, ...] = tuple(columns[name].place for name in written)

    def line(self, number: int, row: Mapping[str, Any]) -> Line:
        """Return one row as the table takes it.

        :param number: Its place in the file, from 1.
        :raises RobofyConfigError: The table cannot hold it.
        """
        fields = dict(row)
        key = self._bound(number, self._layout.key.name, self._key, key_of(fields, self._layout))
        # A session's own id is gone with this where a hash stands for it.
        for name in (PROJECT, AGENT, self._layout.key.name):
            del fields[name]
        if self._layout.resource == "sessions":
            fields.pop(SESSION_KEY, None)
        answers = answers_of(fields.get("lead_data"), self._lead_fields) if self._answers else {}
        values: list[Bound] = []
        for name, bind, takes_text in self._direct:
            value = fields.pop(name, None)
            if value is not None and not (takes_text and type(value) is str and value.isascii() and "\0" not in value):
                value = self._bound(number, name, bind, value)
            values.append(value)
        values += [self._bound(number, name, bind, answers.get(field)) for field, name, bind in self._answers]
        if self._extra is not None:
            values.append(self._bound(number, EXTRA, self._extra, fields) if fields else None)
        elif fields:
            raise RobofyConfigError(
                f"table: row {number} of {self._where} has {len(fields)} fields that the table has no column for, and "
                f"no column {EXTRA} to keep them in. Add that, or let the task do so with create_table=True."
            )
        content = codec.dump_line({name: of for name, of in zip(self._names, values, strict=True) if of is not None})
        digest = blake2b(content, digest_size=16).hexdigest()
        fetched_at, run_key = self._load
        bound = (*self._owner, key, *values, fetched_at, run_key, number, digest)
        return Line(str(key), number, digest, content, bound)

    def _binder(self, name: str, found: Found) -> Callable[[Any], Bound]:
        kind = found.place.kind
        if kind is Kind.OTHER:
            raise RobofyConfigError(
                f"table: the column {name} is of a type that nothing can be loaded into. Text, JSON, numbers, booleans "
                "and times with a date can be; docs/warehouse.md says more."
            )
        if kind is Kind.TEXT and name in _ALWAYS_JSON:
            kind = Kind.JSON
        return binder(kind, found.length, wide_integers=self._wide_integers)

    def _bound(self, number: int, name: str, bind: Callable[[Any], Bound], value: Any) -> Bound:
        try:
            return bind(value)
        except MisfitError as error:
            raise RobofyConfigError(
                f"table: the column {name} cannot hold what row {number} of {self._where} has there ({error}). Give it "
                "another type, or load into another table. Nothing was loaded."
            ) from None


def answers_of(lead_data: Any, wanted: Mapping[str, str]) -> dict[str, Any]:
    """Return what a lead answered in some form fields.

    Of a field that is there several times the last answer counts that is not empty.

    :param lead_data: A list of objects with ``field_name`` and ``field_value``, an object of names and values, or
        anything else, which answers nothing.
    :param wanted: Names of form fields, as :func:`~airflow_provider_robofy.warehouse.naming.field_key` returns them.
    :return: Answers by those names.
    """
    pairs: list[tuple[Any, Any]] = []
    if type(lead_data) is dict:
        pairs = list(lead_data.items())
    elif type(lead_data) is list:
        pairs = [(one.get("field_name"), one.get("field_value")) for one in lead_data if type(one) is dict]
    found: dict[str, Any] = {}
    for name, value in pairs:
        if type(name) is not str:
            continue
        key = field_key(name)
        if key in wanted and (key not in found or value not in (None, "")):
            found[key] = value
    return found
