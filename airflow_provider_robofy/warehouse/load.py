"""Loading one landed file into a table: all of it or nothing, and counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDatabaseError
from airflow_provider_robofy.warehouse.dialect import Target
from airflow_provider_robofy.warehouse.layout import (
    AGENT,
    APPEND,
    FETCHED_AT,
    MAX_FIELDS,
    PROJECT,
    REPLACE,
    RUN_KEY,
    layout_of,
)
from airflow_provider_robofy.warehouse.naming import check_lead_columns
from airflow_provider_robofy.warehouse.projection import Projection
from airflow_provider_robofy.warehouse.schema import Table
from airflow_provider_robofy.warehouse.survey import Surveyor
from airflow_provider_robofy.warehouse.values import instant, time_text
from airflow_provider_robofy.warehouse.writer import Counts, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from airflow_provider_robofy.extract.landed import HeldFile
    from airflow_provider_robofy.warehouse.database import Database
    from airflow_provider_robofy.warehouse.naming import TableName

_RUN_KEY_LENGTH: Final = 250


@dataclass(kw_only=True)
class Load:
    """Load one landed file into one table.

    Usage::

        with hold(manifest, store) as held:
            counts = Load(database=database, table=TableName.of("leads"), manifest=manifest).run(held)

    :param database: Where to.
    :param table: The table.
    :param manifest: What the file holds.
    :param mode: ``upsert``, ``append`` or ``replace``.
    :param create_table: May the table be made, and columns be added?
    :param chunk_size: Rows in a statement.
    :param lead_fields: Form field to column.
    """

    database: Database
    table: TableName
    manifest: Mapping[str, Any]
    mode: str
    create_table: bool = True
    chunk_size: int = 1000
    lead_fields: Mapping[str, str] = field(default_factory=dict)

    def run(self, held: HeldFile) -> Counts:
        """Load, and return what became of the rows.

        :raises RobofyConfigError: Manifest, table and arguments do not go together, or a row cannot be loaded.
        :raises RobofyDatabaseError: The database failed.
        """
        layout = layout_of(self.manifest["resource"])
        if self.mode == REPLACE:
            check_whole(self.manifest)
        check_lead_columns(self.lead_fields, layout)
        table = Table(self.database, self.table, layout, self.mode, self.create_table)
        table.check_names(self.lead_fields)
        there = table.look()
        key = (there or {}).get(layout.key.name)
        surveyor = Surveyor(
            layout,
            (self.manifest.get("project_id"), self.manifest["chatbot_id"]),
            self._where,
            key.length if key else layout.key.length,
        )
        reserved = {*(there or {}), *self.lead_fields.values()}
        own = {column.name for column in layout.columns({}, ())}
        room = max(0, MAX_FIELDS - len(reserved - own)) if self.create_table else 0
        survey = surveyor.survey(held.rows(), reserved, room, self.database.check)
        counts = Counts()
        columns, counts.columns_added = table.ensure(self.lead_fields, survey.new)
        load = (time_text(self._fetched_at), self._run_key)
        projection = Projection(
            layout,
            columns,
            survey,
            lead_fields=self.lead_fields,
            owner=self._owner,
            load=load,
            wide_integers=self.database.dialect.wide_integers,
            where=self._where,
        )
        target = Target(
            table.quoted,
            projection.places,
            layout.key.name,
            dict(zip((PROJECT, AGENT, FETCHED_AT, RUN_KEY), (*self._owner, *load), strict=True)),
            upserts=self.mode != APPEND,
        )
        doing = f"Loading into {self.table}"
        with self.database.transaction("load", str(self.table), *self._owner, doing=doing):
            writer = Writer(
                self.database,
                target,
                mode=self.mode,
                owner=self._owner,
                fetched_at=self._fetched_at,
                run_key=self._run_key,
                counts=counts,
            )
            writer.write((projection.line(number, row) for number, row in enumerate(held.rows(), 1)), self.chunk_size)
            self._reconcile(counts)
        return counts

    def _reconcile(self, counts: Counts) -> None:
        if not counts.rows == counts.accounted == self.manifest["rows"]:
            raise RobofyDatabaseError(
                f"The counts do not add up: the manifest says {self.manifest['rows']} rows, {counts.rows} were read "
                f"and {counts.accounted} accounted for. Nothing of the file is in the table; please report this to the "
                "provider's maintainers."
            )

    @property
    def _where(self) -> str:
        return str(self.manifest["uri"])

    @property
    def _owner(self) -> tuple[str, str]:
        # A key holds no null.
        return str(self.manifest.get("project_id") or ""), str(self.manifest["chatbot_id"])

    @property
    def _fetched_at(self) -> datetime:
        return instant(self.manifest["started_at"])

    @property
    def _run_key(self) -> str:
        """Return the run's key, cut and hashed where it is longer than its column."""
        key = str(self.manifest["run_key"])
        if len(key) <= _RUN_KEY_LENGTH:
            return key
        return f"{key[: _RUN_KEY_LENGTH - 33]}~{blake2b(key.encode(), digest_size=16).hexdigest()}"


def check_whole(manifest: Mapping[str, Any]) -> None:
    """Refuse to let a file stand for everything that an agent has, where it does not.

    :raises RobofyConfigError: It does not; the message says why.
    """
    why = ""
    if manifest.get("mode") != "full":
        why = f"is one of mode={str(manifest.get('mode'))[:20]!r}, so it lacks what lies outside"
    elif manifest.get("shard") is not None:
        why = "is one shard of several"
    elif manifest.get("rejected") or manifest.get("sessions_failed"):
        why = "lacks rows that were rejected, or sessions that could not be read"
    if why:
        raise RobofyConfigError(
            f"mode='replace' needs a whole listing, since it deletes what the file does not have; {manifest['uri']} "
            f"{why}. Use mode='upsert'."
        )
