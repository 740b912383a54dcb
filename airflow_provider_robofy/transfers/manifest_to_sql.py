"""Load landed files into a user's database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook, BaseOperator

from airflow_provider_robofy.api.errors import RobofyCancelledError, RobofyConfigError
from airflow_provider_robofy.extract.landed import Wanted, hold
from airflow_provider_robofy.hooks.lineage import Lineage
from airflow_provider_robofy.hooks.locations import Location
from airflow_provider_robofy.hooks.metrics import count, tags_of
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.base import EndsWhenKilled, failing_at_once
from airflow_provider_robofy.resources import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_robofy.warehouse.table import TableName

WANTED: Final = Wanted(
    argument="manifest",
    resources=tuple(RESOURCES),
    fields={
        "uri": str,
        "format": str,
        "chatbot_id": str,
        "mode": str,
        "rows": int,
        "bytes": int,
        "sha256": str,
        "run_key": str,
        "started_at": str,
    },
    must_be="what a fetch task returned (manifest=task.output), a list of those, or the path of a landed file",
    task="fetch task",
    landed_by="Robofy fetch operator",
    remedy="Run the fetch task again.",
)


class RobofyManifestToSqlOperator(EndsWhenKilled, BaseOperator):
    """Load landed leads, sessions or messages into a table of PostgreSQL, MySQL, MariaDB or SQLite.

    The leads of every run, each lead once, in its latest version::

        leads = RobofyFetchLeadsOperator(task_id="leads", cursor="cursors")
        RobofyManifestToSqlOperator(
            task_id="load", manifest=leads.output, table="robofy.leads", sql_conn_id="warehouse", lead_fields=["email"]
        )

    One task an agent, all into one table::

        leads = RobofyFetchLeadsOperator.partial(task_id="leads").expand(chatbot_id=agents())
        RobofyManifestToSqlOperator.partial(task_id="load", table="leads", sql_conn_id="warehouse").expand(
            manifest=leads.output
        )

    A file is loaded in one transaction: all of it or nothing, also when the worker dies. Loading it again changes
    nothing, and an older file never takes a newer row back. The table is made, and columns are added; none is ever
    dropped. docs/warehouse.md has the table's layout.

    :param manifest: What a fetch task returned (``task.output``), the path of a landed file with its manifest beside
        it, or a list of either, such as the ``output`` of a mapped task: then each file is loaded in a transaction of
        its own, one after the other. (templated)
    :param table: ``table`` or ``schema.table``, upper and lower case as given. A table holds one resource, of any
        number of agents. (templated)
    :param sql_conn_id: The connection of the database. (templated)
    :param mode: ``upsert``: each row once, the version that was fetched last. ``append``: each run's rows beside those
        of others; a run that is loaded again replaces its own rows. ``replace``: like ``upsert``, and the agent's
        rows that the file does not have are deleted; only for a manifest of a whole listing. Default ``upsert``.
    :param create_table: Make the table and the columns that it lacks. Otherwise the table must be there, and fields
        without a column go to its column ``_extra``. Default True.
    :param chunk_size: Rows in a statement, at least 1; a chunk ends earlier at about a megabyte. Default 1000.
    :param lead_fields: Form fields of leads that get a text column of their own, as a list of names or a mapping from
        name to column. Names are compared as in privacy rules. Default none; ``lead_data`` has them all.
        (templated)
    :param mark_deleted: After a file that holds a whole listing, set ``_deleted_at`` of the agent's rows that it lacks;
        a row that comes back loses it. A file of what was new to a cursor marks nothing, and neither does one without
        rows or with rejected rows. Only with ``mode="upsert"``. Default False.
    :return: The counts ``rows``, ``inserted``, ``updated``, ``unchanged``, ``outdated``, ``superseded``, ``deleted``
        and ``columns_added``, with ``files``, ``table`` and ``mode``; with ``mark_deleted`` also ``restored``,
        ``marked_deleted``, ``in_both``, ``only_in_api`` and ``only_in_table``. No personal data. docs/warehouse.md
        says what each count means.
    :raises AirflowFailException: Arguments, manifest, table or rights are wrong, so that a retry cannot help.
    :raises RobofyDatabaseError: The database failed; the task's retries apply.
    :raises RobofyLandingError: The file is not the one that the manifest describes; likewise.
    """

    template_fields: Sequence[str] = ("manifest", "table", "sql_conn_id", "mode", "lead_fields")
    ui_color = "#e7f0ff"

    def __init__(
        self,
        *,
        manifest: Mapping[str, Any] | str | Sequence[Mapping[str, Any] | str],
        table: str,
        sql_conn_id: str,
        mode: str = "upsert",
        create_table: bool = True,
        chunk_size: int = 1000,
        lead_fields: Sequence[str] | Mapping[str, str] = (),
        mark_deleted: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.manifest = manifest
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.mode = mode
        self.create_table = create_table
        self.chunk_size = chunk_size
        self.lead_fields = lead_fields
        self.mark_deleted = mark_deleted
        self._lineage: Lineage | None = None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:  # noqa: ARG002
        """Return what OpenLineage reports of the task, whether it succeeded or failed.

        :param task_instance: Not used.
        """
        return (self._lineage or Lineage(None)).openlineage()

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Load the files, and return the counts.

        :param context: Not used.
        """
        with failing_at_once():
            hook = self._hook()
            from airflow_provider_robofy.warehouse.table import MODES, UPSERT, TableName, lead_columns

            if self.mode not in MODES:
                raise RobofyConfigError(f"mode={str(self.mode)[:40]!r} must be one of {', '.join(MODES)}.")
            if self.mark_deleted and self.mode != UPSERT:
                raise RobofyConfigError(
                    f"mark_deleted goes with mode='upsert' and not with mode={self.mode!r}: replace deletes what a "
                    "listing lacks, and append keeps the rows of every run."
                )
            if type(self.chunk_size) is not int or self.chunk_size < 1:
                raise RobofyConfigError(f"chunk_size={str(self.chunk_size)[:40]!r} must be at least 1.")
            table, lead_fields = TableName.of(self.table), lead_columns(self.lead_fields)
            total: dict[str, Any] = {"table": str(table), "mode": self.mode, "files": 0}
            for given in _each(self.manifest):
                for name, number in self._load(hook, given, table, lead_fields).items():
                    total[name] = total.get(name, 0) + number
                total["files"] += 1
            return total

    def _load(self, hook: DbApiHook, given: object, table: TableName, lead_fields: dict[str, str]) -> dict[str, int]:
        from airflow_provider_robofy.warehouse.database import open_database
        from airflow_provider_robofy.warehouse.load import Load

        manifest, store = WANTED.find(given, lambda path: open_store(place(path, "manifest")))
        lineage = self._lineage = self._lineage or Lineage(hook)
        lineage.read(Location.of(store.uri))
        with ExitStack() as opened:
            held = opened.enter_context(hold(manifest, store))
            database = opened.enter_context(
                open_database(hook.get_conn, f"Connection {self.sql_conn_id!r}", self._check_alive)
            )
            load = Load(
                database=database,
                table=table,
                manifest=manifest,
                mode=self.mode,
                create_table=self.create_table,
                chunk_size=self.chunk_size,
                lead_fields=lead_fields,
                mark_deleted=self.mark_deleted,
            )
            counts = load.run(held)
            schema = table.schema or database.connection.dialect.default_schema_name
            lineage.wrote_table(hook, table.name, schema, counts["inserted"] + counts["updated"])
        count(f"robofy.{manifest['resource']}.load", counts, tags_of(self))
        shown = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if name != "rows")
        self.log.info("Loaded %s rows of %s into %s: %s", counts["rows"], manifest["uri"], table, shown)
        return counts

    def _check_alive(self) -> None:
        if self.killed:
            raise RobofyCancelledError("The task was killed; nothing of the file is in the table.")

    def _hook(self) -> DbApiHook:
        """Return the hook of the connection, if it is one of a database that can be loaded into."""
        try:
            import sqlalchemy  # noqa: F401
            from airflow.providers.common.sql.hooks.sql import DbApiHook

            from airflow_provider_robofy.warehouse.database import DIALECTS, refuse
        except ImportError:
            raise RobofyConfigError(
                "Loading into a database needs apache-airflow-providers-common-sql and SQLAlchemy. Install the extra "
                "sql on every worker, from a checkout with pip install '.[sql]' and after the release with pip install "
                "'airflow-provider-robofy[sql]'; and the database's own provider."
            ) from None
        where = f"Connection {self.sql_conn_id!r}"
        try:
            connection = BaseHook.get_connection(self.sql_conn_id)
        except AirflowNotFoundException:
            raise RobofyConfigError(
                f"sql_conn_id: connection {self.sql_conn_id!r} does not exist. Add it in Airflow's UI under Admin, "
                "Connections, with the type of the database, or with airflow connections add."
            ) from None
        try:
            hook = connection.get_hook()  # type: ignore[no-untyped-call]
        except (AirflowException, ImportError):
            raise RobofyConfigError(
                f"{where}: there is no hook for the type {connection.conn_type!r} here. Install the provider of the "
                "database, with its driver, on every worker."
            ) from None
        if not isinstance(hook, DbApiHook):
            raise refuse(str(connection.conn_type), where)
        name = hook.dialect_name
        if name not in (*DIALECTS, "default"):
            raise refuse(name, where)
        return hook


def _each(given: object) -> Iterable[object]:
    """Return the files to load, one after the other; what a mapped task returns may be read lazily."""
    if isinstance(given, Mapping | str) or not isinstance(given, Iterable):
        return [given]
    # An instance of a mapped task that was skipped has returned nothing.
    return (one for one in given if one is not None)
