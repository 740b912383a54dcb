"""What a task read and what it wrote, told to whoever follows lineage: Airflow's collector, and OpenLineage."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.hooks.locations import Location

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.common.compat.sdk import BaseHook
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)

#: Key of the counts among the extras of Airflow's collector.
EXTRA_KEY: Final = "robofy_written"


@dataclass(frozen=True, slots=True)
class Amount:
    """How much was written; None where it is not known.

    :param rows: Rows.
    :param size: Bytes.
    :param files: Files or documents.
    """

    rows: int | None = None
    size: int | None = None
    files: int | None = None

    def __add__(self, other: Amount) -> Amount:
        """Return both together."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Amount(*(one if two is None else (one or 0) + two for one, two in pairs))


class Lineage:
    """Collect what one task read and wrote, and report it as it comes.

    Airflow's collector is told at once, OpenLineage when it asks after the task. Nothing here fails a task: rows that
    have landed have landed, whether or not somebody could be told.

    Usage::

        lineage = Lineage(hook)
        lineage.read(Location.of_uri("robofy://agents.robofy.ai/24017/UOmf/leads"))
        lineage.wrote(Location.of("/data/leads.jsonl"), Amount(rows=40, size=9120, files=1))

    :param context: The hook that does the work; Airflow's collector keeps it beside what it is told. None for a task
        that has not come to have one.
    """

    def __init__(self, context: BaseHook | None) -> None:
        self._context = context
        self.inputs: dict[Location, None] = {}
        self.outputs: dict[Location, tuple[Amount, Sequence[tuple[str, str]]]] = {}

    def read(self, location: Location) -> None:
        """Note a place that the task reads."""
        if location in self.inputs:
            return
        self.inputs[location] = None
        with _harmless():
            _collector().add_input_asset(context=self._context, uri=location.uri)

    def wrote(self, location: Location, amount: Amount, *, columns: Sequence[tuple[str, str]] = ()) -> None:
        """Note a place that the task has written.

        :param location: Where.
        :param amount: How much; given again for the same place, it comes on top.
        :param columns: Names and types of the columns, where every row has the same.
        """
        before = self.outputs.get(location)
        self.outputs[location] = (before[0] + amount if before else amount, columns)
        with _harmless():
            collector = _collector()
            if before is None:
                collector.add_output_asset(context=self._context, uri=location.uri)
            counts = {name: count for name, count in asdict(amount).items() if count is not None}
            collector.add_extra(context=self._context, key=EXTRA_KEY, value={"uri": location.uri, **counts})

    def wrote_table(self, hook: DbApiHook, table: str, schema: str | None, amount: Amount) -> None:
        """Note a table that the task has written to.

        Its columns are not told: whoever reads them from an event takes them for all that the table has.

        :param hook: The database's hook; ``table`` and ``schema`` as
            :meth:`~airflow_provider_robofy.hooks.locations.Location.of_table` takes them.
        :param amount: How much; given again for the same table, it comes on top.
        """
        with _harmless():
            self.wrote(Location.of_table(hook, table, schema), amount)

    def landed(self, manifest: Mapping[str, Any] | None) -> None:
        """Note the file that a manifest describes; the files beside it (rejected rows, the manifest) are not data.

        :param manifest: The manifest, or None where nothing has landed.
        """
        if manifest is None:
            return
        with _harmless():
            amount = Amount(rows=manifest["rows"], size=manifest["bytes"], files=1)
            self.wrote(Location.of(manifest["uri"]), amount, columns=_columns(manifest))

    def openlineage(self) -> OperatorLineage[Any, Any] | None:
        """Return what an OpenLineage event says of the task, None where the OpenLineage provider is not installed."""
        try:
            from airflow.providers.openlineage.extractors import OperatorLineage
        except ImportError:
            return None
        from airflow.providers.common.compat.openlineage.facet import (
            InputDataset,
            OutputDataset,
            OutputStatisticsOutputDatasetFacet,
            SchemaDatasetFacet,
            SchemaDatasetFacetFields,
        )

        def schema(columns: Sequence[tuple[str, str]]) -> dict[str, Any]:
            fields = [SchemaDatasetFacetFields(name=name, type=kind) for name, kind in columns]
            return {"schema": SchemaDatasetFacet(fields=fields)} if fields else {}

        def statistics(amount: Amount) -> dict[str, Any]:
            facet = OutputStatisticsOutputDatasetFacet(rowCount=amount.rows, size=amount.size, fileCount=amount.files)
            return {"outputStatistics": facet}

        return OperatorLineage(
            inputs=[InputDataset(place.namespace, place.name) for place in self.inputs],
            outputs=[
                OutputDataset(place.namespace, place.name, facets=schema(columns), outputFacets=statistics(amount))
                for place, (amount, columns) in self.outputs.items()
            ],
        )


def _columns(manifest: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    if manifest["format"].startswith("jsonl"):
        return ()  # a row has the fields that the API gave it
    from airflow_provider_robofy.extract.columns import table_of

    return [(name, kind.value) for name, kind in table_of(manifest["resource"]).kinds.items()]


def _collector() -> Any:
    # Not that of compat.sdk, which on Airflow 2.11 speaks of datasets and takes no extras.
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    return get_hook_lineage_collector()  # type: ignore[no-untyped-call]


@contextmanager
def _harmless() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a collector or an asset's handler raises
        # Its kind alone: a foreign text may say anything.
        log.warning("Lineage could not be reported (%s).", type(error).__name__)
