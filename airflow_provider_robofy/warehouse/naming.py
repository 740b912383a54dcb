"""Names that people give: of the table, and of columns for form fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.warehouse.layout import MAX_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from airflow_provider_robofy.warehouse.layout import Layout


@dataclass(frozen=True, slots=True)
class TableName:
    """Name a table.

    :param schema: Its schema, None for the connection's own.
    :param name: Its name.
    """

    schema: str | None
    name: str

    @classmethod
    def of(cls, text: Any) -> Self:
        """Read ``table`` or ``schema.table``; both are taken as they are, upper case and all.

        :raises RobofyConfigError: It is neither.
        """
        parts = text.strip().split(".") if isinstance(text, str) else []
        if len(parts) not in {1, 2} or not all(part.strip() for part in parts):
            raise RobofyConfigError(f"table={str(text)[:80]!r} must be the name of a table, or schema.table.")
        return cls(parts[0] if len(parts) == 2 else None, parts[-1])

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


def lead_columns(given: Any) -> dict[str, str]:
    """Read which form fields get a column.

    :param given: Names of form fields, or a mapping from them to names of columns.
    :return: Form field, trimmed and case-folded, to column.
    :raises RobofyConfigError: Two of them are one.
    """
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise RobofyConfigError(
            'lead_fields must be a list such as ["name", "email"], or a mapping from form field to column.'
        )
    pairs: Iterable[tuple[Any, Any]] = given.items() if isinstance(given, Mapping) else ((one, one) for one in given)
    columns: dict[str, str] = {}
    for field, column in pairs:
        if not (isinstance(field, str) and isinstance(column, str) and field.strip() and column.strip()):
            raise RobofyConfigError("lead_fields must name form fields, and columns, as text that is not empty.")
        if columns.setdefault(field_key(field), column.strip()) != column.strip():
            raise RobofyConfigError(f"lead_fields names {field!r} twice; upper and lower case are the same.")
    if len(columns) > MAX_FIELDS:
        raise RobofyConfigError(f"lead_fields names {len(columns)} form fields; a table takes {MAX_FIELDS}.")
    return columns


def field_key(name: str) -> str:
    """Return that by which two names of a form field are the same."""
    return name.strip().casefold()


def check_lead_columns(columns: Mapping[str, str], layout: Layout) -> None:
    """Look whether columns for form fields get into the way of others.

    :param columns: As :func:`lead_columns` returns them.
    :param layout: The table's own columns.
    :raises RobofyConfigError: They do.
    """
    if columns and layout.resource != "leads":
        raise RobofyConfigError(f"lead_fields is for leads; this is the manifest of {layout.resource}.")
    taken = {column.name.casefold(): column.name for column in layout.columns({}, ())}
    for column in columns.values():
        other = taken.get(column.casefold())
        if other is not None:
            raise RobofyConfigError(
                f"lead_fields: the column {column!r} is taken by {other}. Name another one, for example "
                f"lead_fields={{{column!r}: {f'form_{column}'!r}}}."
            )
        taken[column.casefold()] = f"another of lead_fields, {column!r}"
