"""The emulator inside a test's own process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self, Unpack
from urllib.parse import quote, urlencode

from airflow_provider_robofy.emulator.operations import Operations
from airflow_provider_robofy.emulator.server import RobofyServer
from airflow_provider_robofy.emulator.settings import Settings, SettingsOptions
from airflow_provider_robofy.emulator.thread import ServerThread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from airflow_provider_robofy.emulator.journal import Request


class Emulator:
    """
    Run a fake Robofy on a free loopback port, in a thread of its own.

    Everything the command line and the control API offer is here, safe to call from any thread.

    Usage::

        with Emulator(leads=250, page_size=50) as emulator:
            emulator.fault("rate_limit", retry_after=1, endpoint="list_leads", page=2)
            monkeypatch.setenv("AIRFLOW_CONN_ROBOFY_DEFAULT", emulator.connection_json())
            ...
            assert emulator.count("list_leads") == 6

    :param faults: what goes wrong from the start on, as on the command line: `["drop", "html:page=2"]`.
    :param port: port to listen on; 0, the default, takes a free one.
    :param prerender: True renders the pages of leads before `start` returns.
    :param settings: see `Settings` for every name, unit and default: leads, sessions, agents, seed, page_size ...
    """

    def __init__(
        self, *, faults: Iterable[str] = (), port: int = 0, prerender: bool = False, **settings: Unpack[SettingsOptions]
    ) -> None:
        self._server = RobofyServer(Settings(**settings), faults)
        self._operations = Operations(self._server)
        self._port = port
        self._prerender = prerender
        self._thread = ServerThread(self._server)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------------------------------------- running
    def start(self) -> Self:
        """Start listening, and return when a request would be answered."""
        self._thread.start(self._port, prerender=self._prerender)
        return self

    def stop(self) -> None:
        """Stop listening and close every connection; a second call does nothing."""
        self._thread.stop()

    # ---------------------------------------------------------------------------------------------- connecting
    @property
    def url(self) -> str:
        """Base address, such as `http://127.0.0.1:43211`."""
        if not self._thread.running:
            raise RuntimeError("this emulator is not running: use it in a with statement, or call start()")
        return self._server.url

    @property
    def api_key(self) -> str:
        """The key that it accepts."""
        return self._server.world.settings.api_key

    @property
    def project_id(self) -> str:
        """The project that exists, as text."""
        return str(self._server.world.settings.project)

    @property
    def chatbot_ids(self) -> list[str]:
        """Ids of the agents that exist now."""
        return self._thread.call(lambda: list(self._server.world.agents))

    def connection_json(self, *, chatbot_id: str | None = None, **extra: Any) -> str:
        """
        Return the value for AIRFLOW_CONN_ROBOFY_DEFAULT.

        :param chatbot_id: the connection's default agent, None for the first.
        :param extra: further extras of the connection, such as `leads_order="newest_first"`.
        """
        return json.dumps(
            {
                "conn_type": "robofy",
                "host": self.url,
                "password": self.api_key,
                "extra": self._extra(chatbot_id) | extra,
            }
        )

    @property
    def connection_uri(self) -> str:
        """The same connection as a URI, which Airflow takes as well."""
        host = quote(self.url, safe="")
        return f"robofy://:{quote(self.api_key, safe='')}@{host}/?{urlencode(self._extra(None))}"

    def _extra(self, chatbot_id: str | None) -> dict[str, Any]:
        first = next(iter(self.chatbot_ids), None) if chatbot_id is None else chatbot_id
        return {"project_id": self.project_id} | ({} if first is None else {"chatbot_id": first})

    # ------------------------------------------------------------------------------------------------ watching
    @property
    def requests(self) -> list[Request]:
        """Recent requests, oldest first, at most ten thousand."""
        return self._thread.call(self._operations.requests)

    def count(self, endpoint: str | None = None) -> int:
        """
        Return how many requests came in since the start, the last reset or `clear_requests`.

        :param endpoint: endpoint name such as `list_leads`; None for all of the API.
        """
        served = self._server.journal.served
        return self._thread.call(lambda: served.total() if endpoint is None else served[endpoint])

    def clear_requests(self) -> None:
        """Forget all requests and start counting anew."""
        self._thread.call(self._operations.clear_requests)

    def state(self) -> dict[str, Any]:
        """Return counts, settings, faults, requests per endpoint, and requests in flight now and at most."""
        return self._thread.call(self._operations.state)

    def leads(self, chatbot_id: str | None = None) -> list[dict[str, Any]]:
        """
        Return all rows of an agent as the API would list them now.

        :param chatbot_id: the agent, None for the first.
        """
        return self._thread.call(lambda: self._operations.leads(chatbot_id))

    def assets(self) -> list[dict[str, Any]]:
        """Return every file and text taken in, with name, size and hash; delinked ones too."""
        return self._thread.call(self._operations.assets)

    def crawls(self) -> list[dict[str, Any]]:
        """Return every crawl started, with the request that asked for it."""
        return self._thread.call(self._operations.crawls)

    # ------------------------------------------------------------------------------------------------ changing
    def add_leads(
        self,
        count: int = 1,
        *,
        chatbot_id: str | None = None,
        created_at: Any = None,
        session_id: str | None = None,
        **fields: Any,
    ) -> list[dict[str, Any]]:
        """
        Add leads and return their rows.

        :param count: how many.
        :param chatbot_id: of which agent, None for the first.
        :param created_at: their time (datetime, ISO 8601, seconds since 1970), None for now.
        :param session_id: the session that they came from, if any.
        :param fields: what their rows say instead of seeded values.
        """
        return self._thread.call(
            lambda: self._operations.add_leads(
                count, chatbot_id=chatbot_id, created_at=created_at, session_id=session_id, fields=fields
            )
        )

    def change_lead(
        self, lead_id: str, *, chatbot_id: str | None = None, created_at: Any = None, **fields: Any
    ) -> dict[str, Any]:
        """
        Change a lead and return its row.

        :param lead_id: its id.
        :param chatbot_id: its agent, None to look at all.
        :param created_at: its new time, None to leave it.
        :param fields: what its row says from now on.
        """
        return self._thread.call(
            lambda: self._operations.change_lead(lead_id, chatbot_id=chatbot_id, created_at=created_at, fields=fields)
        )

    def delete_lead(self, lead_id: str, *, chatbot_id: str | None = None) -> None:
        """
        Delete a lead.

        :param lead_id: its id.
        :param chatbot_id: its agent, None to look at all.
        """
        self._thread.call(lambda: self._operations.delete_lead(lead_id, chatbot_id=chatbot_id))

    def add_session(
        self, session_id: str, *, chatbot_id: str | None = None, at: Any = None, messages: int = 0, **fields: Any
    ) -> dict[str, Any]:
        """
        Add a session and return its row.

        :param session_id: its id, any text.
        :param chatbot_id: of which agent, None for the first.
        :param at: when it was last touched, None for now.
        :param messages: how many messages it holds.
        :param fields: what its row says beside or instead of the usual.
        """
        return self._thread.call(
            lambda: self._operations.add_session(
                session_id, chatbot_id=chatbot_id, at=at, messages=messages, fields=fields
            )
        )

    def add_message(
        self,
        session_id: str,
        text: str,
        *,
        chatbot_id: str | None = None,
        incoming: bool = True,
        at: Any = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """
        Add a message at the end of a session and return its row.

        :param session_id: which session.
        :param text: what was said.
        :param chatbot_id: of which agent, None for the first.
        :param incoming: True for the visitor's words, False for the agent's.
        :param at: when, None for now.
        :param fields: what its object says beside or instead of that.
        """
        return self._thread.call(
            lambda: self._operations.add_message(
                session_id, text, chatbot_id=chatbot_id, incoming=incoming, at=at, fields=fields
            )
        )

    def delete_session(self, session_id: str, *, chatbot_id: str | None = None) -> None:
        """
        Delete a session with its messages; its leads stay.

        :param session_id: which session.
        :param chatbot_id: of which agent, None for the first.
        """
        self._thread.call(lambda: self._operations.delete_session(session_id, chatbot_id=chatbot_id))

    def fault(self, kind: str, **options: Any) -> None:
        """
        Let something go wrong from now on.

        :param kind: status, rate_limit, html, not_json, wrong_shape, redirect, delay, drop, truncate, trickle, endless,
            duplicate_rows, changed_rows, disorder, malformed_rows, token_loop, token_unknown or missing_list.
        :param options: `endpoint`, `chatbot`, `session`, `page`, `times`, `after`, and those of the kind.
        """
        self._thread.call(lambda: self._operations.fault(kind, options))

    def clear_faults(self, kind: str | None = None) -> None:
        """
        Let things go well again.

        :param kind: take only faults of this kind away.
        """
        self._thread.call(lambda: self._operations.clear_faults(kind))

    def configure(self, **settings: Unpack[SettingsOptions]) -> None:
        """
        Change settings while running; those that seeded data was made from need a `reset`.

        :param settings: new values by name.
        """
        self._thread.call(lambda: self._operations.configure(dict(settings)))

    def reset(self, **settings: Unpack[SettingsOptions]) -> None:
        """
        Start over with the data, settings and faults of the start, and count requests anew.

        :param settings: settings that differ from those of the start.
        """
        self._thread.call(lambda: self._operations.reset(dict(settings)))
