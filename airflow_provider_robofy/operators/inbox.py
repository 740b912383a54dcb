"""Fetching conversations: sessions, and the messages in them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_robofy.api.endpoints import list_sessions
from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyDataError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.extract.landed import LandedSessions, Shard, shards
from airflow_provider_robofy.extract.messages import MessagesExtraction
from airflow_provider_robofy.extract.privacy import check_rules
from airflow_provider_robofy.extract.pseudonyms import Pseudonyms
from airflow_provider_robofy.extract.transcript import Conversation, Transcript
from airflow_provider_robofy.hooks.locations import Location
from airflow_provider_robofy.hooks.metrics import count_fetch, tags_of
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.hooks.storage import open_store, place
from airflow_provider_robofy.operators.base import (
    RobofyBaseOperator,
    landing_store,
    read_limit,
    run_key,
)
from airflow_provider_robofy.operators.listing import RobofyListingOperator
from airflow_provider_robofy.resources import LEADS, MESSAGES, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_robofy.api.call import Call
    from airflow_provider_robofy.api.envelopes import Rows
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.extract.transcript import SessionRows
    from airflow_provider_robofy.operators.leads import RobofyFetchLeadsOperator

__all__ = ["RobofyFetchMessagesOperator", "RobofyFetchSessionsOperator", "shards"]


class RobofyFetchSessionsOperator(RobofyListingOperator):
    """Land an agent's chat sessions in a file, and return a manifest that adds up.

    All sessions::

        RobofyFetchSessionsOperator(task_id="sessions", output_path="s3://aws_default@lake/sessions/{{ ds }}.jsonl.gz")

    Those that somebody wrote in since the last run that succeeded::

        RobofyFetchSessionsOperator(task_id="sessions", since="{{ prev_data_interval_start_success or '' }}")

    The same with a cursor, which lands each state of a session once and continues from the last run::

        RobofyFetchSessionsOperator(task_id="sessions", cursor="cursors")

    Only conversations that are finished, because nobody has written in them for an hour::

        RobofyFetchSessionsOperator(task_id="sessions", cursor="cursors", idle_for=timedelta(hours=1))

    There is no ``until``: a session's time is that of its last message, so it moves. A session that is busy in every
    window would have moved out of each by the time it is read, and would never land. Windows with only a beginning
    overlap instead, and a session lands in each run since its last message.

    A row lands as the API sent it, with ``_project_id`` (the connection's, or null: the listing names none),
    ``_chatbot_id`` and ``_last_message_time`` (UTC, null where the API's time cannot be read) added. The file appears
    whole or not at all, with ``<file>.manifest.json`` beside it; rows that cannot be understood go to
    ``<file>.rejected.jsonl``, and with ``since`` so do those without a readable time. Duplicate means same id and same
    content: a session that was written in while the listing was read may land twice, the later state last.

    The API's path is known, its answer from other people's clients only: a bare array, ``{"sessions": [...]}`` and
    either of them inside ``data`` are read, and so are all usual time formats.

    :param output_path: Where to land, ending in ``.jsonl``, ``.jsonl.gz``, ``.csv``, ``.csv.gz`` or ``.parquet`` (which
        needs the extra ``parquet``); anything that Airflow's ``ObjectStoragePath`` opens. A relative path is
        below ``[robofy] landing_root``. Default: there too, by project, agent, DAG, run and task, as ``.jsonl``.
        (templated)
    :param chatbot_id: The agent. Default: the connection's. (templated)
    :param since: Land sessions whose last message came at or after this; datetime or ISO 8601 text, UTC where it names
        no zone. None or empty lands all. The API has no time filter, so it costs the requests of a full read, unless
        the connection says ``sessions_order=newest_first``. (templated)
    :param lag: With a cursor, how late a session may turn up in the listing, as a timedelta or in seconds; the
        watermark stays this far behind. Default ten minutes.
    :param cursor: Keep a cursor, and land the sessions that were written in since the last run that landed, as
        :class:`~airflow_provider_robofy.operators.leads.RobofyFetchLeadsOperator` does with leads. It holds hashes and
        no session ids, which can be phone numbers. Not together with ``since``. (templated)
    :param cursor_name: Name of the cursor. Default ``dag_id.task_id``. (templated)
    :param advance_cursor: With a cursor, move it when the file has landed. False leaves it where it stands, for
        :class:`~airflow_provider_robofy.operators.cursors.RobofyAdvanceCursorOperator` to move once the load is done:
        if that fails, the next run fetches the same rows again. Default True.
    :param full_every: With a cursor, land all sessions again when the last time is longer ago than this, a timedelta or
        seconds. Default never.
    :param idle_for: With a cursor, land only sessions without a message for this long when the listing begins, a
        timedelta or seconds. Others land in a later run, once they are silent; a session without a readable time lands
        at once. A change of it loses nothing. A full run that left sessions out counts as ``mode`` ``cursor``, so that
        a load takes none of them for deleted. Default 0: all land.
    :param skip_if_empty: With a cursor, skip the task when nothing is new. Default True.
    :param privacy: What becomes of personal data before it lands: field to ``keep``, ``drop`` or ``hash``, for example
        ``{"user_profile_name": "hash", "last_message": "drop"}``; on top of the connection's ``privacy``. ``*`` is for
        fields that no rule names. The session's id stays, because its messages are asked for by it, so this file must
        be guarded even under a policy; beside it lands ``_session_key``, its hash (HMAC-SHA-256 with the connection's
        ``pseudonym_secret``), by which messages are joined. Default: the connection's; without one, all is kept.
    :param defuse_formulas: In CSV, put an apostrophe before a cell that a spreadsheet would compute, such as a message
        that a visitor began with ``=``; ``rows()`` takes it away again. False writes cells as they are, for a loader
        that would load the apostrophe. It has no effect on other formats. Default True.
    :param max_rejected: Rows that may be rejected before the task fails; the files are published all the same, and the
        manifest is pushed to XCom as ``manifest``. Default 0.
    :param robofy_conn_id: The Robofy connection. (templated)
    :return: The manifest, see :class:`~airflow_provider_robofy.extract.manifest.Manifest`. No personal data.
    :raises AirflowFailException: Key, agent, connection or ``since`` are wrong, so that a retry cannot help.
    :raises RobofyError: The API failed, or the file could not be landed; the task's retries apply.
    """

    resource = SESSIONS
    template_fields: Sequence[str] = ("output_path", "chatbot_id", "since", "cursor", "cursor_name", "robofy_conn_id")

    def __init__(self, *, idle_for: timedelta | float = timedelta(0), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.idle_for = read_duration("idle_for", idle_for)
        if self.idle_for and self.cursor is None:
            raise RobofyConfigError(
                "idle_for needs a cursor, which finds a session again once it is silent: set cursor too, or leave "
                "idle_for out."
            )

    def listing(self) -> tuple[str | None, str, Call[Rows], str]:
        """Return the agent's sessions."""
        connection, chatbot_id = self.hook.connection, self.hook.chatbot_id(self.chatbot_id)
        return connection.project_id, chatbot_id, list_sessions(chatbot_id), connection.sessions_order


#: What ``rows`` may be.
READINGS: Final = {one.resource: one for one in (Transcript, Conversation)}


class RobofyFetchMessagesOperator(RobofyBaseOperator):
    """Land the messages of many sessions in a file, and return a manifest that adds up.

    After a task that landed the sessions::

        sessions = RobofyFetchSessionsOperator(task_id="sessions")
        RobofyFetchMessagesOperator(task_id="messages", sessions=sessions.output, max_concurrency=16)

    Spread over eight tasks, and so over Airflow's workers, each with a file of its own::

        RobofyFetchMessagesOperator.partial(task_id="messages", sessions=sessions.output).expand(shard=shards(8))

    The API gives messages a session at a time, so this makes at least one request a session, many at a time.

    A row lands as the API sent it, with ``_project_id``, ``_chatbot_id``, ``_session_id`` (always text), ``_position``
    (its position in the API's order, from 0) and ``_message_key`` added. The key is the same for the same message in
    every run, whatever the order, and differs between two equal messages of a session; load by it, and a message that
    lands in several runs counts once. Rows come in the order of the sessions file, and within a session in the API's.

    A session that is deleted before it is read is *gone*, which is no failure. One that cannot be read after the
    connection's ``max_attempts`` has *failed*: it is named in ``<file>.failed.jsonl``, with none of its messages in the
    data. All sessions gone, five or more, is an error, because then it is more likely that the path is wrong.

    With ``rows="conversations"`` each session is one row, with ``_session_id``, ``_project_id``, ``_chatbot_id``,
    ``_message_count`` and ``_transcript``, the list of its messages as the API sent them. A session of more than 16 MB
    has failed. Nothing is computed from the messages, since none of their fields is documented.

    Logs, errors and XCom hold no session id, since it can be a phone number; the log names sessions by a keyed hash,
    which the file of failed sessions repeats.

    :param sessions: The manifest that a :class:`RobofyFetchSessionsOperator` returned (``task.output``), or the path of
        the file it landed. Not a list of ids: Airflow stores what an operator is given. (templated)
    :param rows: ``messages``, one row each, or ``conversations``, one row for each session. Default ``messages``.
    :param output_path: Where to land, ending in ``.jsonl``, ``.jsonl.gz``, ``.csv``, ``.csv.gz`` or ``.parquet`` (which
        needs the extra ``parquet``); anything that Airflow's ``ObjectStoragePath`` opens. A relative path is
        below ``[robofy] landing_root``. For shards it must hold ``{{ ti.map_index }}``. Default: below the landing
        root, by project, agent, DAG, run, task and map index, as ``.jsonl``. (templated)
    :param max_concurrency: Sessions read at a time, at least 1. The connection's ``requests_per_minute`` holds all the
        same. Default 8.
    :param shard: ``(index, count)``: read only this part of the sessions, one of ``shards(count)``. A session belongs
        to the same part in every run. Each part keeps to its share of ``requests_per_minute``. Default: all.
    :param privacy: What becomes of personal data before it lands: field to ``keep``, ``drop`` or ``hash``, for example
        ``{"role": "keep", "*": "drop"}``; on top of the connection's ``privacy``. Under a policy ``_session_id`` lands
        as the hash that the sessions' file has under ``_session_key``, unless the policy says
        ``{"session_id": "keep"}``. Rejected rows and failed sessions obey too. Default: the connection's; without one,
        all is kept.
    :param defuse_formulas: In CSV, put an apostrophe before a cell that a spreadsheet would compute, such as a message
        that a visitor began with ``=``; ``rows()`` takes it away again. False writes cells as they are, for a loader
        that would load the apostrophe. It has no effect on other formats. Default True.
    :param max_failed_sessions: Sessions that may fail before the task does; what was read is published all the same,
        and the manifest is pushed to XCom as ``manifest``. Default 0.
    :param max_rejected: Rows that are no messages (not an object, or with a field of a name that is added here) before
        the task fails, likewise; they are in ``<file>.rejected.jsonl``. Default 0.
    :param robofy_conn_id: The Robofy connection. (templated)
    :return: The manifest, see :class:`~airflow_provider_robofy.extract.manifest.MessagesManifest`. No personal
        data.
    :raises AirflowFailException: Key, connection, ``sessions`` or ``shard`` are wrong, or every session is gone.
    :raises RobofyDataError: More sessions failed, or rows were rejected, than is allowed; the task's retries apply.
    :raises RobofyError: The result could not be landed; likewise.
    """

    template_fields: Sequence[str] = ("sessions", "output_path", "shard", "robofy_conn_id")

    def __init__(
        self,
        *,
        sessions: dict[str, Any] | str,
        rows: str = "messages",
        output_path: str | None = None,
        max_concurrency: int = 8,
        shard: tuple[int, int] | list[int] | None = None,
        privacy: Mapping[str, str] | None = None,
        defuse_formulas: bool = True,
        max_failed_sessions: int = 0,
        max_rejected: int = 0,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, **kwargs)
        if rows not in READINGS:
            raise RobofyConfigError(f"rows={rows!r} must be one of {', '.join(map(repr, READINGS))}.")
        self.sessions = sessions
        self.rows = rows
        self.output_path = output_path
        self.max_concurrency = max_concurrency
        self.shard = shard
        self.privacy = check_rules(privacy, "privacy") if privacy is not None else None
        self.defuse_formulas = defuse_formulas
        self.max_failed_sessions = read_limit("max_failed_sessions", max_failed_sessions)
        self.max_rejected = read_limit("max_rejected", max_rejected)
        self.remember_given()

    def work(self, context: Context) -> dict[str, Any]:
        """Fetch, land and return the manifest."""
        # Conversations consist of messages, so the rules for messages hold.
        privacy = self.hook.connection.privacy_policy(MESSAGES, self.privacy)
        return land_of_sessions(self, context, find_sessions(self), READINGS[self.rows], privacy)


def find_sessions(task: RobofyFetchMessagesOperator | RobofyFetchLeadsOperator) -> LandedSessions:
    """Return the landed sessions that an operator's ``sessions`` names.

    :param task: The operator, with its arguments.
    :return: The sessions.
    :raises RobofyConfigError: ``max_concurrency`` is wrong, or ``sessions`` is no manifest and no path of a landed file
        of sessions.
    :raises RobofyLandingError: The file is not the one that the manifest describes.
    """
    if type(task.max_concurrency) is not int or task.max_concurrency < 1:
        raise RobofyConfigError(f"max_concurrency={task.max_concurrency!r} must be at least 1.")
    return LandedSessions.of(task.sessions, lambda path: open_store(place(path, "sessions")))


def land_of_sessions(
    task: RobofyFetchMessagesOperator | RobofyFetchLeadsOperator,
    context: Context,
    sessions: LandedSessions,
    reading: type[SessionRows],
    privacy: PrivacyPolicy | None,
) -> dict[str, Any]:
    """Fetch what each of the landed sessions has, land it, and return the manifest.

    :param task: The operator, with its arguments.
    :param context: The context, checked.
    :param sessions: The sessions.
    :param reading: What is read of each session.
    :param privacy: The privacy policy of the rows, or None.
    :return: The manifest.
    :raises RobofyError: See the operators.
    """
    settings, secret, key = task.hook.connection.settings, task.hook.connection.pseudonym_secret, run_key(context)
    source = LEADS.name if reading.resource == LEADS.name else MESSAGES.name
    task.lineage.read(task.location_of(source, sessions.project_id, sessions.chatbot_id))
    task.lineage.read(Location.of(sessions.store.uri))
    extraction = MessagesExtraction(
        sessions=sessions,
        reading=reading,
        times=task.hook.connection.times,
        shard=Shard.of(task.shard),
        settings=settings,
        max_concurrency=task.max_concurrency,
        run_key=key,
        store=landing_store(
            task.output_path, context, reading.resource, sessions.project_id or "", sessions.chatbot_id
        ),
        # The run's own key is known to everybody who reads the log, so the API key makes it a secret one.
        pseudonyms=Pseudonyms(secret or f"{settings.api_key}\n{key}"),
        privacy=privacy,
        defuse_formulas=task.defuse_formulas,
        max_failed_sessions=task.max_failed_sessions,
        max_rejected=task.max_rejected,
    )
    try:
        manifest = task.ending_when_killed(extraction).run().as_dict()
    except RobofyDataError as error:
        count_fetch(error.manifest, extraction.client, tags_of(task))
        task.lineage.landed(error.manifest)
        context["ti"].xcom_push(key="manifest", value=error.manifest)
        raise
    count_fetch(manifest, extraction.client, tags_of(task))
    task.report_landed(context, manifest)
    return manifest
