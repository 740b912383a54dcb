"""Collect what a task reads and writes, and report it to Airflow's hook lineage and to OpenLineage."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
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
_NOT_REPORTED: Final = "Lineage could not be reported"


class Lineage:
    """Collect the inputs and outputs of one task.

    Airflow's collector gets them at once, OpenLineage after the task. An error in reporting is logged and never fails
    the task.

    Usage::

        lineage = Lineage(hook)
        lineage.read(Location.of_uri("robofy://agents.robofy.ai/24017/UOmf/leads"))
        lineage.wrote(Location.of("/data/leads.jsonl"), {"rows": 40, "size": 9120, "files": 1})

    :param context: The hook that does the work. Airflow's collector stores it with each entry. None: no hook yet.
    """

    def __init__(self, context: BaseHook | None) -> None:
        self._context = context
        self.inputs: dict[Location, None] = {}
        self.outputs: dict[Location, tuple[Counter[str], Sequence[tuple[str, str]]]] = {}

    def read(self, location: Location) -> None:
        """Record an input of the task.

        :param location: Where the task reads.
        """
        if location in self.inputs:
            return
        self.inputs[location] = None
        with harmless(_NOT_REPORTED):
            _collector().add_input_asset(context=self._context, uri=location.uri)

    def wrote(self, location: Location, counts: Mapping[str, int], *, columns: Sequence[tuple[str, str]] = ()) -> None:
        """Record an output of the task.

        :param location: Where the task has written.
        :param counts: Numbers of ``rows``, of bytes (``size``) and of ``files``, as far as they are known. Those of a
            second call for the same location are added to the first.
        :param columns: Names and types of the columns, where every row has the same ones. Default none.
        """
        is_new = location not in self.outputs
        total, _ = self.outputs.setdefault(location, (Counter(), columns))
        total.update(counts)
        with harmless(_NOT_REPORTED):
            collector = _collector()
            if is_new:
                collector.add_output_asset(context=self._context, uri=location.uri)
            collector.add_extra(context=self._context, key=EXTRA_KEY, value={"uri": location.uri, **counts})

    def wrote_table(self, hook: DbApiHook, table: str, schema: str | None, rows: int) -> None:
        """Record a table that the task has written to.

        Its columns are left out: a lineage tool would take the few that are known here for the whole table.

        :param hook: The database's hook.
        :param table: The table, without a schema.
        :param schema: Its schema, or None for the connection's.
        :param rows: Rows written. Those of a second call for the same table are added to the first.
        """
        with harmless(_NOT_REPORTED):
            self.wrote(Location.of_table(hook, table, schema), {"rows": rows})

    def landed(self, manifest: Mapping[str, Any] | None) -> None:
        """Record the file that a manifest describes. Rejected rows and the manifest itself are not recorded.

        :param manifest: The manifest, or None where no file was written.
        """
        if manifest is None:
            return
        with harmless(_NOT_REPORTED):
            counts = {"rows": manifest["rows"], "size": manifest["bytes"], "files": 1}
            self.wrote(Location.of(manifest["uri"]), counts, columns=_columns(manifest))

    def openlineage(self) -> OperatorLineage[Any, Any] | None:
        """Return the task's inputs and outputs for OpenLineage.

        :return: None where the OpenLineage provider is not installed.
        """
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

        def statistics(counts: Counter[str]) -> dict[str, Any]:
            rows, size, files = (counts.get(name) for name in ("rows", "size", "files"))
            return {"outputStatistics": OutputStatisticsOutputDatasetFacet(rowCount=rows, size=size, fileCount=files)}

        return OperatorLineage(
            inputs=[InputDataset(place.namespace, place.name) for place in self.inputs],
            outputs=[
                OutputDataset(place.namespace, place.name, facets=schema(columns), outputFacets=statistics(counts))
                for place, (counts, columns) in self.outputs.items()
            ],
        )


def _columns(manifest: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    if manifest["format"].startswith("jsonl"):
        return ()  # a row has the fields that the API gave it
    from airflow_provider_robofy.extract.columns import table_of

    return [(name, kind.value) for name, kind in table_of(manifest["resource"]).kinds.items()]


def _collector() -> Any:
    # Not the one in compat.sdk: on Airflow 2.11 its methods are named after datasets, and it takes no extras.
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    return get_hook_lineage_collector()  # type: ignore[no-untyped-call]


@contextmanager
def harmless(warning: str) -> Iterator[None]:
    """Log an error instead of raising it: what has landed has landed, whether or not it can be reported.

    :param warning: What could not be done, for the log. Only the kind of the error is added: a foreign text may
        contain anything.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a collector, an asset's handler or a metrics backend raises
        log.warning("%s (%s).", warning, type(error).__name__)
