"""Load an agent's new leads into a table every hour: each lead once, in its latest version.

The cursor moves when the load is done. If a load fails for good, the next run fetches the same leads once more, so the
next run that succeeds has everything.

Needs a connection ``robofy_default`` with ``project_id`` and ``chatbot_id``, a connection ``warehouse`` to PostgreSQL,
MySQL, MariaDB or SQLite with that database's provider, the extra ``sql``
(``pip install '.[sql]'`` in a checkout), and ``[robofy] landing_root``.

The file is kept. The first run creates the table ``robofy_leads``. Its columns ``name`` and ``email`` contain the form
fields of these names, and ``lead_data`` contains the whole form.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two runs that overlap would land some leads twice
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_leads_to_sql() -> None:
    # [START leads_to_sql]
    leads = RobofyFetchLeadsOperator(
        task_id="fetch_leads", cursor="cursors", advance_cursor=False, full_every=timedelta(days=7)
    )
    load = RobofyManifestToSqlOperator(
        task_id="load_leads",
        manifest=leads.output,
        table="robofy_leads",
        sql_conn_id="warehouse",
        lead_fields=["name", "email"],
    )
    load >> RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor="cursors")
    # [END leads_to_sql]


robofy_leads_to_sql()
