"""Load an agent's new leads into a table, check the table by SQL, and move the cursor only if the checks pass.

Needs a connection ``robofy_default``, a connection ``warehouse`` to PostgreSQL, MySQL, MariaDB or SQLite with that
database's provider, the extra ``sql``, and ``[robofy] landing_root``. If a check fails, the run fails and the next one
fetches the same leads again; the load makes no duplicates of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import dag
from airflow.providers.common.sql.operators.sql import SQLColumnCheckOperator, SQLTableCheckOperator

from airflow_provider_robofy.operators.cursors import RobofyAdvanceCursorOperator
from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator
from airflow_provider_robofy.transfers.manifest_to_sql import RobofyManifestToSqlOperator


@dag(
    schedule="@hourly",
    start_date=datetime(2025, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    tags=["robofy"],
    doc_md=__doc__,
)
def robofy_checked_leads() -> None:
    # [START checks]
    leads = RobofyFetchLeadsOperator(task_id="fetch_leads", cursor="cursors", advance_cursor=False)
    load = RobofyManifestToSqlOperator(
        task_id="load_leads",
        manifest=leads.output,
        table="robofy_leads",
        sql_conn_id="warehouse",
        lead_fields=["email"],
    )
    check_columns = SQLColumnCheckOperator(
        task_id="check_columns",
        conn_id="warehouse",
        table="robofy_leads",
        column_mapping={
            "_created_at": {"null_check": {"equal_to": 0}},  # every time could be read
            "source": {"null_check": {"equal_to": 0}},
        },
        retries=0,  # a check that fails fails again
    )
    check_table = SQLTableCheckOperator(
        task_id="check_table",
        conn_id="warehouse",
        table="robofy_leads",
        checks={
            "leads_are_there": {"check_statement": "COUNT(*) > 0"},
            "most_leads_have_an_email": {"check_statement": "COUNT(email) * 2 >= COUNT(*)"},
        },
        retries=0,
    )
    advance = RobofyAdvanceCursorOperator(task_id="advance_cursor", manifest=leads.output, cursor="cursors")
    load >> [check_columns, check_table] >> advance
    # [END checks]


robofy_checked_leads()
