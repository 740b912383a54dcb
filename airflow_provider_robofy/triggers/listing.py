"""What waiting for leads and waiting for sessions have in common: all but the resource and its arguments."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from airflow.triggers.base import TriggerEvent

from airflow_provider_robofy.api.errors import RobofyConfigError, RobofyError
from airflow_provider_robofy.api.times import read_duration
from airflow_provider_robofy.extract.arrivals import (
    ArrivalWatch,
    CountRows,
    ListingPoll,
    NewestRows,
    ahead_of,
    as_landed,
)
from airflow_provider_robofy.extract.cursor import Cursor
from airflow_provider_robofy.extract.cursor_store import cursor_body, cursor_key
from airflow_provider_robofy.extract.privacy import HASH, applied_rules, own_rules
from airflow_provider_robofy.extract.rows import NEWEST_FIRST
from airflow_provider_robofy.extract.window import Window
from airflow_provider_robofy.hooks.robofy import RobofyHook
from airflow_provider_robofy.hooks.storage import open_store
from airflow_provider_robofy.resources import LEADS, RESOURCES
from airflow_provider_robofy.triggers.base import RobofyWaitTrigger, arguments_of
from airflow_provider_robofy.triggers.polls import shared_polls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from airflow_provider_robofy.extract.arrivals import Head, HeadRow
    from airflow_provider_robofy.extract.overlap import RowVersion
    from airflow_provider_robofy.extract.privacy import PrivacyPolicy
    from airflow_provider_robofy.hooks.connection import RobofyConnection
    from airflow_provider_robofy.resources import Resource
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


def listing_poll(
    resource: Resource, connection: RobofyConnection, project_id: str | None, chatbot_id: str, idle_for: float
) -> ListingPoll:
    """Return what reads an agent's listing as its connection says.

    :param resource: What the rows are.
    :param connection: The connection: zone of its times, and order of its listings.
    :param project_id: The agent's project, or None.
    :param chatbot_id: The agent.
    :param idle_for: Seconds that a row's time must be ago.
    """
    order = connection.leads_order if resource is LEADS else connection.sessions_order
    zone, silence = connection.times.timezone, timedelta(seconds=idle_for)
    return ListingPoll(resource, project_id, chatbot_id, zone, order == NEWEST_FIRST, silence)


def read_cursor(
    value: Any, identity: dict[str, Any], idle_for: float, connection: RobofyConnection
) -> tuple[Cursor, PrivacyPolicy | None, str, str]:
    """Return the cursor of a sync, and what rows land under that are compared with it.

    :param value: The cursor's body, the address of its file, or None where there is none yet.
    :param identity: Whose cursor it is: its ``name``, ``resource``, ``project_id`` and ``chatbot_id``.
    :param idle_for: Seconds, as set on what waits.
    :param connection: The connection as it is now.
    :return: The cursor; the privacy policy; what to change where the fetch has another ``idle_for``; and a text where
        the cursor was written under other privacy rules, in which case its hashes are left out. Otherwise these texts
        are empty.
    :raises RobofyError: The cursor cannot be read or used.
    """
    where, other_idle_for, other_rules = f"The cursor {cursor_key(**identity)}", "", ""
    cursor = Cursor.decode(cursor_body(value, open_store), identity, where)
    if cursor.run_key is not None and cursor.idle_for != idle_for:
        other_idle_for = (
            f"idle_for is {idle_for:g} seconds here, and was {cursor.idle_for:g} in the fetch that moved the cursor "
            f"{identity['name']} last. Give both the same idle_for. If the fetch has it already, let the fetch run "
            "once."
        )
    policy = connection.privacy_policy(RESOURCES[identity["resource"]], own_rules(cursor.privacy))
    if cursor.privacy is not None and cursor.privacy != applied_rules(policy):
        cursor = replace(cursor, overlap=())
        other_rules = (
            f"{where} was written under other privacy rules, or with another pseudonym_secret, than the connection has "
            f"now. Its hashes cannot be compared, so that {identity['resource']} at or after its watermark count as "
            "new until the next run of the sync."
        )
    return cursor, policy, other_idle_for, other_rules


class RobofyNewRowsTrigger(RobofyWaitTrigger):
    """Fire when an agent has a number of new rows; subclasses say of which resource.

    Its parameters are documented where users read of them: on the subclasses.
    """

    #: What the rows are.
    resource: ClassVar[Resource]
    #: Seconds that a row's time must be ago; only for resources in which it moves.
    idle_for: float = 0
    watch: ArrivalWatch

    def __init__(
        self,
        *,
        project_id: str | None,
        chatbot_id: str,
        since: str | None,
        min_count: int,
        cursor: dict[str, Any] | None = None,
        cursor_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_id = project_id
        self.chatbot_id = chatbot_id
        self.since = since
        self.min_count = min_count
        self.cursor = cursor
        self.cursor_name = cursor_name
        self.watch = ArrivalWatch()

    @property
    def cursor_identity(self) -> dict[str, Any]:
        """Return whose cursor it is: its ``name``, ``resource``, ``project_id`` and ``chatbot_id``."""
        ids = {"project_id": self.project_id, "chatbot_id": self.chatbot_id}
        return {"name": self.cursor_name, "resource": self.resource.name, **ids}

    def poll(self, connection: RobofyConnection) -> ListingPoll:
        return listing_poll(self.resource, connection, self.project_id, self.chatbot_id, self.idle_for)

    @property
    def reads_files(self) -> bool:  # type: ignore[override]
        return self.cursor is not None and not {"at", "file"}.isdisjoint(self.cursor)

    def question(self, connection: RobofyConnection) -> CountRows:
        """Return which rows are waited for.

        :param connection: The connection, for its privacy rules.
        :raises RobofyError: The cursor cannot be read or used, or its fetch has another ``idle_for``.
        """
        if self.cursor_name is None:
            policy = connection.privacy_policy(self.resource, None)
            hashed = policy is not None and policy.rules.get(self.resource.key) == HASH
            return CountRows(Window.of(self.since, None).since, self.min_count, policy=policy if hashed else None)
        cursor, policy, problem, _ = read_cursor(self.cursor, self.cursor_identity, self.idle_for, connection)
        if problem:
            raise RobofyConfigError(problem)
        landed = frozenset(one.fingerprint for one in cursor.overlap)
        return CountRows(cursor.watermark, self.min_count, landed, policy)


class RobofyNewRowsEventTrigger(BaseEventTrigger):
    """Start DAGs when an agent has rows that a sync has not landed yet; subclasses say of which resource.

    Its parameters are documented where users read of them: on the subclasses.
    """

    #: What the rows are.
    resource: ClassVar[Resource]
    #: The agent's project; None for that of the connection.
    project_id: str | None = None
    #: Seconds that a row's time must be ago; only for resources in which it moves.
    idle_for: float = 0

    def __init__(
        self,
        *,
        chatbot_id: str,
        cursor_name: str,
        robofy_conn_id: str = RobofyHook.default_conn_name,
        poll_interval: timedelta | float = 30,
        repeat_after: timedelta | float = 600,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not AIRFLOW_V_3_3_PLUS:
            name = type(self).__name__
            raise RobofyConfigError(
                f"{name} needs Airflow 3.3 or newer, where a watcher can read an asset's state. "
                f"Use {name.replace('EventTrigger', 'Sensor')}, or a schedule."
            )
        self.chatbot_id = not_empty("chatbot_id", chatbot_id)
        self.cursor_name = not_empty("cursor_name", cursor_name)
        self.robofy_conn_id = robofy_conn_id
        self.poll_interval = read_duration("poll_interval", poll_interval, zero=False).total_seconds()
        self.repeat_after = read_duration("repeat_after", repeat_after, zero=False).total_seconds()
        #: What has been logged of how the cursor was written.
        self._warned: set[str] = set()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments_of(self)

    def shared_stream_key(self) -> Hashable:
        # The class too: Airflow groups by this key alone.
        shared = (self.robofy_conn_id, self.project_id, self.chatbot_id, self.poll_interval, self.idle_for)
        return (type(self).__qualname__, *shared)

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
                    name = cls.resource.name
                    _log.error("New %s cannot be watched, trying again in %.0f s: %s", name, pause, _describe(error))
                    await asyncio.sleep(pause)
                    continue
                failures = 0
                yield newest
                del newest  # it contains personal data
                await asyncio.sleep(kwargs["poll_interval"])

    @classmethod
    async def _poll(cls, polls: Polls, kwargs: dict[str, Any]) -> Newest:
        # Read anew each time: a key that was wrong may have been corrected.
        connection = await RobofyHook(kwargs["robofy_conn_id"]).aconnection()
        head: Head = await polls.ask(
            listing_poll(
                cls.resource, connection, kwargs.get("project_id"), kwargs["chatbot_id"], kwargs.get("idle_for", 0)
            ),
            NewestRows(),
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
            head = as_landed(rows, self.resource, None)
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
                yield TriggerEvent(self._payload(new, connection))  # type: ignore[no-untyped-call]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch alone, where Airflow does not share the poll."""
        async for event in self.filter_shared_stream(self.open_shared_stream(self.serialize()[1])):
            yield event

    async def _ahead(self, connection: RobofyConnection, rows: tuple[HeadRow, ...]) -> tuple[list[RowVersion], str]:
        """Return the rows that the sync has still to land, and the cursor's generation."""
        ids = {"project_id": self.project_id or connection.project_id, "chatbot_id": self.chatbot_id}
        identity: dict[str, Any] = {"name": self.cursor_name, "resource": self.resource.name, **ids}
        state: Any = self.asset_state_store
        try:
            value = None if state is None else await state.aget(cursor_key(**identity))
        except ValueError:
            raise RobofyConfigError(
                "One trigger watches several assets, so Airflow does not say which of them holds the cursor. Give "
                "each asset a trigger of its own, with a cursor_name of its own (Airflow merges triggers with equal "
                "arguments), or schedule all DAGs on one asset."
            ) from None
        # Beside the event loop: a large cursor lies in a file, and rows are hashed.
        return await asyncio.to_thread(self._compare, identity, value, connection, rows)

    def _compare(
        self, identity: dict[str, Any], value: Any, connection: RobofyConnection, rows: tuple[HeadRow, ...]
    ) -> tuple[list[RowVersion], str]:
        cursor, policy, *problems = read_cursor(value, identity, self.idle_for, connection)
        # Logged only: the next run of the sync settles it, and an error here would start none.
        found = set(filter(None, problems))
        for one in sorted(found - self._warned):
            _log.warning("%s", one)
        self._warned = found
        return ahead_of(as_landed(rows, self.resource, policy), cursor), cursor.generation

    def _payload(self, new: list[RowVersion], connection: RobofyConnection) -> dict[str, Any]:
        times = [one.at for one in new if one.at is not None]
        ids = {} if self.resource.id_is_personal else {"lead_ids": [one.row_id for one in new[:EVENT_IDS]]}
        return {
            "resource": self.resource.name,
            "project_id": self.project_id or connection.project_id,
            "chatbot_id": self.chatbot_id,
            "count": len(new),
            **ids,
            "first_at": min(times).isoformat(),
            "last_at": max(times).isoformat(),
        }


def not_empty(name: str, value: str) -> str:
    """Return an argument, which may not be empty.

    :param name: Its name, for the error.
    :param value: Its value.
    :raises RobofyConfigError: It is empty.
    """
    if not str(value).strip():
        raise RobofyConfigError(f"{name} is empty.")
    return value


def _describe(error: Exception) -> str:
    """Return an error for the log: whole if it is ours, else its kind alone, since others may print a URL."""
    return str(error) if isinstance(error, RobofyError) else type(error).__name__
