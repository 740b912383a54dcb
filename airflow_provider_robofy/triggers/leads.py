"""Wait for leads without a worker, and start DAGs when they arrive."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.triggers.base import TriggerEvent

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.extract.arrivals import CountLeads, LeadPoll, LeadWatch, NewestLeads, ahead_of, as_landed
from airflow_provider_robofy.extract.cursor import Cursor, cursor_body, cursor_key
from airflow_provider_robofy.extract.privacy import HASH, applied_rules, own_rules
from airflow_provider_robofy.extract.rows import NEWEST_FIRST, RowVersion
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.hooks.storage import open_store
from airflow_provider_robofy.resources import LEADS
from airflow_provider_robofy.triggers.base import RobofyWaitTrigger
from airflow_provider_robofy.triggers.polls import shared_polls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable
    from datetime import timedelta

    from airflow_provider_robofy.extract.arrivals import Head, HeadRow
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.triggers.polls import Polls

    Newest = tuple[RobofyConnection, tuple[HeadRow, ...]]

_log = logging.getLogger(__name__)

#: Seconds that a watcher waits at most between two polls while Robofy does not answer.
MAX_BACKOFF: Final = 900.0
#: Seconds for which a poll of a watcher is awaited; a listing of unknown order is read to its end.
POLL_TIMEOUT: Final = 900.0
#: Seconds to which the time between two events grows while the cursor does not move.
MAX_REPEAT: Final = 3600.0
#: Lead ids that an event names at most: Airflow stores and logs events.
EVENT_IDS: Final = 100


def lead_poll(connection: RobofyConnection, project_id: str, chatbot_id: str) -> LeadPoll:
    """Return what reads an agent's leads as its connection says.

    :param connection: The connection: zone of its times, and order of its leads.
    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    """
    return LeadPoll(project_id, chatbot_id, connection.times.timezone, connection.leads_order == NEWEST_FIRST)


def read_cursor(value: Any, name: str, project_id: str, chatbot_id: str) -> Cursor:
    """Return the cursor of a sync of leads.

    :param value: The cursor's body, the address of its file, or None where there is none yet.
    :param name: The cursor's name.
    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :raises RobofyError: The cursor cannot be read or used.
    """
    identity = {"name": name, "resource": LEADS.name, "project_id": project_id, "chatbot_id": chatbot_id}
    key = cursor_key(name, LEADS.name, project_id, chatbot_id)
    return Cursor.decode(cursor_body(value, open_store), identity, f"The cursor {key}")


def comparable(cursor: Cursor, connection: RobofyConnection) -> tuple[Cursor, PrivacyPolicy | None, bool]:
    """Return a cursor with which leads can be compared, the privacy policy that they then land under, and a flag.

    :param cursor: The cursor as it is stored.
    :param connection: The connection as it is now.
    :return: The flag is True where the cursor was written under other privacy rules: then its hashes are left out.
    """
    policy = connection.privacy_policy(LEADS, own_rules(cursor.privacy))
    differs = cursor.privacy is not None and cursor.privacy != applied_rules(policy)
    return replace(cursor, overlap=()) if differs else cursor, policy, differs


class RobofyNewLeadsTrigger(RobofyWaitTrigger):
    """Fire when an agent has a number of new leads.

    Usage, in an operator of your own::

        self.defer(
            trigger=RobofyNewLeadsTrigger(
                project_id="24017",
                chatbot_id="UOmf...",
                since="2025-01-15T00:00:00+00:00",
                min_count=1,
                robofy_conn_id="robofy_default",
                poll_interval=60,
                deadline=time.time() + 3600,
            ),
            method_name="execute_complete",
        )

    :param project_id: The agent's project.
    :param chatbot_id: The agent.
    :param since: Leads at or after this ISO 8601 time count; None counts all.
    :param min_count: How many there must be.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds.
    :param deadline: Second since 1970 at which the wait ends.
    :param cursor: Leads that the sync with this cursor has landed do not count: the cursor itself, or
        ``{"file": path}``, which is read at each poll. Default none: ``since`` decides alone.
    :param cursor_name: The cursor's name.
    """

    def __init__(
        self,
        *,
        project_id: str,
        chatbot_id: str,
        since: str | None,
        min_count: int,
        robofy_conn_id: str,
        poll_interval: timedelta | float,
        deadline: float,
        cursor: dict[str, Any] | None = None,
        cursor_name: str | None = None,
    ) -> None:
        super().__init__(robofy_conn_id=robofy_conn_id, poll_interval=poll_interval, deadline=deadline)
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.since = since
        self.min_count = min_count
        self.cursor = cursor
        self.cursor_name = cursor_name
        self._watch = LeadWatch()

    @property
    def watch(self) -> LeadWatch:
        return self._watch

    def poll(self, connection: RobofyConnection) -> LeadPoll:
        return lead_poll(connection, self.project_id, self.chatbot_id)

    @property
    def reads_files(self) -> bool:  # type: ignore[override]
        return self.cursor is not None and not {"at", "file"}.isdisjoint(self.cursor)

    def question(self, connection: RobofyConnection) -> CountLeads:
        """Return which leads are waited for.

        :param connection: The connection, for its privacy rules.
        :raises RobofyError: The cursor cannot be read or used.
        """
        if self.cursor_name is None:
            policy = connection.privacy_policy(LEADS, None)
            hashed = policy is not None and policy.rules.get(LEADS.key) == HASH
            return CountLeads(Window.of(self.since, None).since, self.min_count, policy=policy if hashed else None)
        cursor = read_cursor(self.cursor, self.cursor_name, self.project_id, self.chatbot_id)
        cursor, policy, _ = comparable(cursor, connection)
        landed = frozenset(one.fingerprint for one in cursor.overlap)
        return CountLeads(cursor.watermark, self.min_count, landed, policy)

    def arguments(self) -> dict[str, Any]:
        return {
            "project_id": self.project_id,
            "chatbot_id": self.chatbot_id,
            "since": self.since,
            "min_count": self.min_count,
            "cursor": self.cursor,
            "cursor_name": self.cursor_name,
            **super().arguments(),
        }


class RobofyNewLeadsEventTrigger(BaseEventTrigger):
    """Start DAGs when an agent has leads that a sync has not landed yet (Airflow 3.3).

    Usage, with the sync that keeps its cursor in the same asset::

        leads = leads_asset(
            24017,
            "UOmf...",
            watchers=[
                AssetWatcher(
                    name="new_leads",
                    trigger=RobofyNewLeadsEventTrigger(project_id=24017, chatbot_id="UOmf...", cursor_name="leads"),
                )
            ],
        )


        @dag(schedule=[leads], max_active_runs=1)
        def sync_leads():
            RobofyFetchLeadsOperator(
                task_id="leads", project_id=24017, chatbot_id="UOmf...", cursor=leads, cursor_name="leads"
            )

    The watcher reads the sync's cursor and never writes one. An event carries no data: the task reads up to now from
    its own cursor. While Robofy stays ahead of the cursor the event is repeated, because Airflow does not promise a
    run for every event. Nothing is remembered between polls, so no crash can lose a lead.

    The newest leads are compared with the cursor as they land: after the connection's privacy rules and those that the
    task has added, which the cursor names.

    Watchers of one agent with one interval share one poll, however many they are. A poll is one request where the
    connection says ``leads_order=newest_first``, and reads the whole listing otherwise.

    :param project_id: The agent's project, written out.
    :param chatbot_id: The agent.
    :param cursor_name: The ``cursor_name`` of the task that syncs.
    :param robofy_conn_id: Id of the Robofy connection.
    :param poll_interval: Time between two polls, as a timedelta or in seconds. Default 30.
    :param repeat_after: Timedelta or seconds after which the event is repeated while the cursor does not move. Above
        the DAG's usual run time, or runs start that find nothing to do. Each further repetition takes twice as long, up
        to an hour, and new leads then wait for it too: a load that fails does not start run after run. Default 600.
    :raises RobofyConfigError: This Airflow is older than 3.3, or an argument cannot be used.
    """

    def __init__(
        self,
        *,
        project_id: str | int,
        chatbot_id: str,
        cursor_name: str,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        poll_interval: timedelta | float = 30,
        repeat_after: timedelta | float = 600,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not AIRFLOW_V_3_3_PLUS:
            raise RobofyConfigError(
                "RobofyNewLeadsEventTrigger needs Airflow 3.3 or newer, where a watcher can read an asset's state. "
                "Use RobofyNewLeadsSensor, or a schedule."
            )
        for name, value in (("project_id", project_id), ("chatbot_id", chatbot_id), ("cursor_name", cursor_name)):
            if not str(value).strip():
                raise RobofyConfigError(f"{name} is empty.")
        self.project_id = str(project_id)
        self.chatbot_id = chatbot_id
        self.cursor_name = cursor_name
        self.robofy_conn_id = robofy_conn_id
        self.poll_interval = read_duration("poll_interval", poll_interval, zero=False).total_seconds()
        self.repeat_after = read_duration("repeat_after", repeat_after, zero=False).total_seconds()
        #: Has it been logged that the cursor was written under other privacy rules?
        self._warned = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "project_id": self.project_id,
            "chatbot_id": self.chatbot_id,
            "cursor_name": self.cursor_name,
            "robofy_conn_id": self.robofy_conn_id,
            "poll_interval": self.poll_interval,
            "repeat_after": self.repeat_after,
        }

    def shared_stream_key(self) -> Hashable:
        # The class too: Airflow groups by this key alone.
        return (type(self).__qualname__, self.robofy_conn_id, self.project_id, self.chatbot_id, self.poll_interval)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Newest]:
        """Yield the connection and the newest rows of the listing at every poll, for ever.

        It never raises: Airflow would start it again at once, and again, every two seconds and without sharing.
        """
        failures = 0
        async with shared_polls() as polls:
            while True:
                try:
                    newest = await cls._poll(polls, kwargs)
                except Exception as error:  # noqa: BLE001 - see above
                    failures += 1
                    pause = min(MAX_BACKOFF, kwargs["poll_interval"] * 2 ** min(failures, 16))
                    if isinstance(error, RobofyError) and error.permanent:
                        pause = MAX_BACKOFF
                    _log.error("New leads cannot be watched, trying again in %.0f s: %s", pause, _describe(error))
                    await asyncio.sleep(pause)
                    continue
                failures = 0
                yield newest
                del newest  # it contains personal data
                await asyncio.sleep(kwargs["poll_interval"])

    @staticmethod
    async def _poll(polls: Polls, kwargs: dict[str, Any]) -> Newest:
        # Read anew each time: a key that was wrong may have been corrected.
        connection = await RobofyHook(kwargs["robofy_conn_id"]).aconnection()
        head: Head = await polls.ask(
            lead_poll(connection, kwargs["project_id"], kwargs["chatbot_id"]),
            NewestLeads(),
            settings=connection.settings,
            interval=kwargs["poll_interval"],
            timeout=POLL_TIMEOUT,
        )
        return connection, head.rows

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Newest]) -> AsyncIterator[TriggerEvent]:
        """Yield an event where the listing is ahead of the cursor, and again while it stays so."""
        checked: tuple[RowVersion, ...] | None = None
        checked_at = 0.0
        # Where the cursor stands; when the first event since then was sent, and the last one.
        stands: str | None = None
        first_sent: float | None = None
        last_sent, pause = 0.0, self.repeat_after
        logged: str | None = None
        async for connection, rows in shared_stream:
            # Not the rows themselves, which contain personal data.
            head = as_landed(rows, None)
            now = time.monotonic()
            stuck = first_sent is not None and now - first_sent >= self.repeat_after
            if head == checked and not stuck and now - checked_at < self.repeat_after:
                del rows
                continue
            try:
                new, generation = await self._ahead(connection, rows)
            except Exception as error:  # noqa: BLE001 - as in open_shared_stream
                if (text := _describe(error)) != logged:
                    _log.error("The cursor cannot be read or used, trying again at each poll: %s", text)
                logged = text
                continue
            finally:
                del rows
            logged = None
            if generation != stands:
                stands, first_sent, pause = generation, None, self.repeat_after
            elif stuck and now - last_sent < pause:
                continue
            elif stuck:
                pause = min(2 * pause, max(MAX_REPEAT, self.repeat_after))
            checked, checked_at = head, now
            if new:
                first_sent, last_sent = now if first_sent is None else first_sent, now
                yield TriggerEvent(self._payload(new))  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch alone, where Airflow does not share the poll."""
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event

    async def _ahead(self, connection: RobofyConnection, rows: tuple[HeadRow, ...]) -> tuple[list[RowVersion], str]:
        """Return the rows that the sync has still to land, and the cursor's generation."""
        key = cursor_key(self.cursor_name, "leads", self.project_id, self.chatbot_id)
        state: Any = self.asset_state_store
        try:
            value = None if state is None else await state.aget(key)
        except ValueError:
            raise RobofyConfigError(
                "One trigger watches several assets, so Airflow does not say which of them holds the cursor. Give "
                "each asset a trigger of its own, with a cursor_name of its own (Airflow merges triggers with equal "
                "arguments), or schedule all DAGs on one asset."
            ) from None
        # Beside the event loop: a large cursor lies in a file, and rows are hashed.
        return await asyncio.to_thread(self._compare, key, value, connection, rows)

    def _compare(
        self, key: str, value: Any, connection: RobofyConnection, rows: tuple[HeadRow, ...]
    ) -> tuple[list[RowVersion], str]:
        cursor = read_cursor(value, self.cursor_name, self.project_id, self.chatbot_id)
        cursor, policy, differs = comparable(cursor, connection)
        if differs and not self._warned:
            _log.warning(
                "The cursor %s was written under other privacy rules, or with another pseudonym_secret, than the "
                "connection has now. Its hashes cannot be compared, so that leads at or after its watermark count "
                "as new until the next run of the sync.",
                key,
            )
        self._warned = differs
        return ahead_of(as_landed(rows, policy), cursor), cursor.generation

    def _payload(self, new: list[RowVersion]) -> dict[str, Any]:
        times = [one.at for one in new if one.at is not None]
        return {
            "resource": "leads",
            "project_id": self.project_id,
            "chatbot_id": self.chatbot_id,
            "count": len(new),
            "lead_ids": [one.row_id for one in new[:EVENT_IDS]],
            "first_at": min(times).isoformat(),
            "last_at": max(times).isoformat(),
        }


def _describe(error: Exception) -> str:
    """Return an error for the log: whole if it is ours, else its kind alone, since others may print a URL."""
    return str(error) if isinstance(error, RobofyError) else type(error).__name__
