"""Fetching leads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_robofy.api.endpoints import list_leads
from airflow_provider_robofy.api.errors import RobofyConfigError
from airflow_provider_robofy.extract.transcript import SessionLeads
from airflow_provider_robofy.operators.inbox import find_sessions, land_of_sessions
from airflow_provider_robofy.operators.listing import NOT_WITH_CURSOR, RobofyListingOperator
from airflow_provider_robofy.resources import LEADS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows


class RobofyFetchLeadsOperator(RobofyListingOperator):
    """Land an agent's leads in a file, and return a manifest that adds up.

    Everything there is, from a daily DAG::

        RobofyFetchLeadsOperator(task_id="leads", output_path="s3://aws_default@lake/leads/{{ ds }}.jsonl.gz")

    The leads of a stretch of time, shifted back by the time in which leads may turn up late::

        RobofyFetchLeadsOperator(
            task_id="leads",
            since="{{ data_interval_start - macros.timedelta(minutes=10) }}",
            until="{{ data_interval_end - macros.timedelta(minutes=10) }}",
        )

    Everything new since the last run, and once a week everything again::

        RobofyFetchLeadsOperator(task_id="leads", cursor="cursors", full_every=timedelta(days=7))

    One file for each agent::

        RobofyFetchLeadsOperator.partial(task_id="leads").expand(chatbot_id=agents())

    With the session that each of them came from, for a join with sessions and messages::

        RobofyFetchLeadsOperator(task_id="leads", sessions=sessions.output)

    A row lands as the API sent it, with ``_project_id``, ``_chatbot_id`` and ``_created_at`` (UTC, null where the API's
    time cannot be read) added. The file appears whole or not at all, with ``<file>.manifest.json`` beside it; rows that
    cannot be understood go to ``<file>.rejected.jsonl``. The API has no time filter, so a window costs the requests of
    a full read, unless the connection says ``leads_order=newest_first``.

    :param output_path: Where to land, ending in ``.jsonl``, ``.jsonl.gz``, ``.csv``, ``.csv.gz`` or ``.parquet`` (which
        needs the extra ``parquet``); anything that Airflow's ``ObjectStoragePath`` opens. A relative path is
        below ``[robofy] landing_root``. Default: there too, by project, agent, DAG, run and task, as ``.jsonl``.
        (templated)
    :param project_id: The agent's project. Default: the connection's. (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param since: Land leads created at or after this; datetime or ISO 8601 text, UTC where it names no zone. None or
        empty leaves that side open. (templated)
    :param until: Land leads created before this; likewise. (templated)
    :param lag: How late a lead may turn up in the listing, as a timedelta or in seconds. A window that ends later than
        this before now is read, with a warning; a cursor's watermark stays this far behind. Default ten minutes.
    :param cursor: Keep a cursor, and land what is new since the last run that landed. Where to keep it: a folder, in
        which each sync gets a file of its own (a relative one is below ``[robofy] landing_root``); a path ending in
        ``.json``; or an asset, whose state holds it
        (Airflow 3.3; :func:`~airflow_provider_robofy.assets.robofy.leads_asset`), in a mapped task with
        ``inlets=[asset]`` in ``.partial()``. Not together with ``since`` or ``until``. Set ``max_active_runs=1``. A run
        with the configuration ``{"robofy_cursor": "reset"}`` starts again from the beginning, one with
        ``{"robofy_cursor": "2025-01-15T00:00:00Z"}`` from that moment. (templated)
    :param cursor_name: Name of the cursor; two tasks with one name share it. Default ``dag_id.task_id``. (templated)
    :param advance_cursor: With a cursor, move it when the file has landed. False leaves it where it stands, for
        :class:`~airflow_provider_robofy.operators.cursors.RobofyAdvanceCursorOperator` to move once the load is done:
        if that fails, the next run fetches the same rows again. Default True.
    :param full_every: With a cursor, read and land everything again when the last time is longer ago than this, a
        timedelta or seconds. It brings in what a cursor cannot see: leads that turned up later than ``lag``, and old
        leads that have changed. Default never.
    :param skip_if_empty: With a cursor, skip the task, and with it what follows, when nothing is new; no file is
        written, and the manifest is in XCom as ``manifest``. Default True.
    :param sessions: Read the leads of these sessions, one session after the other, and add ``_session_id`` to each row.
        The manifest that a :class:`~airflow_provider_robofy.operators.inbox.RobofyFetchSessionsOperator` returned, or
        the path of its file. The agent is that of the sessions, so ``chatbot_id``, a window and a cursor do not go
        together with it. A session that fails is named in ``<file>.failed.jsonl``, and the task fails. Under a privacy
        policy ``_session_id`` is hashed as that of messages is. Leads without a session are not in the file. Default:
        read the whole listing. (templated)
    :param shard: With ``sessions``, ``(index, count)``: read only this part of them, one of
        :func:`~airflow_provider_robofy.operators.inbox.shards`. Default: all. (templated)
    :param max_concurrency: With ``sessions``, sessions read at a time, at least 1. Default 8.
    :param privacy: What becomes of personal data before it lands: field to ``keep``, ``drop`` or ``hash``, for example
        ``{"ip_address": "drop", "lead_data.email": "hash", "lead_data.*": "drop"}``; on top of the connection's
        ``privacy``. Fields of a form are named by their ``field_name`` or, as ``lead_data.type:email``, their type;
        ``lead_data.*`` is for all others, and ``*`` for other fields of the row. The hash is an HMAC-SHA-256 with the
        connection's ``pseudonym_secret``. Rejected rows obey too. Default: the connection's; without one, all is kept.
    :param defuse_formulas: In CSV, put an apostrophe before a cell that a spreadsheet would compute, such as a name
        that a visitor began with ``=``; ``rows()`` takes it away again. False writes cells as they are, for a loader
        that would load the apostrophe. It has no effect on other formats. Default True.
    :param max_rejected: Rows that may be rejected before the task fails; the files are published all the same, and the
        manifest is pushed to XCom as ``manifest``. Default 0.
    :param robofy_conn_id: The Robofy connection. (templated)
    :return: The manifest, see :class:`~airflow_provider_robofy.extract.manifest.Manifest`; with ``sessions``,
        :class:`~airflow_provider_robofy.extract.manifest.MessagesManifest`. No personal data.
    :raises AirflowFailException: Key, ids, connection or window are wrong, so that a retry cannot help.
    :raises RobofyError: The API failed, or the file could not be landed; the task's retries apply.
    """

    resource = LEADS
    template_fields: Sequence[str] = (
        "output_path",
        "project_id",
        "chatbot_id",
        "since",
        "until",
        "cursor",
        "cursor_name",
        "sessions",
        "shard",
        "robofy_conn_id",
    )
    #: Sessions may not fail: their leads would be missing without a trace in the table.
    max_failed_sessions = 0

    def __init__(
        self,
        *,
        project_id: str | int | None = None,
        until: datetime | str | None = None,
        sessions: dict[str, Any] | str | None = None,
        shard: tuple[int, int] | list[int] | None = None,
        max_concurrency: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.until = until
        self.sessions = sessions
        self.shard = shard
        self.max_concurrency = max_concurrency
        if self.cursor is not None and until is not None:
            raise RobofyConfigError(NOT_WITH_CURSOR)
        clash = [name for name in ("chatbot_id", "since", "until", "cursor") if getattr(self, name) is not None]
        if sessions is not None and clash:
            raise RobofyConfigError(
                f"sessions does not go together with {', '.join(clash)}: the sessions name the agent, and all their "
                "leads are read."
            )
        if sessions is None and shard is not None:
            raise RobofyConfigError("shard has no effect without sessions: set sessions too, or leave shard out.")
        self.remember_given()

    def listing(self) -> tuple[str | None, str, Call[Rows], str]:
        """Return the agent's leads."""
        project_id, chatbot_id = self.hook.project_id(self.project_id), self.hook.chatbot_id(self.chatbot_id)
        return project_id, chatbot_id, list_leads(project_id, chatbot_id), self.hook.connection.leads_order

    def work(self, context: Context) -> dict[str, Any]:
        """Fetch, land and return the manifest.

        :param context: The context that Airflow passes.
        :return: The manifest.
        """
        if self.sessions is None:
            return super().work(context)
        sessions = find_sessions(self)
        project_id = self.hook.project_id(self.project_id or sessions.project_id)
        sessions = replace(sessions, manifest={**sessions.manifest, "project_id": project_id})
        privacy = self.hook.connection.privacy_policy(LEADS, self.privacy, of_sessions=True)
        return land_of_sessions(self, context, sessions, SessionLeads, privacy)
